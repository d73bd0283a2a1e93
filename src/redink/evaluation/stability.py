"""How steady a model is over repeats (SuperCorrect figure 5): the accuracy of each repeat, and each problem's own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from redink.evaluation.outcomes import Outcomes
from redink.evaluation.statistics import Estimate, problem_bootstrap, proportion
from redink.types import Row

BINS = 20


class Histogram(Row):
    """Counts per bin; bin i holds edges[i] ≤ x < edges[i + 1], the last one its upper edge too."""

    edges: tuple[float, ...] = Field(description="One more than there are bins, ascending.")
    counts: tuple[int, ...] = Field(description="How many fall into each bin.")


class Stability(Row):
    """N attempts at each problem. Variances are None for one repeat."""

    problems: int = Field(description="How many problems.")
    repeats: int = Field(description="N, attempts at each problem.")
    mean: Estimate = Field(description="Mean accuracy over repeats; bootstrap interval over problems.")
    variance: float | None = Field(description="Variance over repeats of a repeat's accuracy, over N − 1.")
    lowest: float = Field(description="Accuracy of the worst repeat.")
    highest: float = Field(description="Accuracy of the best repeat.")
    problem_variance: float | None = Field(
        description="Mean over problems of the variance within a problem, p(1 − p)·N/(N − 1); 0 is steady, ¼ a coin."
    )
    independent_variance: float | None = Field(
        description="`problem_variance` over problems: the `variance` to be expected if attempts are independent."
    )
    always: Estimate = Field(description="Share of problems solved in every repeat.")
    never: Estimate = Field(description="Share of problems solved in no repeat.")
    by_repeat: Histogram = Field(description="Right answers per repeat (figure 5): how many repeats have so many.")
    by_problem: Histogram = Field(
        description="Share of right repeats per problem: how many problems have such a share."
    )
    seed: int = Field(description="Seed of the bootstrap.")


def stability(outcomes: Outcomes, seed: int = 0) -> Stability:
    """Mean, variances, shares always and never solved, and both distributions."""
    right, n, repeats = outcomes.right, outcomes.problems, outcomes.repeats
    per_repeat, per_problem = right.sum(axis=0), right.sum(axis=1)
    within = _within(per_problem, repeats)
    return Stability(
        problems=n,
        repeats=repeats,
        mean=problem_bootstrap(outcomes.shares, seed),
        variance=float(np.var(per_repeat / n, ddof=1)) if repeats > 1 else None,
        lowest=float(per_repeat.min() / n),
        highest=float(per_repeat.max() / n),
        problem_variance=within,
        independent_variance=None if within is None else within / n,
        always=proportion(int((per_problem == repeats).sum()), n),
        never=proportion(int((per_problem == 0).sum()), n),
        by_repeat=histogram_of_counts(per_repeat),
        by_problem=histogram_of_shares(per_problem, repeats),
        seed=seed,
    )


def _within(per_problem: npt.NDArray[np.int_], repeats: int) -> float | None:
    if repeats < 2:
        return None
    shares = per_problem / repeats
    return float((shares * (1 - shares)).mean() * repeats / (repeats - 1))


def histogram_of_counts(counts: npt.NDArray[np.int_], bins: int = BINS) -> Histogram:
    """Whole numbers in at most so many bins of equal whole width, from the smallest to the largest."""
    low, high = int(counts.min()), int(counts.max())
    width = -(-(high - low + 1) // bins)
    places = (counts - low) // width
    used = (high - low) // width + 1
    edges = tuple(float(low + width * place) for place in range(used + 1))
    return Histogram(edges=edges, counts=tuple(np.bincount(places, minlength=used).tolist()))


def histogram_of_shares(hits: npt.NDArray[np.int_], total: int, bins: int = BINS) -> Histogram:
    """Shares hits/total in `bins` bins of equal width from 0 to 1, by whole numbers."""
    places = np.minimum(hits * bins // total, bins - 1)
    edges = tuple(place / bins for place in range(bins + 1))
    return Histogram(edges=edges, counts=tuple(np.bincount(places, minlength=bins).tolist()))
