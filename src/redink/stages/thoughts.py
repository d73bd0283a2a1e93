"""Problems → thoughts (D_sft): the teacher writes a thought from the gold solution, the inspector checks it.

SuperCorrect section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker
from redink.failures import RowFailure
from redink.stages.outcomes import quarantined
from redink.teaching.inspection import Patience, inspected
from redink.teaching.protocols import Inspection, Inspector, Teacher
from redink.types import Problem, Quarantined, Rejected, Thought, ThoughtRow, Tried

STAGE = "thoughts"


async def write_thought(
    problem: Problem,
    teacher: Teacher,
    inspector: Inspector,
    patience: Patience | None = None,
    before: Sequence[Tried] = (),
    checker: Checker = MATH,
) -> ThoughtRow | Rejected | Quarantined:
    """An accepted thought whose answer is right, or why there is none; `before` are an earlier run's failed tries."""

    async def make(remarks: Sequence[str]) -> Thought:
        return await teacher.thought(problem, remarks)

    async def inspect(thought: Thought, remarks: Sequence[str]) -> Inspection:
        return await inspector.inspect(problem, thought, remarks=remarks)

    try:
        result = await inspected(make, inspect, patience, before)
    except RowFailure as failure:
        return quarantined(STAGE, problem.id, 0, failure)
    if not checker.compare(result.work.answer, problem).right:
        return Rejected(problem_id=problem.id, stage=STAGE, reason="answer_is_wrong")
    return ThoughtRow(problem_id=problem.id, thought=result.work, rounds=result.rounds, tries=result.tries)
