"""Reviews: the student sees its own solution, no gold one; error and answer at t2 are read from the reply."""

from __future__ import annotations

import pytest
from stand_ins import ATTEMPT, CORRECT, ERROR, PROBLEM, TRACE, WRITTEN, SayingStudent

from redink.markup import render_trace
from redink.models.student import Completion, Request, Sampling
from redink.stages.reviews import as_review, correction_prompt, review
from redink.types import CorrectionTrace, LocatedError


def test_the_prompt_holds_problem_and_solution_and_no_gold_solution() -> None:
    prompt = correction_prompt(CORRECT, PROBLEM, ATTEMPT)
    assert prompt == f"Q: 47 + 38 - 20 + 1? A: {WRITTEN}"
    assert "secret" not in prompt


def test_every_attempt_gets_its_reviews_in_order() -> None:
    other = ATTEMPT.model_copy(update={"sample": 5, "text": "other"})
    student = SayingStudent(*(f"<Answer>{n}</Answer>" for n in (66, 1, 66, 2)))
    rows = review([PROBLEM, PROBLEM], [ATTEMPT, other], student, CORRECT, Sampling(samples=2))  # type: ignore[arg-type]
    assert [(row.sample, row.answer, row.verdict.outcome) for row in rows] == [
        (4, "66", "right"), (4, "1", "wrong"), (5, "66", "right"), (5, "2", "wrong"),
    ]  # fmt: skip
    assert student.requests[1] == Request("Q: 47 + 38 - 20 + 1? A: other")


@pytest.mark.parametrize(
    ("text", "error", "outcome"),
    [
        (render_trace(TRACE), ERROR, "right"),
        (render_trace(CorrectionTrace(steps=TRACE.steps, answer="66")), None, "right"),
        ("<Step1>a<Cause>b</Cause></Step1><Answer>66</Answer>", None, "right"),  # a cause alone: unreadable
        ("<Step1>a<Cause>b</Cause><Correction>c</Correction></Step1><Answer>7</Answer>",
         LocatedError(step=1, cause="b", correction="c"), "wrong"),
        ("nothing", None, "ungradable"),
    ],
)  # fmt: skip
def test_error_and_answer_are_read_apart(text: str, error: LocatedError | None, outcome: str) -> None:
    row = as_review(PROBLEM, ATTEMPT, Completion(text, "stop", 9))
    assert (row.problem_id, row.sample, row.text) == ("p1", 4, text)
    assert row.error == error
    assert row.verdict.outcome == outcome
    assert not row.truncated


def test_a_review_that_was_cut_says_so() -> None:
    assert as_review(PROBLEM, ATTEMPT, Completion("<Step1>", "length", 9)).truncated
