"""What is wrong with a teacher's work, by name and in words that it can act on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from stand_ins import ATTEMPT, PROBLEM, THOUGHT, TRACE

from redink.answers.checkers import ExactChecker
from redink.failures import Unsound
from redink.markup import render_thought
from redink.models.scripted import ScriptedChat
from redink.teaching.llm import LLMTeacher
from redink.teaching.validation import is_plainly_right, sound_thought, sound_trace
from redink.types import Attempt, CorrectionTrace, LocatedError, Step, Thought

RAW = "as it came"


def at(step: int, correction: str = "85 - 20 = 65", **more: object) -> CorrectionTrace:
    """The trace of tests/stand_ins.py with its error elsewhere."""
    return TRACE.model_copy(update={"error": LocatedError(step=step, cause="c", correction=correction), **more})


def with_steps(*texts: str) -> tuple[Step, ...]:
    return tuple(Step(number=number, text=text) for number, text in enumerate(texts, start=1))


def attempt(*steps: Step) -> Attempt:
    return ATTEMPT.model_copy(update={"steps": steps})


def faults(trace: CorrectionTrace, written: Attempt = ATTEMPT) -> Unsound:
    with pytest.raises(Unsound) as caught:
        sound_trace(PROBLEM, written, trace, RAW)
    assert caught.value.raw == RAW
    assert caught.value.remark == caught.value.detail
    return caught.value


def test_a_sound_trace_comes_back_as_it_is() -> None:
    assert sound_trace(PROBLEM, ATTEMPT, TRACE, RAW) is TRACE


def test_a_trace_that_marks_no_step_is_not_checked() -> None:
    trace = TRACE.model_copy(update={"error": None, "answer": "76"})
    assert sound_trace(PROBLEM, ATTEMPT, trace, RAW) is trace


@pytest.mark.parametrize("answer", ["66", "66.0", "$66$", "132/2"])
def test_a_right_answer_in_any_form_is_sound(answer: str) -> None:
    thought = THOUGHT.model_copy(update={"answer": answer})
    assert sound_thought(PROBLEM, thought, RAW) is thought


@pytest.mark.parametrize(
    ("answer", "gold", "plain"),
    [
        ("66", "66", True),
        ("1,200.50", "2401/2", True),
        (r"\frac{1}{2}", r"\frac{1}{2}", True),
        ("66", "67", False),
        (r"\frac{1}{2}", "1/2", False),
        ("66 apples", "66", False),
        ("x", "66", False),
    ],
)
def test_what_is_plainly_right_is_right_and_is_seen_without_a_thread(
    monkeypatch: pytest.MonkeyPatch, answer: str, gold: str, plain: bool
) -> None:
    problem, thought = PROBLEM.model_copy(update={"answer": gold}), THOUGHT.model_copy(update={"answer": answer})
    threads = []

    async def to_thread(function: Callable[[], Thought]) -> Thought:
        threads.append(function)
        return function()

    monkeypatch.setattr("redink.teaching.llm.asyncio.to_thread", to_thread)
    teacher = LLMTeacher(ScriptedChat(render_thought(thought)))
    assert is_plainly_right(answer, problem) is plain
    if plain:
        assert asyncio.run(teacher.thought(problem)).answer == answer
    else:
        with suppress(Unsound):
            asyncio.run(teacher.thought(problem))
    assert len(threads) == (not plain)


def test_other_checkers_may_be_slow_at_any_answer() -> None:
    """A checker of the user's may do anything, and may find the same text wrong."""
    assert not is_plainly_right("66", PROBLEM, ExactChecker())


@pytest.mark.parametrize("answer", ["67", "-66", "x"])
def test_a_wrong_answer_names_both(answer: str) -> None:
    with pytest.raises(Unsound) as caught:
        sound_thought(PROBLEM, THOUGHT.model_copy(update={"answer": answer}), RAW)
    assert caught.value.reason == "answer_is_wrong"
    assert answer in caught.value.remark and "66" in caught.value.remark
    assert caught.value.raw == RAW


def test_a_step_that_the_attempt_does_not_have() -> None:
    failure = faults(at(4, steps=with_steps("47 + 38 = 85", "85 - 20 = 75", "75 + 1 = 76", "and so")))
    assert failure.reason == "no_such_step"
    assert "Step 4" in failure.remark and "3 steps" in failure.remark


def test_steps_before_the_wrong_one_are_the_attempts() -> None:
    failure = faults(at(3, "65 + 1 = 66", steps=with_steps("47 + 38 = 85", "85 - 20 = 65", "75 + 1 = 76")))
    assert failure.reason == "changed_steps"
    assert "Step 2" in failure.remark and "Step 1" not in failure.remark


def test_spaces_do_not_change_a_step() -> None:
    steps = with_steps("47 + 38\n= 85 ", "85 - 20 = 75", "65 + 1 = 66")
    assert sound_trace(PROBLEM, ATTEMPT, at(2, steps=steps), RAW)


def test_a_key_belongs_to_its_step() -> None:
    keyed = (Step(number=1, text="47 + 38", key="47 + 38 = 85"), *ATTEMPT.steps[1:])
    assert faults(TRACE, attempt(*keyed)).reason == "changed_steps"
    assert sound_trace(PROBLEM, attempt(*keyed), at(2, steps=(keyed[0], *TRACE.steps[1:])), RAW)


@pytest.mark.parametrize(
    ("step", "correction", "same"),
    [
        (Step(number=1, text="47 + 38 = 95"), "47 + 38 = 95", True),
        (Step(number=1, text="47 + 38 = 95"), "47  + 38 = 95\n", True),
        (Step(number=1, text="47 + 38 = 95"), "47 + 38 = 85", False),
        (Step(number=1, text="47 + 38 = 95", key="47 + 48 = 95"), "47 + 38 = 95", True),
        (Step(number=1, text="47 + 38 = 95", key="47 + 48 = 95"), "47 + 38 = 95 47 + 48 = 95", True),
        (Step(number=1, text="47 + 38 = 85", key="47 + 38 = 95"), "47 + 38 = 85", False),
    ],
)
def test_the_correction_is_not_the_wrong_step_again(step: Step, correction: str, same: bool) -> None:
    trace = at(1, correction, steps=(step,))
    if same:
        assert faults(trace, attempt(step)).reason == "unchanged_step"
    else:
        assert sound_trace(PROBLEM, attempt(step), trace, RAW) is trace


def test_an_attempt_without_steps_has_none_to_compare_with() -> None:
    assert sound_trace(PROBLEM, attempt(), at(9), RAW)
    assert faults(at(9, answer="1"), attempt()).reason == "answer_is_wrong"


def test_all_faults_are_named_at_once() -> None:
    failure = faults(at(2, "85 - 20 = 75", steps=with_steps("47 + 38 = 86", "85 - 20 = 75"), answer="75"))
    assert failure.reason == "changed_steps"
    assert all(part in failure.remark for part in ("Step 1", "the wrong step again", "The answer is 75"))
