"""Who makes the chunks of a stage: this process, or the workers of a Ray cluster. The rows are the same either way.

A chunk has a key of its own, from which its seeds are derived, so it does not matter who makes it, or when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import Field

from redink.progress import Advance
from redink.types import Row

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Key = int | tuple[str, int]
"""The number of a chunk, or its pass and number."""


class EngineSettings(Row):
    """Who makes the chunks. All of it may change while a run is under way: it says how rows are made, not which."""

    kind: Literal["local", "ray"] = Field("local", description="This process, or workers that Ray Data schedules.")
    address: str = Field(
        "",
        description="A Ray cluster: host:port, 'auto' for the one this machine belongs to, 'local' for one of our own; "
        "empty: RAY_ADDRESS, else one of our own on this machine.",
    )
    workers: int = Field(0, ge=0, description="Processes that hold the student, at most; 0: as many as there is room.")
    cpus_per_worker: float = Field(1.0, gt=0, description="Processors that each of them reserves.")
    gpus_per_worker: float | None = Field(
        None, ge=0, description="GPUs that each of them reserves; by default 1 where the cluster has any, else none."
    )


@dataclass(frozen=True)
class Job(Generic[T]):
    """A chunk to be made: its key, what it is made of, and how many units of progress it is."""

    key: Key
    rows: Sequence[T]
    units: int


class Work(Protocol[T_contra]):
    """How a chunk is made; it travels to the workers, so it holds nothing that cannot be pickled."""

    def __call__(self, rows: Sequence[T_contra], key: Key, advance: Advance) -> str:
        """The text of the chunk's file."""

    def lost(self, row: T_contra, key: Key) -> str:
        """The text for a row that ends whatever process works on it; raises `Failure` where there can be none."""


class Engine(Protocol):
    """Makes chunks."""

    def make(
        self, work: Work[T], jobs: Iterable[Job[T]], keep: Callable[[Job[T], str], None], advance: Advance
    ) -> None:
        """Make every job; `keep` is called with each text as it comes, in any order. Raises `Failure`."""

    def close(self) -> None:
        """Let go of what it holds."""


class Local:
    """Makes chunks here, one after another."""

    def make(
        self, work: Work[T], jobs: Iterable[Job[T]], keep: Callable[[Job[T], str], None], advance: Advance
    ) -> None:
        """In the order of the jobs; each is kept before the next is begun."""
        for job in jobs:
            keep(job, work(job.rows, job.key, advance))

    def close(self) -> None:
        """Nothing is held."""


LOCAL = Local()
