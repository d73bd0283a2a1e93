"""Which words of the question a step takes up: what a teacher points at while writing it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from redink.teaching.equations import Equation

LONGEST_QUOTE = 160
_SENTENCE = re.compile(r"[^.?!\n]+(?:[.?!](?=\S)[^.?!\n]+)*")


def quotes(question: str, equations: Sequence[Equation | None]) -> list[str]:
    """For each equation the words of the question that state its newest operand; '' where it states none.

    The question is read from front to back: an operand is looked for after the one quoted before, and what an earlier
    equation came to is no operand that the question states. The words are those of the sentence, or, where the sentence
    is itself an expression, what is left of it from the operand on.

    >>> from redink.teaching.equations import find_equations
    >>> quotes("Sam has 16 coins. Then buys 8. Then loses 24.", find_equations("16 + 8 = 24, 24 - 24 = 0"))
    ['Then buys 8', 'Then loses 24']
    >>> quotes("What is 9 + 9 - 8?", find_equations("9 + 9 = 18, 18 - 8 = 10"))
    ['+ 9 - 8', '- 8']
    """
    place, computed, found = 0, set[str](), []
    for equation in equations:
        end = _newest(question, place, _stated(equation, computed)) if equation else None
        found.append(_words(question, end) if end else "")
        place = end or place
        if equation:
            computed.add(equation.result.text)
    return found


def _stated(equation: Equation, computed: set[str]) -> list[str]:
    """The operands, less one for each that an earlier equation came to."""
    operands = re.findall(r"\d[\d,]*(?:\.\d+)?", equation.setup.text)
    left = next((operand for operand in operands if operand in computed), None)
    if left is not None:
        operands.remove(left)
    return [operand for operand in operands if operand not in computed or operand == left]


def _newest(question: str, place: int, operands: Sequence[str]) -> int | None:
    """Where the last of these numbers ends, each looked for after `place` and after another that is the same."""
    ends: dict[str, int] = {}
    for operand in operands:
        number = re.compile(rf"(?<![\d.,]){re.escape(operand)}(?![\d])(?![.,]\d)")
        if match := number.search(question, ends.get(operand, place)):
            ends[operand] = match.end()
    return max(ends.values(), default=None)


def _words(question: str, end: int) -> str:
    """The sentence in which a number ends, or the rest of it if it is an expression."""
    sentence = next(match for match in _SENTENCE.finditer(question) if match.end() >= end)
    if rest := re.search(r"[-+*/] ?[\d.,]+$", question[sentence.start() : end]):
        return question[sentence.start() + rest.start() : sentence.end()].strip(" =")
    words = sentence[0].strip(" =")
    return words if len(words) <= LONGEST_QUOTE else ""
