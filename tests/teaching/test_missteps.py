"""Worked solutions with one wrong step: exactly one, what follows is true of it, and no number leaves the range."""

import random
import re
from fractions import Fraction

import pytest

from redink.problems import load_problems
from redink.teaching.equations import find_equations
from redink.teaching.missteps import with_misstep


def lines_of(solution: str) -> list[str]:
    return [line for line in re.sub(r"<<[^>]*>>", "", solution).splitlines() if not line.startswith("####")]


def wrong_lines(made: list[str], right: list[str]) -> list[int]:
    """By independent reckoning: lines that are false, or whose set-up is not the right one with carried numbers."""
    moved: dict[str, str] = {}
    found = []
    for place, (new, old) in enumerate(zip(made, right, strict=True)):
        left, _, value = new.rpartition(" = ")
        expected = " ".join(moved.get(part, part) for part in old.rpartition(" = ")[0].split())
        if left != expected or Fraction(eval(left)) != Fraction(value):
            found.append(place)
        moved[old.rpartition(" = ")[2]] = value
    return found


@pytest.mark.parametrize("operations", [1, 3])
def test_one_step_is_wrong_and_the_rest_follows(operations: int) -> None:
    dice, kinds = random.Random(5), set()
    for problem in load_problems(f"stories?operations={operations}", limit=300, seed=8):
        right = lines_of(problem.solution or "")
        made = with_misstep(right, dice)
        assert made is not None
        wrong = wrong_lines(made, right)
        same = {line.rpartition(" = ")[2] for line in right}
        if len(same) == len(right):  # no two results alike, so what is carried is certain
            assert len(wrong) == 1
            left, _, value = made[wrong[0]].rpartition(" = ")
            kinds.add("slip" if Fraction(eval(left)) != Fraction(value) else "set-up")
            kinds.add(wrong[0])
        assert all(0 <= int(number) <= 199 for line in made for number in re.findall(r"[0-9]+", line))
    assert {"slip", "set-up", 0, 1, 2} <= kinds


def test_words_around_an_equation_stay() -> None:
    made = with_misstep(["She sold 8 * 6 = 48 clips.", "So 50 are left? No: 90 - 48 = 42 are."], random.Random(2))
    assert made is not None
    assert re.fullmatch(r"She sold \d+ [-+*] \d+ = \d+ clips\.", made[0])
    assert re.fullmatch(r"So 50 are left\? No: \d+ [-+] \d+ = \d+ are\.", made[1])
    value = find_equations(made[0])[0].result.text
    assert made[1].count(value) or made[0] == "She sold 8 * 6 = 48 clips."


@pytest.mark.parametrize("lines", [[], ["no arithmetic at all"], ["0 + 0 = 0"]])
def test_where_nothing_can_be_made_wrong_there_is_none(lines: list[str]) -> None:
    assert with_misstep(lines, random.Random(0)) is None
