"""Rows of any number: one compressed file per chunk of a stage's inputs, and where each problem's rows lie.

`<folder>/<stage>/<number>.jsonl.zst` holds the outcomes of one chunk, written whole or not at all; its first line is
their books. Every stage has the chunks of the problems, so chunk n of a stage is made of chunk n of those before it,
memory is that of one chunk, and the rows of one problem are found in one chunk of each stage.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from redink.failures import BadInput
from redink.rows import write_bytes
from redink.stages.outcomes import tally
from redink.types import Quarantined, Rejected, Row, StageCounts

R = TypeVar("R", bound=Row)
ENDING = ".jsonl.zst"
LEVEL = 3
"""Of zstd: its own default."""
_ENTRY = np.dtype([("key", "<u8"), ("chunk", "<u4")])
_OTHERS = (Rejected, Quarantined)
_ANEW = "Remove this file; its rows are made anew."


@dataclass(frozen=True)
class Store(Generic[R]):
    """The chunks of one stage in `folder`; accepted rows are of `kind`."""

    folder: Path
    stage: str
    kind: type[R]

    def path(self, number: int) -> Path:
        """Where chunk `number` lies."""
        return self.folder / self.stage / f"{number:06d}{ENDING}"

    def __contains__(self, number: int) -> bool:
        return self.path(number).exists()

    def write(self, number: int, inputs: int, outcomes: Iterable[Row]) -> StageCounts:
        """Keep the outcomes of a chunk, one for each of its inputs, in their order; returns its books."""
        return self.write_text(number, inputs, "".join(map(line_of, outcomes)))

    def write_text(self, number: int, inputs: int, text: str) -> StageCounts:
        """Keep a chunk whose outcomes are written already, each by `line_of`."""
        counts = self._books(inputs, text.split("\n")[:-1])
        data = (line_of(counts) + text).encode("utf-8", "surrogatepass")
        write_bytes(self.path(number), pa.Codec("zstd", compression_level=LEVEL).compress(data, asbytes=True))
        return counts

    def _books(self, inputs: int, lines: Sequence[str]) -> StageCounts:
        accepted = _head(self.kind)
        left_out = [line for line in lines if not line.startswith(accepted)]
        rows = [_row(self.folder, place, f"{line}\n".encode(), _OTHERS) for place, line in enumerate(left_out)]
        counts = tally(self.stage, len(rows), rows)
        counts = counts.model_copy(update={"inputs": inputs, "accepted": len(lines) - len(rows)})
        if not counts.balanced:
            raise AssertionError(f"{self.stage}: {inputs} rows went in, {len(lines)} came out")
        return counts

    def outcomes(self, number: int) -> list[Row]:
        """Every outcome of a chunk: rows of the kind, `Rejected` and `Quarantined`; raises `BadInput`."""
        path = self.path(number)
        with opened(path) as file:
            next(file, None)
            return [_row(path, place, line, (self.kind, *_OTHERS)) for place, line in enumerate(file, 2)]

    def rows(self, number: int) -> list[R]:
        """The accepted rows of a chunk."""
        return [row for row in self.outcomes(number) if isinstance(row, self.kind)]

    def books(self, number: int) -> StageCounts:
        """The books of a chunk; only its beginning is read."""
        path = self.path(number)
        with opened(path) as file:
            row = _row(path, 1, next(file, b""), (StageCounts,))
        assert isinstance(row, StageCounts)
        return row


class Index:
    """Which chunk holds a problem: twelve bytes a problem, in a file that is mapped, looked up by bisection."""

    def __init__(self, path: Path) -> None:
        """Open what `build` wrote."""
        self._entries = np.load(path, mmap_mode="r", allow_pickle=False)

    @classmethod
    def build(cls, path: Path, keys: np.ndarray, chunks: np.ndarray) -> Index:
        """Write the index of problems with these keys, chunk by chunk; both have one entry a problem."""
        entries = np.empty(len(keys), _ENTRY)
        entries["key"], entries["chunk"] = keys, chunks
        entries.sort(order=("key", "chunk"))
        file = io.BytesIO()
        np.save(file, entries, allow_pickle=False)
        write_bytes(path, file.getvalue())
        return cls(path)

    def __len__(self) -> int:
        return len(self._entries)

    def chunks(self, problem_id: str) -> list[int]:
        """The chunks that may hold a problem: nearly always one, none if there is no such problem."""
        key = np.uint64(key_of(problem_id))
        keys = self._entries["key"]
        first, end = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
        return sorted({int(chunk) for chunk in self._entries["chunk"][first:end]})

    def shared(self) -> Iterator[tuple[int, int]]:
        """The chunks of each two neighbours with one key: an id that stands twice, or (very rarely) two ids."""
        keys = self._entries["key"]
        for place in np.flatnonzero(keys[1:] == keys[:-1]):
            yield int(self._entries["chunk"][place]), int(self._entries["chunk"][place + 1])


def key_of(problem_id: str) -> int:
    """What a problem is filed under: 64 bits of its id's BLAKE2b."""
    return int.from_bytes(blake2b(problem_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def added(stage: str, parts: Iterable[StageCounts]) -> StageCounts:
    """The books of a stage from those of its chunks."""
    sums, reasons = dict.fromkeys(("inputs", "accepted", "rejected", "quarantined"), 0), dict[str, int]()
    for part in parts:
        for name in sums:
            sums[name] += getattr(part, name)
        for reason, count in part.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return StageCounts(stage=stage, reasons=dict(sorted(reasons.items())), **sums)


def opened(path: Path) -> BinaryIO:
    """A file to read line by line, unpacked by its ending (.zst, .gz, …); raises `BadInput` if it cannot be opened."""
    try:
        return io.BufferedReader(pa.input_stream(str(path), compression="detect"))
    except FileNotFoundError:
        raise BadInput(path, "there is no such file.", "Check the path.") from None
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the file and its permissions.") from None


def line_of(row: Row) -> str:
    """A line that holds a row and its kind."""
    return f"{_head(type(row))}{row.model_dump_json()}}}\n"


def _head(kind: type[Row]) -> str:
    return f'{{"kind":"{kind.__name__}","row":'


def _row(path: Path, place: int, line: bytes, kinds: tuple[type[Row], ...]) -> Row:
    for kind in kinds:
        head = _head(kind).encode()
        if line.startswith(head) and line.endswith(b"}\n"):
            try:
                return kind.model_validate_json(line[len(head) : -2])
            except ValidationError as failure:
                raise BadInput(path, f"{failure.errors()[0]['msg']}.", _ANEW, line=place) from None
    raise BadInput(path, "holds a line that is no row of this stage.", _ANEW, line=place)
