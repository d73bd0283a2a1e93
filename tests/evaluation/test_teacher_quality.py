"""Table 5: the three arms counted by hand, and a teacher whose planted errors are known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from stand_ins import ATTEMPT, PROBLEM, THOUGHT, TRACE, Desk

from redink.evaluation.teacher_quality import (
    ARMS,
    Arm,
    Case,
    Piece,
    SameWork,
    arm_figures,
    inspector_figures,
    make_piece,
)
from redink.failures import ReplyFailure, Unsound
from redink.markup import render_thought
from redink.problems.stories import generate
from redink.teaching.inspection import Patience
from redink.teaching.protocols import Inspection, Inspector
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import CorrectionTrace, Problem, Thought

NO = Inspection(accepted=False, remarks=("Mend it.",))
BAD = THOUGHT.model_copy(update={"answer": "67"})


class Strict:
    """Accepts exactly `THOUGHT` and `TRACE`."""

    async def inspect(
        self, problem: Problem, work: Thought | CorrectionTrace, attempt: object = None, remarks: Sequence[str] = ()
    ) -> Inspection:
        return Inspection(accepted=work in (THOUGHT, TRACE))


def piece(arm: Arm, desk: Desk, case: Case | None = None, strict: Inspector | None = None) -> Piece:
    asked = case or Case(problem=PROBLEM)
    return asyncio.run(make_piece(asked, arm, desk, desk, strict or Strict(), Patience(3, 3, 3)))


def test_bare_is_the_first_reply_as_it_comes() -> None:
    """The inspector is asked what it says of it, but sends nothing back."""
    found = piece("bare", Desk({"p1": [BAD, THOUGHT]}, {"p1": [NO]}))
    assert (found.made, found.by_answer, found.strict, found.rounds, found.passed) == (True, False, False, 1, False)


def test_inspected_work_is_made_anew() -> None:
    found = piece("inspected", Desk({"p1": [BAD, THOUGHT]}, {"p1": [NO, Inspection(accepted=True)]}))
    assert (found.made, found.by_answer, found.strict, found.rounds, found.passed) == (True, True, True, 2, None)


def test_checked_asks_again_for_what_cannot_be_right_and_never_asks_the_inspector() -> None:
    desk = Desk({"p1": [Unsound("answer_is_wrong", "It is 66.", "raw"), THOUGHT]}, {"p1": [NO]})
    found = piece("checked", desk)
    assert (found.made, found.strict, desk.inspected) == (True, True, [])


def test_a_first_reply_that_cannot_be_right_counts_as_wrong_work() -> None:
    """Bare: it is delivered, strictly wrong; its answer is what it says."""
    for answer, right in (("67", False), ("66", True)):
        raw = render_thought(THOUGHT.model_copy(update={"answer": answer}))
        found = piece("bare", Desk({"p1": [Unsound("whatever", "Mend it.", raw)]}))
        assert (found.made, found.by_answer, found.strict, found.reason) == (True, right, False, "whatever")


def test_what_is_given_up_is_not_delivered() -> None:
    refused = piece("inspected", Desk({"p1": [BAD] * 3}, {"p1": [NO] * 3}))
    assert (refused.made, refused.reason, refused.rounds) == (False, "not_accepted", 0)
    silent = piece("bare", Desk({"p1": [ReplyFailure("truncated", "", "")]}))
    assert (silent.made, silent.strict, silent.reason) == (False, None, "truncated")


def test_no_verdict_is_never_scored() -> None:
    class Dumb:
        async def inspect(self, *_: object, **__: object) -> Inspection:
            raise Unsound("unreadable_verdict", "", "")

    found = piece("inspected", Desk({"p1": [THOUGHT]}), strict=Dumb())
    assert (found.made, found.by_answer, found.strict) == (True, True, None)


def test_a_trace_is_asked_for_beside_its_attempt() -> None:
    found = piece("inspected", Desk({"p1": [TRACE]}), Case(problem=PROBLEM, attempt=ATTEMPT))
    assert (found.sample, found.by_answer, found.strict) == (4, True, True)


def made(arm: Arm, by_answer: bool, strict: bool | None, rounds: int = 1, passed: bool | None = None) -> Piece:
    return Piece(problem_id="p", arm=arm, made=True, by_answer=by_answer, strict=strict, rounds=rounds, passed=passed)


def test_the_figures_by_hand() -> None:
    """Five cases: four delivered (3 of 4 right by answer, 1 of 3 judged strictly right, rounds 1 1 3 3), one not."""
    pieces = [
        made("inspected", True, True), made("inspected", True, False), made("inspected", True, None, 3),
        made("inspected", False, False, 3), Piece(problem_id="p", arm="inspected", made=False, reason="not_accepted"),
    ]  # fmt: skip
    found = arm_figures("thoughts", "inspected", pieces)
    assert [(x.value, x.n) for x in (found.by_answer, found.strict, found.delivered, found.rounds)] == [
        (0.75, 4), (pytest.approx(1 / 3), 3), (0.8, 5), (2.0, 4),
    ]  # fmt: skip
    assert (found.cases, found.unjudged, found.reasons) == (5, 1, {"not_accepted": 1})


def test_what_the_inspector_catches_by_hand() -> None:
    """Three faulty, two of them sent back; two sound, one sent back; one without a word of the inspector."""
    bare = [
        made("bare", True, False, passed=False), made("bare", True, False, passed=False),
        made("bare", True, False, passed=True), made("bare", True, True, passed=True),
        made("bare", True, True, passed=False), made("bare", True, True, passed=None),
        made("bare", True, None, passed=True),
    ]  # fmt: skip
    found = inspector_figures("thoughts", bare)
    assert (found.caught.value, found.caught.n) == (pytest.approx(2 / 3), 3)
    assert (found.wrongly_refused.value, found.wrongly_refused.n, found.unread) == (0.5, 2, 1)


def test_a_teacher_with_planted_errors() -> None:
    """The teacher's own dice tell which first thoughts are spoilt (its docstring: seed, problem, 'thought', remarks).

    Strictly right without inspector: exactly the others. The inspector can only raise that share.
    """
    problems, rate = generate("ledger", 150, seed=3), 0.3
    spoilt = {p.id for p in problems if random.Random(f"5\n{p.id}\nthought\n0").random() < rate}
    teacher = ReferenceTeacher(rate, seed=5)

    async def all_of(arm: Arm) -> list[Piece]:
        strict = SameWork(ReferenceTeacher(seed=5))
        return [
            await make_piece(Case(problem=p), arm, teacher, ReferenceInspector(), strict, Patience(3, 3, 3))
            for p in problems
        ]

    pieces = {arm: asyncio.run(all_of(arm)) for arm in ARMS}
    assert {piece.problem_id for piece in pieces["bare"] if not piece.strict} == spoilt
    assert 20 < len(spoilt) < 70
    assert pieces["checked"] == [
        piece.model_copy(update={"arm": "checked", "passed": None}) for piece in pieces["bare"]
    ]
    with_inspector = arm_figures("thoughts", "inspected", pieces["inspected"])
    assert with_inspector.strict.value == 1.0
    assert {piece.problem_id for piece in pieces["inspected"] if piece.rounds != 1} == spoilt
    assert with_inspector.reasons.keys() <= {"not_accepted"}
    caught = inspector_figures("thoughts", pieces["bare"])
    assert (caught.caught.value, caught.caught.n, caught.wrongly_refused.value) == (1.0, len(spoilt), 0.0)
