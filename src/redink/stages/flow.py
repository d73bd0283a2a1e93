"""Rows that flow: thousands under way at once, each in a coroutine of its own, none waiting for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from redink.failures import Failure

T = TypeVar("T")
R = TypeVar("R")


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
