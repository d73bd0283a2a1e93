"""Pairs: both sides continue one prefix; what is no preference is left out by name. Worked out by hand on one trace."""

from __future__ import annotations

import pytest
from stand_ins import ATTEMPT, CORRECT, ERROR, GREEDY, PROBLEM, STEPS, TRACE, WRITTEN, SayingStudent

from redink.markup import render_trace
from redink.models.student import Completion, Request
from redink.stages.pairs import (
    STEP_ENDS,
    Place,
    chosen_side,
    confirmation_pair,
    counterpart_pair,
    error_pair,
    made_alarms,
    marked_error,
    own_corrections,
    repairs,
    shared_prefix,
    some_place,
)
from redink.types import CorrectionRow, LocatedError, OwnCorrection, PreferencePair, Rejected, Review, Step, Verdict

PREFIX = "<Step1>47 + 38 = 85</Step1>\n"
CHOSEN = (
    "<Step2>85 - 20 = 75<Cause>85 - 20 = 65, not 75</Cause><Correction>85 - 20 = 65</Correction></Step2>"
)  # fmt: skip
PROMPT = f"Q: 47 + 38 - 20 + 1? A: {WRITTEN}"
ROW = CorrectionRow(problem_id="p1", sample=4, trace=TRACE)


def at(step: int) -> CorrectionRow:
    """The same trace with its error at another step."""
    return ROW.model_copy(update={"trace": TRACE.model_copy(update={"error": ERROR.model_copy(update={"step": step})})})


def own(text: str, ends: bool = False) -> OwnCorrection:
    return OwnCorrection(problem_id="p1", sample=4, text=text, ends=ends)


def pair_of(text: str, row: CorrectionRow = ROW, ends: bool = False) -> PreferencePair | Rejected:
    return error_pair(PROBLEM, ATTEMPT, row, own(text, ends), CORRECT)


# ---------------------------------------------------------------- the two sides


def test_the_prefix_is_the_steps_before_k_and_the_chosen_side_is_step_k() -> None:
    assert shared_prefix(TRACE) == PREFIX
    assert chosen_side(TRACE) == CHOSEN
    assert render_trace(TRACE).startswith(PREFIX + CHOSEN)


def test_a_first_step_has_no_prefix() -> None:
    assert shared_prefix(at(1).trace) == ""
    assert chosen_side(at(1).trace).startswith("<Step1>47 + 38 = 85<Cause>")


@pytest.mark.parametrize("side", [shared_prefix, chosen_side])
def test_a_trace_without_an_error_has_no_sides(side: object) -> None:
    with pytest.raises(ValueError, match="locates no error"):
        side(TRACE.model_copy(update={"error": None}))  # type: ignore[operator]


def test_the_student_goes_on_from_the_same_prompt_and_prefix() -> None:
    student = SayingStudent(Completion("<Step2>a</Step2>", "stop", 3), Completion("b", "end", 2))
    rows = own_corrections([PROBLEM] * 2, [ATTEMPT] * 2, [ROW, at(1)], student, CORRECT, GREEDY)  # type: ignore[arg-type]
    assert student.requests == [Request(PROMPT, PREFIX), Request(PROMPT, "")]
    assert rows == [own("<Step2>a</Step2>"), own("b", ends=True)]


def test_a_step_of_any_number_ends_the_students_side() -> None:
    assert {"</Step1>", "</Step12>", "</Answer>"} <= set(STEP_ENDS)


# ---------------------------------------------------------------- is the student's side right?


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (CHOSEN, ERROR),
        ("<Step2>85 - 20 = 75</Step2>", None),
        ("<Step2>85 - 20 = 75<Cause>no</Cause></Step2>", None),
        ("garbage", None),
        ("<Step2>x<Cause>c</Cause><Correction>65", LocatedError(step=2, cause="c", correction="65")),
    ],
)
def test_the_error_that_a_continuation_marks(text: str, error: LocatedError | None) -> None:
    assert marked_error(PREFIX, text) == error


@pytest.mark.parametrize(
    ("step", "correction", "right"),
    [
        (2, "85 - 20 = 65", True),
        (2, "it should be 65.0", True),
        (2, "85 - 10 = 75", False),
        (2, "65, so 66", False),
        (2, "take twenty away", False),
        (1, "85 - 20 = 65", False),
        (3, "85 - 20 = 65", False),
    ],
)
def test_a_repair_marks_step_k_and_ends_in_its_value(step: int, correction: str, right: bool) -> None:
    assert repairs(LocatedError(step=step, cause="c", correction=correction), ERROR) is right


