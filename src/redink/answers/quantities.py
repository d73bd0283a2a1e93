"""Numbers with units, read exactly: "3.5 km/h", "9.8 m s^{-2}", "$12.50", "45 minutes", "9 (apples)".

The units are those of `units.py`; comparing one without an exact conversion with another kind is left undecided.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

from redink.answers.units import SCALES, Unit, stated_unit

LONGEST = 200
LARGEST_EXPONENT = 400

_LATEX = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:text|mathrm|mathbf|textbf|rm|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\[dtc]?frac\s*\{([-+]?[0-9]+)\}\s*\{([0-9]+)\}", r" \1/\2 "),
        (r"\\[dtc]?frac\s*([0-9])\s*([0-9])", r" \1/\2 "),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|\\deg\b", "°"),
        (r"\\(?:times|cdot)\b", "·"),
        (r"\\mu\b", "µ"),
        (r"\\Omega\b", "Ω"),
        (r"\\pounds\b", "£"),
        (r"\\(?:left|right|displaystyle)\b", ""),
        (r"\\!|\{,\}", lambda found: "," if found[0] == "{,}" else ""),
        (r"\\[,;: ]|~|\\quad\b", " "),
        (r"\\([$%])", r"\1"),
        (r"\^\s*\{\s*([-+]?[0-9]+)\s*\}", r"^\1"),
        (r"[−–]", "-"),
        (r"²", "^2"),
        (r"³", "^3"),
        (r"[×*]", "·"),
    )
)
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<money>[$€£¥]?)\s*(?P<inner>[-+]?)\s*"
    r"(?:(?P<mixed>[0-9]{1,9})\s+(?=[0-9]+/[0-9]))?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?P<point>\.[0-9]+)?(?:/(?P<under>[0-9]+))?"
    r"(?:(?:\s*·\s*10\s*\^\s*|[eE])(?P<power>[-+]?[0-9]{1,4}))?"
)
_BARE_POWER = re.compile(r"^([-+]?)\s*10\s*\^(?=\s*[-+]?[0-9])")
HUNDREDTH = Unit(Fraction(1, 100))
"""What a percent sign reads as."""


@dataclass(frozen=True)
class Quantity:
    """A number, whether it is written as a decimal, and its unit (None: none was written)."""

    number: Fraction
    decimal: bool
    unit: Unit | None = field(default=None)

    @property
    def value(self) -> Fraction:
        """The number in base units."""
        return self.number * (self.unit.factor if self.unit else 1)


def read_quantity(text: str) -> Quantity | None:
    """The quantity that the whole text states, or None; digits, exponents and length are bounded before any sum.

    >>> read_quantity("36 km/h").value
    Fraction(10, 1)
    >>> read_quantity("about 3") is None
    True
    """
    if len(text) > LONGEST:
        return None
    plain = _last_side(_plain(text))
    found = _NUMBER.match(plain)
    if found is None or not (found["whole"] or found["point"]):
        return None
    number = _value(found)
    multiple, after = _multiple(plain[found.end() :])
    rest = (found["money"] + " " + after).strip().rstrip(".")
    unit = stated_unit(rest) if rest else None
    if number is None or (rest and unit is None):
        return None
    return Quantity(number * multiple, bool(found["point"] or found["power"]), unit)


def _plain(text: str) -> str:
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    text = text.strip()
    inner = text[1:-1] if text.startswith("$") and text.endswith("$") and len(text) > 1 else text
    inner = _BARE_POWER.sub(r"\1 1·10^", inner)
    return inner.replace("{", " ").replace("}", " ").replace("\\", " \\").strip()


def _last_side(text: str) -> str:
    """`v = 3 m/s` states 3 m/s."""
    return re.split(r"[=≈]|\\approx", text)[-1].strip()


def _value(found: re.Match[str]) -> Fraction | None:
    power = int(found["power"] or 0)
    if abs(power) > LARGEST_EXPONENT or (found["under"] and int(found["under"]) == 0):
        return None
    if found["mixed"] and not int(found["whole"].replace(",", "")) < int(found["under"]):
        return None
    value = Fraction((found["whole"] or "0").replace(",", "") + (found["point"] or ""))
    value = value / int(found["under"] or 1) * Fraction(10) ** power + int(found["mixed"] or 0)
    return -value if "-" in (found["sign"], found["inner"]) else value


def _multiple(text: str) -> tuple[int, str]:
    """The multiples that a text begins with, such as "hundred thousand", as a factor, and what comes after them."""
    factor = 1
    for word in text.split()[:2]:
        if word.lower() not in SCALES:
            break
        factor *= SCALES[word.lower()]
        text = text.split(word, 1)[1]
    return factor, text
