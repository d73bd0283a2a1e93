"""Rows that flow: thousands under way at once, each in a coroutine of its own, none waiting for another."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redink.failures import Failure

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def first_ctrl_c(then: Callable[[], None]) -> Iterator[threading.Event]:
    """Call `then` in the running event loop at the first Ctrl-C, and set the event; the second is as it was before.

    Where Ctrl-C is ignored, or this is not the main thread, nothing is changed.
    """
    asked, before, loop = threading.Event(), signal.getsignal(signal.SIGINT), asyncio.get_running_loop()
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def restore() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)

    def first() -> None:
        restore()
        asked.set()
        then()

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield asked
    finally:
        if not asked.is_set():
            restore()


async def flow(
    inputs: Iterable[T], work: Callable[[T], Awaitable[R]], settle: Callable[[T, R], None], window: int
) -> None:
    """Do `work` for every input, `window` of them at a time; `settle` is called with each outcome as it comes.

    The next input is taken the moment that a place is free. At a `Failure` no further input is taken, what is under
    way is brought to its end (it is being paid for) and settled, and the first failure is raised. Any other exception
    stops everything at once.
    """
    waiting, failures = iter(inputs), list[Failure]()

    async def places() -> None:
        for item in waiting:
            try:
                settle(item, await work(item))
            except Failure as failure:
                failures.append(failure)
            if failures:
                return
            await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(window):
                group.create_task(places())
    except BaseExceptionGroup as stopped:
        raise stopped.exceptions[0] from None
    if failures:
        raise failures[0]
