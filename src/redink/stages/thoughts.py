"""Problems → thoughts (D_sft): the teacher writes a thought from the gold solution, the inspector checks it.

SuperCorrect section 3.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker
from redink.failures import RowFailure
from redink.progress import Advance, quiet
from redink.stages.outcomes import quarantined
from redink.teaching.inspection import inspected
from redink.teaching.protocols import Inspector, Teacher
from redink.types import Problem, Quarantined, Rejected, Thought, ThoughtRow

STAGE = "thoughts"


async def write_thoughts(
    problems: Sequence[Problem],
    teacher: Teacher,
    inspector: Inspector,
    rounds: int = 3,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[ThoughtRow | Rejected | Quarantined]:
    """One outcome per problem: an accepted thought whose answer is right, or why there is none."""

    async def one(problem: Problem) -> ThoughtRow | Rejected | Quarantined:
        outcome = await _thought(problem, teacher, inspector, rounds, checker)
        advance()
        return outcome

    return await asyncio.gather(*(one(problem) for problem in problems))


async def _thought(
    problem: Problem, teacher: Teacher, inspector: Inspector, rounds: int, checker: Checker
) -> ThoughtRow | Rejected | Quarantined:
    async def make(remarks: Sequence[str]) -> Thought:
        return await teacher.thought(problem, remarks)

    try:
        result = await inspected(make, lambda thought: inspector.inspect(problem, thought), rounds)
    except RowFailure as failure:
        return quarantined(STAGE, problem.id, 0, failure)
    if not checker.compare(result.work.answer, problem).right:
        return Rejected(problem_id=problem.id, stage=STAGE, reason="answer_is_wrong")
    return ThoughtRow(problem_id=problem.id, thought=result.work, rounds=result.rounds)
