"""Gold answers in the checker's form: floats, padded numbers, units, lists, boxes."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers import compare
from redink.problems.golds import last_boxed, listed, plain_number, without_counted_thing


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("025", "25"),
        ("000", "0"),
        ("27.0", "27"),
        ("145.0", "145"),
        (" -9867630.0 ", "-9867630"),
        ("-0.0", "0"),
        ("1,200", "1200"),
        ("+7", "7"),
        (".50", "0.5"),
        ("3.", "3"),
        ("2.0107e-06", "0.0000020107"),
        ("1e+16", "10000000000000000"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        # noise: 3244047.1 and 153957440 as sums of floats print them
        ("3244047.0999999996", "3244047.1"),
        ("153957439.99999997", "153957440"),
        ("0.30000000000000004", "0.3"),
        # no noise: periods and long decimals stay as they are
        ("14053029.666666666", "14053029.666666666"),
        ("15.9999721901", "15.9999721901"),
        ("9284017268534.4", "9284017268534.4"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("12345678901234.25", "12345678901234.25"),
    ],
)
def test_plain_number(text: str, number: str) -> None:
    assert plain_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "abc", "1/2", "NaN", "Infinity", "1_000", "1e9999", "3 apples", "٣", "--1", "1.2.3"]
)
def test_what_is_no_number(text: str) -> None:
    assert plain_number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value_within_its_noise(value: float) -> None:
    """Exact rationals: 4 units of the last place is all that may go, and nothing of a whole number."""
    written = plain_number(repr(value))
    assert written is not None and "e" not in written
    assert abs(Fraction(written) - Fraction(repr(value))) <= 4 * Fraction(math.ulp(value))
    if value.is_integer() and abs(value) < 2**53:
        assert written == str(int(value))


@given(st.integers(-(10**12), 10**12), st.integers(1, 6))
def test_a_sum_of_floats_is_the_decimal_that_was_meant(units: int, places: int) -> None:
    """Tenths, hundredths … reached by one multiplication in floats, whose error is at most one unit of the last place."""
    exact = Fraction(units, 10**places)
    noisy = units * (10.0**-places)
    if abs(units) < 10**12 and len(str(abs(units))) <= 12:
        assert Fraction(plain_number(repr(noisy)) or "x") == exact


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("9 (apples)", "9"),
        ("14  (seats)", "14"),
        ("-2 (points)", "-2"),
        ("5 (km)", "5 km"),
        ("53.3 (square feet)", "53.3 square feet"),
        ("178 (dollars)", "178 dollars"),
        ("-(1/3)", "-(1/3)"),
        ("5/2", "5/2"),
        ("Mrs. Hilt", "Mrs. Hilt"),
        ("Rug (B)", "Rug (B)"),
        ("3:30 p.m.", "3:30 p.m."),
    ],
)
def test_only_units_of_measure_stay(answer: str, gold: str) -> None:
    assert without_counted_thing(answer) == gold


@pytest.mark.parametrize(
    ("reply", "published", "right"),
    [
        ("9 fruits", "9 (apples)", True),
        ("9", "9 (apples)", True),
        ("8 apples", "9 (apples)", False),
        ("5000 m", "5 (km)", True),
        ("5", "5 (km)", True),
        ("5 m", "5 (km)", False),
        ("\\$178", "178 (dollars)", True),
    ],
)
def test_what_the_checker_makes_of_them(reply: str, published: str, right: bool) -> None:
    assert compare(reply, without_counted_thing(published)).right is right


LISTS = [
    (["$69$,$84$"], True, False, "", "69, 84"),
    (["$221,$8$"], True, False, "", "221, 8"),
    (["2400, 1350,864"], True, False, "", "2400, 1350, 864"),
    (["3", "5"], True, False, "", "3, 5"),
    (["(1,7,103, 105), (3, 5, 101, 107)"], True, False, "", "(1, 7, 103, 105), (3, 5, 101, 107)"),
    (["$10{,}000\\,,5$"], True, False, "", "10{,}000\\,, 5"),
    (["1,234"], False, False, "", "1,234"),
    (["$(-\\infty, 0) \\cup\\{1\\}$."], False, True, "", "(-\\infty, 0) \\cup\\{1\\}"),
    (["$t(0,4]$"], False, True, "", "(0,4]"),
    (["$f(x)=2 x$"], False, False, "", "f(x)=2 x"),
    (["4.2"], False, False, "%", "4.2\\%"),
    (["90"], False, False, "^{\\circ}", "90^{\\circ}"),
    (["$\\frac{600}{7}$"], False, False, "km/h", "\\frac{600}{7} km/h"),
    (["$166$"], False, False, "$cm^2$", "166 cm^2"),
    (["$90$,$90$"], True, False, "^{\\circ}", "90, 90"),
    ([], False, False, "km", ""),
]


@pytest.mark.parametrize(("answers", "several", "interval", "unit", "gold"), LISTS)
def test_olympiadbench_answers_become_one_text(
    answers: list[str], several: bool, interval: bool, unit: str, gold: str
) -> None:
    assert listed(answers, several=several, interval=interval, unit=unit) == gold


@pytest.mark.parametrize(
    ("reply", "gold", "right"),
    [
        ("84, 69", "69, 84", True),
        ("\\{69, 84\\}", "69, 84", True),
        ("69", "69, 84", False),
        ("69, 85", "69, 84", False),
        ("(3,5,101,107), (1,7,103,105)", "(1, 7, 103, 105), (3, 5, 101, 107)", True),
        ("(3,5,107,101), (1,7,103,105)", "(1, 7, 103, 105), (3, 5, 101, 107)", False),
        ("(0, 4]", "(0,4]", True),
        ("4.2", "4.2\\%", True),
        ("50/7 km/min", "\\frac{600}{7} km/h", False),
        ("0.0166 m^2", "166 cm^2", True),
    ],
)
def test_lists_and_units_as_the_checker_reads_them(reply: str, gold: str, right: bool) -> None:
    assert compare(reply, gold).right is right


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("\\boxed{1} then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\fbox{7}", "7"),
        ("$\\boxed 2$", "2"),
        ("\\boxed{}", ""),
        ("\\boxed{\\{1, 2\\}} rest}", "\\{1, 2\\}"),
        ("\\boxed{a\\\\}", "a\\\\"),
        ("\\boxed{never closed", None),
        ("none", None),
    ],
)
def test_last_boxed(solution: str, answer: str | None) -> None:
    assert last_boxed(solution) == answer
