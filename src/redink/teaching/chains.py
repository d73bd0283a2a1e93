"""Chains of thought by rule: a long one from worked steps, and its rewriting around a student's own errors (ORION).

Both are tagged steps and an answer, so that errors in them can be located as in any other solution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redink.answers import compare, final_number
from redink.failures import Unteachable
from redink.markup import find_answer, parse_steps, render_thought
from redink.teaching.equations import Equation, Expression, find_equations, show
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


def rewritten(chain: str, errors: Sequence[LocatedError] | None = None) -> str:
    """The teacher's chain without its detours and, if `errors` are known, worked out only where the student needs it.

    Detours are starts given up and verifications. `errors` are the first wrong steps of this student's solutions, as
    they were located; none: all its steps were right. It needs the working of steps that take several operations, and
    of those in which it went wrong (that come to a corrected value); any other step is stated at once. Where an error
    belongs to no step, the working of all of them is kept, as without `errors` (None: nothing is known of the
    student). No wrong set-up is repeated: what stands in a chain is what the student learns to write.

    Raises `Unteachable` 'no_steps' where the chain has no tagged steps or no answer.
    """
    steps, answer = [step for step in parse_steps(chain) if not _detour(step)], find_answer(chain)
    if not steps or answer is None:
        raise Unteachable("no_steps", "the chain has no tagged steps, or no tagged answer", chain)
    places = None if errors is None else [_place_of(error, steps) for error in errors]
    if places is not None and None not in places:
        steps = [step if place in places else at_once(step) for place, step in enumerate(steps)]
    return _rendered(steps, answer)


def _detour(step: Step) -> bool:
    return GIVEN_UP in step.text or step.text.startswith(VERIFICATION)


def _place_of(error: LocatedError, steps: Sequence[Step]) -> int | None:
    """The first step that comes to the value that the correction comes to."""
    value = final_number(error.correction)
    reached = [final_number(step.key or step.text) for step in steps]
    return next((i for i, own in enumerate(reached) if value and own and compare(own, value).right), None)


def one_operation(setup: Expression) -> bool:
    """Whether a set-up is a single operation."""
    return len(setup.operators) == 1


def at_once(step: Step, easy: Callable[[Expression], bool] = one_operation) -> Step:
    """A step whose set-up is easy, with its result in place of the working; any other step as it is.

    >>> at_once(Step(number=1, text="45 + 19", key="45 + 10 = 55, 55 + 9 = 64"))
    Step(number=1, text='45 + 19 = 64', key=None)
    >>> at_once(Step(number=1, text="4 + 9 - 2", key="4 + 9 = 13, 13 - 2 = 11")).text
    '4 + 9 - 2'
    """
    result = final_number(step.key) if step.key else None
    stated = f"{step.text} = {result}"
    found = find_equations(stated)[-1:] if result else ()
    stands = any(equation.holds and easy(equation.setup) for equation in found)
    return step.model_copy(update={"text": stated, "key": None}) if stands else step


def _rendered(steps: Sequence[Step], answer: str) -> str:
    numbered = [step.model_copy(update={"number": number}) for number, step in enumerate(steps, start=1)]
    return render_thought(Thought(steps=tuple(numbered), answer=answer))
