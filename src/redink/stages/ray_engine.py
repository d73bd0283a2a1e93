"""Chunks made by a Ray cluster: Ray Data hands them to workers that hold the student, with its own back-pressure.

A worker or node that is lost costs only the chunks it was at: Ray starts them again elsewhere, and the same key gives
the same rows. A chunk that has ended several workers is tried once more with a worker to itself, then row by row, so
that one row that no process survives costs only itself.

Chunks and answers travel pickled, as all that Ray moves: a cluster that is joined is trusted as this machine is.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from redink.failures import Failure
from redink.progress import Advance
from redink.stages.engine import EngineSettings, Job, Key, Work

T = TypeVar("T")
RESTARTS = 3
"""Times that a chunk is begun again after its worker was lost, before it is set aside for a worker to itself."""
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""What Ray calls it when a cluster of one machine listens on loopback only (its default on other systems)."""
SAID_EVERY_S, ASKED_EVERY_S = 0.5, 0.25
QUEUED, ALONE = 2, 1
"""Chunks per worker, the one it is at included."""


class RayEngine:
    """Makes chunks with the workers of a cluster, which is joined, or started here, at the first one."""

    def __init__(self, settings: EngineSettings) -> None:
        """Raises `Failure` where Ray is not installed."""
        self.settings = settings
        self._started = False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self._own:
            os.environ.setdefault(LOOPBACK, "0")
        try:
            import ray.data  # noqa: F401
        except ImportError:
            raise Failure("Ray is not installed.", "pip install 'redink[ray]', or use --engine local.") from None

    def close(self) -> None:
        """Leave the cluster, if this engine joined it; one of our own ends."""
        if self._started:
            import ray

            ray.shutdown()
            self._started = False

    def make(
        self, work: Work[T], jobs: Iterable[Job[T]], keep: Callable[[Job[T], str], None], advance: Advance
    ) -> None:
        """Every job, as the workers come to it; see `Engine.make`."""
        open_ = {job.key: job for job in jobs}
        if not open_:
            return
        self._join()
        with _shown(advance, sum(job.units for job in open_.values())) as tally:
            for at_once in (QUEUED, ALONE):
                for key, text in self._made(work, list(open_.values()), tally, at_once):
                    keep(open_.pop(key), text)
            for job in open_.values():
                keep(job, self._row_by_row(work, job, tally))

    def _row_by_row(self, work: Work[T], job: Job[T], tally: Any) -> str:
        """A chunk that ends its workers: every row in a task of its own."""
        rows = [Job((str(job.key), place), [row], 0) for place, row in enumerate(job.rows)]
        made = dict(self._made(_AsOne(work, job.key), rows, tally, ALONE))
        return "".join(
            made[each.key] if each.key in made else work.lost(row, job.key)
            for each, row in zip(rows, job.rows, strict=True)
        )

    def _made(self, work: Work[T], jobs: Sequence[Job[T]], tally: Any, at_once: int) -> Iterator[tuple[Key, str]]:
        """What the workers make of the jobs, as it comes; jobs that ended too many workers are left out."""
        if not jobs:
            return
        import ray.data

        items = [{"job": pickle.dumps((job.key, job.rows, job.units))} for job in jobs]
        count = self._workers()
        made = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            fn_constructor_args=(work, tally),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1,
                max_size=count,
                initial_size=min(count, len(items)),
                max_tasks_in_flight_per_actor=at_once,
            ),
            num_cpus=self.settings.cpus_per_worker,
            num_gpus=self._gpus(),
            max_restarts=-1,
            max_task_retries=RESTARTS,
        )
        for batch in made.iter_batches(batch_size=1, prefetch_batches=0):
            for answer in batch["answer"]:
                yield _read(answer)

    def _workers(self) -> int:
        import ray

        if self.settings.workers:
            return self.settings.workers
        there, gpus = ray.cluster_resources(), self._gpus()
        room = there.get("CPU", 1.0) / self.settings.cpus_per_worker
        if gpus:
            room = min(room, there.get("GPU", 0.0) / gpus)
        return max(1, int(room))

    def _gpus(self) -> float:
        import ray

        wanted = self.settings.gpus_per_worker
        return float(ray.cluster_resources().get("GPU", 0.0) > 0) if wanted is None else wanted

    def _join(self) -> None:
        """Join the cluster of the settings, or start one of our own on loopback; one that is joined already is used."""
        import ray
        from ray._private import ray_constants

        if ray.is_initialized():
            return
        if self._own:
            ray_constants.ENABLE_RAY_CLUSTER = False  # read at import, which may have been before `LOOPBACK` was set
        address = self._address
        try:
            ray.init(
                address="local" if self._own else address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **(self._own_cluster() if self._own else {}),
            )
        except Exception as failure:  # Ray raises plain ones, such as where a node is too slow to start
            reason = next(iter(str(failure).strip().splitlines()), type(failure).__name__)
            raise Failure(
                f"no Ray cluster can be used at {address or 'this machine'} ({reason}).",
                "Check --ray-address (host:port, as `ray start --head` says), or leave it out for a cluster here.",
            ) from None
        self._started = True
        _calm()

    @property
    def _address(self) -> str:
        return self.settings.address or os.environ.get("RAY_ADDRESS", "")

    @property
    def _own(self) -> bool:
        return self._address in {"", "local"}

    def _own_cluster(self) -> dict[str, Any]:
        most = self.settings.workers * self.settings.cpus_per_worker
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        return {
            "num_cpus": max(os.cpu_count() or 1, math.ceil(most)),
            "include_dashboard": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": paths}},
        }


