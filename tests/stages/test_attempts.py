"""Attempts: one row per sample, with steps, answer and verdict read from the reply."""

from __future__ import annotations

import pytest
from stand_ins import GREEDY, PROBLEM, SOLVE, WRITTEN, SayingStudent

from redink.models.student import Completion, Request, Sampling
from redink.stages.attempts import as_attempt, attempt
from redink.types import Problem

OTHER = Problem(id="p2", question="1 + 1?", answer="2")


def test_every_problem_gets_its_samples_in_order() -> None:
    student = SayingStudent(*(f"<Answer>{n}</Answer>" for n in (66, 2, 66, 2)))
    rows = attempt([PROBLEM, OTHER], student, SOLVE, Sampling(samples=2))  # type: ignore[arg-type]
    assert [(row.problem_id, row.sample, row.answer, row.verdict.outcome) for row in rows] == [
        ("p1", 0, "66", "right"), ("p1", 1, "2", "wrong"), ("p2", 0, "66", "wrong"), ("p2", 1, "2", "right"),
    ]  # fmt: skip


def test_the_student_is_asked_the_question_and_never_shown_the_solution() -> None:
    student = SayingStudent("")
    attempt([PROBLEM], student, SOLVE, GREEDY)  # type: ignore[arg-type]
    assert student.requests == [Request("Q: 47 + 38 - 20 + 1?")]


def test_steps_and_answer_are_read_from_the_reply() -> None:
    row = as_attempt(PROBLEM, 3, Completion(f"\n {WRITTEN}\n", "stop", 40))
    assert row.sample == 3
    assert row.text == WRITTEN
    assert [step.text for step in row.steps] == ["47 + 38 = 85", "85 - 20 = 75", "75 + 1 = 76"]
    assert (row.answer, row.verdict.outcome, row.truncated) == ("76", "wrong", False)


@pytest.mark.parametrize(
    ("text", "finish", "answer", "outcome", "truncated"),
    [
        ("I do not know", "end", None, "ungradable", False),
        ("<Step1>47 + 3", "length", None, "ungradable", True),
        ("", "end", None, "ungradable", False),
        ("<Answer>66</Answer>", "length", "66", "right", True),
    ],
)
def test_a_reply_without_an_answer_is_ungradable_not_wrong(
    text: str, finish: str, answer: str | None, outcome: str, truncated: bool
) -> None:
    row = as_attempt(PROBLEM, 0, Completion(text, finish, 9))  # type: ignore[arg-type]
    assert (row.answer, row.verdict.outcome, row.truncated) == (answer, outcome, truncated)


def test_progress_counts_samples() -> None:
    done: list[int] = []
    student = SayingStudent(*"abcdef")
    attempt([PROBLEM, OTHER], student, SOLVE, Sampling(samples=3), lambda units=1, note="": done.append(units))  # type: ignore[arg-type]
    assert sum(done) == 6
