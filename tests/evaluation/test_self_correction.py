"""SCoRe's figures and the majority baseline, by hand."""

from __future__ import annotations

import pytest
from made import attempt, outcomes, problem

from redink.evaluation.self_correction import MajorityBaseline, edits, majority_baseline, self_correction
from redink.evaluation.statistics import (
    NOTHING,
    clustered_proportion,
    paired_bootstrap,
    paired_difference,
    problem_bootstrap,
    proportion,
)
from redink.types import Outcome, Review, Verdict

FIRST = [True, True, True, False, False, False, False, False]
SECOND = [True, True, False, True, True, False, False, False]


def test_one_attempt_each_by_hand() -> None:
    """Right at t1: 3; at t2: 4; two of five mended, one of three broken."""
    found = self_correction(FIRST, SECOND, edited=[False] * 6 + [True] * 2)
    assert (found.accuracy_t1, found.accuracy_t2) == (proportion(3, 8), proportion(4, 8))
    assert found.delta == paired_difference(2, 1, 8)
    assert (found.wrong_to_right, found.right_to_wrong) == (proportion(2, 8), proportion(1, 8))
    assert (found.fixed, found.broken, found.edited) == (proportion(2, 5), proportion(1, 3), proportion(2, 8))


def test_what_was_fixed_and_broken_makes_the_difference() -> None:
    """Δ = fixed·(1 − Acc@t1) − broken·Acc@t1."""
    found = self_correction(FIRST, SECOND)
    values = [each.value for each in (found.delta, found.fixed, found.broken, found.accuracy_t1)]
    delta, fixed, broken, before = (value if value is not None else -1 for value in values)
    assert delta == pytest.approx(fixed * (1 - before) - broken * before)
    assert found.edited is None


def test_nothing_wrong_and_nothing_right() -> None:
    assert self_correction([True], [True]).fixed == self_correction([False], [False]).broken == NOTHING


def test_several_attempts_at_each_problem_are_clusters() -> None:
    """Problems p, q of four attempts: right at t1 3 and 0, at t2 2 and 2; fixed 0 of 1 and 2 of 4; broken 1 of 3."""
    found = self_correction(FIRST, SECOND, problem_ids=["p"] * 4 + ["q"] * 4, seed=5)
    assert found.accuracy_t1 == clustered_proportion([3, 0], [4, 4])
    assert found.accuracy_t2 == clustered_proportion([3, 1], [4, 4])
    assert found.fixed == clustered_proportion([1, 1], [1, 4])
    assert found.broken == clustered_proportion([1], [3])
    assert found.delta == paired_bootstrap([0.75, 0], [0.75, 0.25], 5)


def test_verdicts_must_be_aligned_and_clusters_even() -> None:
    with pytest.raises(ValueError, match="zip"):
        self_correction([True], [True, False])
    with pytest.raises(ValueError, match="as many attempts"):
        self_correction(FIRST, SECOND, problem_ids=list("ppppppqq"))


@pytest.mark.parametrize(
    ("before", "after", "edited"),
    [
        (("1", "right"), ("1.0", "right"), False),
        (("1", "right"), ("one", "right"), False),
        (("1", "right"), ("2", "wrong"), True),
        (("2", "wrong"), ("1", "right"), True),
        (("2", "wrong"), ("2.0", "wrong"), False),
        (("2", "wrong"), ("3", "wrong"), True),
        ((r"\frac12", "wrong"), ("0.5", "wrong"), False),
        ((None, "ungradable"), (None, "ungradable"), False),
        ((None, "ungradable"), ("2", "wrong"), True),
        (("2", "wrong"), (None, "ungradable"), True),
    ],
)
def test_an_answer_is_edited_if_it_is_not_the_one_before(
    before: tuple[str | None, Outcome], after: tuple[str | None, Outcome], edited: bool
) -> None:
    review = Review(problem_id="p", text="", answer=after[0], verdict=Verdict(outcome=after[1]))
    assert edits([problem("p")], [attempt("p", *before)], [review]) == [edited]


# the majority baseline


def test_a_vote_for_the_same_tokens_by_hand() -> None:
    """30 tokens buy three attempts of ten: RRa elects R, Raa does not; ahead of that, t2 right on both: 1 − ½."""
    made = outcomes("RRa", "Raa")
    found = majority_baseline(made, 30, [True, True], seed=2)
    assert found is not None
    assert (found.votes, found.capped, found.cost, found.tokens) == (3, False, 30, 10)
    assert found.accuracy == problem_bootstrap([1, 0], 2)
    assert found.ahead == paired_bootstrap([1, 0], [1, 1], 2)
    assert MajorityBaseline.model_validate_json(found.model_dump_json()) == found


def test_a_cost_between_two_votes_is_a_mixture() -> None:
    """25 tokens: half of maj@2 and half of maj@3. RRa: maj@2 (RR 1, Ra ½, Ra ½) = 2/3, maj@3 1; together 5/6."""
    found = majority_baseline(outcomes("RRa"), 25)
    assert found is not None and found.ahead is None
    assert (found.votes, found.accuracy.value) == (2.5, pytest.approx(5 / 6))


@pytest.mark.parametrize(("cost", "votes", "capped"), [(4, 1, False), (30, 3, False), (90, 3, True)])
def test_at_least_one_vote_and_no_more_than_there_are(cost: float, votes: float, capped: bool) -> None:
    found = majority_baseline(outcomes("RRa"), cost)
    assert found is not None
    assert (found.votes, found.capped) == (votes, capped)


@pytest.mark.parametrize(("cost", "tokens"), [(0, 10), (20, 0)])
def test_without_lengths_there_is_no_baseline(cost: float, tokens: int) -> None:
    assert majority_baseline(outcomes("RRa", tokens=tokens), cost) is None
