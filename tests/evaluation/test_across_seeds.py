"""Figures over seeds: by hand, and the coverage of their intervals on simulated students."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import fisher_exact

from redink.evaluation.across_seeds import (
    SeedMean,
    over_seeds,
    p_over_seeds,
    pooled_shares_test,
    pooled_test,
    seed_difference,
    seed_mean,
    spread,
    unpaired,
)
from redink.evaluation.statistics import wilson

ALIKE = [SeedMean(0.5, 0.01, 100), SeedMean(0.7, 0.01, 100), SeedMean(0.6, 0.01, 100)]
APART = [SeedMean(0.5, 0.001, 100), SeedMean(0.7, 0.001, 100), SeedMean(0.6, 0.001, 100)]


def test_a_seeds_mean_and_its_variance_over_problems() -> None:
    """W = 4 + 2·½ = 5; Σw(x − ½)² = 4·¼ + 2·½·¼ = 5/4; variance 5/4 / (5·6) = 1/24."""
    assert seed_mean([1, 1, 0, 0]) == pytest.approx((0.5, 1 / 24, 4))


def test_where_every_problem_is_right_the_variance_is_not_nothing() -> None:
    """Only the made-up problem at 0 is away from the mean: ½·1 / (4·5) for three problems."""
    assert seed_mean([1, 1, 1]) == pytest.approx((1.0, 0.5 / 20, 3))


def test_values_without_bounds_have_the_usual_variance_of_a_mean() -> None:
    assert seed_mean([1.0, 2.0, 3.0], None) == pytest.approx((2.0, 1 / 3, 3))
    assert seed_mean([5.0], None) == (5.0, 0.0, 1)


def test_a_paired_difference_in_one_seed() -> None:
    """d = 1, 0, 0, 0: mean ¼, weight ½; ¾²+3·¼² = 3/4, made up ½·(5/4² + 3/4²) = 17/16; 29/16 / 30."""
    assert seed_difference([0, 1, 0, 0], [1, 1, 0, 0]) == pytest.approx((0.25, 29 / 480, 4))


def test_small_differences_weigh_the_made_up_problems_less() -> None:
    """d = ¼, ¼: weight ½·(2/16)/(2/4) = 1/8; total 9/4; squares 1/8·(25/16 + 9/16) = 17/64; over 9/4·13/4."""
    assert seed_difference([0.0, 0.5], [0.25, 0.75]) == pytest.approx((0.25, 17 / 64 / (9 / 4 * 13 / 4), 2))


@pytest.mark.parametrize("make", [lambda: seed_mean([]), lambda: seed_difference([], []), lambda: spread([])])
def test_of_nothing_there_is_no_mean(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="no "):
        make()


def test_seeds_that_differ_no_more_than_their_problems_say_add_nothing() -> None:
    """s² = 0.01 = v̄, so τ² = 0: error √(0.01/3), degrees of freedom 300 − 3."""
    assert spread(ALIKE) == pytest.approx((0.6, math.sqrt(0.01 / 3), 297))


def test_seeds_that_differ_more_are_few() -> None:
    """v̄ = 0.001, τ² = 0.009: the same error; 0.01² / (0.001²/297 + 0.009²/2) = 2.469 degrees of freedom."""
    assert spread(APART) == pytest.approx((0.6, math.sqrt(0.01 / 3), 1e-4 / (1e-6 / 297 + 81e-6 / 2)))


def test_the_interval_is_students() -> None:
    """t(0.975, 297) = 1.968 by the tables."""
    found = over_seeds(ALIKE)
    assert (found.value, found.n) == (pytest.approx(0.6), 300)
    assert (found.low, found.high) == (
        pytest.approx(0.6 - 1.968 * 0.057735, abs=1e-4),
        pytest.approx(0.71362, abs=1e-4),
    )
    wide = over_seeds(APART)
    assert wide.high is not None and wide.high > 0.79, "t of 2.5 degrees of freedom is 3.6"


def test_an_interval_stays_within_its_ends_and_one_seed_has_one() -> None:
    assert over_seeds([SeedMean(0.99, 0.01, 50)]).high == 1.0
    assert over_seeds([]).n == 0
    assert over_seeds([SeedMean(3.0, 1.0, 50)], None).high == pytest.approx(3 + 2.0096, abs=1e-3)


def test_the_p_value_over_seeds() -> None:
    """t = 0.2/0.1 = 2 with 999 degrees of freedom: p = 0.0458; nothing at all: 1."""
    assert p_over_seeds([SeedMean(0.2, 0.01, 1000)]) == pytest.approx(0.0458, abs=1e-4)
    assert p_over_seeds([SeedMean(0.0, 0.0, 9)]) == 1.0


def test_differences_of_cases_that_are_not_the_same() -> None:
    assert unpaired(SeedMean(0.2, 0.01, 5), SeedMean(0.6, 0.02, 7)) == pytest.approx((0.4, 0.03, 12))


def test_the_pooled_test_is_mcnemars_for_right_and_wrong() -> None:
    """Six gained, none lost: 2/2⁶."""
    assert pooled_test([1, 1, 1, 1, 1, 1, 0]) == ("McNemar, exact", pytest.approx(1 / 32))
    assert pooled_test([0, 0]) == ("McNemar, exact", 1.0)


def test_the_pooled_test_is_of_signs_for_shares() -> None:
    """Six of the same size and sign: 2/2⁶ of all signs are as far from 0; by 10,000 draws."""
    name, p = pooled_test([0.5] * 6)
    assert name == "permutation of signs"
    assert p == pytest.approx(1 / 32, abs=0.006)


def test_shares_of_different_cases_by_fisher() -> None:
    """The lady tasting tea: 3 of 4 against 1 of 4, p = 34/70."""
    assert pooled_shares_test([1, 1, 1, 0], [1, 0, 0, 0]) == ("Fisher, exact", pytest.approx(34 / 70))
    assert fisher_exact([[3, 1], [1, 3]])[1] == pytest.approx(34 / 70)


@pytest.mark.parametrize("between", [0.0, 0.03, 0.1])
def test_how_many_intervals_hold_what_students_of_all_seeds_are_worth(between: float) -> None:
    """Three seeds of 200 problems, students worth 0.5 ± `between`; a pooled interval holds it in under 6 of 10 for 0.1."""
    rng, held, pooled, times = np.random.default_rng(7), 0, 0, 400
    for _ in range(times):
        worth = np.clip(rng.normal(0.5, between, 3), 0, 1)
        right = [rng.random(200) < share for share in worth]
        found = over_seeds([seed_mean(seed) for seed in right])
        low, high = wilson(float(np.mean(right)), 600)
        held += found.low <= 0.5 <= found.high
        pooled += low <= 0.5 <= high
    assert 0.87 <= held / times <= 0.98
    if between == 0.1:
        assert pooled / times < 0.6
