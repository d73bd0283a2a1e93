"""Estimates against published values, independent formulas, scipy, brute force and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar

from redink.evaluation import statistics
from redink.evaluation.statistics import (
    NOTHING,
    Estimate,
    clustered_proportion,
    macro,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    paired_score,
    pass_at_k,
    problem_bootstrap,
    proportion,
    reweighted_means,
    sign_flips,
    wilson,
)

Z = 1.959963984540054


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


# one proportion


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
    assert ends(estimate) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert estimate.n == n


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_where_the_score_test_just_does_not_reject(case: tuple[int, int]) -> None:
    """The ends are the p with |p̂ − p| = z √(p (1 − p) / n), by definition."""
    successes, n = case
    for end in ends(proportion(successes, n)):
        distance = Z * math.sqrt(max(end * (1 - end), 0) / n)
        assert abs(successes / n - end) == pytest.approx(distance, abs=1e-6)


def test_no_cases_give_no_figure() -> None:
    none = [
        proportion(0, 0), paired_difference(0, 0, 0), clustered_proportion([], []), clustered_proportion([0], [0]),
        problem_bootstrap([], 0), paired_bootstrap([], [], 0), macro([]), macro([NOTHING]),
    ]  # fmt: skip
    assert none == [NOTHING] * len(none)
    assert (NOTHING.value, NOTHING.n) == (None, 0)


@pytest.mark.parametrize(("share", "n"), [(0.4, 5), (0.0, 7), (1.0, 12), (0.25, 400)])
def test_wilson_agrees_with_scipy(share: float, n: int) -> None:
    expected = stats.binomtest(round(share * n), n).proportion_ci(0.95, method="wilson")
    assert wilson(share, n) == pytest.approx((expected.low, expected.high))


# clusters


def test_clusters_of_one_are_plain_cases() -> None:
    assert clustered_proportion([1, 0, 1, 1], [1, 1, 1, 1]) == proportion(3, 4)


def test_clusters_without_cases_do_not_count() -> None:
    assert clustered_proportion([1, 0, 2, 0], [1, 0, 2, 0]) == clustered_proportion([1, 2], [1, 2])


def test_clusters_that_agree_within_count_once() -> None:
    """Ten problems of eight samples each, five always right: as wide as ten cases, which is the least."""
    found = clustered_proportion([8, 0] * 5, [8] * 10)
    assert (found.value, found.n) == (0.5, 80)
    assert ends(found) == pytest.approx(wilson(0.5, 10))


def test_clusters_as_unlike_as_cases_cost_what_few_clusters_cost() -> None:
    """Forty problems of two samples, ten with 2, twenty with 1, ten with 0 right, by hand.

    Σ(x−1)² = 20, with the made-up cluster of two 20 + ½·4·(¼ + ¼) = 21; variance = 40/39 · 21/6400, effective size =
    0.25 / variance = 520/7; times (z/t₃₉)² = (1.959964/2.022691)².
    """
    found = clustered_proportion([2] * 10 + [1] * 20 + [0] * 10, [2] * 40)
    assert ends(found) == pytest.approx(wilson(0.5, 520 / 7 * (1.959964 / 2.022691) ** 2), abs=1e-6)


# paired differences


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [(1, 7, 21, -0.517, -0.026)],  # R's PropCIs::scoreci.mp(7, 1, 21), as the package ratesci gives it
)
def test_tangos_interval_is_that_of_r(gained: int, lost: int, n: int, low: float, high: float) -> None:
    assert ends(paired_difference(gained, lost, n)) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (0, 3, 20), (5, 0, 30), (40, 30, 100), (1, 1, 500)])
def test_tangos_interval_is_where_the_score_test_just_does_not_reject(gained: int, lost: int, n: int) -> None:
    """The likelihood of the three cells under the hypothesis is maximised numerically instead of by its root."""

    def score(delta: float) -> float:
        def unlikeliness(q: float) -> float:
            cells = [(gained, q + delta), (lost, q), (n - gained - lost, 1 - 2 * q - delta)]
            return -sum(count * math.log(max(chance, 1e-300)) for count, chance in cells if count)

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        q = minimize_scalar(unlikeliness, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        return (gained - lost - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))

    low, high = ends(paired_difference(gained, lost, n))
    assert score(low) == pytest.approx(Z, abs=2e-3)
    assert score(high) == pytest.approx(-Z, abs=2e-3)


@pytest.mark.parametrize("n", [5, 50, 1000])
def test_no_change_is_no_proof_that_none_ever_comes(n: int) -> None:
    """With no gain and no loss q = 0 and the score is −√n·√(δ/(1 − δ)) = −z at δ = z²/(n + z²)."""
    low, high = ends(paired_difference(0, 0, n))
    assert high == -low == pytest.approx(Z**2 / (n + Z**2))


@pytest.mark.parametrize(("gained", "lost", "n"), [(30, 10, 200), (5, 25, 150), (80, 70, 500)])
def test_the_paired_intervals_are_those_of_a_bootstrap_over_cases(gained: int, lost: int, n: int) -> None:
    change = np.repeat([1, -1, 0], [gained, lost, n - gained - lost])
    draws = np.random.default_rng(0).choice(change, size=(4000, n)).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    for estimate in (paired_difference(gained, lost, n), paired_bootstrap(change < 0, change > 0, 0)):
        assert estimate.value == pytest.approx(change.mean())
        assert ends(estimate) == (pytest.approx(low, abs=0.012), pytest.approx(high, abs=0.012))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_paired_interval_holds_its_value_within_minus_1_and_1(gained: int, lost: int, same: int) -> None:
    n = gained + lost + same
    if n == 0:
        return
    estimate, mirrored = paired_difference(gained, lost, n), paired_difference(lost, gained, n)
    low, high = ends(estimate)
    assert estimate.value is not None
    assert -1 <= low <= estimate.value <= high <= 1
    assert low < high
    assert mirrored.value == -estimate.value
    assert mirrored.high == pytest.approx(-low)


def test_the_score_of_the_estimate_itself_is_zero() -> None:
    assert paired_score(12, 2, 50, 0.2) == 0
    assert paired_score(50, 0, 50, 1.0) == 0
    assert paired_score(10, 0, 50, 1.0) == -math.inf


# bootstraps


def test_weighted_means_have_the_moments_of_their_distribution() -> None:
    """Dirichlet(a): mean Σav/A, variance (Σav²/A − mean²)/(A + 1)."""
    values, weights = np.array([0.0, 0.25, 0.25, 1.0]), np.array([1.0, 2.0, 0.5, 1.5])
    means = reweighted_means(values, weights, 0, 200_000)
    total = weights.sum()
    mean = (weights @ values) / total
    assert means.mean() == pytest.approx(mean, abs=2e-3)
    assert means.var() == pytest.approx(((weights @ values**2) / total - mean**2) / (total + 1), rel=0.02)


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (15, 40), (99, 100), (100, 100), (700, 1000)])
def test_of_rights_and_wrongs_the_bootstrap_is_jeffreys_interval(hits: int, n: int) -> None:
    low, high = stats.beta.ppf([0.025, 0.975], hits + 0.5, n - hits + 0.5)
    found = problem_bootstrap([1.0] * hits + [0.0] * (n - hits), 3, 100_000)
    assert found.value == hits / n
    assert found.low == (0.0 if hits == 0 else pytest.approx(low, abs=2e-3))
    assert found.high == (1.0 if hits == n else pytest.approx(high, abs=2e-3))


def test_the_bootstrap_of_many_values_is_scipys() -> None:
    values = np.random.default_rng(1).binomial(16, np.random.default_rng(2).beta(0.7, 1.5, 600)) / 16
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0))
    interval = expected.confidence_interval
    assert ends(problem_bootstrap(values, 0)) == (
        pytest.approx(interval.low, abs=4e-3),
        pytest.approx(interval.high, abs=4e-3),
    )


def test_a_paired_bootstrap_by_another_sampler() -> None:
    """Eight problems, d = ½, ½, ¼, −¼, 0, 0, 0, 0: Σd² = 5/8, Σ|d| = 3/2, weight of −1 and of 1 ½ · 5/12 = 5/24."""
    first, second = [0, 0.25, 0.5, 0.75, 0, 1, 0.5, 0.5], [0.5, 0.75, 0.75, 0.5, 0, 1, 0.5, 0.5]
    shares = np.random.default_rng(5).dirichlet([1] * 8 + [5 / 24] * 2, 200_000)
    means = shares @ np.array([0.5, 0.5, 0.25, -0.25, 0, 0, 0, 0, -1, 1])
    found = paired_bootstrap(first, second, 0, 200_000)
    assert found.value == 1 / 8
    assert ends(found) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=3e-3)


def test_where_nothing_differs_the_bootstrap_is_open_to_both_sides() -> None:
    """Dirichlet(½, ½, 30) of (−1, 1, 0): each end is at most Beta(½, 30.5)'s 97.5 % quantile, and above its 90 %."""
    low, high = ends(paired_bootstrap([0.5] * 30, [0.5] * 30, 0))
    assert high == pytest.approx(-low, abs=5e-3)
    assert stats.beta.ppf(0.9, 0.5, 30.5) < high < stats.beta.ppf(0.976, 0.5, 30.5)


