"""Arithmetic spelled out in small steps, as a teacher writes it inside <Key>."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from operator import add, floordiv, mul, sub

from redink.teaching.equations import Expression


def place_values(number: int) -> list[int]:
    """Split a non-negative integer into its non-zero place values: 205 → [200, 5]; 0 → [0].

    >>> place_values(138)
    [100, 30, 8]
    """
    digits = str(number)
    parts = [int(digit) * 10 ** (len(digits) - 1 - index) for index, digit in enumerate(digits)]
    return [part for part in parts if part] or [0]


def spell_out(left: int, operator: str, right: int) -> list[str]:
    """Work out `left operator right` in equations that are each easy; the last one ends in the result.

    `operator` is one of + - * /; division must be exact.
    Addition and subtraction take the right-hand number one place value at a time; a product
    multiplies each place value and adds the parts up.

    >>> spell_out(47, "+", 38)
    ['47 + 30 = 77', '77 + 8 = 85']
    >>> spell_out(7, "*", 26)
    ['7 * 20 = 140', '7 * 6 = 42', '140 + 40 = 180', '180 + 2 = 182']
    """
    if operator in "+-":
        return _running(left, operator, right)
    if operator == "*":
        return _product(left, right)
    return [f"{left} / {right} = {left // right}"]


def spelled(setup: Expression, result: str) -> str:
    """How a set-up comes to its result, as it stands in <Key>.

    One operation on whole non-negative numbers whose result is one too is spelled out, and so are several that are all
    + and −, or all *, one after another; anything else is restated.

    >>> from redink.teaching.equations import find_equations
    >>> [spelled(found.setup, "41") for found in find_equations("14 + 27 = 41, 82 / 4 * 2 = 41")]
    ['14 + 20 = 34, 34 + 7 = 41', '82 / 4 * 2 = 41']
    >>> spelled(find_equations("50 - 12 - 3 = 35")[0].setup, "35")
    '50 - 10 = 40, 40 - 2 = 38, 38 - 3 = 35'
    """
    if not setup.operators or not _easy(setup):
        return f"{setup.text} = {result}"
    left, *rest = (int(operand) for operand in setup.operands)
    equations: list[str] = []
    for operator, right in zip(setup.operators, rest, strict=True):
        value = _VALUE[operator](left, right)
        if value < 0:
            return f"{setup.text} = {result}"
        equations += spell_out(left, operator, right)
        left = value
    return ", ".join(equations)


def in_the_head(setup: Expression) -> bool:
    """Whether a set-up needs no working: one operation, or sums and differences in which no digit carries or borrows.

    >>> from redink.teaching.equations import find_equations
    >>> found = find_equations("7 * 26 = 182, 21 + 36 - 12 = 45, 29 + 36 - 12 = 53, 45 - 21 - 5 = 19, 2 * 3 * 4 = 24")
    >>> [in_the_head(equation.setup) for equation in found]
    [True, True, False, False, False]
    """
    if len(setup.operators) < 2:
        return True
    if not _easy(setup) or "*" in setup.operators:
        return False
    left, *rest = (int(operand) for operand in setup.operands)
    for operator, right in zip(setup.operators, rest, strict=True):
        if _carries(left, operator, right):
            return False
        left = _VALUE[operator](left, right)
    return True


def _carries(left: int, operator: str, right: int) -> bool:
    """Whether a digit of the sum carries, or one of the difference borrows."""
    digits = zip_longest(reversed(str(left)), reversed(str(right)), fillvalue="0")
    return any(int(one) + int(other) > 9 if operator == "+" else int(one) < int(other) for one, other in digits)


_VALUE: dict[str, Callable[[int, int], int]] = {"+": add, "-": sub, "*": mul, "/": floordiv}


def _easy(setup: Expression) -> bool:
    numbers = (*setup.operands, setup.value)
    whole = all(number.denominator == 1 and number >= 0 for number in numbers)
    kinds = set(setup.operators)
    in_order = len(setup.operators) == 1 or kinds <= {"+", "-"} or kinds == {"*"}
    return whole and in_order and "^" not in kinds and not setup.percent and "(" not in setup.text


def _running(left: int, operator: str, right: int) -> list[str]:
    equations = []
    for part in place_values(right):
        value = left + part if operator == "+" else left - part
        equations.append(f"{left} {operator} {part} = {value}")
        left = value
    return equations


def _product(left: int, right: int) -> list[str]:
    parts = place_values(right)
    equations = [f"{left} * {part} = {left * part}" for part in parts]
    total = left * parts[0]
    for part in parts[1:]:
        equations += _running(total, "+", left * part)
        total += left * part
    return equations
