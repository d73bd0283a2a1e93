"""What whoever makes a chunk does with it: makes its rows, and where that fails finds the inputs that are to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redink.failures import Failure
from redink.progress import Advance, quiet
from redink.stages.engine import Key
from redink.types import Quarantined, Row, Verdict

Make = Callable[[Sequence[Any], Any, Advance], Sequence[Row]]
"""`make(chunk, key, advance)`: the outcomes of a chunk, in the order of its inputs, as many for each."""
Spoiled = Callable[[Any, str], Sequence[Row]]
"""`spoiled(row, why)`: the outcomes of an input of which nothing can be made."""
KILLED = "every process that worked on it was killed (out of memory, or a crash)"


@dataclass(frozen=True)
class Making:
    """How the chunks of a stage are made, and written with a `line` per outcome; see `engine.Work`.

    Where `make` fails, the chunk is halved until the inputs at fault are found, and `spoiled` tells their outcomes; the
    others are made in the halves in which they succeed. Without `spoiled`, and where every input of several fails, the
    first exception is raised: that is no fault of a row.
    """

    stage: str
    make: Make
    line: Callable[[Row], str]
    spoiled: Spoiled | None = None

    def __call__(self, rows: Sequence[Any], key: Key, advance: Advance) -> str:
        """The text of the chunk's file."""
        counted = _Counted(advance)
        try:
            made = self.make(rows, key, counted)
        except Failure:
            raise
        except Exception as fault:
            made = self._sifted(rows, key, fault)
            advance(max(0, len(made) - counted.units))
        return "".join(map(self.line, made))

    def lost(self, row: Any, key: Key) -> str:
        """The text for an input that ends every process that works on it."""
        if self.spoiled is None:
            raise Failure(f"{self.stage}: an input of chunk {key} cannot be made: {KILLED}.", f"It is {str(row)[:200]}")
        return "".join(map(self.line, self.spoiled(row, KILLED)))

    def _sifted(self, rows: Sequence[Any], key: Key, fault: Exception) -> list[Row]:
        if self.spoiled is None:
            raise fault
        found = self._halved(rows, key, fault)
        if len(rows) > 1 and all(isinstance(each, Exception) for each in found):
            raise fault
        return [
            outcome
            for row, each in zip(rows, found, strict=True)
            for outcome in (self.spoiled(row, _said(each)) if isinstance(each, Exception) else each)
        ]

    def _halved(self, rows: Sequence[Any], key: Key, fault: Exception) -> list[Sequence[Row] | Exception]:
        """For each input its outcomes, or why there are none."""
        if len(rows) == 1:
            return [fault]
        middle = len(rows) // 2
        return [each for half in (rows[:middle], rows[middle:]) for each in self._tried(half, key)]

    def _tried(self, rows: Sequence[Any], key: Key) -> list[Sequence[Row] | Exception]:
        try:
            made = self.make(rows, key, quiet)
        except Failure:
            raise
        except Exception as fault:
            return self._halved(rows, key, fault)
        each = len(made) // len(rows)
        return [made[place * each : (place + 1) * each] for place in range(len(rows))]


def not_made(why: str) -> Verdict:
    """The verdict on an answer that was never given, as the model could not be asked."""
    return Verdict(outcome="ungradable", reason=f"not made: {why}", method="engine")


def set_aside(stage: str, problem_id: str, why: str, raw: str, samples: Iterable[int]) -> list[Quarantined]:
    """The rows of an input of which nothing can be made, one for each sample."""
    return [
        Quarantined(problem_id=problem_id, sample=sample, stage=stage, reason="not_made", detail=why, raw=raw)
        for sample in samples
    ]


def _said(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"


class _Counted:
    """An `Advance` that remembers how far it came."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.units = advance, 0

    def __call__(self, units: int = 1, note: str = "") -> None:
        self.units += units
        self.advance(units, note)
