"""Corrections: every wrong attempt has one outcome; only located errors that lead to the right answer are accepted."""

from __future__ import annotations

import asyncio

import pytest
from stand_ins import ATTEMPT, PROBLEM, TRACE, Desk

from redink.failures import MarkupFailure, RowFailure, Unteachable
from redink.markup import render_trace
from redink.stages.corrections import write_correction
from redink.teaching.protocols import Inspection
from redink.types import CorrectionRow, CorrectionTrace, Quarantined, Rejected, Row, Tried

NO = Inspection(accepted=False, remarks=("look at step 2",))


def write(desk: Desk) -> Row:
    return asyncio.run(write_correction(PROBLEM, ATTEMPT, desk, desk))


def test_a_located_error_with_the_right_answer_is_accepted() -> None:
    desk = Desk({"p1": [TRACE, TRACE]}, {"p1": [NO]})
    refused = Tried(reason="not_accepted", detail="look at step 2", raw=render_trace(TRACE))
    assert write(desk) == CorrectionRow(problem_id="p1", sample=4, trace=TRACE, rounds=2, tries=(refused,))
    assert desk.remarks == [(), ("look at step 2",)]
    assert desk.inspected == [("p1", ATTEMPT)] * 2, "the inspector sees the attempt"


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (TRACE.model_copy(update={"error": None}), "unlocated"),
        (TRACE.model_copy(update={"answer": "67"}), "answer_is_wrong"),
        (Unteachable("unlocated", "no step is wrong"), "unlocated"),
        (Unteachable("no_steps"), "no_steps"),
    ],
)
def test_what_is_no_correction_is_rejected_by_name(work: CorrectionTrace | RowFailure, reason: str) -> None:
    assert write(Desk({"p1": [work]})) == Rejected(problem_id="p1", sample=4, stage="corrections", reason=reason)


def test_what_cannot_be_written_is_quarantined_with_its_sample() -> None:
    assert write(Desk({"p1": [Unteachable("no_solution")]})) == Quarantined(
        problem_id="p1", sample=4, stage="corrections", reason="no_solution"
    )


def test_an_inspector_without_a_verdict_is_no_acceptance() -> None:
    row = write(Desk({"p1": [TRACE]}, {"p1": [RowFailure("no_verdict", raw="hm")]}))
    assert isinstance(row, Quarantined)
    assert (row.reason, row.raw) == ("no_verdict", "hm")


def test_a_reply_without_steps_is_quarantined_with_its_text_and_not_taken_for_an_attempt_without_steps() -> None:
    row = write(Desk({"p1": [MarkupFailure("no_steps", 0, raw="I cannot.")] * 3}))
    assert isinstance(row, Quarantined)
    assert (row.reason, row.raw, len(row.tries)) == ("no_steps", "I cannot.", 2)
