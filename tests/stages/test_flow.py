"""Rows that flow: the window is full while there are rows, a failure lets what is under way end, a defect does not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from redink.failures import Failure, Interrupted
from redink.stages.flow import first_ctrl_c, flow


class Work:
    """Counts what is under way; each row ends when it is let go, at once by default."""

    def __init__(self, fails: dict[int, BaseException] | None = None) -> None:
        self.fails = fails or {}
        self.under_way = self.most = 0
        self.taken: list[int] = []
        self.done: list[tuple[int, int]] = []
        self.gates: dict[int, asyncio.Event] = {}

    async def __call__(self, row: int) -> int:
        self.taken.append(row)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gates[row].wait() if row in self.gates else await asyncio.sleep(0)
            if row in self.fails:
                raise self.fails[row]
            return 10 * row
        finally:
            self.under_way -= 1

    def settle(self, row: int, outcome: int) -> None:
        self.done.append((row, outcome))


def test_every_row_is_settled_and_no_more_than_the_window_is_under_way() -> None:
    work = Work()
    asyncio.run(flow(range(50), work, work.settle, 7))
    assert sorted(work.done) == [(row, 10 * row) for row in range(50)]
    assert work.most == 7


def test_a_slow_row_holds_up_no_other() -> None:
    """With a window of 2 all others pass through the second place while row 0 waits."""
    work = Work()

    async def run() -> None:
        work.gates[0] = asyncio.Event()
        flowing = asyncio.create_task(flow(range(20), work, work.settle, 2))
        while len(work.done) < 19:
            await asyncio.sleep(0)
        work.gates[0].set()
        await flowing

    asyncio.run(run())
    assert work.done[-1] == (0, 0)


def test_rows_are_taken_only_when_a_place_is_free() -> None:
    work, given = Work(), list[int]()

    def rows() -> Iterator[int]:
        for row in range(100):
            assert row - len(work.done) <= 4, "the input is read ahead of the window"
            given.append(row)
            yield row

    asyncio.run(flow(rows(), work, work.settle, 4))
    assert len(given) == 100


def test_after_a_failure_what_is_under_way_is_settled_and_nothing_else_begun() -> None:
    work = Work({3: Interrupted("the budget is spent.")})

    async def run() -> None:
        work.gates = {row: asyncio.Event() for row in (0, 1, 2)}
        flowing = asyncio.create_task(flow(range(100), work, work.settle, 4))
        while 3 not in work.taken:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        for gate in work.gates.values():
            gate.set()
        await flowing

    with pytest.raises(Interrupted, match="the budget is spent"):
        asyncio.run(run())
    assert work.taken == [0, 1, 2, 3]
    assert sorted(work.done) == [(0, 0), (1, 10), (2, 20)]


def test_of_several_failures_the_first_is_raised() -> None:
    work = Work({0: Failure("first"), 1: Failure("second")})
    with pytest.raises(Failure, match="first"):
        asyncio.run(flow(range(2), work, work.settle, 2))


def test_a_defect_stops_everything_at_once_as_itself() -> None:
    work = Work({1: ZeroDivisionError("ours")})

    async def run() -> None:
        work.gates[0] = asyncio.Event()
        await flow(range(5), work, work.settle, 2)

    with pytest.raises(ZeroDivisionError, match="ours"):
        asyncio.run(run())
    assert work.done == []


def test_work_that_never_waits_can_still_be_cancelled() -> None:
    async def at_once(row: int) -> int:
        return row

    async def run() -> int:
        done: list[int] = []
        flowing = asyncio.create_task(flow(range(10**9), at_once, lambda row, _: done.append(row), 4))
        await asyncio.sleep(0.05)
        flowing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flowing
        return len(done)

    assert asyncio.run(run()) > 0


def test_no_rows_is_no_work() -> None:
    work = Work()
    asyncio.run(flow([], work, work.settle, 3))
    assert work.done == []


def test_the_first_ctrl_c_is_ours_and_the_second_stops() -> None:
    told: list[str] = []

    async def run() -> None:
        with first_ctrl_c(lambda: told.append("first")) as asked:
            signal.raise_signal(signal.SIGINT)
            await asyncio.wait_for(asyncio.to_thread(asked.wait, 5), 6)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())
    assert told == ["first"]


def test_without_ctrl_c_its_handler_is_as_before() -> None:
    async def run() -> bool:
        before = signal.getsignal(signal.SIGINT)
        with first_ctrl_c(lambda: None) as asked:
            pass
        return signal.getsignal(signal.SIGINT) is before and not asked.is_set()

    assert asyncio.run(run())
