"""Estimates with 95 % intervals, and tests: one equation, one function. What is random is seeded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import brentq
from scipy.stats import binomtest
from scipy.stats import t as student_t

from redink.types import Row

Z95 = 1.959963984540054
DRAWS = 10_000
"""Draws of a bootstrap or of a permutation test."""
HALF = 0.5
"""Weight of each of the two made-up problems of a bootstrap (Jeffreys' prior)."""
AT_ONCE = 2_000_000
"""Random numbers held at once: 16 MB."""
Floats = npt.NDArray[np.float64]


class Estimate(Row):
    """A figure with its interval; `value` is None where n = 0."""

    value: float | None = Field(description="The point estimate, as a share of 1.")
    low: float | None = Field(description="Lower end of the 95 % interval.")
    high: float | None = Field(description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="How many cases it rests on.")


NOTHING = Estimate(value=None, low=None, high=None, n=0)


def proportion(successes: int, n: int) -> Estimate:
    """Share of successes with the Wilson score interval (Wilson 1927), by scipy."""
    if n == 0:
        return NOTHING
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Estimate(value=successes / n, low=float(interval.low), high=float(interval.high), n=n)


def clustered_proportion(successes: Sequence[int], sizes: Sequence[int]) -> Estimate:
    """Share of successes where the cases come in clusters, e.g. several samples of each problem (aligned lists).

    p = Σx / Σn; variance by linearisation, k/(k−1) · Σ(xᵢ − p·nᵢ)² / (Σn)² over k clusters (Cochran 1977, section
    3.12), where two halves of a made-up cluster of mean size, one all right and one all wrong, stand for clusters that
    few draws miss. Wilson's interval for the effective size p(1−p)/variance times (z/t)², with t of k − 1 degrees of
    freedom (Korn and Graubard 1998), kept within k and Σn; clusters without cases do not count.
    """
    held = [(x, n) for x, n in zip(successes, sizes, strict=True) if n]
    clusters, total = len(held), sum(n for _, n in held)
    if clusters == total:
        return proportion(sum(x for x, _ in held), total)
    share = sum(x for x, _ in held) / total
    spread = sum((x - share * n) ** 2 for x, n in held) + HALF * (total / clusters) ** 2 * (share**2 + (1 - share) ** 2)
    variance = clusters / max(1, clusters - 1) * spread / total**2
    effective = share * (1 - share) / variance * _small_sample(clusters)
    low, high = wilson(share, min(total, max(clusters, effective)))
    return Estimate(value=share, low=low, high=high, n=total)


def _small_sample(clusters: int) -> float:
    """(z/t)²: what an effective size is worth whose variance was itself estimated from few clusters."""
    return float((Z95 / student_t.ppf(0.975, max(1, clusters - 1))) ** 2)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval (1927): (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n), n not only whole."""
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(gained: int, lost: int, n: int) -> Estimate:
    """Difference of two accuracies on the same n cases, with Tango's score interval (1998, Stat. in Medicine 17:891).

    Δ = (gained − lost) / n, where `gained` counts the cases that became right and `lost` those that became wrong. The
    interval holds every δ that the score test does not reject (`paired_score`), so it has a width where nothing
    changed: ± z²/(n + z²).
    """
    if n == 0:
        return NOTHING
    value = (gained - lost) / n
    high = _score_end(gained, lost, n)
    return Estimate(value=value, low=-_score_end(lost, gained, n), high=high, n=n)


def _score_end(gained: int, lost: int, n: int) -> float:
    """The δ from Δ to 1 at which the score is −z."""
    if gained == n:
        return 1.0
    start = (gained - lost) / n
    return float(brentq(lambda delta: paired_score(gained, lost, n, delta) + Z95, start, 1.0 - 1e-12, xtol=1e-12))


def paired_score(gained: int, lost: int, n: int, delta: float) -> float:
    """Tango's score of the hypothesis Δ = delta: (gained − lost − n·δ) / √(n·(2q + δ(1 − δ))).

    q is the likeliest probability of a loss under the hypothesis: the root (√(B² − 4AC) − B)/2A with A = 2n,
    B = −gained − lost + (2n − gained + lost)·δ and C = −lost·δ(1 − δ).
    """
    a, b, c = 2 * n, -gained - lost + (2 * n - gained + lost) * delta, -lost * delta * (1 - delta)
    q = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    spread = n * (2 * q + delta * (1 - delta))
    away = gained - lost - n * delta
    return away / math.sqrt(spread) if spread > 0 else math.copysign(math.inf, away) if away else 0.0


def problem_bootstrap(values: Sequence[float] | Floats, seed: int, draws: int = DRAWS) -> Estimate:
    """Mean of one value in [0, 1] per problem, with a bootstrap interval over problems.

    The Bayesian bootstrap (Rubin 1981): in each draw the problems have weights from an exponential distribution rather
    than whole counts. Two made-up problems, one at 0 and one at 1, of half a problem's weight each, keep the interval
    open where all values are the same; for values of 0 and 1 it is Jeffreys' interval, the 2.5 % and 97.5 %
    quantiles of Beta(x + ½, n − x + ½), widened to the value where that is 0 or 1 (Brown, Cai and DasGupta 2001).
    """
    return _reweighted(np.asarray(values, dtype=float), (0.0, 1.0), HALF, seed, draws)


def paired_bootstrap(
    first: Sequence[float] | Floats, second: Sequence[float] | Floats, seed: int, draws: int = DRAWS
) -> Estimate:
    """Mean of second − first, both one value in [0, 1] per problem (aligned), with a bootstrap interval over problems.

    As `problem_bootstrap`, the made-up problems at −1 and 1. Their weight is ½·Σd²/Σ|d|: ½ where the differences d are
    −1, 0 and 1, less where they are small, so that a problem that could never occur does not make the interval; ½
    where nothing differs.
    """
    difference = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    size = float(np.abs(difference).sum())
    weight = HALF * float((difference**2).sum()) / size if size else HALF
    return _reweighted(difference, (-1.0, 1.0), weight, seed, draws)


def _reweighted(values: Floats, ends: tuple[float, float], weight: float, seed: int, draws: int) -> Estimate:
    if len(values) == 0:
        return NOTHING
    means = reweighted_means(np.append(values, ends), np.append(np.ones(len(values)), [weight, weight]), seed, draws)
    value = float(values.mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)), n=len(values))


def reweighted_means(values: Floats, weights: Floats, seed: int, draws: int) -> Floats:
    """Means of `values` [n] under Dirichlet(`weights` [n]), shape [draws]; what is held does not grow with n · draws.

    Equal values share one weight, the sum of theirs, so a draw costs a number per distinct value.
    """
    distinct, place = np.unique(values, return_inverse=True)
    shape = np.bincount(place, weights)
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // len(distinct))
    parts = []
    for start in range(0, draws, step):
        drawn = rng.standard_gamma(shape, size=(min(step, draws - start), len(distinct)))
        parts.append(drawn @ distinct / drawn.sum(axis=1))
    return np.concatenate(parts)


def macro(estimates: Iterable[Estimate]) -> Estimate:
    """Mean of independent groups' figures, each group counted once whatever its size; groups without cases left out.

    Interval by the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27:1693, 2008) from
    the groups' own: mean − √Σ(pᵢ − lᵢ)²/k and mean + √Σ(uᵢ − pᵢ)²/k over k groups.
    """
    known = [estimate for estimate in estimates if estimate.n]
    if not known:
        return NOTHING
    values, lows, highs = (np.array([getattr(each, end) for each in known]) for end in ("value", "low", "high"))
    mean, k = float(values.mean()), len(known)
    below, above = (math.sqrt(float(((values - ends) ** 2).sum())) / k for ends in (lows, highs))
    return Estimate(value=mean, low=mean - below, high=mean + above, n=sum(each.n for each in known))


def mcnemar(gained: int, lost: int) -> float:
    """p-value of McNemar's test, exact: gained of gained + lost by a fair coin, two-sided; 1 where nothing differs."""
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def sign_flips(differences: Sequence[float] | Floats, seed: int, draws: int = DRAWS) -> float:
    """p-value of a paired permutation test: how often a mean as far from 0 comes about if every sign is a coin's.

    Two-sided, by `draws` seeded draws, (1 + hits)/(1 + draws) (Phipson and Smyth 2010); 1 where nothing differs. As
    equal sizes are drawn together, by a binomial number of plus signs, a draw costs a number per distinct size.
    """
    signed = np.asarray(differences, dtype=float)
    sizes, counts = np.unique(np.abs(signed[signed != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    wanted = abs(float(signed.sum())) - 1e-9 * float(sizes @ counts)
    rng = np.random.default_rng(seed)
    step, hits = max(1, AT_ONCE // len(sizes)), 0
    for start in range(0, draws, step):
        plus = rng.binomial(counts, 0.5, size=(min(step, draws - start), len(sizes)))
        hits += int((np.abs((2 * plus - counts) @ sizes) >= wanted).sum())
    return (1 + hits) / (1 + draws)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that of k of n samples, c of them right, at least one is right: 1 − C(n−c, k)/C(n, k).

    Unbiased (Chen et al. 2021, arXiv 2107.03374, eq. 1), by whole numbers. Raises `ValueError` unless 1 ≤ k ≤ n.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} of {n} samples, {c} right")
    return 1 - math.comb(n - c, k) / math.comb(n, k)
