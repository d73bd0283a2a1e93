"""Wrong attempts → correction traces: the teacher, who sees the gold solution, marks the first wrong step (T⁺).

SuperCorrect section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker
from redink.failures import RowFailure, Unteachable
from redink.stages.outcomes import quarantined
from redink.teaching.inspection import Patience, inspected
from redink.teaching.protocols import Inspection, Inspector, Teacher
from redink.types import Attempt, CorrectionRow, CorrectionTrace, Problem, Quarantined, Rejected, Tried

STAGE = "corrections"


async def write_correction(
    problem: Problem,
    written: Attempt,
    teacher: Teacher,
    inspector: Inspector,
    patience: Patience | None = None,
    before: Sequence[Tried] = (),
    checker: Checker = MATH,
) -> CorrectionRow | Rejected | Quarantined:
    """An accepted trace of a wrong attempt, or why there is none; `before` are an earlier run's failed tries.

    A wrong attempt in which the teacher finds no wrong step is 'unlocated'.
    """

    async def make(remarks: Sequence[str]) -> CorrectionTrace:
        return await teacher.correction(problem, written, remarks)

    async def inspect(trace: CorrectionTrace, remarks: Sequence[str]) -> Inspection:
        return await inspector.inspect(problem, trace, written, remarks)

    def rejected(reason: str) -> Rejected:
        return Rejected(problem_id=problem.id, sample=written.sample, stage=STAGE, reason=reason)

    try:
        result = await inspected(make, inspect, patience, before)
    except RowFailure as failure:
        if isinstance(failure, Unteachable) and failure.reason in ("unlocated", "no_steps"):
            return rejected(failure.reason)
        return quarantined(STAGE, problem.id, written.sample, failure)
    if result.work.error is None:
        return rejected("unlocated")
    if not checker.compare(result.work.answer, problem).right:
        return rejected("answer_is_wrong")
    return CorrectionRow(
        problem_id=problem.id, sample=written.sample, trace=result.work, rounds=result.rounds, tries=result.tries
    )
