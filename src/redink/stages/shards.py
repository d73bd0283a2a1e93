"""Rows that are kept as they were sampled: one file per chunk of inputs and pass, written whole or not at all.

`<folder>/<pass>/<chunk>.jsonl`; a pass is 'greedy' or one repeat ('r000', 'r001', …). What is there is not made again,
so more passes may be added later, a kill costs one chunk, and every figure is computed from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from redink.failures import BadInput
from redink.progress import Advance
from redink.rows import read_rows, write_rows
from redink.stages.chunks import CHUNK, chunk_path
from redink.types import Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)
GREEDY = "greedy"


def repeat_name(number: int) -> str:
    """The pass of a repeat, counted from 0.

    >>> repeat_name(7)
    'r007'
    """
    return f"r{number:03d}"


@dataclass(frozen=True)
class Shards(Generic[T, R]):
    """The shards of one folder; `make(inputs, pass, chunk, advance)` gives one row per input, in their order."""

    folder: Path
    kind: type[R]
    make: Callable[[Sequence[T], str, int, Advance], Sequence[R]]
    size: int = CHUNK

    def paths(self, passes: Sequence[str], inputs: int) -> list[Path]:
        """Every shard of these passes over so many inputs, in order."""
        chunks = range(-(-inputs // self.size))
        return [chunk_path(self.folder / name, number) for name in passes for number in chunks]

    def fill(self, passes: Sequence[str], inputs: Sequence[T], advance: Advance) -> None:
        """Make the shards that are not there yet; `advance` counts rows, those that are there too."""
        for name in passes:
            for number, rows in enumerate(self._cut(inputs)):
                path = chunk_path(self.folder / name, number)
                if path.exists():
                    advance(len(rows))
                else:
                    write_rows(path, self.make(rows, name, number, advance))

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
