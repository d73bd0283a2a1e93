"""Live progress with rate and time left, on the terminal's error stream; a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

PLAIN_LINE_EVERY_S = 15.0
BAR_EVERY_S = 0.1


class Advance(Protocol):
    """What a long task is handed: call it with the number of units done since the last call."""

    def __call__(self, units: int = 1, note: str = "") -> None:
        """`note` stands beside the rate, e.g. the loss."""


def quiet(units: int = 1, note: str = "") -> None:
    """An `Advance` that shows nothing."""


Note = Callable[[int, int], str]
"""What stands beside the rate, from the units done and all of them; asked for when it is shown."""


def no_note(done: int, total: int) -> str:
    """Nothing to add."""
    return ""


@contextmanager
def progress(label: str, total: int, unit: str = "rows", done: int = 0, note: Note = no_note) -> Iterator[Advance]:
    """Show `label` from `done` to `total` units while the block runs; yields an `Advance`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainAdvance(label, total, unit, done, note)
        return
    with _bar(console, unit) as bar:
        shown = _BarAdvance(bar, bar.add_task(label, total=total, completed=done, note=""), done, note)
        yield shown
        shown.show()


def _bar(console: Console, unit: str) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    rate = TextColumn("{task.fields[note]}")
    return Progress(*columns, rate, TimeElapsedColumn(), TextColumn("left"), TimeLeftColumn(), console=console)


class _BarAdvance:
    """For a terminal: a bar, redrawn at most every `BAR_EVERY_S` seconds, so that rows cost next to nothing."""

    def __init__(self, bar: Progress, task: TaskID, done: int, note: Note) -> None:
        self.bar, self.task, self.done, self.note = bar, task, done, note
        self.said = ""
        self.shown = -float("inf")

    def __call__(self, units: int = 1, note: str = "") -> None:
        self.done += units
        self.said = note
        if time.monotonic() - self.shown >= BAR_EVERY_S:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        task = self.bar.tasks[self.bar.task_ids.index(self.task)]
        self.bar.update(self.task, completed=self.done)
        speed = task.finished_speed or task.speed
        notes = (f"{speed:.1f}/s" if speed else "", self.said, self.note(self.done, int(task.total or 0)))
        self.bar.update(self.task, note=" ".join(filter(None, notes)))


class _PlainAdvance:
    """For logs and pipes: one line at most every `PLAIN_LINE_EVERY_S` seconds."""

    def __init__(self, label: str, total: int, unit: str, done: int, note: Note) -> None:
        self.label, self.total, self.unit, self.note = label, total, unit, note
        self.done, self.first = done, done
        self.started = self.shown = time.monotonic()

    def __call__(self, units: int = 1, note: str = "") -> None:
        self.done += units
        now = time.monotonic()
        if now - self.shown >= PLAIN_LINE_EVERY_S:
            self.shown = now
            print(self._line(now, note), file=sys.stderr, flush=True)

    def _line(self, now: float, note: str) -> str:
        rate = (self.done - self.first) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else float("inf")
        line = f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {left:.0f} s left"
        return ", ".join(filter(None, (f"{line} {note}".rstrip(), self.note(self.done, self.total))))
