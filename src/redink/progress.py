"""Live progress with rate and time left, on the terminal's error stream; a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

PLAIN_LINE_EVERY_S = 15.0


class Advance(Protocol):
    """What a long task is handed: call it with the number of units done since the last call."""

    def __call__(self, units: int = 1, note: str = "") -> None:
        """`note` stands beside the rate, e.g. the loss."""


def quiet(units: int = 1, note: str = "") -> None:
    """An `Advance` that shows nothing."""


@contextmanager
def progress(label: str, total: int, unit: str = "rows", done: int = 0) -> Iterator[Advance]:
    """Show `label` from `done` to `total` units while the block runs; yields an `Advance`."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console, unit) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")
            yield _advancer(bar, task)
        return
    yield _PlainAdvance(label, total, unit, done)


def _bar(console: Console, unit: str) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    rate = TextColumn("{task.fields[note]}")
    return Progress(*columns, rate, TimeElapsedColumn(), TextColumn("left"), TimeLeftColumn(), console=console)


def _advancer(bar: Progress, task: TaskID) -> Advance:
    def advance(units: int = 1, note: str = "") -> None:
        bar.advance(task, units)
        shown = bar.tasks[bar.task_ids.index(task)]
        speed = shown.finished_speed or shown.speed
        bar.update(task, note=" ".join(filter(None, (f"{speed:.1f}/s" if speed else "", note))))

    return advance


class _PlainAdvance:
    """For logs and pipes: one line at most every `PLAIN_LINE_EVERY_S` seconds."""

    def __init__(self, label: str, total: int, unit: str, done: int) -> None:
        self.label, self.total, self.unit = label, total, unit
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
        return f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {left:.0f} s left {note}".rstrip()
