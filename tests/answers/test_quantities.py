"""Numbers with units: values by hand from the definitions of the units (SI brochure; international yard and pound)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers.quantities import read_quantity
from redink.answers.units import convertible, read_unit, singular

VALUES = [
    ("36 km/h", "10"),
    ("36 km h^{-1}", "10"),
    ("60 mph", "26.8224"),
    ("9.8 m s^{-2}", "9.8"),
    ("9.8\\ \\mathrm{m/s}^2", "9.8"),
    ("1.5\\times 10^{-3} \\mathrm{~kJ/(kg\\cdot K)}", "1.5"),
    ("5 J/kg K", "5"),
    ("10^{5} Pa", "100000"),
    ("-10^3 m", "-1000"),
    ("$12.50", "12.5"),
    ("\\$-5", "-5"),
    ("-\\$5", "-5"),
    ("$\\$1,250.00$", "1250"),
    ("250 cents", "2.5"),
    ("45 minutes", "2700"),
    ("1 1/2 hours", "5400"),
    ("\\frac{3}{4}\\text{ m}^2", "0.75"),
    ("5 sq ft", "0.4645152"),
    ("3 square inches", "0.00193548"),
    ("2 cm³", "0.000002"),
    ("2 m^{-1} s2", "2"),
    ("6 ft-lb", str(6 * Fraction("0.3048") * Fraction("0.45359237"))),
    ("2 dozen", "24"),
    ("1.2 million dollars", "1200000"),
    ("20\\%", "0.2"),
    ("v = 3.0 m/s", "3"),
    ("2{,}000", "2000"),
    ("3 eV", "4.806529902e-19"),
    ("1 pc", "30856775814913673"),
    ("25 degrees Celsius", "25"),
    ("12 eggs", "12"),
    ("7", "7"),
    ("-.5", "-0.5"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_quantity_has_its_value_in_base_units(text: str, value: str) -> None:
    found = read_quantity(text)
    assert found is not None
    assert found.value == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "5x", "5i", "5π", "5 pi", "about 3", "3e99999", "1/0", "1.2.3", "1,2", "3 or 4", "3 squared", "3 + 4",
        "5 \\sqrt{2}", "10^5^5", "2^{10}", "3 m^99", "3 /", "3 m/", "9" * 300, "5 m / / s", "5k", "5!", "6 to 7", "6 ft 0", "3 m^0",
    ],
)  # fmt: skip
def test_what_is_no_single_number_with_a_unit_is_refused(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("km", "miles", True),
        ("N", "kg m/s^2", True),
        ("J", "N m", True),
        ("W", "J", False),
        ("g", "s", False),
        ("days", "months", None),
        ("°", "rad", None),
        ("apples", "apple", True),
        ("apples", "fruits", None),
        ("USD", "$", True),
    ],
)
def test_what_can_be_converted(first: str, second: str, expected: bool | None) -> None:
    one, other = read_unit(first), read_unit(second)
    assert one is not None
    assert other is not None
    assert convertible(one, other) is convertible(other, one) is expected


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("apples", "apple"),
        ("boxes", "box"),
        ("inches", "inch"),
        ("berries", "berry"),
        ("glass", "glass"),
        ("bus", "bus"),
    ],
)
def test_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


@given(st.text("0123456789.,/-+^{}\\ eE×·$%°mskgtexrac()=", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    found = read_quantity(text)
    assert found is None or abs(found.number) < Fraction(10) ** 700


@given(st.fractions(), st.sampled_from(["m", "kg", "s", "J", "apples"]))
def test_a_written_fraction_comes_back(value: Fraction, unit: str) -> None:
    found = read_quantity(f"{value.numerator}/{value.denominator} {unit}")
    assert found is not None
    assert found.number == value
