"""Arms at work: each a process of its own with its log, several at once, what they share in order; Ctrl-C ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from redink.failures import Failure, StoppedByHand
from redink.progress import Advance, quiet
from redink.recipe import MAY_CHANGE, Recipe, kept_recipe
from redink.reproduction.arms import Job
from redink.reproduction.samples import done_with
from redink.rows import unwritable
from redink.run import changed_keys
from redink.types import Row

LOG, SPELLS = "arm.log", "hours.jsonl"
COMMAND = (sys.executable, "-m", "redink.reproduction")
POLL_S, GRACE_S = 0.2, 30.0
THREAD_KEYS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FREE = (*MAY_CHANGE, "plan")
"""Keys that say how an arm is made, not which."""


class Order(Row):
    """What a process of an arm is told, on its standard input."""

    job: Job = Field(description="What is to be done.")
    runs: Path = Field(description="Where the run directories lie.")
    data_dir: Path | None = Field(None, description="Folder of the published problem sets.")


class Spell(Row):
    """One start of one arm; `hours.jsonl` keeps them, so that the time of what was cut off counts too."""

    job: str = Field(description="The run directory's name.")
    seconds: float = Field(ge=0, description="By the clock.")
    outcome: Literal["done", "failed", "stopped"] = Field(description="How it ended.")
    said: str = Field("", description="The last line of its log, where it failed.")


def is_done(job: Job, runs: Path) -> bool:
    """Whether a job's figures are there, and were made by its recipe."""
    folder = runs / job.name
    if not done_with(folder, job.kind):
        return False
    try:
        made_by = kept_recipe(folder)
    except Failure:
        return False
    return isinstance(made_by, Recipe) and not differing(made_by, job.recipe)


def differing(one: Recipe, other: Recipe) -> list[str]:
    """The keys in which two recipes differ that say which rows are made."""
    keys = changed_keys(one.model_dump(mode="json"), other.model_dump(mode="json"))
    return [key for key in keys if not any(key == free or key.startswith(f"{free}.") for free in FREE)]


@dataclass
class _Child:
    job: Job
    process: subprocess.Popen[str]
    started: float

    def ended(self, runs: Path, stopped: bool = False) -> Spell:
        code, log = self.process.returncode, runs / self.job.name / LOG
        outcome: Literal["done", "failed", "stopped"] = "stopped" if stopped else "failed" if code else "done"
        said = (last_line(log) or f"exit code {code}") if outcome == "failed" else ""
        return Spell(job=self.job.name, seconds=time.monotonic() - self.started, outcome=outcome, said=said)


class Crew:
    """Runs jobs, `at_once` of them; those that wait for others of the same list start after these have ended."""

    def __init__(
        self, runs: Path, *, at_once: int = 1, threads: int = 0, data_dir: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.runs, self.at_once, self.threads, self.data_dir, self.say = runs, at_once, threads, data_dir, say
        self._running: list[_Child] = []

    def run(self, jobs: Sequence[Job], advance: Advance = quiet) -> list[Spell]:
        """Do what is not done; returns how each start ended. A job that fails is said, and the others go on.

        Raises `StoppedByHand` for Ctrl-C, after the processes have ended.
        """
        waiting, spells = list(jobs), list[Spell]()
        try:
            while waiting or self._running:
                self._start(waiting)
                time.sleep(POLL_S)
                for spell in self._reap():
                    spells.append(spell)
                    advance(1, note=f"{spell.job} {spell.outcome}")
        except KeyboardInterrupt:
            self._stop()
            raise StoppedByHand() from None
        except BaseException:
            self._stop()
            raise
        return spells

    def _start(self, waiting: list[Job]) -> None:
        """Start what may start, as many as there is room for; at each moment the first of the list that may."""
        while len(self._running) < self.at_once:
            held = {job.name for job in waiting} | {child.job.name for child in self._running}
            ready = next((job for job in waiting if not held.intersection(job.waits_for)), None)
            if ready is None:
                return
            waiting.remove(ready)
            self._running.append(self._child(ready))

    def _child(self, job: Job) -> _Child:
        folder = self.runs / job.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            log = (folder / LOG).open("a", encoding="utf-8")
        except OSError as failure:
            raise unwritable(folder, failure) from None
        with log:
            process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=self._environment(),
                start_new_session=True,
            )  # fmt: skip
        order = Order(job=job, runs=self.runs, data_dir=self.data_dir)
        if process.stdin:
            with suppress(BrokenPipeError):  # it ended already; its log says why
                process.stdin.write(order.model_dump_json(by_alias=True) + "\n")
                process.stdin.flush()
        return _Child(job, process, time.monotonic())

    def _environment(self) -> dict[str, str]:
        threads = dict.fromkeys(THREAD_KEYS, str(self.threads)) if self.threads else {}
        return {**os.environ, **threads, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}

    def _reap(self) -> list[Spell]:
        over = [child for child in self._running if child.process.poll() is not None]
        self._running = [child for child in self._running if child not in over]
        return [self._book(child) for child in over]

    def _book(self, child: _Child, stopped: bool = False) -> Spell:
        if child.process.stdin:
            with suppress(BrokenPipeError):
                child.process.stdin.close()
        spell = child.ended(self.runs, stopped)
        keep_spell(self.runs, spell)
        minutes = f"{spell.seconds / 60:.1f} minutes"
        if spell.outcome == "failed":
            self.say(f"{spell.job} failed after {minutes}: {spell.said} (log: {self.runs / spell.job / LOG})")
        elif spell.outcome == "done":
            self.say(f"{spell.job} done in {minutes}")
        return spell

    def _stop(self) -> None:
        """Ctrl-C to every process, then less kindly; what each has made stays, and it goes on from there."""
        for child in self._running:
            _signal(child, signal.SIGINT)
        until = time.monotonic() + GRACE_S
        for child in self._running:
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._book(child, stopped=True)
        self._running = []


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        child.process.send_signal(number)


def last_line(path: Path) -> str:
    """The last line of a log that is not blank; empty where there is none."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def keep_spell(runs: Path, spell: Spell) -> None:
    """Append to the runs' book of hours."""
    with (runs / SPELLS).open("a", encoding="utf-8") as file:
        file.write(spell.model_dump_json() + "\n")


def spells_of(runs: Path, jobs: Sequence[Job]) -> list[Spell]:
    """The book of hours, as far as it is about these jobs; a torn line costs only itself."""
    names, path = {job.name for job in jobs}, runs / SPELLS
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            found.append(Spell.model_validate_json(line))
        except ValidationError:
            continue
    return [spell for spell in found if spell.job in names]
