"""Figures over seeds: the mean of what each seed's own problems say, with an interval over problems and seeds.

Each seed draws its own problems and trains its own student, so a figure varies for two reasons, and both are kept: the
variance that the problems of a seed make, v, which the problems themselves tell, and what the seeds' means differ by
beyond that, τ². A bootstrap that resamples seeds is not used: three seeds have ten distinct resamples, and its interval
is too narrow by √((S − 1)/S). Tests hold the coverage of these intervals against simulated students.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import fisher_exact
from scipy.stats import t as student_t

from redink.evaluation.statistics import HALF, NOTHING, Estimate, Floats, mcnemar, sign_flips

ENDS = (0.0, 1.0)


class SeedMean(NamedTuple):
    """One seed: the mean over its problems, the variance of that mean over problems, and how many they are."""

    value: float
    variance: float
    n: int


class Spread(NamedTuple):
    """Mean over seeds, its standard error, and the degrees of freedom of the latter."""

    mean: float
    error: float
    freedom: float


def seed_mean(values: Sequence[float] | Floats, ends: tuple[float, float] | None = ENDS) -> SeedMean:
    """The mean of one value per problem in one seed, and its variance over problems.

    Values lie between `ends`; the variance is that of the Bayesian bootstrap (`problem_bootstrap`), Σwᵢ(xᵢ − x̄)² /
    (W(W + 1)) with W = Σwᵢ, over the problems (w = 1) and one made-up problem of weight ½ at each end, so that it is
    not 0 where all values are the same. With `ends` None (values without bounds): s²/n. Raises `ValueError` for none.
    """
    found = np.asarray(values, dtype=float)
    if len(found) == 0:
        raise ValueError("a mean of no values")
    mean = float(found.mean())
    if ends is None:
        return SeedMean(mean, float(found.var(ddof=1)) / len(found) if len(found) > 1 else 0.0, len(found))
    return SeedMean(mean, _reweighted_variance(found, mean, ends, HALF), len(found))


def seed_difference(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> SeedMean:
    """The mean of second − first (aligned, one value each per problem, in [0, 1]) in one seed.

    As `seed_mean`, the made-up problems at −1 and 1 with `paired_bootstrap`'s weight ½·Σd²/Σ|d|.
    """
    gaps = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    if len(gaps) == 0:
        raise ValueError("a difference of no values")
    size = float(np.abs(gaps).sum())
    weight = HALF * float((gaps**2).sum()) / size if size else HALF
    mean = float(gaps.mean())
    return SeedMean(mean, _reweighted_variance(gaps, mean, (-1.0, 1.0), weight), len(gaps))


def _reweighted_variance(values: Floats, mean: float, ends: tuple[float, float], weight: float) -> float:
    total = len(values) + 2 * weight
    squares = float(((values - mean) ** 2).sum()) + weight * sum((end - mean) ** 2 for end in ends)
    return squares / (total * (total + 1))


def unpaired(first: SeedMean, second: SeedMean) -> SeedMean:
    """second − first where they rest on different cases: the variances add."""
    return SeedMean(second.value - first.value, first.variance + second.variance, first.n + second.n)


def spread(seeds: Sequence[SeedMean]) -> Spread:
    """Mean over S seeds with the standard error √((v̄ + τ²)/S), v̄ = mean of v, τ² = max(0, s² − v̄).

    s² is the variance of the seeds' means over S − 1. Degrees of freedom by Satterthwaite (1946):
    (v̄ + τ²)² / (v̄²/(N − S) + τ⁴/(S − 1)) over N problems: many where problems alone make the spread, S − 1 where seeds
    do. One seed says nothing of others: τ² = 0 there. Raises `ValueError` for no seed.
    """
    if not seeds:
        raise ValueError("no seed")
    count, total = len(seeds), sum(seed.n for seed in seeds)
    within = sum(seed.variance for seed in seeds) / count
    between = max(0.0, float(np.var([seed.value for seed in seeds], ddof=1)) - within) if count > 1 else 0.0
    mean = sum(seed.value for seed in seeds) / count
    parts = within**2 / max(1, total - count) + between**2 / max(1, count - 1)
    freedom = (within + between) ** 2 / parts if parts else float(max(1, total - count))
    return Spread(mean, math.sqrt((within + between) / count), freedom)


def over_seeds(seeds: Sequence[SeedMean], ends: tuple[float, float] | None = ENDS) -> Estimate:
    """Mean over seeds, ± t·error as its 95 % interval over problems and seeds, within `ends`; n counts problems."""
    if not seeds:
        return NOTHING
    found = spread(seeds)
    half = float(student_t.ppf(0.975, found.freedom)) * found.error
    low, high = found.mean - half, found.mean + half
    if ends is not None:
        low, high = max(ends[0], low), min(ends[1], high)
    return Estimate(value=found.mean, low=low, high=high, n=sum(seed.n for seed in seeds))


def p_over_seeds(seeds: Sequence[SeedMean]) -> float:
    """Two-sided p of a mean over seeds of 0, with the error and the degrees of freedom of `spread`."""
    found = spread(seeds)
    if not found.error:
        return 1.0 if not found.mean else 0.0
    return float(2 * student_t.sf(abs(found.mean) / found.error, found.freedom))


def pooled_test(differences: Sequence[float] | Floats, seed: int = 0) -> tuple[str, float]:
    """(which test, its two-sided p) on the differences of every (problem, seed): paired, whatever the seeds differ by.

    McNemar's exact test where each is −1, 0 or 1, else a permutation of signs with `seed`.
    """
    found = np.asarray(differences, dtype=float)
    if set(np.unique(found)) <= {-1.0, 0.0, 1.0}:
        return "McNemar, exact", mcnemar(int((found > 0).sum()), int((found < 0).sum()))
    return "permutation of signs", sign_flips(found, seed)


def pooled_shares_test(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> tuple[str, float]:
    """(which test, its two-sided p) that two shares are the same which rest on different cases, each 0 or 1."""
    sides = [np.asarray(side, dtype=float) for side in (first, second)]
    table = [[int(side.sum()), len(side) - int(side.sum())] for side in sides]
    return "Fisher, exact", float(fisher_exact(table)[1])
