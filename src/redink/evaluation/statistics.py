"""Estimates with 95 % intervals: one equation, one function."""

from __future__ import annotations

import math

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
