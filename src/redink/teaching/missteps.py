"""Wrong solutions by rule: a worked one with one wrong step, and all that follows from it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from redink.teaching.chains import OTHER_OPERATION
from redink.teaching.equations import Equation, find_equations, find_numbers, read_value, show

OFFSETS = (-10, -2, -1, 1, 2, 10)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OPERATOR = re.compile(r" ([-+*]) ")


def with_misstep(lines: Sequence[str], dice: random.Random) -> list[str] | None:
    """Lines of a worked solution of which one is wrong; later lines use its result where they used the right one.

    The wrong line has another operation, another number or a slip in its result. No number becomes negative, broken
    where it was whole, or larger than the largest of the lines; None where nothing of that kind can be done.

    >>> with_misstep(["5 + 9 = 14", "14 - 2 = 12"], random.Random(4))
    ['5 + 9 = 14', '14 - 4 = 10']
    """
    most = max((number.value for line in lines for number in find_numbers(line)), default=Fraction(0))
    places = [place for place, line in enumerate(lines) if find_equations(line)]
    dice.shuffle(places)
    for place in places:
        right = find_equations(lines[place])[-1]
        ways = [*_slips(right), *_other_setups(right)]
        dice.shuffle(ways)
        for setup, result in ways:
            if made := _followed(lines, place, setup, result, most):
                return made
    return None


def _slips(right: Equation) -> Iterator[tuple[str, Fraction]]:
    for offset in OFFSETS:
        yield right.setup.text, right.result.value + offset


def _other_setups(right: Equation) -> Iterator[tuple[str, Fraction]]:
    """Set-ups with one operation or one number changed, and what they come to."""
    text = right.setup.text
    for match in _OPERATOR.finditer(text):
        yield from _valued(f"{text[: match.start(1)]}{OTHER_OPERATION[match[1]]}{text[match.end(1) :]}")
    for match in _NUMBER.finditer(text):
        for offset in OFFSETS:
            number = Fraction(match[0]) + offset
            if number > 0:
                yield from _valued(f"{text[: match.start()]}{show(number)}{text[match.end() :]}")


def _valued(setup: str) -> Iterator[tuple[str, Fraction]]:
    if value := read_value(setup):
        yield setup, value.value


def _followed(lines: Sequence[str], place: int, setup: str, result: Fraction, most: Fraction) -> list[str] | None:
    """The lines with this equation in place of the last one of line `place`; None if a number does not fit."""
    right = find_equations(lines[place])[-1]
    if result == right.result.value or not _fits(result, right, most):
        return None
    moved = {right.result.text: show(result)}
    made = [*lines[:place], _rewritten(lines[place], right, setup, result)]
    for line in lines[place + 1 :]:
        old = next(reversed(find_equations(line)), None)
        if old is None:
            made.append(_renumbered(line, moved))
            continue
        setup = _renumbered(old.setup.text, moved)
        value = read_value(setup)
        if value is None or not _fits(value.value, old, most):
            return None
        result = old.result.value if setup == old.setup.text else value.value
        moved[old.result.text] = show(result)
        made.append(_rewritten(line, old, setup, result))
    return made


def _fits(result: Fraction, right: Equation, most: Fraction) -> bool:
    return 0 <= result <= most and (result.denominator == 1 or right.result.value.denominator != 1)


def _rewritten(line: str, old: Equation, setup: str, result: Fraction) -> str:
    return f"{line[: old.start]}{setup} = {show(result)}{line[old.end :]}"


def _renumbered(text: str, moved: Mapping[str, str]) -> str:
    return _NUMBER.sub(lambda match: moved.get(match[0], match[0]), text)
