"""The journal: every reply that was bought, and every charge, in one SQLite file that outlives kills and damage.

Several processes may share a file. `Journal.put` returns at once; a thread of the journal commits what came in the last
`WINDOW_S` seconds as one transaction. Every row carries a checksum. A file whose structure is damaged is read page by
page into a new one (`salvage.py`) and kept beside it under another name.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from redink.failures import Failure
from redink.models.journal_rows import Charge, Entry, Job, Via, call_key
from redink.models.journal_store import Store

__all__ = ["Charge", "Entry", "Journal", "Via", "call_key"]

WINDOW_S = 0.01
RETRY_S = 1.0


@dataclass(frozen=True, eq=False)
class _Waiter:
    """A coroutine that waits until `goal` jobs are on disk."""

    goal: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]

    def serve(self, trouble: Failure | None) -> None:
        """Let it go on, from any thread; it may have given up meanwhile, and its loop may be closed."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._finish, trouble)

    def _finish(self, trouble: Failure | None) -> None:
        if self.done.done():
            return
        if trouble:
            self.done.set_exception(trouble)
        else:
            self.done.set_result(None)


class Journal:
    """A mapping from call keys to entries that is kept on disk; use it from any thread."""

    def __init__(self, path: Path, *, notice: Callable[[str], None] | None = None) -> None:
        """Open or create the file; `notice` is told in one line when a damaged file was replaced (default: stderr).

        Raises `Failure` if the file cannot be opened or written, or is something else than a journal.
        """
        self.path = Path(path)
        self._store = Store(self.path, notice or _on_stderr)
        self._pending: dict[bytes, Entry] = {}
        self._queue: list[Job] = []
        self._taken = self._written = 0
        self._trouble: Failure | None = None
        self._waiters: list[_Waiter] = []
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def damaged(self) -> int:
        """How many entries and charges were found damaged, and lost, since the file was opened."""
        return self._store.damaged

    def __enter__(self) -> Journal:
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is left, and close."""
        self.close()

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key, committed or about to be; None if there is none or it is damaged."""
        return self._pending.get(key) or self._store.find(key)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries of those keys that have one."""
        found = ((key, self.get(key)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    def put(self, key: bytes, entry: Entry, charge: Charge | None = None) -> None:
        """Keep an entry, and its charge in the same transaction; the first entry of a key stays.

        `get` sees it at once; it is on disk within 50 ms. Raises `Failure` while the file cannot be written (the
        entry is kept in memory then, and written as soon as that is possible).
        """
        self._enqueue(Job(key, entry, charge))

    def charge(self, charge: Charge) -> None:
        """Keep a charge that has no entry: a failed try."""
        self._enqueue(Job(charge=charge))

    def charges(self, after: int = 0) -> Iterator[tuple[int, Charge]]:
        """Every charge on disk whose number is above `after`, with its number, by number."""
        return self._store.charges(after)

    def note(self, topic: str, name: str, value: bytes | None) -> None:
        """Keep a small note under a topic and name, on disk when this returns; None takes it away."""
        self._enqueue(Job(note=(topic, name, value)))
        self.flush()

    def notes(self, topic: str) -> dict[str, bytes]:
        """The notes of a topic, by name."""
        return self._store.notes(topic)

    def flush(self) -> None:
        """Return when everything kept so far is on disk; raises `Failure` if it cannot be written."""
        with self._change:
            goal = self._taken
            self._change.wait_for(lambda: self._written >= goal or self._trouble)
            if self._written < goal and self._trouble:
                raise self._trouble

    async def committed(self) -> None:
        """Return when everything kept so far is on disk, and leave the event loop free meanwhile; raises as `flush`."""
        loop = asyncio.get_running_loop()
        with self._change:
            if self._written >= self._taken:
                return
            waiter = _Waiter(self._taken, loop, loop.create_future())
            self._waiters.append(waiter)
        await waiter.done

    def close(self) -> None:
        """Commit what is left and close the file; raises `Failure` if it cannot be written. Twice is once."""
        if self._closing.is_set():
            return
        self._closing.set()
        with self._change:
            self._change.notify_all()
        self._thread.join()
        atexit.unregister(self.close)
        self._store.close()
        if self._written < self._taken and self._trouble:
            raise self._trouble

    def _enqueue(self, job: Job) -> None:
        with self._change:
            if self._closing.is_set():
                raise ValueError(f"{self.path} is closed")
            if job.entry:
                self._pending.setdefault(job.key, job.entry)
            self._queue.append(job)
            self._taken += 1
            if len(self._queue) == 1:
                self._change.notify_all()
            if self._trouble:
                raise self._trouble

    def _write_on(self) -> None:
        """The journal's own thread: gather for a window, commit, again; on closing once more and out."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._closing.is_set())
            self._closing.wait(RETRY_S if self._trouble else WINDOW_S)
            last = self._closing.is_set()
            self._commit()
            if last:
                return

    def _commit(self) -> None:
        with self._change:
            jobs = tuple(self._queue)
        trouble = self._store.write(jobs) if jobs else None
        with self._change:
            self._trouble = trouble
            if not trouble:
                del self._queue[: len(jobs)]
                self._written += len(jobs)
                self._forget(jobs)
            served = [waiter for waiter in self._waiters if trouble or waiter.goal <= self._written]
            self._waiters = [waiter for waiter in self._waiters if waiter not in served]
            self._change.notify_all()
        for waiter in served:
            waiter.serve(trouble)

    def _forget(self, jobs: Sequence[Job]) -> None:
        """What is on disk need not be in memory."""
        for job in jobs:
            if self._pending.get(job.key) is job.entry:
                self._pending.pop(job.key, None)


def _on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
