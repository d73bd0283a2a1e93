"""Correction traces → preference pairs (D_corr): the student continues the teacher's prefix itself.

SuperCorrect section 3.2: both sides continue the same prompt (problem, P_c, the wrong solution) and the same
k−1 right steps; chosen is the teacher's (a⁺, c⁺), rejected the student's (a⁻, c⁻). A pair whose student side
repairs the step is no preference and is left out, counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from redink.answers import compare, final_number
from redink.failures import MarkupFailure
from redink.markup import parse_trace, render_step, render_steps
from redink.models.student import Request, Sampler, Sampling, derived_seed
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import set_aside
from redink.stages.reviews import correction_prompt
from redink.teaching.chains import OTHER_OPERATION
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
_BEGUN = re.compile(r"([\d.,]+) ([-+*/]) ([\d.,]+)(?= =)")
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
    student: Sampler,
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


@dataclass(frozen=True)
class Place:
    """One step of a right solution, at which a false alarm is to be written."""

    problem: Problem
    written: Attempt
    steps: Sequence[Step]  # as a trace would hold them
    number: int

    @property
    def prefix(self) -> str:
        """The steps before it."""
        return render_steps(self.steps[: self.number - 1])

    @property
    def opened(self) -> str:
        """The step as far as a false alarm begins: its working-out with another operation, else a cause after it."""
        step = self.steps[self.number - 1]
        if begun := _BEGUN.match(step.key or ""):
            key = f"{begun[1]} {OTHER_OPERATION[begun[2]]} {begun[3]}"
            return render_step(step.model_copy(update={"key": key})).partition("</Key>")[0]
        return f"{render_step(step).removesuffix(f'</Step{self.number}>')}<Cause>"


def some_place(problem: Problem, written: Attempt, steps: Sequence[Step], seed: int) -> Place | None:
    """Any of the steps, each as likely as the others; None where there are none."""
    draw = derived_seed(seed, written.problem_id, written.sample)
    return Place(problem, written, steps, 1 + draw % len(steps)) if steps else None


def made_alarms(
    places: Sequence[Place], student: Sampler, prompt: Prompt, sampling: Sampling, advance: Advance = quiet
) -> list[OwnCorrection]:
    """How the student goes on where it is made to begin a false alarm at a right step."""
    requests = [
        Request(correction_prompt(prompt, place.problem, place.written), f"{place.prefix}{place.opened}")
        for place in places
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        OwnCorrection(problem_id=place.problem.id, sample=place.written.sample, text=drawn[0].text)
        for place, drawn in zip(places, replies, strict=True)
    ]


def no_made_alarm(place: Place, why: str) -> list[Quarantined]:
    """What stands for an alarm that could not be drawn: set aside, with the right solution."""
    return set_aside("made_alarms", place.problem.id, why, place.written.text, [place.written.sample])


def counterpart_pair(place: Place, alarm: OwnCorrection, prompt: Prompt) -> PreferencePair | Rejected:
    """At a right step: the plain step over a false alarm that the student was made to write.

    Not in the paper; a recipe switch. Pairs on errors alone teach a small student to doubt every step, or to end none
    that has the number of a wrong one; as many at right steps teach it to tell the two apart.
    """
    text, end = alarm.text, f"</Step{place.number}>"
    if end not in text:
        return _left_out(alarm, "step_does_not_end")
    return PreferencePair(
        problem_id=alarm.problem_id,
        sample=alarm.sample,
        prompt=correction_prompt(prompt, place.problem, place.written),
        prefix=place.prefix,
        chosen=render_step(place.steps[place.number - 1]),
        rejected=f"{place.opened}{text[: text.index(end) + len(end)]}",
        kind="confirmation",
    )


def _left_out(row: OwnCorrection | Review, reason: str) -> Rejected:
    return Rejected(problem_id=row.problem_id, sample=row.sample, stage=STAGE, reason=reason)