def test_bootstraps_are_seeded_and_do_not_depend_on_the_order() -> None:
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    assert problem_bootstrap(values, 7) == problem_bootstrap(sorted(values), 7)
    assert problem_bootstrap(values, 7) != problem_bootstrap(values, 8)


def test_what_is_drawn_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    plain = np.random.default_rng

    class Counting:
        def __init__(self, seed: object) -> None:
            self.rng = plain(seed)

        def standard_gamma(self, shape: np.ndarray, size: tuple[int, int]) -> np.ndarray:
            sizes.append(size[0] * size[1])
            return self.rng.standard_gamma(shape, size)

    monkeypatch.setattr(statistics, "AT_ONCE", 1000)
    monkeypatch.setattr(np.random, "default_rng", Counting)
    assert len(reweighted_means(np.linspace(0, 1, 90), np.ones(90), 0, 500)) == 500
    assert max(sizes) <= 1000


# means of groups


def test_a_macro_average_by_hand() -> None:
    """(.5 + .8)/2 = .65; below √(.1² + .2²)/2 = .111803, above √(.2² + .1²)/2 = .111803."""
    groups = [Estimate(value=0.5, low=0.4, high=0.7, n=10), Estimate(value=0.8, low=0.6, high=0.9, n=90), NOTHING]
    found = macro(groups)
    assert (found.value, found.n) == (pytest.approx(0.65), 100)
    assert ends(found) == (pytest.approx(0.538197, abs=1e-6), pytest.approx(0.761803, abs=1e-6))


