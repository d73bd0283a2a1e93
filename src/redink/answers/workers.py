"""A pool of processes that may be killed at any time: by us when their time is over, or by anyone else.

They are plain child processes of this Python with pipes, not `multiprocessing` workers: nothing of the caller's main
module is imported again (a script needs no guard), a daemonic process may use them, and any thread may ask. They are
started when first needed, and again when one has died. Each works in forks of itself (`worker.py`), so a question
that is killed costs no new start.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from redink.types import Verdict

SECONDS = 2.5
GRACE_S = 1.0
START_S = 4.0
WARM_UP_S = 60.0
MEMORY_BYTES = 1 << 30
MOST_WORKERS = 4
SCRIPT = Path(__file__).with_name("worker.py")
METHOD = "sympy"


class Died(Exception):
    """A worker ended or was killed while it was asked."""


class Starting(Exception):
    """The worker has not loaded sympy yet: ask again, or `warm_up` first."""


class _Worker:
    """One child process with its two pipes."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.buffer = b""
        self.ready = False

    def wait(self, seconds: float) -> None:
        """Until sympy is loaded; raises `Starting` after so long, `Died` if the process has ended."""
        if not self.ready and not self._line(seconds):
            raise Starting if self.process.poll() is None else Died("did not start")
        self.ready = True

    def ask(self, question: dict[str, object], seconds: float) -> dict[str, str]:
        """The answer to one question; raises `Died` if the worker is gone or does not answer in time."""
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, OSError):
            raise Died("was gone") from None
        line = self._line(seconds)
        if not line:
            raise Died("did not answer")
        found: dict[str, str] = json.loads(line)
        return found

    def _line(self, seconds: float) -> bytes:
        assert self.process.stdout is not None
        deadline, pipe = time.monotonic() + seconds, self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(pipe, 65536) if ready else b""
            if not chunk:
                return b""
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Pool:
    """Up to `most` workers; `look` may be called from any thread and blocks until it has a verdict."""

    def __init__(self, most: int = MOST_WORKERS, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        self.most, self.seconds, self.memory_bytes = most, seconds, memory_bytes
        self.room = threading.BoundedSemaphore(most)
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []

    def look(self, answer: str, gold: str) -> Verdict:
        """The worker's verdict; `ungradable` if time or memory ran out, or two workers died over it.

        Raises `Starting` if there is no worker yet that has loaded sympy, and loading takes longer than `START_S`.
        """
        question = {"answer": answer, "gold": gold, "seconds": self.seconds, "bytes": self.memory_bytes}
        with self.room:
            for _ in range(2):
                with contextlib.suppress(Died):
                    return _verdict(self._ask(question))
        return Verdict(outcome="ungradable", reason="the worker died", method=METHOD)

    def _ask(self, question: dict[str, object]) -> dict[str, str]:
        with self._lent() as worker:
            worker.wait(START_S)
            return worker.ask(question, self.seconds + GRACE_S)

    def warm_up(self, seconds: float = WARM_UP_S) -> bool:
        """Start a worker now; whether it was ready within so many seconds."""
        with contextlib.suppress(Died, Starting), self.room, self._lent() as worker:
            worker.wait(seconds)
            return True
        return False

    @contextlib.contextmanager
    def _lent(self) -> Iterator[_Worker]:
        """A worker for one question; back among the idle after it, killed if it failed."""
        worker = self._taken()
        try:
            yield worker
        except Starting:
            self._back(worker)
            raise
        except BaseException:
            worker.kill()
            raise
        self._back(worker)

    def _back(self, worker: _Worker) -> None:
        with self.lock:
            self.idle.append(worker)

    def _taken(self) -> _Worker:
        with self.lock:
            worker = self.idle.pop() if self.idle else None
        return worker if worker is not None else _Worker()

    def close(self) -> None:
        """End every idle worker."""
        with self.lock:
            workers, self.idle = self.idle, []
        for worker in workers:
            worker.kill()

    def forget(self) -> None:
        """After a fork of this process: the workers belong to the parent."""
        self.__init__(self.most, self.seconds, self.memory_bytes)  # type: ignore[misc]


def _verdict(found: dict[str, str]) -> Verdict:
    return Verdict.model_validate({"outcome": found["outcome"], "reason": found["reason"], "method": METHOD})


POOL = Pool(most=min(MOST_WORKERS, os.cpu_count() or 1))
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
