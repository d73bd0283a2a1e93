"""The contested conventions of answer checking, each a named switch with a default, stored with the results.

Where two honest graders disagree on a pair of answers, the disagreement is one of these switches; everything else
is decided by value and structure alone. `docs/answers.md` shows each switch on examples.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redink.types import Row


class Switches(Row):
    """How contested pairs are decided; hashable, so that verdicts can be cached under it."""

    percent: Literal["either", "value", "strict"] = Field(
        "either",
        description="'either': 50% is 0.5 and also 50. 'value': 50% is 0.5 only. 'strict': 50% is only another 50%.",
    )
    units: Literal["optional", "ignored", "required"] = Field(
        "optional",
        description="'optional': a missing unit is no matter, two units must agree (1 m is 100 cm). "
        "'ignored': units are dropped. 'required': both sides name a unit, or neither does.",
    )
    base_subscripts: Literal["optional", "required"] = Field(
        "optional",
        description="'optional': 204 is 204_5, for a question that names the base. 'required': both name it.",
    )
    rounding_digits: int = Field(
        3,
        ge=0,
        description="A decimal of at least so many significant digits is also the exact number that rounds to it "
        "(33.3 is 100/3); never between two short decimals. 0: never.",
    )
    relative_tolerance: float = Field(
        0.0,
        ge=0,
        le=0.1,
        description="Two numbers of which one is written with a decimal point are equal within it. Whatever it is, a "
        "decimal of 15 or more digits is a printed float: 1e-9 then. Whole numbers and fractions are exact.",
    )
    inequality_as_interval: bool = Field(True, description="x < 3 is (-oo, 3), and x = 1 or x = 2 is {1, 2}.")
    decimal_comma: bool = Field(True, description="1000,99 may be 1000.99 (never 1,234: that is a thousand).")
    list_as_tuple: bool = Field(True, description="1, 2 without brackets is also the tuple (1, 2), in this order.")
    degrees_as_radians: bool = Field(False, description="90 degrees is also pi/2.")
    false_statement: bool = Field(False, description="2 + 2 = 5 answers 5, although the statement is false.")
    last_number: bool = Field(False, description="Extraction: a reply with no stated answer answers its last number.")


DEFAULT = Switches()
