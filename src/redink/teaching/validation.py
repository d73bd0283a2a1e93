"""What can be said of a teacher's work without a second model; a fault goes back to the teacher with its next try."""

from __future__ import annotations

from typing import TypeVar

from redink.answers import final_number
from redink.answers.checkers import MATH, Checker, MathChecker
from redink.answers.numbers import read_exact
from redink.failures import Unsound
from redink.types import Attempt, CorrectionTrace, LocatedError, Problem, Step, Thought

W = TypeVar("W", bound=Thought | CorrectionTrace)

Fault = tuple[str, str]
"""A short fixed name, and what to mend in plain words."""


def is_plainly_right(answer: str, problem: Problem, checker: Checker = MATH) -> bool:
    """True if the checker's first look, of microseconds, finds the answer right: the same text or the same number.

    What is not may take longer: a worker may be asked, or a checker of the user's.
    """
    if not isinstance(checker, MathChecker):
        return False
    mine, gold = read_exact(answer), read_exact(problem.answer)
    return answer == problem.answer or (mine is not None and gold is not None and mine[0] == gold[0])


def sound_thought(problem: Problem, thought: Thought, raw: str, checker: Checker = MATH) -> Thought:
    """The thought, if its answer is the gold answer; else raises `Unsound` 'answer_is_wrong' with the raw text."""
    return _sound(thought, _answer_faults(problem, thought, checker), raw)


def sound_trace(
    problem: Problem, attempt: Attempt, trace: CorrectionTrace, raw: str, checker: Checker = MATH
) -> CorrectionTrace:
    """The trace, if it can be a correction of the attempt (a trace that marks no step says nothing to check).

    Else raises `Unsound` naming every fault, the first as its reason: 'no_such_step', 'changed_steps' (before step k),
    'unchanged_step' (the correction is the wrong step again), 'answer_is_wrong'. An attempt in which no steps could
    be read has none to compare with.
    """
    if trace.error is None:
        return trace
    faults = _step_faults(trace, trace.error, attempt.steps) if attempt.steps else []
    return _sound(trace, [*faults, *_answer_faults(problem, trace, checker)], raw)


def sound_chain(problem: Problem, text: str, checker: Checker = MATH) -> str:
    """The chain, if an answer can be read out of it and is right; else raises `Unsound`."""
    answer = checker.extract(text, problem)
    if answer is None:
        raise Unsound("no_answer", "No final answer can be read: end with <Answer>...</Answer>.", text)
    if not checker.compare(answer, problem).right:
        remark = f"The answer is {answer}, but the right answer is {problem.answer}."
        raise Unsound("answer_is_wrong", remark, text)
    return text.strip()


def _sound(work: W, faults: list[Fault], raw: str) -> W:
    if faults:
        raise Unsound(faults[0][0], " ".join(remark for _, remark in faults), raw)
    return work


def _answer_faults(problem: Problem, work: Thought | CorrectionTrace, checker: Checker) -> list[Fault]:
    if checker.compare(work.answer, problem).right:
        return []
    return [("answer_is_wrong", f"The answer is {work.answer}, but the right answer is {problem.answer}.")]


def _step_faults(trace: CorrectionTrace, error: LocatedError, steps: tuple[Step, ...]) -> list[Fault]:
    k = error.step
    if k > len(steps):
        return [("no_such_step", f"Step {k} is marked as wrong, but the attempt has {len(steps)} steps.")]
    faults = [
        ("changed_steps", f"Step {own.number} comes before the wrong step: copy it word for word from the attempt.")
        for own, copy in zip(steps[: k - 1], trace.steps, strict=False)
        if _words(own) != _words(copy)
    ]
    if _says_again(error.correction, steps[k - 1]):
        faults.append(
            ("unchanged_step", f"The correction of step {k} is the wrong step again: say how it should read.")
        )
    return faults


def _says_again(correction: str, step: Step) -> bool:
    """A step whose key comes to another number than its text may be mended by the text alone."""
    said = correction.split()
    in_key = final_number(step.key) if step.key else None
    return said == _words(step) or (said == step.text.split() and in_key in (None, final_number(step.text)))


def _words(step: Step) -> list[str]:
    return [*step.text.split(), *(step.key or "").split()]
