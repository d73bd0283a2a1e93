"""Attempts → exposed errors (ORION, error exposure): which of its own errors a student is shown.

Wrong attempts err alike if they give the same answer or share their first wrong step; of those that err alike one
stands for all, and the strategy says which errors of a problem are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from redink.answers.checkers import MATH, Checker
from redink.failures import Unteachable
from redink.teaching.reference import wrong_step_of
from redink.types import Attempt, ExposedError, Problem, Rejected

STAGE = "exposure"
Strategy = Literal["frequent", "probable", "all"]
Likelihoods = Mapping[tuple[str, int], float | None]
"""−log p in nats of wrong attempts by the student, by problem and sample."""


def expose(
    problem: Problem,
    attempts: Sequence[Attempt],
    strategy: Strategy = "frequent",
    keep: int = 1,
    nll: Likelihoods | None = None,
    checker: Checker = MATH,
) -> list[ExposedError | Rejected]:
    """One outcome for each attempt at a problem: an error that is kept, or why the attempt is left out.

    'frequent' keeps the `keep` errors that most attempts make, 'probable' those that the student finds likeliest
    (`nll`, of the whole solution), 'all' every one. A tie is broken by the first sample. Reasons: 'right',
    'ungradable', 'same_answer' and 'same_first_step' (as the attempt that stands for it), 'not_chosen'.
    """
    likely = nll or {}
    steps = {row.sample: first_wrong(problem, row) for row in attempts if row.verdict.outcome == "wrong"}
    groups = _alike([row for row in attempts if row.sample in steps], _same(problem, steps, checker))
    groups = [sorted(group, key=lambda row: _surprise(row, likely)) for group in groups]
    kept = sorted(groups, key=_rank(strategy, likely))[: None if strategy == "all" else keep]
    stands = {row.sample: group[0] for group in kept for row in group}
    sizes = {group[0].sample: len(group) for group in kept}

    def outcome(row: Attempt) -> ExposedError | Rejected:
        if row.sample not in sizes:
            reason = _why_not(row, stands.get(row.sample))
            return Rejected(problem_id=row.problem_id, sample=row.sample, stage=STAGE, reason=reason)
        return ExposedError(
            problem_id=row.problem_id, sample=row.sample, text=row.text, answer=row.answer, step=steps[row.sample],
            count=sizes[row.sample], nll=likely.get((row.problem_id, row.sample)),
        )  # fmt: skip

    return [outcome(row) for row in attempts]


def first_wrong(problem: Problem, written: Attempt) -> int | None:
    """The number of the first wrong step where arithmetic and the gold solution can tell, else None."""
    try:
        return wrong_step_of(problem, written) if written.steps else None
    except Unteachable:
        return None


def _same(problem: Problem, steps: Mapping[int, int | None], checker: Checker) -> Callable[[Attempt, Attempt], bool]:
    def step(row: Attempt) -> list[str]:
        k = steps[row.sample]
        found = row.steps[k - 1] if k else None
        return [*found.text.split(), *(found.key or "").split()] if found else []

    def same(one: Attempt, other: Attempt) -> bool:
        return _same_answer(one, other, problem, checker) or (bool(step(one)) and step(one) == step(other))

    return same


def _same_answer(one: Attempt, other: Attempt, problem: Problem, checker: Checker) -> bool:
    if one.answer is None or other.answer is None:
        return False
    as_gold = problem.model_copy(update={"answer": other.answer})
    return one.answer == other.answer or checker.compare(one.answer, as_gold).right


def _alike(rows: Sequence[Attempt], same: Callable[[Attempt, Attempt], bool]) -> list[list[Attempt]]:
    """The connected groups of rows, each in the order of the rows."""
    groups: list[list[Attempt]] = []
    for row in rows:
        mine = [group for group in groups if any(same(row, other) for other in group)]
        groups = [group for group in groups if group not in mine]
        groups.append([*(other for group in mine for other in group), row])
    return groups


def _surprise(row: Attempt, nll: Likelihoods) -> tuple[float, int]:
    known = nll.get((row.problem_id, row.sample))
    return (float("inf") if known is None else known, row.sample)


def _rank(strategy: Strategy, nll: Likelihoods) -> Callable[[list[Attempt]], tuple[float, ...]]:
    def rank(group: list[Attempt]) -> tuple[float, ...]:
        first = min(row.sample for row in group)
        return _surprise(group[0], nll) if strategy == "probable" else (-len(group), first)

    return rank


def _why_not(row: Attempt, stands: Attempt | None) -> str:
    if row.verdict.outcome != "wrong":
        return row.verdict.outcome
    if stands is None:
        return "not_chosen"
    return "same_answer" if row.answer == stands.answer else "same_first_step"
