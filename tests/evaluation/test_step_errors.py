"""Table 6: against the teacher, by a judge, and given the true location; every share counted by hand."""

from __future__ import annotations

import pytest
from stand_ins import ATTEMPT, CORRECT, GREEDY, PROBLEM, TRACE, SayingStudent

from redink.evaluation.step_errors import (
    JudgedReview,
    StepErrors,
    answers_given_location,
    given_location,
    judged_step_errors,
    mendable,
    mended_answers,
    mended_given_location,
    opened_at,
    step_errors,
    teacher_step_errors,
)
from redink.models.student import Completion
from redink.types import (
    CorrectionRow,
    LabelledSolution,
    LocatedError,
    OwnCorrection,
    Review,
    Step,
    Verdict,
)

RIGHT, WRONG, OPEN = (Verdict(outcome=outcome) for outcome in ("right", "wrong", "ungradable"))


def review(name: str, step: int | None, correction: str = "85 - 20 = 65") -> Review:
    error = LocatedError(step=step, cause="c", correction=correction) if step else None
    return Review(problem_id=name, text="", error=error, verdict=WRONG)


def row(name: str) -> CorrectionRow:
    return CorrectionRow(problem_id=name, trace=TRACE)


def test_against_the_teacher() -> None:
    """Truth: step 2, 65. a: step 2 and 65 (both). b: step 2, 66. c: step 1. d: none. e: no trace. So 2/4, 1/4, 1/2."""
    reviews = [review("a", 2), review("b", 2, "85 - 20 = 66"), review("c", 1), review("d", None), review("e", 2)]
    truth = {name: row(name) for name in "abcd"}
    assert step_errors(reviews, truth) == (2, 1, 4)
    found = teacher_step_errors(reviews, truth, "reference")
    assert [(x.value, x.n) for x in (found.locate, found.correct, found.correct_located)] == [
        (0.5, 4), (0.25, 4), (0.5, 2),
    ]  # fmt: skip
    assert (found.unlocated, found.unjudged, found.truth) == (1, 0, "reference")


def judged(step: int | None, marked: int | None, verdict: Verdict | None = None, readable: bool = True) -> JudgedReview:
    return JudgedReview(problem_id="p", step=step, readable=readable, marked=marked, correction=verdict)


def test_by_a_judge_what_it_cannot_say_is_not_scored() -> None:
    """Eight wrong solutions: one unreadable judgment, one without a wrong step; six remain.

    Of these four are marked at the judge's step: right, right, wrong, unsure. Locate 4/6. Correct 2/5: the unsure one
    is no case. Correct given located 2/3.
    """
    rows = [
        judged(None, 2, readable=False), judged(None, 1), judged(2, 1), judged(3, None),
        judged(1, 1, RIGHT), judged(2, 2, RIGHT), judged(2, 2, WRONG), judged(4, 4, OPEN),
    ]  # fmt: skip
    found = judged_step_errors(rows, "judge")
    assert [(x.value, x.n) for x in (found.locate, found.correct, found.correct_located)] == [
        (pytest.approx(4 / 6), 6), (0.4, 5), (pytest.approx(2 / 3), 3),
    ]  # fmt: skip
    assert (found.unlocated, found.unjudged, found.unsure) == (1, 1, 1)


def test_no_review_at_all() -> None:
    found = judged_step_errors([], "judge")
    assert isinstance(found, StepErrors)
    assert (found.locate.value, found.correct.value, found.locate.n) == (None, None, 0)


def test_the_step_is_opened() -> None:
    before = [Step(number=1, text="a", key="b")]
    assert (
        opened_at(before, Step(number=2, text="c", key="d"))
        == "<Step1>a<Key>b</Key></Step1>\n<Step2>c<Key>d</Key><Cause>"
    )
    assert opened_at([], Step(number=1, text="a</Step1>")) == "<Step1>a&lt;/Step1><Cause>"


def test_given_the_location_the_student_only_mends() -> None:
    """The prefix holds the right step before, then the student's own step 2, never the trace's with its key."""
    keyed = TRACE.model_copy(
        update={"steps": (TRACE.steps[0], TRACE.steps[1].model_copy(update={"key": "85 - 20 = 65"}))}
    )
    rows = [CorrectionRow(problem_id="p1", sample=4, trace=keyed)] * 3
    student = SayingStudent(
        "it is 65</Cause><Correction>85 - 20 = 65</Correction></Step2>",
        "wrong</Cause><Correction>85 - 20 = 75</Correction></Step2>",
        Completion("it is 65</Cause><Correc", "length", 9),
    )
    own = given_location([PROBLEM] * 3, [ATTEMPT] * 3, rows, student, CORRECT, GREEDY)  # type: ignore[arg-type]
    assert {request.prefix for request in student.requests} == {
        "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75<Cause>"
    }
    assert {request.prompt for request in student.requests} == {f"Q: {PROBLEM.question} A: {ATTEMPT.text}"}
    assert [correction.sample for correction in own] == [4, 4, 4]
    found = mended_given_location(own, [ATTEMPT] * 3, rows)
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)


def test_an_attempt_without_readable_steps_is_opened_by_the_traces_words() -> None:
    unread = ATTEMPT.model_copy(update={"steps": ()})
    own = [OwnCorrection(problem_id="p1", text="so</Cause><Correction>it is 65</Correction></Step2>")]
    assert mended_given_location(own, [unread], [row("p1")]).value == 1.0


def test_a_trace_without_error_has_no_location() -> None:
    sound = CorrectionRow(problem_id="p1", trace=TRACE.model_copy(update={"error": None}))
    with pytest.raises(ValueError, match="locates no error"):
        given_location([PROBLEM], [ATTEMPT], [sound], SayingStudent("x"), CORRECT, GREEDY)  # type: ignore[arg-type]


def labelled(name: str, first_wrong: int | None, answer: str | None, answer_right: bool | None) -> LabelledSolution:
    return LabelledSolution(
        id=name, question="Q?", steps=ATTEMPT.steps, first_wrong=first_wrong, answer=answer, answer_right=answer_right
    )


def test_answers_given_the_location() -> None:
    """Of five solutions two can be mended; the student reaches 66 in one of them."""
    rows = [
        labelled("a", 2, "66", False), labelled("b", 1, "66", None), labelled("c", None, "66", False),
        labelled("d", 2, None, False), labelled("e", 2, "66", True),
    ]  # fmt: skip
    assert [solution.id for solution in mendable(rows)] == ["a", "b"]
    student = SayingStudent(
        "c</Cause><Correction>65</Correction></Step2><Step3>65 + 1 = 66</Step3><Answer>66</Answer>",
        Completion("and so on", "length", 3),
    )
    given = answers_given_location(mendable(rows), student, CORRECT, GREEDY)  # type: ignore[arg-type]
    assert [request.prefix for request in student.requests] == [
        "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75<Cause>", "<Step1>47 + 38 = 85<Cause>",
    ]  # fmt: skip
    assert (given[0].answer, given[0].verdict.outcome, given[0].truncated) == ("66", "right", False)
    found = mended_answers(given, [WRONG, WRONG])
    assert (found.given.value, found.truncated) == (0.5, 1)
    assert found.unaided is not None and found.unaided.value == 0.0
    with pytest.raises(ValueError, match="no step of c is marked"):
        answers_given_location([rows[2]], student, CORRECT, GREEDY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no gold answer is known for d"):
        answers_given_location([rows[3]], student, CORRECT, GREEDY)  # type: ignore[arg-type]
