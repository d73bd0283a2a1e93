"""Rows that are kept as they were sampled: one file per chunk of inputs and pass, written whole or not at all.

`<folder>/<pass>/<chunk>.jsonl`; a pass is 'greedy' or one repeat ('r000', 'r001', …). What is there is not made again,
so more passes may be added later, a kill costs one chunk, and every figure is computed from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from redink.failures import BadInput
from redink.progress import Advance
from redink.rows import read_rows, write_text
from redink.stages.chunks import CHUNK, chunk_path
from redink.stages.engine import LOCAL, Engine, Job, Key
from redink.stages.making import Making
from redink.types import Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)
MakeShard = Callable[[Sequence[T], str, int, Advance], Sequence[R]]
SpoiledShard = Callable[[T, str], Sequence[R]]
GREEDY = "greedy"


def repeat_name(number: int) -> str:
    """The pass of a repeat, counted from 0.

    >>> repeat_name(7)
    'r007'
    """
    return f"r{number:03d}"


@dataclass(frozen=True)
class Shards(Generic[T, R]):
    """The shards of one folder; `make(inputs, pass, chunk, advance)` gives one row per input, in their order.

    It may travel to a worker of the engine, so it holds nothing that cannot be pickled, and little.
    `spoiled(input, why)` is the row of an input of which nothing can be made, alone in a sequence.
    """

    folder: Path
    kind: type[R]
    make: MakeShard[T, R]
    size: int = CHUNK
    engine: Engine = LOCAL
    spoiled: SpoiledShard[T, R] | None = None

    def paths(self, passes: Sequence[str], inputs: int) -> list[Path]:
        """Every shard of these passes over so many inputs, in order."""
        chunks = range(-(-inputs // self.size))
        return [chunk_path(self.folder / name, number) for name in passes for number in chunks]

    def fill(self, passes: Sequence[str], inputs: Sequence[T], advance: Advance) -> None:
        """Make the shards that are not there yet; `advance` counts rows, those that are there too."""

        def missing() -> Iterator[Job[T]]:
            for name in passes:
                for number, rows in enumerate(self._cut(inputs)):
                    if chunk_path(self.folder / name, number).exists():
                        advance(len(rows))
                    else:
                        yield Job((name, number), rows, len(rows))

        making = Making(self.folder.name, _OfPass(self.make), _line, self.spoiled)
        self.engine.make(making, missing(), partial(_keep, self.folder), advance)

    def rows(self, name: str, inputs: Sequence[T]) -> list[R]:
        """The rows of one pass, in the order of the inputs; raises `BadInput` for a shard that lost some."""
        paths = self.paths([name], len(inputs))
        return [row for path, part in zip(paths, self._cut(inputs), strict=True) for row in self._read(path, len(part))]

    def _read(self, path: Path, wanted: int) -> list[R]:
        rows = read_rows(path, self.kind)
        if len(rows) != wanted:
            raise BadInput(path, f"holds {len(rows)} rows of {wanted}.", "Remove this file; its rows are made anew.")
        return rows

    def _cut(self, inputs: Sequence[T]) -> Iterator[Sequence[T]]:
        return (inputs[start : start + self.size] for start in range(0, len(inputs), self.size))


def _keep(folder: Path, job: Job[T], text: str) -> None:
    name, number = _named(job.key)
    write_text(chunk_path(folder / name, number), text)


def _named(key: Key) -> tuple[str, int]:
    assert isinstance(key, tuple)
    return key


def _line(row: Row) -> str:
    return row.model_dump_json() + "\n"


@dataclass(frozen=True)
class _OfPass(Generic[T]):
    """`Shards.make` as a `Make`."""

    make: Callable[[Sequence[T], str, int, Advance], Sequence[Row]]

    def __call__(self, rows: Sequence[T], key: Key, advance: Advance) -> Sequence[Row]:
        return self.make(rows, *_named(key), advance)
