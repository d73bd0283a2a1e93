"""Attempts → preference pairs of other methods: whole solutions (DPO), the next step (Step-DPO), own errors (ORION)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redink.markup import render_step, render_steps
from redink.prompts import Prompt
from redink.teaching.arithmetic import spelled
from redink.teaching.equations import find_equations
from redink.types import Attempt, CorrectionRow, PreferencePair, Problem, Rejected, Step

STAGE = "pairs"


def solution_pairs(
    problems: Sequence[Problem],
    wrong: Sequence[Attempt],
    attempts: Sequence[Attempt],
    teachers: Mapping[str, str],
    prompt: Prompt,
    *,
    prefer_errors: bool = False,
) -> list[PreferencePair | Rejected]:
    """One outcome for each wrong attempt: a right solution preferred over it, whole, or no right one is there.

    The right one is the student's own (its right attempts in turn), else the teacher's (`teachers`, by problem).
    `prefer_errors` turns the pair around: the exposure model of ORION's first version learns to prefer its errors.
    """
    questions = {problem.id: problem.question for problem in problems}
    right: dict[str, list[Attempt]] = {}
    for row in attempts:
        if row.verdict.right:
            right.setdefault(row.problem_id, []).append(row)
    used: dict[str, int] = {}
    outcomes: list[PreferencePair | Rejected] = []
    for row in wrong:
        turn = used[row.problem_id] = used.get(row.problem_id, -1) + 1
        own = right.get(row.problem_id)
        good = own[turn % len(own)].text if own else teachers.get(row.problem_id)
        asked = prompt.render(question=questions[row.problem_id])
        outcomes.append(_solution_pair(row, good, asked, prefer_errors))
    return outcomes


def _solution_pair(wrong: Attempt, right: str | None, asked: str, prefer_errors: bool) -> PreferencePair | Rejected:
    if not right or not wrong.text:
        reason = "student_side_is_empty" if right else "no_right_solution"
        return Rejected(problem_id=wrong.problem_id, sample=wrong.sample, stage=STAGE, reason=reason)
    sides = {"chosen": right, "rejected": wrong.text, "chosen_ends": True, "rejected_ends": not wrong.truncated}
    if prefer_errors:
        sides = {"chosen": wrong.text, "rejected": right, "chosen_ends": not wrong.truncated, "rejected_ends": True}
    kind = "exposure" if prefer_errors else "solution"
    return PreferencePair.model_validate(
        {"problem_id": wrong.problem_id, "sample": wrong.sample, "prompt": asked, "prefix": "", "kind": kind, **sides}
    )


def step_pair(problem: Problem, written: Attempt, row: CorrectionRow, prompt: Prompt) -> PreferencePair | Rejected:
    """Step-DPO (arXiv 2406.18629): after the k−1 right steps, the right next step over the student's wrong one.

    No cause, no correction marks: both sides continue a solution, not a review.
    """
    error = row.trace.error
    if error is None or error.step > len(written.steps):
        return _no_step(row, "no_such_step")
    wrong = written.steps[error.step - 1]
    chosen, rejected = render_step(right_step(wrong, error.correction)), render_step(wrong)
    if chosen == rejected:
        return _no_step(row, "sides_are_equal")
    return PreferencePair(
        problem_id=row.problem_id,
        sample=row.sample,
        prompt=prompt.render(question=problem.question),
        prefix=render_steps(written.steps[: error.step - 1]),
        chosen=chosen,
        rejected=rejected,
        kind="step",
    )


def right_step(wrong: Step, correction: str) -> Step:
    """The step as it should read, in the form of the wrong one.

    Where that has a <Key>, a correction of one equation becomes its set-up and the working-out, one of several
    equations the working-out of the same set-up; anything else is the correction as it stands.

    >>> right_step(Step(number=2, text="85 - 20", key="85 - 20 = 75"), "85 - 20 = 65").key
    '85 - 20 = 65'
    >>> right_step(Step(number=2, text="85 - 20 = 75"), "85 - 20 = 65")
    Step(number=2, text='85 - 20 = 65', key=None)
    """
    found = find_equations(correction)
    if wrong.key is None or not found:
        return Step(number=wrong.number, text=correction)
    if len(found) > 1:
        return wrong.model_copy(update={"key": correction})
    return Step(number=wrong.number, text=found[0].setup.text, key=spelled(found[0].setup, found[0].result.text))


def _no_step(row: CorrectionRow, reason: str) -> Rejected:
    return Rejected(problem_id=row.problem_id, sample=row.sample, stage=STAGE, reason=reason)
