"""Estimates against published values, an independent formula and a bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from redink.evaluation.statistics import NOTHING, clustered_proportion, paired_difference, proportion, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    estimate = proportion(successes, n)
    assert estimate.value == successes / n
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert estimate.n == n


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_where_the_score_test_just_does_not_reject(case: tuple[int, int]) -> None:
    """The ends are the p with |p̂ − p| = z √(p (1 − p) / n), by definition."""
    successes, n = case
    estimate = proportion(successes, n)
    for end in (estimate.low, estimate.high):
        assert end is not None
        distance = 1.959963984540054 * math.sqrt(max(end * (1 - end), 0) / n)
        assert abs(successes / n - end) == pytest.approx(distance, abs=1e-6)


def test_no_cases_give_no_figure() -> None:
    assert proportion(0, 0) == paired_difference(0, 0, 0) == NOTHING
    assert NOTHING.value is None
    assert NOTHING.n == 0


def test_a_paired_difference_by_hand() -> None:
    """12 gained, 2 lost of 50: Δ = 0.2, SE = √(14 − 100/50) / 50 = √12 / 50 = 0.069282; ± 0.135790."""
    estimate = paired_difference(12, 2, 50)
    assert estimate.value == pytest.approx(0.2)
    assert (estimate.low, estimate.high) == (pytest.approx(0.064210, abs=1e-6), pytest.approx(0.335790, abs=1e-6))


@pytest.mark.parametrize(("gained", "lost", "n"), [(30, 10, 200), (5, 25, 150), (80, 70, 500)])
def test_the_paired_interval_is_that_of_a_bootstrap_over_cases(gained: int, lost: int, n: int) -> None:
    change = np.repeat([1, -1, 0], [gained, lost, n - gained - lost])
    draws = np.random.default_rng(0).choice(change, size=(4000, n)).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    estimate = paired_difference(gained, lost, n)
    assert estimate.value == pytest.approx(change.mean())
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_paired_interval_holds_its_value_within_minus_1_and_1(gained: int, lost: int, same: int) -> None:
    n = gained + lost + same
    estimate = paired_difference(gained, lost, n)
    mirrored = paired_difference(lost, gained, n)
    if n == 0:
        return
    assert estimate.low is not None and estimate.value is not None and estimate.high is not None
    assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert mirrored.value == -estimate.value
    assert mirrored.high == pytest.approx(-estimate.low)


def test_clusters_of_one_are_plain_cases() -> None:
    assert clustered_proportion([1, 0, 1, 1], [1, 1, 1, 1]) == proportion(3, 4)


@pytest.mark.parametrize(("share", "n"), [(0.4, 5), (0.0, 7), (1.0, 12), (0.25, 400)])
def test_wilson_agrees_with_scipy(share: float, n: int) -> None:
    expected = binomtest(round(share * n), n).proportion_ci(0.95, method="wilson")
    assert wilson(share, n) == pytest.approx((expected.low, expected.high))


def test_clusters_that_agree_within_count_once() -> None:
    """Ten problems of eight samples each, five always right: as wide as ten cases (variance 10/9 · Σ(x−np)²/6400)."""
    found = clustered_proportion([8, 0] * 5, [8] * 10)
    assert (found.value, found.n) == (0.5, 80)
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 10))


def test_clusters_as_unlike_as_cases_cost_nothing() -> None:
    """Forty problems of two samples, ten with 2, twenty with 1, ten with 0 right: variance as of 80 cases, by hand.

    Σ(x−1)² = 20, variance = 40/39 · 20/6400, effective size = 0.25 / variance = 78.
    """
    found = clustered_proportion([2] * 10 + [1] * 20 + [0] * 10, [2] * 40)
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 78))
