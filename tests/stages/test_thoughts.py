"""Thoughts: every problem has one outcome; only inspected thoughts with the right answer are accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from stand_ins import PROBLEM, THOUGHT, Desk

from redink.failures import MarkupFailure, ReplyFailure, RowFailure, Unteachable
from redink.stages.thoughts import write_thoughts
from redink.teaching.protocols import Inspection
from redink.types import Problem, Quarantined, Rejected, Row, ThoughtRow

WRONG = THOUGHT.model_copy(update={"answer": "67"})
NO = Inspection(accepted=False, remarks=("step 1 is vague",))


def write(desk: Desk, problems: Sequence[Problem] = (PROBLEM,), rounds: int = 3, **more: object) -> list[Row]:
    return list(asyncio.run(write_thoughts(problems, desk, desk, rounds, **more)))  # type: ignore[arg-type]


def test_a_right_thought_is_accepted_with_its_rounds() -> None:
    desk = Desk({"p1": [THOUGHT, THOUGHT]}, {"p1": [NO]})
    assert write(desk) == [ThoughtRow(problem_id="p1", thought=THOUGHT, rounds=2)]
    assert desk.remarks == [(), ("step 1 is vague",)]


def test_a_thought_with_a_wrong_answer_is_rejected_though_the_inspector_liked_it() -> None:
    assert write(Desk({"p1": [WRONG]})) == [Rejected(problem_id="p1", stage="thoughts", reason="answer_is_wrong")]


def test_an_answer_in_another_form_is_right() -> None:
    (row,) = write(Desk({"p1": [THOUGHT.model_copy(update={"answer": "66.0"})]}))
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
    assert write(Desk({"p1": [failure]})) == [
        Quarantined(problem_id="p1", stage="thoughts", reason=reason, detail=detail, raw=raw)
    ]


def test_unreadable_to_the_last_round_is_quarantined() -> None:
    (row,) = write(Desk({"p1": [MarkupFailure("no_steps", 3, raw="blah")] * 2}), rounds=2)
    assert isinstance(row, Quarantined)
    assert (row.reason, row.detail, row.raw) == ("no_steps", "at character 3", "blah")


def test_never_accepted_is_quarantined_with_the_remarks() -> None:
    (row,) = write(Desk({"p1": [THOUGHT, THOUGHT, THOUGHT]}, {"p1": [NO, NO, NO]}))
    assert isinstance(row, Quarantined)
    assert (row.reason, row.detail) == ("not_accepted", "step 1 is vague")


def test_many_problems_keep_their_order_and_are_counted_one_by_one() -> None:
    done: list[int] = []
    problems = [PROBLEM.model_copy(update={"id": f"p{n}"}) for n in range(5)]
    desk = Desk({f"p{n}": [WRONG if n == 2 else THOUGHT] for n in range(5)})
    rows = write(desk, problems, advance=lambda units=1, note="": done.append(units))
    assert [(type(row), row.problem_id) for row in rows] == [  # type: ignore[attr-defined]
        (Rejected if n == 2 else ThoughtRow, f"p{n}") for n in range(5)
    ]
    assert done == [1] * 5


def test_a_failure_that_is_no_row_failure_is_not_hidden() -> None:
    desk = Desk({"p1": []})
    with pytest.raises(IndexError):
        write(desk)
