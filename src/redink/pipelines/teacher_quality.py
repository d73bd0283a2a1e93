"""Teacher quality with and without the inspector (SuperCorrect, table 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.teacher_quality import (
    ARMS,
    ArmFigures,
    Case,
    InspectorFigures,
    Kind,
    Piece,
    SameWork,
    arm_figures,
    inspector_figures,
    make_piece,
)
from redink.failures import Failure
from redink.pipelines.staff import Staff
from redink.pipelines.tables import Table, number, percent
from redink.progress import Advance, progress
from redink.stages.flow import flow
from redink.teaching.inspection import NoInspector
from redink.teaching.protocols import Inspector
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import Attempt, Problem, Row

STAGE = "evaluate-teacher"


class TeacherQuality(Row):
    """Table 5 for one teacher and one inspector."""

    teacher: str = Field(description="Who teaches.")
    inspector: str = Field(description="Who inspects.")
    strict: str = Field(description="Who says whether every step is right.")
    arms: tuple[ArmFigures, ...] = Field(description="Three per kind of work: bare, checked, inspected.")
    inspections: tuple[InspectorFigures, ...] = Field(description="What the inspector catches, per kind of work.")


def thought_cases(problems: Sequence[Problem]) -> list[Case]:
    """A thought is asked for about each problem."""
    return [Case(problem=problem) for problem in problems]


def trace_cases(problems: Sequence[Problem], attempts: Sequence[Attempt]) -> list[Case]:
    """A correction trace is asked for about each attempt that is not right."""
    by_id = {problem.id: problem for problem in problems}
    return [Case(problem=by_id[row.problem_id], attempt=row) for row in attempts if not row.verdict.right]


def strict_check(staff: Staff) -> tuple[Inspector, str]:
    """The strict check that fits a staff, and its name.

    A reference teacher that errs on purpose is held against the faultless one, which owes nothing to any inspector;
    others are recomputed by the reference inspector: every equation, the answer, and for a trace the marked step.
    """
    if isinstance(staff.teacher, ReferenceTeacher) and staff.teacher.error_rate:
        return SameWork(ReferenceTeacher(seed=staff.teacher.seed)), "the faultless reference teacher"
    return ReferenceInspector(), "the reference inspector"


def evaluate_teacher(
    staff: Staff,
    cases: Sequence[Case],
    *,
    names: tuple[str, str] = ("teacher", "inspector"),
    strict: tuple[Inspector, str] | None = None,
    checker: Checker = MATH,
) -> TeacherQuality:
    """Every case by every arm, `staff.window` cases at a time; shows progress. `names`: teacher's and inspector's.

    The first request is the same in every arm, so a journal buys it once. Raises `Failure` where there is no case, or
    no inspector to be measured, and as the models do.
    """
    check, check_name = strict or strict_check(staff)
    pieces = teacher_pieces(staff, cases, check, checker)
    return _quality(cases, pieces, names, check_name)


def teacher_pieces(
    staff: Staff, cases: Sequence[Case], strict: Inspector, checker: Checker = MATH
) -> dict[tuple[int, str], Piece]:
    """The work on every case by every arm, by the case's place and the arm; raises as `evaluate_teacher`."""
    if not cases:
        raise Failure("there is nothing to ask the teacher for.", "Name problems with gold solutions; raise --limit.")
    if isinstance(staff.inspector, NoInspector):
        raise Failure("inspector.kind is 'none': there is no inspector to compare with.", "Name one in the recipe.")
    pieces: dict[tuple[int, str], Piece] = {}
    jobs = [(place, case, arm) for place, case in enumerate(cases) for arm in ARMS]

    async def work(advance: Advance) -> None:
        async def one(job: tuple[int, Case, str]) -> Piece:
            arm = next(known for known in ARMS if known == job[2])
            return await make_piece(job[1], arm, staff.teacher, staff.inspector, strict, staff.patience, checker)

        def settle(job: tuple[int, Case, str], piece: Piece) -> None:
            pieces[job[0], job[2]] = piece
            advance()

        async with staff.at(STAGE):
            await flow(jobs, one, settle, staff.window)

    with progress("teaching", len(jobs), "pieces", note=staff.note(STAGE)) as advance:
        asyncio.run(work(advance))
    return pieces


def _quality(
    cases: Sequence[Case], pieces: Mapping[tuple[int, str], Piece], names: tuple[str, str], strict: str
) -> TeacherQuality:
    kinds: dict[Kind, list[int]] = {
        "thoughts": [place for place, case in enumerate(cases) if case.attempt is None],
        "traces": [place for place, case in enumerate(cases) if case.attempt is not None],
    }
    held = {kind: places for kind, places in kinds.items() if places}
    return TeacherQuality(
        teacher=names[0],
        inspector=names[1],
        strict=strict,
        arms=tuple(
            arm_figures(kind, arm, [pieces[place, arm] for place in places])
            for kind, places in held.items()
            for arm in ARMS
        ),
        inspections=tuple(
            inspector_figures(kind, [pieces[place, "bare"] for place in places]) for kind, places in held.items()
        ),
    )


def teacher_table(quality: TeacherQuality) -> Table:
    """Table 5: one row per kind of work and arm."""
    shown = {"bare": "first reply", "checked": "+ our checks", "inspected": f"+ inspector {quality.inspector}"}
    rows = tuple(
        (
            f"{row.kind}, {shown[row.arm]}",
            *(percent(figure) for figure in (row.by_answer, row.strict, row.delivered)),
            number(row.rounds),
            str(row.unjudged),
        )
        for row in quality.arms
    )
    said = "; ".join(
        f"of faulty {row.kind} the inspector sends back {percent(row.caught)}, of sound ones "
        f"{percent(row.wrongly_refused)}"
        for row in quality.inspections
    )
    return Table(
        title=f"Quality of the work of {quality.teacher}",
        columns=("work", "answer right", "every step right", "delivered", "rounds", "unjudged"),
        rows=rows,
        note=f"%, [95 %]; shares of what is delivered; every step by {quality.strict}. On first replies: {said}.",
    )
