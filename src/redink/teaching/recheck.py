"""Solutions shown by their results, and traces that work every step out anew.

Not in the papers: a student of four layers cannot tell that `47 + 38 = 95` is false by reading it, but it can work
`47 + 38` out in <Key> and take the claim from its own result: `95 - 85 = 10`, where 0 would mean that the step is
right. Both are recipe switches (`[review]`), off by default.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers import final_number
from redink.markup import render_steps
from redink.teaching.arithmetic import spelled
from redink.teaching.equations import Equation, find_equations
from redink.types import Attempt, CorrectionTrace, LocatedError, Step


def results_only(written: Attempt) -> Attempt:
    """The attempt as a reviewer is shown it: each step's set-up and the result it claims, without its <Key>.

    A text that holds an equation claims a result already.
    """
    steps = tuple(_claim(step) for step in written.steps)
    if not steps:
        return written
    answer = f"<Answer>{written.answer}</Answer>" if written.answer else ""
    return written.model_copy(update={"steps": steps, "text": f"{render_steps(steps)}{answer}".strip()})


def _claim(step: Step) -> Step:
    value = final_number(step.key) if step.key else None
    claims = value is not None and "=" not in step.text
    text = f"{step.text} = {value}".strip() if claims else step.text
    return Step(number=step.number, text=text)


def checked(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each step with its own equation worked out in <Key> and compared with the claim; others stay as they are."""
    return tuple(_worked_out(step, _last_equation(step.text)) for step in steps)


def with_checks(trace: CorrectionTrace) -> CorrectionTrace:
    """The trace with every step worked out: as claimed before step k, as corrected in it, set-up first after it."""
    if trace.error is None:
        return trace.model_copy(update={"steps": checked(trace.steps)})
    k = trace.error.step
    wrong = _worked_out(trace.steps[k - 1], _last_equation(trace.error.correction), trace.error)
    after = tuple(_set_up_first(step) for step in trace.steps[k:])
    return trace.model_copy(update={"steps": (*checked(trace.steps[: k - 1]), wrong, *after)})


def _last_equation(text: str) -> Equation | None:
    found = find_equations(text)
    return found[-1] if found else None


def _worked_out(step: Step, equation: Equation | None, error: LocatedError | None = None) -> Step:
    """The step with `equation` in its key; a correction of several equations is a working-out already."""
    if equation is None or step.key is not None:
        return step
    several = error is not None and len(find_equations(error.correction)) > 1
    key = error.correction if error is not None and several else spelled(equation.setup, equation.result.text)
    return step.model_copy(update={"key": f"{key}{_difference(equation.result.text, final_number(step.text))}"})


def _difference(own: str, claimed: str | None) -> str:
    """By how much two results differ, the larger first; nothing where one of them is no natural number."""
    if claimed is None or not (own.isdecimal() and claimed.isdecimal()):
        return ""
    low, high = sorted((int(own), int(claimed)))
    return f", {high} - {low} = {high - low}"


def _set_up_first(step: Step) -> Step:
    """A step that is still to be computed: the set-up in its text, the result only in its key."""
    equation = _last_equation(step.text)
    if equation is None or step.key is not None:
        return step
    text = step.text[: equation.start] + equation.setup.text + step.text[equation.end :]
    return step.model_copy(update={"text": text.strip(), "key": spelled(equation.setup, equation.result.text)})
