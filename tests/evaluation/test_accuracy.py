"""Accuracy, pass@k and maj@k: by hand, by every subset, and by the hypergeometric distribution."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import attempt, outcomes
from scipy.stats import hypergeom

from redink.evaluation.accuracy import accuracy, at_k, default_ks, places_by, rates_of
from redink.evaluation.majority import SUBSETS, exact, majority_at, subsets
from redink.evaluation.statistics import Estimate, macro, problem_bootstrap, proportion

SUBJECTS = ["algebra", "geometry", "algebra", "algebra"]
LEVELS = ["Level 10", "Level 2", None, "Level 2"]


def test_one_attempt_each_by_hand() -> None:
    """Right: p0, p3 of four; algebra 2 of 3, geometry 0 of 1; macro (2/3 + 0)/2 = 1/3."""
    found = accuracy(outcomes("R", "a", "-", "R", subjects=SUBJECTS, levels=LEVELS))
    assert (found.problems, found.repeats, found.micro) == (4, 1, proportion(2, 4))
    assert found.by_subject == {"algebra": proportion(2, 3), "geometry": proportion(0, 1)}
    assert found.macro.value == pytest.approx(1 / 3)
    assert found.macro == macro(found.by_subject.values())
    assert found.by_level == {"Level 2": proportion(1, 2), "Level 10": proportion(1, 1), "not stated": proportion(0, 1)}
    assert found.rates.ungradable == found.rates.no_answer == proportion(1, 4)
    assert found.rates.truncated == proportion(0, 4)


def test_several_attempts_each_have_an_interval_over_problems() -> None:
    found = accuracy(outcomes("RRRa", "aat-", "RuRR", subjects=["x", "y", "x"]), 5)
    assert (found.micro.value, found.micro.n, found.seed) == (1 / 2, 3, 5)
    assert found.micro == problem_bootstrap([3 / 4, 0, 3 / 4], 5)
    assert found.by_subject == {"x": problem_bootstrap([3 / 4, 3 / 4], 5), "y": problem_bootstrap([0], 5)}
    assert found.by_level == {}
    assert found.rates.truncated == problem_bootstrap([0, 1 / 4, 0], 5)
    assert found.rates.ungradable == problem_bootstrap([0, 1 / 4, 1 / 4], 5)


def test_labels_stand_in_their_natural_order() -> None:
    labels = ["Level 10", "Level 9", "b", "", "Level 9", "10", "9"]
    assert list(places_by(labels)) == ["", "9", "10", "Level 9", "Level 10", "b"]
    assert places_by(labels)["Level 9"] == [1, 4]


def test_rates_of_rows() -> None:
    rows = [attempt("a", None, "ungradable", cut=True), attempt("b", "x", "ungradable"), attempt("c", "1", "wrong")]
    found = rates_of(rows)
    assert (found.ungradable, found.no_answer, found.truncated) == (
        proportion(2, 3),
        proportion(1, 3),
        proportion(1, 3),
    )


# maj@k


def voted(word: str, k: int) -> float:
    """Every subset of k letters, every vote counted, every tie split."""
    chances = []
    for drawn in combinations(word, k):
        votes = Counter(letter for letter in drawn if letter != "-")
        most = max(votes.values(), default=0)
        best = [letter for letter, count in votes.items() if count == most]
        chances.append(Fraction("R" in best, max(1, len(best))))
    return float(sum(chances) / len(chances))


@settings(max_examples=60, deadline=None)
@given(
    st.text("Rab-", min_size=1, max_size=9).flatmap(lambda word: st.tuples(st.just(word), st.integers(1, len(word))))
)
def test_a_majority_by_every_subset(case: tuple[str, int]) -> None:
    word, k = case
    assert exact(len(word), k)
    assert majority_at(outcomes(word).group, k, 0) == pytest.approx([voted(word, k)])


@pytest.mark.parametrize(
    ("word", "k", "expected"),
    [
        ("RRa", 3, 1),
        ("Raa", 3, 0),
        ("Ra", 2, 1 / 2),
        ("Rab", 3, 1 / 3),
        ("R---", 4, 1),
        ("----", 2, 0),
        ("Raab", 2, 1 / 4),
    ],
)
def test_majorities_by_hand(word: str, k: int, expected: float) -> None:
    """Raab by twos: Ra ½, Ra ½, Rb ½, aa 0, ab 0, ab 0: 1.5 of 6."""
    assert majority_at(outcomes(word).group, k, 0)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("right", "other", "k"), [(20, 20, 9), (24, 16, 15), (10, 30, 8), (17, 23, 32)])
def test_a_drawn_majority_is_near_the_hypergeometric_one(right: int, other: int, k: int) -> None:
    """Two answers only: more than k/2 of the k drawn are right, half counted of the ties; 1,000 subsets: 1 sd ≤ .016."""
    assert not exact(right + other, k)
    distribution = hypergeom(right + other, right, k)
    expected = distribution.sf(k // 2) + (distribution.pmf(k // 2) / 2 if k % 2 == 0 else 0)
    assert majority_at(outcomes("R" * right + "a" * other).group, k, 3)[0] == pytest.approx(expected, abs=0.05)


def test_subsets_hold_k_different_repeats() -> None:
    every, drawn = subsets(6, 3, 0), subsets(40, 5, 0)
    assert (every.shape, drawn.shape) == ((20, 6), (SUBSETS, 40))
    assert len({tuple(row) for row in every}) == 20
    assert set(every.sum(axis=1)) == {3}
    assert set(drawn.sum(axis=1)) == {5}
    assert drawn.mean(axis=0) == pytest.approx(np.full(40, 5 / 40), abs=0.06)
    assert np.array_equal(drawn, subsets(40, 5, 0))
    assert not np.array_equal(drawn, subsets(40, 5, 1))


@pytest.mark.parametrize("k", [0, 4])
def test_a_majority_of_what_there_is_not(k: int) -> None:
    with pytest.raises(ValueError, match=f"maj@{k} of 3"):
        majority_at(outcomes("Raa").group, k, 0)


# both


def test_at_k_by_hand() -> None:
    """RRaa: pass@1 ½, pass@2 5/6, pass@4 1; maj@1 ½, maj@2 (RR 1, aa 0, four Ra ½) = 3/6, maj@4 ½. aaaa: all 0."""
    found = at_k(outcomes("RRaa", "aaaa"))
    assert [found.pass_at[k].value for k in (1, 2, 4)] == pytest.approx([1 / 4, 5 / 12, 1 / 2])
    assert [found.majority_at[k].value for k in (1, 2, 4)] == pytest.approx([1 / 4, 1 / 4, 1 / 4])
    assert (found.problems, found.repeats, list(found.pass_at)) == (2, 4, [1, 2, 4])
    assert (found.subsets, found.every_subset) == ({1: 4, 2: 6, 4: 1}, {1: True, 2: True, 4: True})


def test_a_k_beyond_the_repeats_is_left_out_and_what_was_drawn_is_said() -> None:
    found = at_k(outcomes("RaRaRaRaRaRaRaRaRaRa", "R" * 20), [1, 10, 20, 50], seed=4)
    assert list(found.pass_at) == list(found.majority_at) == [1, 10, 20]
    assert (found.subsets[10], found.every_subset[10], found.seed) == (SUBSETS, False, 4)


@pytest.mark.parametrize(("repeats", "ks"), [(1, [1]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])])
def test_the_default_ks(repeats: int, ks: list[int]) -> None:
    assert default_ks(repeats) == ks


def test_pass_at_1_and_maj_at_1_are_the_accuracy() -> None:
    made = outcomes("RRa-", "abRR", "tttt", "RRRR")
    found = at_k(made, [1])
    assert found.pass_at[1].value == pytest.approx(accuracy(made).micro.value)
    assert found.majority_at[1] == found.pass_at[1]


def test_rows_survive_json() -> None:
    made = outcomes("RRa-", "abRR", subjects=["x", "y"], levels=["1", None])
    for row in (at_k(made), accuracy(made)):
        assert type(row).model_validate_json(row.model_dump_json()) == row
    assert isinstance(at_k(made).pass_at[1], Estimate)