class _AsOne:
    """Work on single rows of one chunk, under the chunk's key."""

    def __init__(self, work: Work[T], key: Key) -> None:
        self.work, self.key = work, key

    def __call__(self, rows: Sequence[Any], key: Key, advance: Advance) -> str:
        return self.work(rows, self.key, advance)

    def lost(self, row: Any, key: Key) -> str:
        return self.work.lost(row, self.key)


class _Worker:
    """One process that makes chunks: what it needs, such as the student, it loads at its first chunk and keeps."""

    def __init__(self, work: Work[Any], tally: Any) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        logging.getLogger("transformers").setLevel(logging.ERROR)
        self.work, self.tally = work, tally

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"answer": [self._answer(job) for job in batch["job"]]}

    def _answer(self, job: bytes) -> bytes:
        key, rows, units = pickle.loads(job)
        said = _Said(self.tally, key)
        try:
            answer = (key, self.work(rows, key, said), None)
        except Exception as fault:
            fault.add_note(f"In a worker, at chunk {key}:\n{traceback.format_exc()}")
            return _pickled_fault(key, fault)
        said.all(units)
        return pickle.dumps(answer)


def _pickled_fault(key: Key, fault: Exception) -> bytes:
    """A `Failure` is told by its words; any other exception as it is, or by its name where it cannot be pickled."""
    if isinstance(fault, Failure):
        return pickle.dumps((key, "", Failure(fault.what, fault.remedy)))
    try:
        made = pickle.dumps((key, "", fault))
        pickle.loads(made)
    except Exception:
        notes = "\n".join(fault.__notes__)
        return pickle.dumps((key, "", RuntimeError(f"{type(fault).__name__}: {fault}\n{notes}")))
    return made


def _read(answer: bytes) -> tuple[Key, str]:
    key, text, fault = pickle.loads(answer)
    if fault is not None:
        raise fault
    return key, text


class _Said:
    """An `Advance` in a worker: tells the tally how much of its chunk is done, now and then."""

    def __init__(self, tally: Any, key: Key) -> None:
        self.tally, self.key = tally, key
        self.done, self.last = 0, time.monotonic()

    def __call__(self, units: int = 1, note: str = "") -> None:
        self.done += units
        if time.monotonic() - self.last >= SAID_EVERY_S:
            self.all(self.done)

    def all(self, units: int) -> None:
        self.last = time.monotonic()
        self.tally.say.remote(self.key, units)


class _Tally:
    """How much of each chunk is done, over the whole cluster; a chunk that is begun again counts once."""

    def __init__(self) -> None:
        self.done: dict[Key, int] = {}

    def say(self, key: Key, units: int) -> None:
        self.done[key] = units

    def total(self) -> int:
        return sum(self.done.values())


@contextmanager
def _shown(advance: Advance, units: int) -> Iterator[Any]:
    """A tally in the cluster, whose total is shown by `advance` while the block runs; at its end all `units`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    tally = ray.remote(_Tally).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
    shown, ended = _Shown(advance, units), threading.Event()

    def ask() -> None:
        while not ended.wait(ASKED_EVERY_S):
            try:
                shown(ray.get(tally.total.remote(), timeout=5))
            except Exception:  # the tally is being started again: it only informs
                continue

    asking = threading.Thread(target=ask, name="progress", daemon=True)
    asking.start()
    try:
        yield tally
    finally:
        ended.set()
        asking.join()
        ray.kill(tally)
    shown(units)


class _Shown:
    """Turns totals into steps of an `Advance`, never back and never beyond all."""

    def __init__(self, advance: Advance, units: int) -> None:
        self.advance, self.units, self.done = advance, units, 0

    def __call__(self, total: int) -> None:
        more = min(total, self.units) - self.done
        if more > 0:
            self.done += more
            self.advance(more)


def _calm() -> None:
    """No bars and notices of Ray's between our lines; a block whose worker is lost for good is left to us."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # there is no other way to bound retries
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
