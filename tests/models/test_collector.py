"""The collector's thresholds: raised while anybody asks, as before afterwards."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from redink.models.collector import THRESHOLDS, Collector
from redink.models.engine import Engine


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_last_to_leave_restores() -> None:
    collector = Collector()
    collector.relax()
    collector.relax()
    assert gc.get_threshold() == THRESHOLDS
    collector.resume()
    assert gc.get_threshold() == THRESHOLDS
    collector.resume()
    assert gc.get_threshold() == (700, 10, 10)


def test_higher_thresholds_stay() -> None:
    gc.set_threshold(1_000_000, 10, 10)
    collector = Collector()
    collector.relax()
    assert gc.get_threshold() == (1_000_000, *THRESHOLDS[1:])
    collector.resume()
    assert gc.get_threshold() == (1_000_000, 10, 10)


def test_an_engine_asks_while_it_is_used() -> None:
    async def use() -> tuple[int, int, int]:
        async with Engine() as engine, engine:
            return gc.get_threshold()

    assert asyncio.run(use()) == THRESHOLDS
    assert gc.get_threshold() == (700, 10, 10)
