"""Interval coverage by simulation: data are drawn from a known truth, and the 95 % interval must hold it often enough.

The benchmark draws at least 10,000 times per scenario; here at least 400 times, with a fixed seed. An interval that
covers 95 % falls below 93 % of 400 draws once in 30 scenarios, which the seed here does not; the benchmark's goal is 93 %.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.evaluation import Scenario, holds, scenarios

from redink.evaluation.statistics import Estimate, problem_bootstrap


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: f"{scenario.interval}: {scenario.setting}")
def test_every_interval_holds_the_truth_often_enough(scenario: Scenario) -> None:
    assert scenario.coverage(400, seed=1) >= 93


def test_an_interval_that_is_too_narrow_is_found_out() -> None:
    """Shares of 16 attempts at each of 30 problems, taken as if the attempts were independent problems."""
    scenario = next(
        each for each in scenarios() if each.interval == "problem_bootstrap" and "30 problems × 16" in each.setting
    )

    def naive(rng):  # type: ignore[no-untyped-def]
        truth, _ = scenario.draw(rng)
        hits = rng.binomial(16, rng.beta(0.5, 0.5, 30))
        return truth, problem_bootstrap([1.0] * hits.sum() + [0.0] * (480 - hits.sum()), 0, 2_000)

    assert replace(scenario, draw=naive).coverage(100) < 70


def test_the_ends_belong_to_the_interval() -> None:
    estimate = Estimate(value=0.5, low=0.25, high=0.75, n=9)
    assert [holds(truth, estimate) for truth in (0.2, 0.25, 0.5, 0.75, 0.8)] == [False, True, True, True, False]
    assert not holds(0.5, Estimate(value=None, low=None, high=None, n=0))
