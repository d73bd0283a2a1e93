"""Read a plain number exactly: integers, decimals, fractions, thousands separators, money and percent signs."""

from __future__ import annotations

import re
from fractions import Fraction

NUMBER = re.compile(r"([-+]?)\$?(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?:/(\d+))?%?\.?")
NOT_BETWEEN_DIGITS = re.compile(r"(?<![\d,])\s++|\s++(?!\d)|(?<=,)\s++(?!\d{3}(?!\d))")
LONGEST = 60


def squeezed(text: str) -> str:
    """The text without white space, except where it parts numbers: "1 1/2" is not "11/2", "1, 234" not "1,234"."""
    return NOT_BETWEEN_DIGITS.sub("", text)


def read_number(text: str) -> Fraction | None:
    """The exact value of a text that is one plain number, else None.

    >>> read_number("$1,200.50")
    Fraction(2401, 2)
    >>> read_number("3/4")
    Fraction(3, 4)
    """
    text = squeezed(text.strip().strip("$").replace("−", "-").replace("\\! ", "").replace("\\!", ""))
    found = NUMBER.fullmatch(text) if 0 < len(text) <= LONGEST else None
    if not found or (found[2] is None and found[3] is None):
        return None
    value = Fraction((found[2] or "0").replace(",", "") + (found[3] or ""))
    if found[4]:
        if int(found[4]) == 0:
            return None
        value /= int(found[4])
    return -value if found[1] == "-" else value


_EXACT = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:(\.\d*)|/(\d+))?|[-+]?(\.\d+)")


def read_exact(text: str) -> tuple[Fraction, bool] | None:
    """(value, not whole and written with a decimal point) of a bare number without any sign of a unit, else None.

    >>> read_exact("1,200.50")
    (Fraction(2401, 2), True)
    """
    text = text.strip()
    found = _EXACT.fullmatch(text) if 0 < len(text) <= LONGEST else None
    if not found or (found[2] and not int(found[2])):
        return None
    value = Fraction(text.replace(",", "").rstrip("."))
    return value, value.denominator > 1 and not found[2]
