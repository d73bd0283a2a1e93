"""Arithmetic spelled out: every small equation is true and the last one ends in the result."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.teaching.arithmetic import place_values, spell_out, spelled
from redink.teaching.equations import find_equations

WHOLE = st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("number", "parts"), [(0, [0]), (7, [7]), (205, [200, 5]), (138, [100, 30, 8]), (1000, [1000]), (60, [60])]
)
def test_place_values(number: int, parts: list[int]) -> None:
    assert place_values(number) == parts


@pytest.mark.parametrize(
    ("left", "operator", "right", "equations"),
    [
        (14, "+", 27, ["14 + 20 = 34", "34 + 7 = 41"]),
        (82, "-", 5, ["82 - 5 = 77"]),
        (100, "-", 38, ["100 - 30 = 70", "70 - 8 = 62"]),
        (7, "*", 26, ["7 * 20 = 140", "7 * 6 = 42", "140 + 40 = 180", "180 + 2 = 182"]),
        (6, "*", 0, ["6 * 0 = 0"]),
        (84, "/", 4, ["84 / 4 = 21"]),
        (9, "+", 0, ["9 + 0 = 9"]),
    ],
)
def test_spell_out(left: int, operator: str, right: int, equations: list[str]) -> None:
    assert spell_out(left, operator, right) == equations


@given(WHOLE, st.sampled_from("+-*"), WHOLE)
def test_every_small_equation_is_true_and_the_last_ends_in_the_result(left: int, operator: str, right: int) -> None:
    if operator == "-":
        left, right = max(left, right), min(left, right)
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    equations = spell_out(left, operator, right)
    for equation in equations:
        first, sign, second, value = re.fullmatch(r"(\d+) ([+*-]) (\d+) = (\d+)", equation).groups()  # type: ignore[union-attr]
        expected = {"+": int(first) + int(second), "-": int(first) - int(second), "*": int(first) * int(second)}
        assert int(value) == expected[sign]
    assert equations[-1].endswith(f"= {result}")


@pytest.mark.parametrize(
    ("equation", "key"),
    [
        ("14 + 27 = 41", "14 + 20 = 34, 34 + 7 = 41"),
        ("2.00 * 13 = 26", "2 * 10 = 20, 2 * 3 = 6, 20 + 6 = 26"),
        ("50 * .2 = 10", "50 * 0.2 = 10"),
        ("5 - 8 = -3", "5 - 8 = -3"),
        ("7 / 2 = 3.5", "7 / 2 = 3.5"),
        ("84 / 4 = 21", "84 / 4 = 21"),
        ("16 - 3 - 4 = 9", "16 - 3 = 13, 13 - 4 = 9"),
        ("16 + 25 - 4 = 37", "16 + 20 = 36, 36 + 5 = 41, 41 - 4 = 37"),
        ("2 * 3 * 14 = 84", "2 * 3 = 6, 6 * 10 = 60, 6 * 4 = 24, 60 + 20 = 80, 80 + 4 = 84"),
        ("16 - 20 + 9 = 5", "16 - 20 + 9 = 5"),
        ("16 - 3 * 4 = 4", "16 - 3 * 4 = 4"),
        ("20% of 50 = 10", "20% * 50 = 10"),
        ("2^5 = 32", "2 ^ 5 = 32"),
        ("-3 + 10 = 7", "-3 + 10 = 7"),
        ("41 = 14 + 27", "14 + 20 = 34, 34 + 7 = 41"),
    ],
)
def test_easy_operations_are_spelled_out_one_after_another(equation: str, key: str) -> None:
    (found,) = find_equations(equation)
    assert spelled(found.setup, found.result.text) == key
