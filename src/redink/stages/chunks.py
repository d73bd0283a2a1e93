"""Rows that are sampled together: chunks of a stage, each one file, written whole or not at all.

Each chunk has its number, from which its seed is derived, so what is made after a kill, or by a worker elsewhere, is
what would have been made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from redink.failures import BadInput
from redink.progress import Advance, quiet
from redink.rows import as_row, read_json_lines, write_text
from redink.stages.engine import Engine, Job, Key
from redink.stages.making import Make, Making, Spoiled
from redink.stages.unfinished import tagged
from redink.types import Quarantined, Rejected, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)
CHUNK = 256


def as_it_is(row: Any) -> Any:
    """The row."""
    return row


@dataclass(frozen=True)
class Chunked(Generic[T, R]):
    """A stage that is made in chunks: its name, the kind of its rows, how a chunk is made, and its size in inputs.

    `make(chunk, number, advance)` gives the outcomes of a chunk, in the order of its inputs. It may travel to a worker
    of the engine, so it holds nothing that cannot be pickled, and little. `given(input)` is what `make` is handed for
    an input; it is asked where the stage runs, never by a worker.
    `spoiled` are the outcomes of an input that makes `make` fail; without it, such an input stops the stage.
    """

    stage: str
    kind: type[R]
    make: Make
    size: int = CHUNK
    given: Callable[[T], Any] = as_it_is
    spoiled: Spoiled | None = None

    @property
    def making(self) -> Making:
        """What whoever makes a chunk needs to know."""
        return Making(self.stage, self.make, tagged, self.spoiled)

    def cut(self, inputs: Sequence[T]) -> Iterator[Sequence[T]]:
        """The inputs, chunk by chunk."""
        return (inputs[start : start + self.size] for start in range(0, len(inputs), self.size))

    def fill(self, engine: Engine, folder: Path, inputs: Sequence[T], advance: Advance, per_input: int = 1) -> None:
        """Make the chunks that are not in `folder` yet; `advance` counts outcomes, those that are there too."""

        def missing() -> Iterator[Job[Any]]:
            for number, rows in enumerate(self.cut(inputs)):
                if chunk_path(folder, number).exists():
                    advance(len(rows) * per_input)
                else:
                    yield Job(number, [self.given(row) for row in rows], len(rows) * per_input)

        def keep(job: Job[Any], text: str) -> None:
            write_text(_path(folder, job.key), text)

        engine.make(self.making, missing(), keep, advance)

    def outcomes(self, folder: Path, inputs: int) -> Iterator[Row]:
        """The outcomes in the chunks of so many inputs, in order; one chunk is in memory at a time."""
        for number in range(-(-inputs // self.size)):
            yield from _read(chunk_path(folder, number), self.kind)


def _path(folder: Path, key: Key) -> Path:
    return chunk_path(folder, key) if isinstance(key, int) else chunk_path(folder / key[0], key[1])


def chunk_path(folder: Path, number: int) -> Path:
    """Where chunk `number` of a stage lies."""
    return folder / f"{number:06d}.jsonl"


class Ahead(Generic[T]):
    """Makes whole chunks of a stage while the stage that feeds it is under way: in order, in one thread of its own.

    Chunks are formed over the rows in the order in which they are fed, so they are those that the stage itself makes.
    """

    def __init__(self, chunked: Chunked[T, Any], folder: Path, sync: Callable[[], None]) -> None:
        """Into `folder`; `sync` puts the rows fed so far on disk, before anything is made of them."""
        self._chunked, self._folder, self._sync = chunked, folder, sync
        self._rows: list[T] = []
        self._next = 0
        self._under_way: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=chunked.stage)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the chunks under way; after a failure those that have not begun are left to the next run."""
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for chunk in self._under_way:
                chunk.result()

    def feed(self, row: T) -> None:
        """Take the next row."""
        self._rows.append(row)
        if len(self._rows) == self._chunked.size:
            self._begin(tuple(self._rows))
            self._rows.clear()

    def _begin(self, rows: Sequence[T]) -> None:
        number, self._next = self._next, self._next + 1
        if not chunk_path(self._folder, number).exists():
            self._sync()
            self._under_way.append(self._thread.submit(self._make, number, rows))

    def _make(self, number: int, rows: Sequence[T]) -> None:
        given, making = [self._chunked.given(row) for row in rows], self._chunked.making
        write_text(chunk_path(self._folder, number), making(given, number, quiet))


def _read(path: Path, kind: type[Row]) -> list[Row]:
    kinds: dict[str, type[Row]] = {known.__name__: known for known in (kind, Rejected, Quarantined)}
    outcomes = []
    for number, value in read_json_lines(path):
        name = str(value.get("kind"))
        if name not in kinds:
            raise BadInput(
                path, f"holds a row of kind {name!r}.", "Remove this file; its rows are made anew.", line=number
            )
        outcomes.append(as_row(path, number, value.get("row"), kinds[name]))
    return outcomes
