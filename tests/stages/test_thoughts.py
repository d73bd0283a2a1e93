"""Thoughts: a problem has one outcome; only inspected thoughts with the right answer are accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from zlib import crc32

import pytest
from stand_ins import PROBLEM, THOUGHT, Desk

from redink.failures import MarkupFailure, ReplyFailure, RowFailure, Unteachable
from redink.markup import render_thought
from redink.models.chat import ChatRequest
from redink.models.scripted import ScriptedChat
from redink.stages.thoughts import write_thought
from redink.teaching.inspection import NoInspector, Patience
from redink.teaching.llm import LLMTeacher
from redink.teaching.protocols import Inspection
from redink.types import Quarantined, Rejected, Row, ThoughtRow, Tried

WRONG = THOUGHT.model_copy(update={"answer": "67"})
NO = Inspection(accepted=False, remarks=("step 1 is vague",))


def write(desk: Desk, patience: Patience | None = None, before: Sequence[Tried] = ()) -> Row:
    return asyncio.run(write_thought(PROBLEM, desk, desk, patience, before))


def test_a_right_thought_is_accepted_with_its_rounds() -> None:
    desk = Desk({"p1": [THOUGHT, THOUGHT]}, {"p1": [NO]})
    refused = Tried(reason="not_accepted", detail="step 1 is vague", raw=render_thought(THOUGHT))
    assert write(desk) == ThoughtRow(problem_id="p1", thought=THOUGHT, rounds=2, tries=(refused,))
    assert desk.remarks == [(), ("step 1 is vague",)]


def test_a_thought_with_a_wrong_answer_is_rejected_though_the_inspector_liked_it() -> None:
    assert write(Desk({"p1": [WRONG]})) == Rejected(problem_id="p1", stage="thoughts", reason="answer_is_wrong")


def test_an_answer_in_another_form_is_right() -> None:
    row = write(Desk({"p1": [THOUGHT.model_copy(update={"answer": "66.0"})]}))
    assert isinstance(row, ThoughtRow)


@pytest.mark.parametrize(
    ("failure", "reason", "detail", "raw"),
    [
        (Unteachable("no_solution", "there is none"), "no_solution", "there is none", ""),
        (ReplyFailure("cut", "at 9 tokens", "<Step1>"), "cut", "at 9 tokens", "<Step1>"),
    ],
)
def test_what_cannot_be_written_is_quarantined_with_reason_and_raw_text(
    failure: RowFailure, reason: str, detail: str, raw: str
) -> None:
    assert write(Desk({"p1": [failure]})) == Quarantined(
        problem_id="p1", stage="thoughts", reason=reason, detail=detail, raw=raw
    )


def test_unreadable_to_the_last_try_is_quarantined_with_every_try() -> None:
    tries = [MarkupFailure("no_steps", 3, raw="blah"), MarkupFailure("step_gap", 4, raw="<Step2>")]
    assert write(Desk({"p1": [*tries]}), Patience(tries=2)) == Quarantined(
        problem_id="p1",
        stage="thoughts",
        reason="step_gap",
        detail="at character 4",
        raw="<Step2>",
        tries=(Tried(reason="no_steps", detail="at character 3", raw="blah"),),
    )


def test_never_accepted_is_quarantined_with_the_remarks() -> None:
    row = write(Desk({"p1": [THOUGHT, THOUGHT, THOUGHT]}, {"p1": [NO, NO, NO]}))
    assert isinstance(row, Quarantined)
    assert (row.reason, row.detail) == ("not_accepted", "step 1 is vague")
    assert [tried.reason for tried in row.tries] == ["not_accepted", "not_accepted"]


def test_a_requeued_row_is_made_with_the_memory_of_its_tries() -> None:
    before = (Tried(reason="no_steps", detail="at character 3", raw="blah"),)
    desk = Desk({"p1": [ReplyFailure("server_failed")]})
    row = write(desk, before=before)
    assert isinstance(row, Quarantined)
    assert row.tries == before
    assert "no_steps: at character 3" in desk.remarks[0][0]


def test_nearly_every_row_is_recovered_from_malformed_replies_and_none_is_lost() -> None:
    """Where one reply in ten is malformed, by its request: 0.1³ = 0.1 % of rows fail three times (goal: 0.2 %)."""
    good = "<Step1>47 + 38 = 85</Step1><Step2>85 - 19 = 66</Step2><Answer>66</Answer>"

    def reply(request: ChatRequest) -> str:
        return "I will not." if crc32(request.messages[0].content.encode()) % 10 == 0 else good

    teacher = LLMTeacher(ScriptedChat(reply))
    problems = [PROBLEM.model_copy(update={"id": f"p{n}", "question": f"{n}?"}) for n in range(2000)]

    async def write_all() -> list[Row]:
        return [await write_thought(problem, teacher, NoInspector()) for problem in problems]

    rows = asyncio.run(write_all())
    accepted = sum(isinstance(row, ThoughtRow) for row in rows)
    assert accepted >= 0.998 * 2000
    assert accepted + sum(isinstance(row, Quarantined) for row in rows) == 2000


def test_a_failure_that_is_no_row_failure_is_not_hidden() -> None:
    desk = Desk({"p1": []})
    with pytest.raises(IndexError):
        write(desk)
