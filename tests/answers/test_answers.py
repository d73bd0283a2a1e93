"""Plain numbers, read exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers import final_number, read_number
from redink.answers.numbers import read_exact


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", Fraction(5)),
        (" -5 ", Fraction(-5)),
        ("−5", Fraction(-5)),
        ("- 5", Fraction(-5)),
        ("+5", Fraction(5)),
        ("5.", Fraction(5)),
        (".5", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        ("1,234,567", Fraction(1234567)),
        ("$1,200.50", Fraction(2401, 2)),
        ("-$3", Fraction(-3)),
        ("$3$", Fraction(3)),
        ("32,\\! 349", Fraction(32349)),
        ("3/4", Fraction(3, 4)),
        ("3 / 4", Fraction(3, 4)),
        ("-3/4", Fraction(-3, 4)),
        ("50%", Fraction(50)),
        ("0.30000000000000000001", Fraction(30000000000000000001, 10**20)),
        ("9" * 50, Fraction(10**50 - 1)),
    ],
)
def test_a_plain_number_is_read_exactly(text: str, value: Fraction) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", ".", "$", "%", "x", "5 apples", "1,23", "12,3456", "1e3", "3/0", "1 2", "1 1/2", "3//4", "9" * 61,
     "5-3", "1.2.3", "\\frac{1}{2}", "1/2/3"],
)  # fmt: skip
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert read_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_decimals_are_read_as_python_reads_them(value: Decimal) -> None:
    assert read_number(str(value)) == Fraction(value)
    assert read_number(f"{value:,}") == Fraction(value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    read_number(text)
    read_exact(text)
    final_number(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("47 + 38 = 85", "85"),
        ("it is 1,200.", "1,200"),
        ("5, 6,", "6"),
        ("12.5 and no more", "12.5"),
        ("5 - -3", "-3"),
        ("none", None),
        ("", None),
    ],
)
def test_the_final_number_is_the_last_one_stated(text: str, number: str | None) -> None:
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", (Fraction(5), False)),
        ("5.0", (Fraction(5), False)),
        ("5.", (Fraction(5), False)),
        ("5.5", (Fraction(11, 2), True)),
        ("-.5", (Fraction(-1, 2), True)),
        ("1,200/3", (Fraction(400), False)),
        ("$5", None),
        ("5%", None),
        ("5/0", None),
        ("1,23", None),
        ("1e3", None),
        ("9" * 61, None),
    ],
)
def test_a_bare_number_carries_whether_it_is_a_decimal(text: str, value: tuple[Fraction, bool] | None) -> None:
    assert read_exact(text) == value
