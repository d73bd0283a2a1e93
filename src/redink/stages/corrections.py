"""Wrong attempts → correction traces: the teacher, who sees the gold solution, marks the first wrong step (T⁺).

SuperCorrect section 3.2.
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
from redink.types import Attempt, CorrectionRow, CorrectionTrace, Problem, Quarantined, Rejected

STAGE = "corrections"


async def write_corrections(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    teacher: Teacher,
    inspector: Inspector,
    rounds: int = 3,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[CorrectionRow | Rejected | Quarantined]:
    """One outcome per wrong attempt (problems and attempts aligned): an accepted trace, or why there is none.

    A wrong attempt in which the teacher finds no wrong step is 'unlocated'.
    """

    async def one(problem: Problem, written: Attempt) -> CorrectionRow | Rejected | Quarantined:
        outcome = await _correction(problem, written, teacher, inspector, rounds, checker)
        advance()
        return outcome

    return await asyncio.gather(*(one(*pair) for pair in zip(problems, attempts, strict=True)))


async def _correction(
    problem: Problem, written: Attempt, teacher: Teacher, inspector: Inspector, rounds: int, checker: Checker
) -> CorrectionRow | Rejected | Quarantined:
    async def make(remarks: Sequence[str]) -> CorrectionTrace:
        return await teacher.correction(problem, written, remarks)

    def rejected(reason: str) -> Rejected:
        return Rejected(problem_id=problem.id, sample=written.sample, stage=STAGE, reason=reason)

    try:
        result = await inspected(make, lambda trace: inspector.inspect(problem, trace, written), rounds)
    except RowFailure as failure:
        if failure.reason in ("unlocated", "no_steps"):
            return rejected(failure.reason)
        return quarantined(STAGE, problem.id, written.sample, failure)
    if result.work.error is None:
        return rejected("unlocated")
    if not checker.compare(result.work.answer, problem).right:
        return rejected("answer_is_wrong")
    return CorrectionRow(problem_id=problem.id, sample=written.sample, trace=result.work, rounds=result.rounds)
