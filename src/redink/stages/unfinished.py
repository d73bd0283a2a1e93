"""The outcomes of a stage under way: one file, appended to as rows are decided, read back in the order of the inputs.

A line is `{"key": …, "kind": …, "row": …}`. What a kill or a power cut tears costs only itself: a line that cannot be
read is as if it were not there. In memory a row is eight bytes, its place in the file.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from redink.failures import BadInput
from redink.rows import unwritable
from redink.types import Problem, Quarantined, Rejected, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)
REQUEUED = "Requeued"
NOWHERE = -1
"""The place of a row that is not in the file."""


def row_key(row: Row) -> str:
    """What a row is known by within a stage: its problem and its sample, if it has one."""
    problem = row.id if isinstance(row, Problem) else getattr(row, "problem_id", "")
    return f"{problem}/{getattr(row, 'sample', 0)}"


def tagged(row: Row, **more: str) -> str:
    """A line that holds a row and its kind; `more` adds to the line, or says another kind."""
    line = {"kind": type(row).__name__, "row": row.model_dump(mode="json")} | more
    return json.dumps(line, ensure_ascii=False) + "\n"


def held_so_far(path: Path) -> list[Quarantined]:
    """The quarantined rows of a stage under way, in the order in which they came; torn lines are passed over."""
    with path.open("rb") as file:
        read = (_read(line, {Quarantined.__name__: Quarantined}) for line in file)
        return [found[2] for found in read if found]


class Unfinished(Generic[T]):
    """What has been decided of a stage's inputs so far; inputs are known by their place, from 0, or by their key."""

    def __init__(self, path: Path, kind: type[Row], inputs: Sequence[T], key: Callable[[T], str]) -> None:
        """Take up what `path` holds, or begin it; raises `Failure` if it cannot be written."""
        self.path, self._inputs, self._key = path, inputs, key
        self._kinds: dict[str, type[Row]] = {known.__name__: known for known in (kind, Rejected, Quarantined)}
        self._kinds[REQUEUED] = Quarantined
        self._places = array("q", [NOWHERE]) * len(inputs)
        self._again: dict[int, int] = {}
        try:
            self._out = path.open("ab")
            self._in = path.open("rb")
        except OSError as failure:
            raise unwritable(path, failure) from None
        self._take_up()

    def __enter__(self) -> Unfinished[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in.close()
        self._out.close()

    @property
    def decided(self) -> int:
        """How many inputs have an outcome."""
        return len(self._places) - self._places.count(NOWHERE)

    def __contains__(self, place: int) -> bool:
        return self._places[place] != NOWHERE

    def __len__(self) -> int:
        return len(self._places)

    def open_places(self) -> Iterator[int]:
        """The inputs without an outcome, in order."""
        return (place for place in range(len(self)) if place not in self)

    def before(self, place: int) -> Quarantined | None:
        """How an input ended in an earlier run, if it was requeued."""
        row = self._row(self._again[place]) if place in self._again else None
        return row if isinstance(row, Quarantined) else None

    def add(self, place: int, row: Row) -> None:
        """Keep the outcome of an input; raises `Failure` when the disk is full."""
        self._places[place] = self._write(tagged(row, key=self._key(self._inputs[place])).encode())

    def sync(self) -> None:
        """Have everything added so far on the disk itself."""
        os.fsync(self._out.fileno())

    def __getitem__(self, place: int) -> Row:
        return self._row(self._places[place])

    def __iter__(self) -> Iterator[Row]:
        """The outcomes, in the order of the inputs."""
        return (self[place] for place in range(len(self)) if place in self)

    def _take_up(self) -> None:
        """Find what was decided before, and begin a line of its own after it."""
        found, again = dict[str, int](), dict[str, int]()
        line, self._end = b"\n", 0
        for line in self._in:
            if read := _read(line, self._kinds):
                (again if read[1] == REQUEUED else found)[read[0]] = self._end
            self._end += len(line)
        if not line.endswith(b"\n"):
            self._write(b"\n")
        for place, item in enumerate(self._inputs if found or again else ()):
            key = self._key(item)
            self._places[place] = found.get(key, NOWHERE)
            if key in again:
                self._again[place] = again[key]

    def _write(self, line: bytes) -> int:
        """Append a line; returns where it begins."""
        try:
            self._out.write(line)
            self._out.flush()
        except OSError as failure:
            raise unwritable(self.path, failure) from None
        self._end += len(line)
        return self._end - len(line)

    def _row(self, place: int) -> Row:
        self._in.seek(place)
        read = _read(self._in.readline(), self._kinds)
        if read is None:
            raise BadInput(self.path, f"changed on disk at byte {place}.", "Type the same command again.")
        return read[2]


def _read(line: bytes, kinds: Mapping[str, type[R]]) -> tuple[str, str, R] | None:
    """Key, kind and row of a line; None if it is torn or of no kind of these."""
    try:
        value = json.loads(line)
        return str(value["key"]), value["kind"], kinds[value["kind"]].model_validate(value["row"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
