"""Two models on the same problems: by how much the second is better, and whether that is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from scipy.stats import binomtest

from redink.evaluation.accuracy import share_of
from redink.evaluation.outcomes import Outcomes
from redink.evaluation.statistics import (
    NOTHING,
    Estimate,
    Floats,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    proportion,
    sign_flips,
)
from redink.failures import Failure
from redink.types import Row


class Comparison(Row):
    """The second model against the first, paired by problem; a positive figure speaks for the second."""

    first: str = Field(description="The first model.")
    second: str = Field(description="The second model.")
    measure: str = Field(description="What is compared: 't1', 't2' or 'repeats'.")
    n: int = Field(description="Problems that both have.")
    accuracy_first: Estimate = Field(description="Of the first, on these problems.")
    accuracy_second: Estimate = Field(description="Of the second, on these problems.")
    difference: Estimate = Field(
        description="Second less first; Tango's score interval, for repeats the bootstrap over problems."
    )
    bootstrap: Estimate = Field(description="The same difference with a paired bootstrap over problems.")
    gained: int = Field(description="Problems that only the second solves; for repeats, that it solves more often.")
    lost: int = Field(description="Problems that only the first solves; for repeats, that it solves more often.")
    test: str = Field(description="Which test: 'McNemar, exact' or 'permutation of signs'.")
    p_value: float = Field(description="Two-sided: how often chance alone makes as large a difference.")
    cohens_g: Estimate = Field(
        description="gained/(gained + lost) − ½, with the exact interval (Clopper and Pearson); .25 is large."
    )
    odds_ratio: float | None = Field(None, description="gained/lost (not for repeats); None where nothing was lost.")
    cohens_d: float | None = Field(
        None, description="For repeats: mean difference over its standard deviation over problems (d_z)."
    )
    seed: int = Field(description="Seed of the bootstrap and the permutations.")


def compare_models(
    name_a: str,
    name_b: str,
    ids: Sequence[str],
    right_a: Sequence[bool],
    right_b: Sequence[bool],
    seed: int = 0,
    measure: str = "t1",
) -> Comparison:
    """One verdict of each model per problem (all three aligned): McNemar's exact test, Tango's interval.

    Raises `ValueError` if a problem comes twice: its attempts are not independent cases (`compare_outcomes`).
    """
    if len(set(ids)) != len(ids):
        raise ValueError("a problem comes twice")
    cases = [(before, after) for _, before, after in zip(ids, right_a, right_b, strict=True)]
    gained, lost, n = cases.count((False, True)), cases.count((True, False)), len(cases)
    return Comparison(
        first=name_a,
        second=name_b,
        measure=measure,
        n=n,
        accuracy_first=proportion(sum(right_a), n),
        accuracy_second=proportion(sum(right_b), n),
        difference=paired_difference(gained, lost, n),
        bootstrap=paired_bootstrap(right_a, right_b, seed),
        gained=gained,
        lost=lost,
        test="McNemar, exact",
        p_value=mcnemar(gained, lost),
        cohens_g=cohens_g(gained, lost),
        odds_ratio=gained / lost if lost else None,
        seed=seed,
    )


def compare_outcomes(a: Outcomes, b: Outcomes, seed: int = 0) -> Comparison:
    """Several attempts of each model per problem, on the problems that both have: means per problem are compared.

    The number of repeats may differ. A seeded permutation of the signs of the problems' differences gives the
    p-value; for one repeat each it is McNemar's. Raises `Failure` if they have no problem in common.
    """
    a, b = _shared(a, b)
    difference = b.shares - a.shares
    gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
    estimate = paired_bootstrap(a.shares, b.shares, seed)
    return Comparison(
        first=a.model,
        second=b.model,
        measure="repeats",
        n=a.problems,
        accuracy_first=share_of(a.right, seed),
        accuracy_second=share_of(b.right, seed),
        difference=estimate,
        bootstrap=estimate,
        gained=gained,
        lost=lost,
        test="permutation of signs",
        p_value=sign_flips(difference, seed),
        cohens_g=cohens_g(gained, lost),
        cohens_d=cohens_d(difference),
        seed=seed,
    )


def _shared(a: Outcomes, b: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both, on the problems that both have, in the first one's order."""
    places = {name: place for place, name in enumerate(b.problem_ids)}
    common = [(place, places[name]) for place, name in enumerate(a.problem_ids) if name in places]
    if not common:
        raise Failure(f"{a.model} and {b.model} have no problem in common.", "Compare runs on the same problems.")
    return a.of([one for one, _ in common]), b.of([other for _, other in common])


def cohens_g(gained: int, lost: int) -> Estimate:
    """Cohen's g of a sign test: gained/(gained + lost) − ½ (Cohen 1988, chapter 5)."""
    if gained + lost == 0:
        return NOTHING
    found = binomtest(gained, gained + lost)
    interval = found.proportion_ci(0.95, method="exact")
    return Estimate(
        value=found.statistic - 0.5, low=float(interval.low) - 0.5, high=float(interval.high) - 0.5, n=gained + lost
    )


def cohens_d(difference: Floats) -> float | None:
    """Mean over standard deviation (over n − 1); None where nothing varies."""
    spread = float(np.std(difference, ddof=1)) if len(difference) > 1 else 0.0
    return float(difference.mean()) / spread if spread else None
