"""What a review of its own solution gains a model, as SCoRe measures it (arXiv 2409.12917, section 3), and what its
tokens would have bought in votes (SuperCorrect figure 3)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.grouping import same_answers
from redink.evaluation.majority import majority_at
from redink.evaluation.outcomes import Outcomes
from redink.evaluation.statistics import (
    Estimate,
    Floats,
    clustered_proportion,
    paired_bootstrap,
    paired_difference,
    problem_bootstrap,
)
from redink.types import Attempt, Problem, Review, Row


class SelfCorrection(Row):
    """Acc@t1, Acc@t2 and what happens between them; shares with 95 % intervals."""

    accuracy_t1: Estimate = Field(description="Acc@t1: the first solution is right.")
    accuracy_t2: Estimate = Field(description="Acc@t2: the answer after the student's own review is right.")
    delta: Estimate = Field(description="Δ(t1→t2) = Acc@t2 − Acc@t1.")
    wrong_to_right: Estimate = Field(description="Δ(wrong→right): share of all problems that the review repaired.")
    right_to_wrong: Estimate = Field(description="Δ(right→wrong): share of all problems that the review broke.")
    fixed: Estimate = Field(description="fixed|wrong: of those not right at t1, the share that is right at t2.")
    broken: Estimate = Field(description="broken|right: of those right at t1, the share that is not at t2.")
    edited: Estimate | None = Field(None, description="Share whose answer at t2 is not the one at t1.")


def self_correction(
    first: Sequence[bool],
    second: Sequence[bool],
    edited: Sequence[bool] | None = None,
    problem_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> SelfCorrection:
    """All of it from aligned verdicts: right at t1, right at t2, and whether the answer changed.

    With `problem_ids` that repeat (several attempts at each problem, as many at all of them) the intervals are over
    problems: `clustered_proportion`, and `paired_bootstrap` for Δ; else Wilson's, and Tango's for Δ.
    """
    cases = list(zip(first, second, strict=True))
    names = problem_ids or [str(place) for place in range(len(cases))]
    gained = [after and not before for before, after in cases]
    lost = [before and not after for before, after in cases]
    return SelfCorrection(
        accuracy_t1=_share(first, names),
        accuracy_t2=_share(second, names),
        delta=_difference(first, second, names, seed),
        wrong_to_right=_share(gained, names),
        right_to_wrong=_share(lost, names),
        fixed=_share(gained, names, [not before for before in first]),
        broken=_share(lost, names, first),
        edited=None if edited is None else _share(edited, names),
    )


def _share(hits: Sequence[bool], names: Sequence[str], among: Sequence[bool] | None = None) -> Estimate:
    """The share of hits among some of the cases, by default all; every hit is one of them."""
    chosen = among or [True] * len(hits)
    sizes = Counter(name for name, counts in zip(names, chosen, strict=True) if counts)
    found = Counter(name for name, hit in zip(names, hits, strict=True) if hit)
    return clustered_proportion([found[name] for name in sizes], list(sizes.values()))


def _difference(first: Sequence[bool], second: Sequence[bool], names: Sequence[str], seed: int) -> Estimate:
    sizes = Counter(names)
    if len(sizes) == len(names):
        gained = sum(after and not before for before, after in zip(first, second, strict=True))
        lost = sum(before and not after for before, after in zip(first, second, strict=True))
        return paired_difference(gained, lost, len(names))
    if len(set(sizes.values())) > 1:
        raise ValueError("as many attempts at each problem are needed")
    before, after = (_shares(rights, names, sizes) for rights in (first, second))
    return paired_bootstrap(before, after, seed)


def _shares(rights: Sequence[bool], names: Sequence[str], sizes: Counter[str]) -> list[float]:
    hits = Counter(name for name, right in zip(names, rights, strict=True) if right)
    return [hits[name] / size for name, size in sizes.items()]


def edits(
    problems: Sequence[Problem], attempts: Sequence[Attempt], reviews: Sequence[Review], checker: Checker = MATH
) -> list[bool]:
    """Whether each review gives another answer than the attempt that it reviews (all aligned).

    Two right answers are the same; else the exact value or the text decides, or the checker. An answer where there was
    none, and none where there was one, is another.
    """
    same = same_answers(
        [(attempt.answer, review.answer) for attempt, review in zip(attempts, reviews, strict=True)], problems, checker
    )
    rights = ((attempt.verdict.right, review.verdict.right) for attempt, review in zip(attempts, reviews, strict=True))
    return [before != after or not (before or one) for (before, after), one in zip(rights, same, strict=True)]


class MajorityBaseline(Row):
    """A vote over attempts for the tokens that a solution and its review cost."""

    accuracy: Estimate = Field(description="maj@votes; bootstrap interval over problems.")
    votes: float = Field(description="Attempts that the cost buys; between whole numbers, a mixture of both.")
    capped: bool = Field(description="The cost buys more attempts than there are repeats: so many are counted.")
    cost: float = Field(description="Mean tokens of a solution and its review.")
    tokens: float = Field(description="Mean tokens of one attempt among the repeats.")
    ahead: Estimate | None = Field(
        None, description="Acc@t2 less this baseline, on the same problems (paired bootstrap)."
    )
    seed: int = Field(description="Seed of the drawn subsets and of the bootstraps.")


def majority_baseline(
    outcomes: Outcomes, cost_tokens: float, second: Sequence[bool] | None = None, seed: int = 0
) -> MajorityBaseline | None:
    """The accuracy of a majority vote of the same token cost; None where lengths in tokens are not known.

    `cost_tokens` is the mean over the problems of the tokens of t1 and t2; `second` says which problems of `outcomes`
    are right at t2. Where the cost buys m + f attempts, 0 < f < 1, a share f of the problems gets m + 1 and the others
    m, so that the cost is the same: (1 − f)·maj@m + f·maj@(m + 1). At least one attempt is bought.
    """
    tokens = float(outcomes.tokens.mean())
    if not tokens or not cost_tokens:
        return None
    bought = max(1.0, cost_tokens / tokens)
    votes = min(bought, float(outcomes.repeats))
    values = votes_of(outcomes, votes, seed)
    return MajorityBaseline(
        accuracy=problem_bootstrap(values, seed),
        votes=votes,
        capped=bought > votes,
        cost=cost_tokens,
        tokens=tokens,
        ahead=None if second is None else paired_bootstrap(values, np.array(second, dtype=float), seed),
        seed=seed,
    )


def votes_of(outcomes: Outcomes, votes: float, seed: int) -> Floats:
    """maj@votes of each problem, [problems]; between whole numbers a mixture of both (`majority_baseline`)."""
    whole = math.floor(votes)
    part = votes - whole
    fewer = majority_at(outcomes.group, whole, seed)
    return fewer if not part else (1 - part) * fewer + part * majority_at(outcomes.group, whole + 1, seed)
