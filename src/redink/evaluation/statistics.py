"""Estimates with 95 % intervals: one equation, one function."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field
from scipy.stats import binomtest

from redink.types import Row

Z95 = 1.959963984540054


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
    3.12); Wilson's interval for the effective size p(1−p)/variance, kept between k and Σn (Korn and Graubard 1998).
    """
    clusters, total = len(sizes), sum(sizes)
    if clusters == total:
        return proportion(sum(successes), total)
    share = sum(successes) / total
    spread = sum((x - share * n) ** 2 for x, n in zip(successes, sizes, strict=True))
    variance = clusters / max(1, clusters - 1) * spread / total**2
    effective = share * (1 - share) / variance if variance else clusters
    low, high = wilson(share, min(total, max(clusters, effective)))
    return Estimate(value=share, low=low, high=high, n=total)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval (1927): (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n), n not only whole."""
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(gained: int, lost: int, n: int) -> Estimate:
    """Difference of two accuracies on the same n cases, with its Wald interval for paired proportions.

    Δ = (gained − lost) / n, standard error √(gained + lost − (gained − lost)² / n) / n, where `gained` counts
    the cases that became right and `lost` those that became wrong.
    """
    if n == 0:
        return NOTHING
    delta = (gained - lost) / n
    error = math.sqrt(max(0.0, gained + lost - (gained - lost) ** 2 / n)) / n
    return Estimate(value=delta, low=max(-1.0, delta - Z95 * error), high=min(1.0, delta + Z95 * error), n=n)
