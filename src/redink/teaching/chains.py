"""Chains of thought by rule: a long one from worked steps, and its rewriting around a student's own errors (ORION).

Both are tagged steps and an answer, so that errors in them can be located as in any other solution.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers import compare, final_number
from redink.failures import Unteachable
from redink.markup import find_answer, parse_steps, render_thought
from redink.teaching.equations import Equation, find_equations, show
from redink.types import LocatedError, Step, Thought

GIVEN_UP = "? wrong step, it should be "
VERIFICATION = "Review: "
OTHER_OPERATION = {"+": "-", "-": "+", "*": "+", "/": "*", "^": "*"}


def long_chain(steps: Sequence[Step], equations: Sequence[Equation | None], answer: str) -> str:
    """Worked steps as a long chain: a start that is given up, every step, and a verification backwards.

    `equations` are what the steps compute (aligned; None for nothing). The start is the first set-up with another
    operation and states no result; without any equation there is neither start nor verification.
    """
    known = [equation for equation in equations if equation]
    if not known:
        return _rendered(steps, answer)
    start = Step(number=1, text=given_up(known[0]))
    checks = f"{VERIFICATION}{', '.join(map(backwards, known))}; the final answer {answer}"
    return _rendered([start, *steps, Step(number=1, text=checks)], answer)


def given_up(equation: Equation) -> str:
    """A set-up with another operation, and that it is the wrong one.

    >>> given_up(find_equations("14 + 27 = 41")[0])
    '14 - 27? wrong step, it should be 14 + 27'
    """
    setup = equation.setup
    operator = setup.operators[0]
    return f"{setup.text.replace(f' {operator} ', f' {OTHER_OPERATION[operator]} ', 1)}{GIVEN_UP}{setup.text}"


def backwards(equation: Equation) -> str:
    """An equation that holds if this one does, by the opposite operation.

    Where there are several operations, or the result is rounded, it is the same equation again.

    >>> [backwards(found) for found in find_equations("14 + 27 = 41, 41 - 9 = 32, 6 * 7 = 42, 42 / 7 = 6")]
    ['41 - 27 = 14', '32 + 9 = 41', '7 * 6 = 42', '6 * 7 = 42']
    """
    setup, result = equation.setup, equation.result.text
    plain = len(setup.operators) == 1 and not setup.percent and setup.operators[0] != "^" and "(" not in setup.text
    if not plain or setup.value != equation.result.value:
        return f"{setup.text} = {result}"
    left, right = map(show, setup.operands)
    forms = {
        "+": f"{result} - {right} = {left}",
        "-": f"{result} + {right} = {left}",
        "*": f"{right} * {left} = {result}",
    }
    opposite = forms.get(setup.operators[0], f"{result} * {right} = {left}")
    return opposite if all(found.holds for found in find_equations(opposite)) else f"{setup.text} = {result}"


def rewritten(chain: str, errors: Sequence[tuple[Step, LocatedError]], reflect: bool = True) -> str:
    """The teacher's chain without its detours and, with `reflect`, with a warning in the step of each error.

    Detours are starts given up and verifications. `errors` are the student's wrong steps and what was wrong with
    them; a warning stands before the working-out of the step that comes to the corrected value. Raises `Unteachable`:
    'no_steps' where the chain has no tagged steps or no answer, 'no_place' where no step of it belongs to any error.
    """
    steps, answer = [step for step in parse_steps(chain) if not _detour(step)], find_answer(chain)
    if not steps or answer is None:
        raise Unteachable("no_steps", "the chain has no tagged steps, or no tagged answer", chain)
    if reflect and errors:
        warned = _warned(steps, errors)
        if warned == steps:
            raise Unteachable("no_place", "no step of the chain comes to the value of a correction", chain)
        steps = warned
    return _rendered(steps, answer)


def _detour(step: Step) -> bool:
    return GIVEN_UP in step.text or step.text.startswith(VERIFICATION)


def _warned(steps: Sequence[Step], errors: Sequence[tuple[Step, LocatedError]]) -> list[Step]:
    warnings: dict[int, list[str]] = {}
    for wrong, error in errors:
        place = _place_of(error, steps)
        if place is not None and (text := warning(wrong, error)) not in warnings.setdefault(place, []):
            warnings[place].append(text)
    return [_with_warnings(step, warnings.get(place, [])) for place, step in enumerate(steps)]


def _place_of(error: LocatedError, steps: Sequence[Step]) -> int | None:
    """The first step that comes to the value that the correction comes to."""
    value = final_number(error.correction)
    reached = [final_number(step.key or step.text) for step in steps]
    return next((i for i, own in enumerate(reached) if value and own and compare(own, value).right), None)


def warning(wrong: Step, error: LocatedError) -> str:
    """What went wrong, in words that state nothing false: a wrong set-up is named without its result.

    >>> slip = LocatedError(step=1, cause="47 + 38 = 85, not 95", correction="47 + 38 = 85")
    >>> warning(Step(number=1, text="47 + 38 = 95"), slip)
    '47 + 38 = 85, not 95'
    >>> setup = LocatedError(step=1, cause="wrong step, it should be 47 + 38", correction="47 + 38 = 85")
    >>> warning(Step(number=1, text="47 - 38 = 9"), setup)
    '47 - 38? wrong step, it should be 47 + 38'
    """
    found = find_equations(wrong.text)
    if find_equations(error.cause) or not (found or wrong.key):
        return error.cause
    return f"{found[-1].setup.text if found else wrong.text}? {error.cause}"


def _with_warnings(step: Step, warnings: Sequence[str]) -> Step:
    return step.model_copy(update={"key": "; ".join(filter(None, [*warnings, step.key]))}) if warnings else step


def _rendered(steps: Sequence[Step], answer: str) -> str:
    numbered = [step.model_copy(update={"number": number}) for number, step in enumerate(steps, start=1)]
    return render_thought(Thought(steps=tuple(numbered), answer=answer))
