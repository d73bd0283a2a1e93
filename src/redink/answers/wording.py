"""Words that say a number or a date: "two hundred and five", "three and a half", "5th of January 2020"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMERALS = (
    {word: value for value, word in enumerate(_ONES)}
    | {word: 10 * value for value, word in enumerate(_TENS, start=2)}
    | {"hundred": 100}
)
_SCALES = {"trillion": 10**12, "billion": 10**9, "million": 10**6, "thousand": 1000}
_SINGLE_PARTS = (
    "half", "third", "quarter", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "fifteenth", "sixteenth", "twentieth", "hundredth", "thousandth",
)  # fmt: skip
_BELOW = (2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 20, 100, 1000)
PARTS = (
    dict(zip(_SINGLE_PARTS, _BELOW, strict=True))
    | {f"{word}s": below for word, below in zip(_SINGLE_PARTS[1:], _BELOW[1:], strict=True)}
    | {"halves": 2}
)
"""What a number of parts is divided by: two thirds."""


def number_in_words(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """(value, how many words it takes) of the number that lower-case words begin with, else None.

    >>> number_in_words("two hundred and five apples".split())
    (Fraction(205, 1), 4)
    >>> number_in_words("three and a half".split())
    (Fraction(7, 2), 4)
    """
    negative = words[:1] in (["minus"], ["negative"])
    found = _amount(words[negative:])
    return None if found is None else (-found[0] if negative else found[0], found[1] + negative)


def _amount(words: Sequence[str]) -> tuple[Fraction, int] | None:
    if words[:1] == ["half"]:
        return Fraction(1, 2), 1
    whole, taken = _whole_amount(words)
    if not taken:
        return None
    if (below := _part(words, taken)) is not None:
        return Fraction(whole, below), taken + 1
    if words[taken : taken + 1] == ["and"]:
        top, more = _whole_amount(words[taken + 1 :])
        below = _part(words, taken + 1 + more)
        if more and below is not None and top < below:
            return whole + Fraction(top, below), taken + more + 2
    return None if words[0] in {"a", "an"} and taken == 1 else (Fraction(whole), taken)


def _part(words: Sequence[str], at: int) -> int | None:
    return PARTS.get(words[at]) if at < len(words) else None


def _whole_amount(words: Sequence[str]) -> tuple[int, int]:
    """(value, words taken) of a whole number; nothing taken if there is none."""
    total = taken = 0
    for scale, size in _SCALES.items():
        value, more = _below_thousand(words[taken:])
        if more and words[taken + more : taken + more + 1] == [scale]:
            total, taken = total + value * size, taken + more + 1
    joined = taken + (taken > 0 and words[taken : taken + 1] == ["and"])
    value, more = _below_thousand(words[joined:])
    return (total + value, joined + more) if more and value else (total if taken else value, taken or more)


def _below_thousand(words: Sequence[str]) -> tuple[int, int]:
    if words[:1] in (["a"], ["an"]):
        value, taken = 1, 1
    else:
        value, taken = _below_hundred(words)
    if words[taken : taken + 1] == ["hundred"]:
        value, taken = (value if taken else 1) * 100, taken + 1
        joined = taken + (words[taken : taken + 1] == ["and"])
        rest, more = _below_hundred(words[joined:])
        return (value + rest, joined + more) if more else (value, taken)
    if words[taken : taken + 1] == ["dozen"]:
        return (value if taken else 1) * 12, taken + 1
    return value, taken


def _below_hundred(words: Sequence[str]) -> tuple[int, int]:
    first, second, *_ = [*words[:2], "", ""]
    if first in _TENS:
        digit = _ONES.index(second) if second in _ONES[1:10] else 0
        return NUMERALS[first] + digit, 1 + (digit > 0)
    return (NUMERALS[first], 1) if first in _ONES else (0, 0)


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = f"({'|'.join(_MONTHS)}|sept?|{'|'.join(month[:3] for month in _MONTHS if month not in {'may', 'september'})})"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATE = re.compile(rf"(?:the )?(?:{_MONTH}\.? {_DAY}|{_DAY}(?: of)? {_MONTH}\.?)(?:,? (\d{{4}}))?", re.IGNORECASE)


def date_in_words(text: str) -> str | None:
    """A day with the name of its month, in one spelling, else None.

    >>> date_in_words("5th of Jan, 2020")
    'january 5 2020'
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    month = next(name for name in _MONTHS if name.startswith((found[1] or found[4])[:3].lower()))
    return " ".join([month, str(int(found[2] or found[3])), found[5] or ""]).strip()
