"""Steps that compute a part of a gold line that holds several operations."""

import pytest

from redink.teaching.reference import first_wrong_step
from redink.types import Problem, Step

GOLD = Problem(id="p", question="9 - 3 + 2 - 4 + 7 - 5 =", answer="6",
               solution="9 - 3 + 2 = <<9-3+2=8>>8\n8 - 4 + 7 - 5 = <<8-4+7-5=6>>6")  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (["9 - 3 = 6", "6 + 2 = 8", "8 - 4 = 4", "4 + 7 = 11", "11 + 5 = 16"], 5),  # parts, one after another
        (["9 - 3 + 2 = 8", "8 - 4 = 4", "7 - 5 = 2"], None),  # parts in another order, and then it stops
        (["9 - 3 + 2 = 8", "8 - 4 - 7 = -3"], 2),  # no part
        (["9 - 3 + 2 = 8", "8 - 4 - 2 = 2", "2 + 1 = 3"], 2),  # 2 is what 7 and 5 come to, but of other numbers
        (["9 - 3 - 2 = 4", "4 + 1 = 5"], 1),  # 4 is what 8 and 4 come to, but of other numbers
        (["9 + 2 = 11", "11 - 3 = 8", "8 + 7 = 15", "15 - 9 = 6", "6 + 1 = 7"], 5),
    ],
)
def test_a_part_is_known_by_its_own_numbers(lines: list[str], wrong: int | None) -> None:
    steps = [Step(number=number, text=line) for number, line in enumerate(lines, start=1)]
    assert first_wrong_step(GOLD, steps) == wrong


@pytest.mark.parametrize(("key", "wrong"), [("8 - 4 = 4, 4 - 2 = 2", 1), ("8 - 4 = 4, 4 + 7 = 11, 11 - 5 = 6", None)])
def test_a_key_is_read_as_what_its_step_sets_up(key: str, wrong: int | None) -> None:
    setup = {1: "8 - 4 - 2", None: "8 - 4 + 7 - 5"}[wrong]
    assert first_wrong_step(GOLD, [Step(number=1, text=setup, key=key)]) == wrong
