"""A chunk in which some inputs cannot be made: each of them costs only itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Failure
from redink.progress import Advance, quiet
from redink.stages.making import KILLED, Making, not_made, set_aside
from redink.types import OwnCorrection, Quarantined, Row


class Poisoned:
    """Two outcomes per input; fails where one of the `bad` inputs is among them."""

    def __init__(self, bad: set[int], fault: Exception | None = None) -> None:
        self.bad, self.fault = bad, fault or ValueError("odd")

    def __call__(self, rows: Sequence[int], key: int, advance: Advance) -> Sequence[Row]:
        if self.bad & set(rows):
            raise self.fault
        advance(2 * len(rows))
        return [OwnCorrection(problem_id=str(row), sample=n, text=f"{key}") for row in rows for n in range(2)]


def line(row: Row) -> str:
    assert isinstance(row, OwnCorrection | Quarantined)
    return f"{row.problem_id}{'!' if isinstance(row, Quarantined) else ''} "


def spoiled(row: int, why: str) -> list[Quarantined]:
    return set_aside("s", str(row), why, f"raw {row}", range(2))


@given(st.integers(1, 20), st.sets(st.integers(0, 19)))
def test_bad_inputs_are_set_aside_in_their_places(count: int, bad: set[int]) -> None:
    bad = {row for row in bad if row < count}
    making = Making("s", Poisoned(bad), line, spoiled)
    if count > 1 and len(bad) == count:
        with pytest.raises(ValueError, match="odd"):
            making(range(count), 7, quiet)
        return
    expected = [f"{row}{'!' if row in bad else ''}" for row in range(count) for _ in range(2)]
    assert making(range(count), 7, quiet).split() == expected


def test_progress_comes_to_all_of_the_outcomes() -> None:
    units: list[int] = []
    Making("s", Poisoned({2}), line, spoiled)(range(5), 0, lambda done=1, note="": units.append(done))
    assert sum(units) == 10


@pytest.mark.parametrize("fault", [Failure("no such model."), ValueError("odd")])
def test_a_failure_and_what_nobody_stands_for_are_raised(fault: Exception) -> None:
    making = Making("s", Poisoned({2}, fault), line, spoiled if isinstance(fault, Failure) else None)
    with pytest.raises(type(fault), match=str(fault)):
        making(range(5), 0, quiet)


def test_an_input_that_ends_its_process() -> None:
    assert Making("s", Poisoned(set()), line, spoiled).lost(3, 0) == "3! 3! "
    with pytest.raises(Failure, match=r"s: an input of chunk 4 cannot be made: every process.*It is 3"):
        Making("s", Poisoned(set()), line).lost(3, 4)


def test_what_is_kept_of_it() -> None:
    assert set_aside("s", "p1", "ValueError: odd", "raw", [4]) == [
        Quarantined(problem_id="p1", sample=4, stage="s", reason="not_made", detail="ValueError: odd", raw="raw")
    ]
    assert (not_made(KILLED).outcome, not_made(KILLED).reason) == ("ungradable", f"not made: {KILLED}")
