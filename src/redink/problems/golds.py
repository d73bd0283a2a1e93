"""Gold answers in the form that the checker reads, whatever form a published set gives them in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from redink.answers.units import stated_unit

NOISY_DIGITS = 15
"""A decimal of so many significant digits or more is a printed float, whose last digits may be noise."""
KEPT_DIGITS = 12
NOISE_ULPS = 4
"""How far float noise moves a number, in units of its last binary place."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_REMARKED = re.compile(r"(.*\d.*?)\s*\(([^()]*)\)", re.DOTALL)
_LIST_COMMA = re.compile(r"(?<!\\)(?<!\{)\s*,(?!\})\s*")
_NAMED_INTERVAL = re.compile(r"^[A-Za-z]\s*(?=[(\[].*[)\]]$)")
_UNITS = {"%": "\\%", "^{\\circ}": "^{\\circ}"}
"""Units that stand right behind a number; others follow after a space."""


def without_thousands(text: str) -> str:
    """The text without commas between digits: `1,200` is `1200`."""
    return _THOUSANDS.sub("", text)


def plain_number(text: str) -> str | None:
    """A number as people write it, without padding, exponent or float noise; None if the text is none.

    Noise is taken away only where a decimal of `KEPT_DIGITS` significant digits lies within `NOISE_ULPS` of the number.

    >>> [plain_number(text) for text in ("025", "27.0", "3244047.0999999996", "2.0107e-06", "14053029.666666666")]
    ['25', '27', '3244047.1', '0.0000020107', '14053029.666666666']
    """
    text = without_thousands(text.strip())
    if not _DECIMAL.fullmatch(text):
        return None
    number = _without_noise(Decimal(text))
    written = format(number, "f")
    written = written.rstrip("0").rstrip(".") if "." in written else written
    return "0" if written in ("-0", "") else written


def _without_noise(number: Decimal) -> Decimal:
    if len(number.as_tuple().digits) < NOISY_DIGITS or number == number.to_integral_value():
        return number
    short = Decimal(f"{number:.{KEPT_DIGITS}g}")
    return short if abs(short - number) <= NOISE_ULPS * Decimal(math.ulp(float(number))) else number


def without_counted_thing(answer: str) -> str:
    """ASDiv's `9 (apples)` as `9`, its `5 (km)` as `5 km`: only a unit of measure is part of an answer.

    A student that answers "9 fruits" is right; one that answers "5 m" is not.
    """
    found = _REMARKED.fullmatch(answer)
    if found is None:
        return answer
    unit = stated_unit(found[2])
    return f"{found[1]} {found[2]}" if unit is not None and unit.known else found[1]


def listed(answers: Sequence[str], *, several: bool = False, interval: bool = False, unit: str = "") -> str:
    r"""OlympiadBench's `final_answer` as one text: several parted by ", ", which the checker takes in any order.

    Dollars go, and the name before an interval (`t(0,4]` is `(0,4]`). A unit follows where there is one answer.

    >>> listed(["$69$,$84$"], several=True), listed(["4.2"], unit="%"), listed(["$166$"], unit="$cm^2$")
    ('69, 84', '4.2\\%', '166 cm^2')
    """
    text = ", ".join(answers).replace("$", "").strip().rstrip(".")
    if interval:
        text = _NAMED_INTERVAL.sub("", text)
    if several:
        return _LIST_COMMA.sub(", ", text)
    unit = unit.replace("$", "").strip()
    return text + _UNITS.get(unit, f" {unit}") if text and unit else text


def last_boxed(solution: str) -> str | None:
    r"""What the last `\boxed` (or `\fbox`) holds: its balanced braces, or one token as in `\boxed 2`; None if none.

    The convention of MATH, whose answers are the last box alone; `redink.answers` reads `\boxed{1} and \boxed{2}` in a
    reply as both.
    """
    start = max(solution.rfind("\\boxed"), solution.rfind("\\fbox"))
    if start < 0:
        return None
    rest = solution[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    return _balanced(rest) if rest.startswith("{") else rest[:1]


def _balanced(text: str) -> str | None:
    """The inside of the brace that opens `text`; None if it never closes. Escaped braces do not count."""
    depth, escaped = 0, False
    for position, character in enumerate(text):
        if not escaped:
            depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[1:position].strip()
        escaped = character == "\\" and not escaped
    return None
