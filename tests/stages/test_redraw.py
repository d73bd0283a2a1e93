"""Problems of a later round: weights by hand, draws by their properties."""

from __future__ import annotations

import pytest

from redink.stages.redraw import redraw, weights
from redink.types import Attempt, Problem, Verdict


def problem(name: str, subject: str) -> Problem:
    return Problem(id=name, question=name, answer="1", subject=subject)


def attempt(name: str, right: bool) -> Attempt:
    return Attempt(problem_id=name, text="t", verdict=Verdict(outcome="right" if right else "wrong"))


PROBLEMS = [
    problem("a", "sums"),
    problem("b", "sums"),
    problem("c", "sums"),
    problem("d", "times"),
    problem("e", "new"),
]
TRIED = [attempt("a", False), attempt("b", True), attempt("c", True), attempt("d", True)]


def test_the_weights_of_problems() -> None:
    """One of three sums fails: r = 1/3. (1 + 1/3)/2, (0 + 1/3)/2; a mastered subject and an untried one weigh 0."""
    assert weights(PROBLEMS, TRIED) == pytest.approx({"a": 2 / 3, "b": 1 / 6, "c": 1 / 6, "d": 0, "e": 0})


@pytest.mark.parametrize(("count", "drawn"), [(0, 0), (1, 1), (3, 3), (5, 3)])
def test_so_many_are_drawn_in_their_order_and_none_of_weight_nothing(count: int, drawn: int) -> None:
    chosen = [row.id for row in redraw(PROBLEMS, TRIED, count, 7)]
    assert len(chosen) == drawn
    assert chosen == sorted(chosen)
    assert not {"d", "e"} & set(chosen)


def test_a_draw_repeats_and_follows_the_weights() -> None:
    """With one drawn of three, `a` is drawn with probability (2/3)/(2/3 + 1/6 + 1/6) = 2/3: 600 draws, ± 5 s.d."""
    draws = [redraw(PROBLEMS, TRIED, 1, seed)[0].id for seed in range(600)]
    assert draws == [redraw(PROBLEMS, TRIED, 1, seed)[0].id for seed in range(600)]
    assert abs(draws.count("a") - 400) < 5 * (600 * 2 / 9) ** 0.5