def test_one_group_is_its_own_average() -> None:
    assert ends(macro([proportion(3, 9)])) == pytest.approx(ends(proportion(3, 9)))


# tests


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_by_counting_heads(gained: int, lost: int) -> None:
    """Twice the chance of at most as few heads as the rarer side has, in gained + lost tosses."""
    n = gained + lost
    tail = sum(Fraction(math.comb(n, heads), 2**n) for heads in range(min(gained, lost) + 1))
    assert mcnemar(gained, lost) == pytest.approx(float(min(Fraction(1), 2 * tail)))


def test_mcnemar_agrees_with_a_textbook() -> None:
    """Siegel and Castellan 1988, table D: at most 2 of 10 heads, one-sided .0547; two-sided .109."""
    assert mcnemar(8, 2) == pytest.approx(0.1094, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_flipped_signs_by_trying_all(differences: list[float]) -> None:
    """Every one of the 2ⁿ sign patterns, by itself; the Monte Carlo error of 40,000 draws is at most .0025 (1 sd)."""
    patterns = itertools.product([-1, 1], repeat=len(differences))
    sums = [abs(sum(s * abs(d) for s, d in zip(signs, differences, strict=True))) for signs in patterns]
    expected = np.mean([found >= abs(sum(differences)) for found in sums])
    assert sign_flips(differences, 0, 40_000) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(("gained", "lost"), [(8, 2), (5, 5), (30, 14), (0, 6)])
def test_flipped_signs_of_single_attempts_are_mcnemars_test(gained: int, lost: int) -> None:
    assert sign_flips([1] * gained + [-1] * lost + [0] * 20, 1, 100_000) == pytest.approx(
        mcnemar(gained, lost), abs=0.006
    )


def test_no_difference_is_no_evidence() -> None:
    assert mcnemar(0, 0) == sign_flips([], 0) == sign_flips([0, 0], 0) == 1


# pass@k


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 3), (6, 0, 2), (6, 6, 4), (7, 3, 1), (8, 2, 8), (9, 4, 5)])
def test_pass_at_k_by_every_subset(n: int, c: int, k: int) -> None:
    drawn = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, drawn)) / len(drawn))


def test_pass_at_k_as_chen_et_al_compute_it() -> None:
    """Their numpy form: 1 − Π over i from n−c+1 to n of (1 − k/i)."""
    for n, c, k in ((200, 13, 100), (256, 1, 64), (256, 200, 10)):
        assert pass_at_k(n, c, k) == pytest.approx(1 - np.prod(1 - k / np.arange(n - c + 1, n + 1)))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 5), (4, 5, 1), (4, 2, 0), (4, -1, 2)])
def test_pass_at_k_of_what_cannot_be(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(n, c, k)
