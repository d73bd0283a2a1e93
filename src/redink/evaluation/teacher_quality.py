"""How good a teacher's work is, with and without the inspector (SuperCorrect, table 5).

Three arms on the same rows: `bare`, the teacher's first reply as it comes; `checked`, replies that cannot be read or
cannot be right are asked for again (`teaching/validation.py`); `inspected`, the inspector sends work back as well.
Each piece is judged twice, by its final answer and strictly, every step of it, and no arm drops what is wrong: work
that an arm gives up counts in `delivered`, not in the shares of what it delivers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.chain_quality import mean_estimate
from redink.evaluation.statistics import Estimate, proportion
from redink.failures import RowFailure, Unsound
from redink.markup import parse_thought, parse_trace
from redink.teaching.inspection import NoInspector, Patience, inspected
from redink.teaching.protocols import Inspection, Inspector, Teacher
from redink.types import Attempt, CorrectionTrace, Problem, Row, Thought

Arm = Literal["bare", "checked", "inspected"]
ARMS: tuple[Arm, ...] = ("bare", "checked", "inspected")
Kind = Literal["thoughts", "traces"]


class Case(Row):
    """What the teacher is asked for: a thought about a problem, or the correction trace of a wrong attempt at it."""

    problem: Problem = Field(description="With its gold solution.")
    attempt: Attempt | None = Field(None, description="The wrong attempt; None: a thought is asked for.")


class Piece(Row):
    """What one arm made of one case, and what is to be said of it."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample`, for a trace.")
    arm: Arm = Field(description="How it was made.")
    made: bool = Field(description="Something was delivered.")
    by_answer: bool = Field(False, description="Its final answer is right, by the checker.")
    strict: bool | None = Field(None, description="Every step of it is right; None: nobody could say.")
    rounds: int = Field(0, ge=0, description="Inspection rounds it took; 0 where nothing was delivered.")
    reason: str = Field("", description="Why nothing was delivered, or what the strict check says, in short.")
    passed: bool | None = Field(
        None, description="The inspector's word on it (`bare` only): accepted; None: not asked."
    )


class ArmFigures(Row):
    """One row of table 5; shares of 1, each with n and a 95 % interval."""

    kind: Kind = Field(description="'thoughts' or 'traces'.")
    arm: Arm = Field(description="'bare', 'checked' or 'inspected'.")
    cases: int = Field(description="Cases put to the teacher.")
    by_answer: Estimate = Field(description="Of what is delivered: the final answer is right.")
    strict: Estimate = Field(description="Of what is delivered and could be judged: every step is right.")
    delivered: Estimate = Field(description="Of all cases: something was delivered.")
    rounds: Estimate = Field(description="Mean inspection rounds of what is delivered.")
    unjudged: int = Field(description="Delivered, but no strict verdict could be had; not in `strict`.")
    reasons: dict[str, int] = Field(description="Why nothing was delivered, and how often.")


class InspectorFigures(Row):
    """What the inspector says of the teacher's first replies, against the strict check."""

    kind: Kind = Field(description="'thoughts' or 'traces'.")
    caught: Estimate = Field(description="Of faulty work, what is sent back.")
    wrongly_refused: Estimate = Field(description="Of sound work, what is sent back.")
    unread: int = Field(description="Works on which no verdict of the inspector could be had; in neither share.")


class SameWork:
    """The strict check of a teacher that errs on purpose: its work is sound if the faultless teacher's is the same.

    The truth is known, and owed to no inspector (`ReferenceTeacher(error_rate=…)` against `ReferenceTeacher()`).
    """

    def __init__(self, faultless: Teacher) -> None:
        self.faultless = faultless

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        """Accept exactly what the faultless teacher would have written; raises as that teacher does."""
        model = await (self.faultless.correction(problem, attempt) if attempt else self.faultless.thought(problem))
        return Inspection(accepted=work == model, remarks=() if work == model else ("It differs from sound work.",))


