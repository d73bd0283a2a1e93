"""Problems → chains of thought: the teacher's long one, or its rewriting for a student's errors (ORION)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from redink.answers.checkers import MATH, Checker, grade_by
from redink.failures import RowFailure
from redink.stages.outcomes import quarantined
from redink.teaching.inspection import Patience, uninspected
from redink.teaching.protocols import Teacher
from redink.types import ChainRow, Problem, Quarantined, Rejected, Tried

STAGE = "long_chains"


async def write_chain(
    problem: Problem,
    teacher: Teacher,
    patience: Patience | None = None,
    before: Sequence[Tried] = (),
    checker: Checker = MATH,
) -> ChainRow | Rejected | Quarantined:
    """A long chain whose answer is right, or why there is none; `before` are an earlier run's failed tries."""
    text = await written(STAGE, problem, lambda remarks: teacher.chain(problem, remarks), patience, before)
    if isinstance(text, Quarantined):
        return text
    if not grade_by(checker, text, problem)[1].right:
        return Rejected(problem_id=problem.id, stage=STAGE, reason="answer_is_wrong")
    return ChainRow(problem_id=problem.id, text=text)


async def written(
    stage: str,
    problem: Problem,
    make: Callable[[Sequence[str]], Awaitable[str]],
    patience: Patience | None = None,
    before: Sequence[Tried] = (),
) -> str | Quarantined:
    """What a teacher writes, asked for again while that may help, or the quarantined row."""
    try:
        return (await uninspected(make, patience, before)).strip()
    except RowFailure as failure:
        return quarantined(stage, problem.id, 0, failure)