def test_no_mark_is_no_repair() -> None:
    assert not repairs(None, ERROR)


@pytest.mark.parametrize(("correction", "right"), [(" take it away ", True), ("add it", False), ("take 5", False)])
def test_a_correction_without_numbers_is_compared_as_text(correction: str, right: bool) -> None:
    truth = LocatedError(step=2, cause="c", correction="take it away")
    assert repairs(LocatedError(step=2, cause="x", correction=correction), truth) is right


# ---------------------------------------------------------------- pairs on wrong solutions


@pytest.mark.parametrize(
    "text",
    [
        "<Step2>85 - 20 = 75</Step2>",  # saw nothing
        "<Step2>85 - 20 = 75<Cause>c</Cause><Correction>85 - 20 = 60</Correction></Step2>",  # repaired wrongly
        "<Step2>85 - 20 = 75<Cause>c</Cause></Step2>",  # cannot be read
        "<Step2>85 - 20 = 75<Cause>c</Cause><Correction>no number</Correction></Step2>",
    ],
)
def test_a_wrong_continuation_becomes_the_rejected_side(text: str) -> None:
    assert pair_of(f"{text}\n") == PreferencePair(
        problem_id="p1", sample=4, prompt=PROMPT, prefix=PREFIX, chosen=CHOSEN, rejected=text
    )


@pytest.mark.parametrize("ends", [True, False])
def test_the_rejected_side_ends_where_the_student_ended(ends: bool) -> None:
    pair = pair_of("<Step2>a", ends=ends)
    assert isinstance(pair, PreferencePair)
    assert (pair.chosen_ends, pair.rejected_ends) == (False, ends)


def test_a_pair_on_the_first_step_has_an_empty_prefix() -> None:
    pair = pair_of("<Step1>47 + 38 = 85</Step1>", at(1))
    assert isinstance(pair, PreferencePair)
    assert (pair.prefix, pair.rejected) == ("", "<Step1>47 + 38 = 85</Step1>")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<Step2>85 - 20 = 75<Cause>other words</Cause><Correction>so 65</Correction></Step2>", "student_is_right"),
        (CHOSEN, "sides_are_equal"),
        (f" {CHOSEN}\n", "sides_are_equal"),
        ("", "student_side_is_empty"),
        (" \n", "student_side_is_empty"),
    ],
)
def test_what_is_no_preference_is_left_out_by_name(text: str, reason: str) -> None:
    assert pair_of(text) == Rejected(problem_id="p1", sample=4, stage="pairs", reason=reason)


def test_a_right_correction_at_another_step_is_no_repair() -> None:
    text = "<Step2>85 - 20 = 75</Step2>\n<Step3>75 + 1 = 76<Cause>c</Cause><Correction>65</Correction></Step3>"
    assert isinstance(pair_of(text), PreferencePair)


# ---------------------------------------------------------------- pairs on right solutions

RIGHT = ATTEMPT.model_copy(
    update={
        "steps": (Step(number=1, text="47 + 38 = 85"), Step(number=2, text="85 - 20 = 65", key="85 - 20")),
        "verdict": Verdict(outcome="right"),
    }
)
PLAIN = "<Step2>85 - 20 = 65<Key>85 - 20</Key></Step2>"
ALARMED = "<Step2>85 - 20 = 65<Key>85 - 20</Key><Cause>no</Cause><Correction>60</Correction></Step2>"


def alarm(text: str, step: int | None = 2) -> Review:
    error = LocatedError(step=step, cause="no", correction="60") if step else None
    return Review(problem_id="p1", sample=4, text=text, error=error, verdict=Verdict(outcome="wrong"))


def test_a_false_alarm_is_rejected_for_the_plain_step() -> None:
    pair = confirmation_pair(PROBLEM, RIGHT, alarm(f"{PREFIX}{ALARMED}\n<Answer>60</Answer>"), CORRECT)
    assert pair == PreferencePair(
        problem_id="p1", sample=4, prompt=PROMPT, prefix=PREFIX, chosen=PLAIN, rejected=ALARMED, kind="confirmation"
    )


def test_a_false_alarm_at_the_first_step() -> None:
    text = "<Step1>47 + 38 = 85<Cause>no</Cause><Correction>60</Correction></Step1>"
    pair = confirmation_pair(PROBLEM, RIGHT, alarm(text + "\n<Answer>60</Answer>", 1), CORRECT)
    assert isinstance(pair, PreferencePair)
    assert (pair.prefix, pair.chosen, pair.rejected) == ("", "<Step1>47 + 38 = 85</Step1>", text)


