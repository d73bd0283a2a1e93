"""Two models on the same problems: by hand, by scipy, and by simulation of chance."""

from __future__ import annotations

import numpy as np
import pytest
from made import outcomes
from scipy import stats

from redink.evaluation.comparison import Comparison, cohens_d, cohens_g, compare_models, compare_outcomes
from redink.evaluation.statistics import NOTHING, paired_bootstrap, paired_difference, problem_bootstrap, proportion
from redink.failures import Failure

A = [True] * 10 + [False] * 10
B = [True] * 9 + [False] + [True] * 7 + [False] * 3


def test_single_attempts_by_hand() -> None:
    """Only the second: 7, only the first: 1; p = 2·(1 + 8)/2⁸ = 18/256; g = 7/8 − ½; odds ratio 7."""
    found = compare_models("base", "hsft", [str(place) for place in range(20)], A, B, seed=3, measure="t2")
    assert (found.first, found.second, found.measure, found.n) == ("base", "hsft", "t2", 20)
    assert (found.gained, found.lost, found.odds_ratio, found.test) == (7, 1, 7, "McNemar, exact")
    assert found.p_value == pytest.approx(18 / 256)
    assert (found.accuracy_first, found.accuracy_second) == (proportion(10, 20), proportion(16, 20))
    assert found.difference == paired_difference(7, 1, 20)
    assert found.bootstrap == paired_bootstrap(A, B, 3)
    assert found.difference.value == found.bootstrap.value == pytest.approx(6 / 20)
    assert found.cohens_g.value == pytest.approx(3 / 8)
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_the_other_way_round_everything_changes_its_sign() -> None:
    ids = [str(place) for place in range(20)]
    one, other = compare_models("a", "b", ids, A, B), compare_models("b", "a", ids, B, A)
    assert one.p_value == other.p_value
    assert one.difference.value == pytest.approx(-(other.difference.value or 0))
    assert one.difference.low == pytest.approx(-(other.difference.high or 0))
    assert (one.gained, one.lost) == (other.lost, other.gained)


def test_models_that_agree_everywhere() -> None:
    found = compare_models("a", "b", ["1", "2"], [True, False], [True, False])
    assert (found.p_value, found.cohens_g, found.odds_ratio) == (1, NOTHING, None)
    assert found.difference.value == 0
    assert found.difference.low is not None and found.difference.low < 0


def test_a_problem_that_comes_twice_is_no_independent_case() -> None:
    with pytest.raises(ValueError, match="twice"):
        compare_models("a", "b", ["1", "1"], [True, False], [True, True])


@pytest.mark.parametrize(("gained", "lost"), [(7, 1), (0, 5), (5, 0), (10, 10)])
def test_cohens_g_has_the_exact_interval(gained: int, lost: int) -> None:
    """Clopper and Pearson's ends are quantiles of Beta(x, n − x + 1) and Beta(x + 1, n − x)."""
    found = cohens_g(gained, lost)
    low = stats.beta.ppf(0.025, gained, lost + 1) if gained else 0.0
    high = stats.beta.ppf(0.975, gained + 1, lost) if lost else 1.0
    assert found.value == pytest.approx(gained / (gained + lost) - 0.5)
    assert (found.low, found.high) == (pytest.approx(low - 0.5, abs=1e-6), pytest.approx(high - 0.5, abs=1e-6))


# repeats


def test_repeats_by_hand() -> None:
    """Shares ¾, ½, 0, 1 against 1, ½, ½, ½ (of two repeats): d = ¼, 0, ½, −½; mean 1/16."""
    a, b = outcomes("RRRa", "RRaa", "aaaa", "RRRR", model="a"), outcomes("RR", "Ra", "aR", "R-", model="b")
    found = compare_outcomes(a, b, seed=1)
    assert (found.measure, found.n, found.gained, found.lost) == ("repeats", 4, 2, 1)
    assert found.difference.value == pytest.approx(1 / 16)
    assert found.accuracy_first == problem_bootstrap([3 / 4, 2 / 4, 0, 1], 1)
    assert found.accuracy_second == problem_bootstrap([1, 1 / 2, 1 / 2, 1 / 2], 1)
    assert found.p_value == pytest.approx(1.0, abs=0.01)
    expected = stats.permutation_test(
        (np.array([0.75, 0.5, 0, 1]), np.array([1, 0.5, 0.5, 0.5])), lambda x, y: np.mean(y - x),
        permutation_type="samples", n_resamples=np.inf,
    )  # fmt: skip
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert (found.odds_ratio, found.test) == (None, "permutation of signs")
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_repeats_are_compared_as_scipy_would() -> None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.2, 0.7, 40)
    shares = [rng.binomial(8, np.clip(chances + gain, 0, 1)) for gain in (0, 0.06)]
    made = [
        outcomes(*("R" * hits + "a" * (8 - hits) for hits in each), model=name)
        for each, name in zip(shares, "ab", strict=True)
    ]
    expected = stats.permutation_test(
        (shares[1] / 8 - shares[0] / 8,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    found = compare_outcomes(*made)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)
    paired = stats.ttest_rel(shares[1], shares[0])
    assert found.cohens_d == pytest.approx(paired.statistic / np.sqrt(40))


def test_only_problems_that_both_have_are_compared_whatever_their_order() -> None:
    a = outcomes("RR", "aa", "Ra")
    b = outcomes("RR", "RR", "Ra", model="n").of([2, 0])
    found = compare_outcomes(a, b)
    assert (found.n, found.gained, found.lost) == (2, 0, 0)
    with pytest.raises(Failure, match="no problem in common"):
        compare_outcomes(a.of([1]), b)


def test_chance_alone_is_rarely_significant() -> None:
    """Two equal models, 200 times: p ≤ .05 in about one of twenty, at most 9 % (two and a half sd)."""
    rng = np.random.default_rng(3)
    from redink.evaluation.statistics import mcnemar, sign_flips

    chances = rng.uniform(0.1, 0.9, 60)
    differences = (rng.binomial(4, chances, (200, 60)) - rng.binomial(4, chances, (200, 60))) / 4
    assert np.mean([sign_flips(each, 0, 1_000) <= 0.05 for each in differences]) <= 0.09
    signs = np.sign(differences)
    assert np.mean([mcnemar(int((each > 0).sum()), int((each < 0).sum())) <= 0.05 for each in signs]) <= 0.09


def test_a_difference_that_never_varies_has_no_d() -> None:
    assert cohens_d(np.array([0.5, 0.5])) is None
    assert cohens_d(np.array([0.5])) is None