async def make_piece(
    case: Case, arm: Arm, teacher: Teacher, inspector: Inspector, strict: Inspector, patience: Patience,
    checker: Checker = MATH,
) -> Piece:  # fmt: skip
    """One case by one arm. What the teacher cannot do is a piece with a reason; raises `Failure` as the models do."""
    problem, attempt = case.problem, case.attempt
    base = {"problem_id": problem.id, "sample": attempt.sample if attempt else 0, "arm": arm}

    async def make(remarks: Sequence[str]) -> Thought | CorrectionTrace:
        if attempt:
            return await teacher.correction(problem, attempt, remarks)
        return await teacher.thought(problem, remarks)

    async def look(work: Thought | CorrectionTrace, remarks: Sequence[str]) -> Inspection:
        asked: Inspector = inspector if arm == "inspected" else NoInspector()
        return await asked.inspect(problem, work, attempt, remarks)

    try:
        found = await inspected(make, look, Patience(1, 1, 1) if arm == "bare" else patience)
    except RowFailure as failure:
        if arm == "bare" and isinstance(failure, Unsound):
            return Piece(**base, **_unsound(case, failure, checker), reason=failure.reason)
        return Piece(**base, made=False, reason=failure.reason)
    verdict, why = await _asked(strict, case, found.work)
    return Piece(
        **base,
        made=True,
        by_answer=checker.compare(found.work.answer, problem).right,
        strict=verdict,
        rounds=found.rounds,
        reason=why,
        passed=(await _asked(inspector, case, found.work))[0] if arm == "bare" else None,
    )


def _unsound(case: Case, failure: Unsound, checker: Checker) -> dict[str, bool | int]:
    """A first reply that could be read and cannot be right: it is delivered, and strictly wrong."""
    work = parse_trace(failure.raw) if case.attempt else parse_thought(failure.raw)
    right = checker.compare(work.answer, case.problem).right
    return {"made": True, "by_answer": right, "strict": False, "rounds": 1}


async def _asked(inspector: Inspector, case: Case, work: Thought | CorrectionTrace) -> tuple[bool | None, str]:
    """(accepted, why not); accepted is None where there is no verdict."""
    try:
        inspection = await inspector.inspect(case.problem, work, case.attempt)
    except RowFailure as failure:
        return None, failure.reason
    return inspection.accepted, "; ".join(inspection.remarks)[:200]


def arm_figures(kind: Kind, arm: Arm, pieces: Sequence[Piece]) -> ArmFigures:
    """The figures of one arm."""
    made = [piece for piece in pieces if piece.made]
    judged = [piece for piece in made if piece.strict is not None]
    lost = [piece.reason for piece in pieces if not piece.made]
    return ArmFigures(
        kind=kind,
        arm=arm,
        cases=len(pieces),
        by_answer=proportion(sum(piece.by_answer for piece in made), len(made)),
        strict=proportion(sum(bool(piece.strict) for piece in judged), len(judged)),
        delivered=proportion(len(made), len(pieces)),
        rounds=mean_estimate([piece.rounds for piece in made], low=1.0),
        unjudged=len(made) - len(judged),
        reasons={reason: lost.count(reason) for reason in sorted(set(lost))},
    )


def inspector_figures(kind: Kind, bare: Sequence[Piece]) -> InspectorFigures:
    """What the inspector catches and what it refuses wrongly, over first replies that both could judge."""
    known = [piece for piece in bare if piece.strict is not None and piece.passed is not None]
    faulty, sound = ([piece for piece in known if piece.strict is truth] for truth in (False, True))
    return InspectorFigures(
        kind=kind,
        caught=proportion(sum(not piece.passed for piece in faulty), len(faulty)),
        wrongly_refused=proportion(sum(not piece.passed for piece in sound), len(sound)),
        unread=sum(piece.made and piece.strict is not None and piece.passed is None for piece in bare),
    )