@pytest.mark.parametrize(
    ("review", "reason"),
    [
        (alarm(f"{PREFIX}{PLAIN}", None), "no_false_alarm"),
        (alarm(f"<Step1>47 + 38 = 84</Step1>\n{ALARMED}"), "copy_is_unfaithful"),
        (alarm(f"{PREFIX}<Step2>85<Cause>no</Cause><Correction>60</Correction>"), "copy_is_unfaithful"),
        (alarm(f"{PREFIX}{ALARMED}", 3), "copy_is_unfaithful"),
    ],
)
def test_what_is_no_confirmation_is_left_out_by_name(review: Review, reason: str) -> None:
    assert confirmation_pair(PROBLEM, RIGHT, review, CORRECT) == Rejected(
        problem_id="p1", sample=4, stage="pairs", reason=reason
    )


def test_the_steps_of_a_confirmation_can_be_given_as_a_trace_would_hold_them() -> None:
    steps = (STEPS[0], Step(number=2, text="85 - 20", key="85 - 20 = 65"))
    alarmed = "<Step2>85 - 20<Key>85 - 20 = 65</Key><Cause>no</Cause><Correction>60</Correction></Step2>"
    pair = confirmation_pair(PROBLEM, RIGHT, alarm(PREFIX + alarmed), CORRECT, steps)
    assert isinstance(pair, PreferencePair)
    assert pair.chosen == "<Step2>85 - 20<Key>85 - 20 = 65</Key></Step2>"


# ---------------------------------------------------------------- counterparts at right steps

AT_TWO = Place(PROBLEM, RIGHT, RIGHT.steps, 2)


def test_the_student_is_made_to_begin_a_cause_at_a_right_step() -> None:
    student = SayingStudent("too much</Cause><Correction>60</Correction></Step2>")
    (alarm,) = made_alarms([AT_TWO], student, CORRECT, GREEDY)
    (request,) = student.requests
    assert request == Request(PROMPT, f"{PREFIX}<Step2>85 - 20 = 65<Key>85 - 20</Key><Cause>")
    assert (alarm.problem_id, alarm.sample) == ("p1", 4)
    pair = counterpart_pair(AT_TWO, alarm, CORRECT)
    assert isinstance(pair, PreferencePair)
    assert (pair.prefix, pair.chosen, pair.kind) == (PREFIX, PLAIN, "confirmation")
    assert pair.rejected == (
        "<Step2>85 - 20 = 65<Key>85 - 20</Key><Cause>too much</Cause><Correction>60</Correction></Step2>"
    )
    assert not pair.chosen_ends and not pair.rejected_ends


def test_where_a_step_is_worked_out_the_student_is_made_to_begin_with_another_operation() -> None:
    steps = (Step(number=1, text="47 + 38 = 85", key="47 + 30 = 77, 77 + 8 = 85, 85 - 85 = 0"),)
    place = Place(PROBLEM, RIGHT, steps, 1)
    student = SayingStudent(" = 17, 17 - 8 = 9, 85 - 9 = 76</Key><Cause>no</Cause><Correction>9</Correction></Step1>")
    (alarm,) = made_alarms([place], student, CORRECT, GREEDY)
    assert student.requests == [Request(PROMPT, "<Step1>47 + 38 = 85<Key>47 - 30")]
    pair = counterpart_pair(place, alarm, CORRECT)
    assert isinstance(pair, PreferencePair)
    assert pair.chosen == "<Step1>47 + 38 = 85<Key>47 + 30 = 77, 77 + 8 = 85, 85 - 85 = 0</Key></Step1>"
    assert pair.rejected.startswith("<Step1>47 + 38 = 85<Key>47 - 30 = 17, 17 - 8 = 9, 85 - 9 = 76</Key><Cause>no<")


def test_a_made_alarm_that_does_not_end_is_left_out() -> None:
    assert counterpart_pair(AT_TWO, own("too much, and on, and on"), CORRECT) == Rejected(
        problem_id="p1", sample=4, stage="pairs", reason="step_does_not_end"
    )


def test_every_step_is_as_likely_as_another_to_have_a_counterpart() -> None:
    steps = tuple(Step(number=number, text="1 + 1 = 2") for number in (1, 2, 3))
    places = [some_place(PROBLEM, RIGHT.model_copy(update={"sample": n}), steps, 7) for n in range(600)]
    counts = [sum(place is not None and place.number == number for place in places) for number in (1, 2, 3)]
    assert sum(counts) == 600 and min(counts) > 150  # 200 each are expected; 150 is over four deviations away
    assert some_place(PROBLEM, RIGHT, (), 7) is None
