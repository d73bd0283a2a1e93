"""Correction traces → preference pairs (D_corr): the student continues the teacher's prefix itself.

SuperCorrect section 3.2: both sides continue the same prompt (problem, P_c, the wrong solution) and the same
k−1 right steps; chosen is the teacher's (a⁺, c⁺), rejected the student's (a⁻, c⁻). A pair whose student side
repairs the step is no preference and is left out, counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers import compare, final_number
from redink.failures import MarkupFailure
from redink.markup import parse_trace, render_step, render_steps
from redink.models.student import Request, Sampling, Solver
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import set_aside
from redink.stages.reviews import correction_prompt
from redink.types import (
    Attempt,
    CorrectionRow,
    CorrectionTrace,
    LocatedError,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    Rejected,
    Review,
    Step,
)

STAGE = "pairs"
STEP_ENDS = ("</Answer>", *(f"</Step{number}>" for number in range(1, 41)))


def shared_prefix(trace: CorrectionTrace) -> str:
    """The k−1 right steps, as the reply starts on both sides; empty for k = 1."""
    return render_steps(trace.steps[: _error(trace).step - 1])


def chosen_side(trace: CorrectionTrace) -> str:
    """Step k with the teacher's cause and correction."""
    error = _error(trace)
    return render_step(trace.steps[error.step - 1], error)


def _error(trace: CorrectionTrace) -> LocatedError:
    if trace.error is None:
        raise ValueError("the trace locates no error")
    return trace.error


def own_corrections(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    corrections: Sequence[CorrectionRow],
    student: Solver,
    prompt: Prompt,
    sampling: Sampling,
    advance: Advance = quiet,
) -> list[OwnCorrection]:
    """The student's own step k for each teacher trace (all three aligned)."""
    rows = list(zip(problems, attempts, corrections, strict=True))
    requests = [
        Request(correction_prompt(prompt, problem, written), shared_prefix(row.trace)) for problem, written, row in rows
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        OwnCorrection(problem_id=row.problem_id, sample=row.sample, text=drawn[0].text, ends=drawn[0].finish == "end")
        for row, drawn in zip(corrections, replies, strict=True)
    ]


def no_own_correction(about: tuple[Problem, Attempt, CorrectionRow], why: str) -> list[Quarantined]:
    """What stands for the student's own side where it could not be drawn: set aside, with the wrong solution."""
    _, written, row = about
    return set_aside("own_corrections", row.problem_id, why, written.text, [row.sample])


def marked_error(prefix: str, text: str) -> LocatedError | None:
    """The error that a continuation of `prefix` marks, None if it marks none or cannot be read."""
    try:
        return parse_trace(f"{prefix}{text}\n<Answer>?</Answer>").error
    except MarkupFailure:
        return None


def repairs(found: LocatedError | None, truth: LocatedError) -> bool:
    """True if `found` marks the step that `truth` marks and its correction ends in the same value."""
    if found is None or found.step != truth.step:
        return False
    value, target = final_number(found.correction), final_number(truth.correction)
    if value is None or target is None:
        return found.correction.strip() == truth.correction.strip()
    return compare(value, target).right


def error_pair(
    problem: Problem, written: Attempt, row: CorrectionRow, own: OwnCorrection, prompt: Prompt
) -> PreferencePair | Rejected:
    """Teacher's correction over the student's own, or why the two are no preference."""
    prefix, chosen = shared_prefix(row.trace), chosen_side(row.trace)
    rejected = own.text.strip()
    if not rejected or rejected == chosen:
        return _left_out(own, "student_side_is_empty" if not rejected else "sides_are_equal")
    if repairs(marked_error(prefix, own.text), _error(row.trace)):
        return _left_out(own, "student_is_right")
    return PreferencePair(
        problem_id=own.problem_id,
        sample=own.sample,
        prompt=correction_prompt(prompt, problem, written),
        prefix=prefix,
        chosen=chosen,
        rejected=rejected,
        rejected_ends=own.ends,
    )


def confirmation_pair(
    problem: Problem, written: Attempt, alarm: Review, prompt: Prompt, steps: Sequence[Step] | None = None
) -> PreferencePair | Rejected:
    """On a right solution: the plain step over the student's false alarm (not in the paper; a recipe switch).

    `steps` are the solution's steps as a trace would hold them; by default as they are written.
    """
    if alarm.error is None:
        return _left_out(alarm, "no_false_alarm")
    number = alarm.error.step
    steps = written.steps if steps is None else steps
    prefix, end = render_steps(steps[: number - 1]), f"</Step{number}>"
    text = alarm.text.strip()
    if number > len(steps) or not text.startswith(prefix) or end not in text:
        return _left_out(alarm, "copy_is_unfaithful")
    return PreferencePair(
        problem_id=alarm.problem_id,
        sample=alarm.sample,
        prompt=correction_prompt(prompt, problem, written),
        prefix=prefix,
        chosen=render_step(steps[number - 1]),
        rejected=text[len(prefix) : text.index(end) + len(end)],
        kind="confirmation",
    )


def _left_out(row: OwnCorrection | Review, reason: str) -> Rejected:
    return Rejected(problem_id=row.problem_id, sample=row.sample, stage=STAGE, reason=reason)
