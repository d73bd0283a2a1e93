"""Keys where they are needed: a thought spells out what is more than one does in the head, and states the rest."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.problems import load_problems
from redink.teaching.arithmetic import in_the_head
from redink.teaching.equations import find_equations
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import Problem

SOURCES = ["stories:groups?operations=3", "stories:ledger", "reasoning_gym:chain_sum?min_terms=4&operations=2"]


@pytest.mark.parametrize(
    ("equation", "known"),
    [
        ("47 + 38 = 85", True),
        ("7 * 26 = 182", True),
        ("21 + 36 - 12 = 45", True),
        ("21 + 39 - 12 = 48", False),
        ("50 - 21 + 3 = 32", False),
        ("5 - 7 + 9 = 7", False),
        ("99 + 1 + 1 = 101", False),
        ("2 * 3 + 1 = 7", False),
        ("48 / 2 - 4 = 20", False),
        ("2.5 + 1.5 + 1 = 5", False),
        ("(3 + 4) + 1 = 8", False),
    ],
)
def test_several_operations_are_done_in_the_head_only_without_carrying(equation: str, known: bool) -> None:
    assert in_the_head(find_equations(equation)[0].setup) is known


@given(st.integers(0, 999), st.lists(st.tuples(st.sampled_from("+-"), st.integers(0, 999)), min_size=2, max_size=4))
def test_no_carry_means_that_every_digit_is_reckoned_by_itself(first: int, terms: list[tuple[str, int]]) -> None:
    operators, numbers = [operator for operator, _ in terms], [first, *(number for _, number in terms)]
    columns = [[number // 10**place % 10 for number in numbers] for place in range(4)]
    alone = all(0 <= total <= 9 for column in columns for total in running(column, operators))
    setup = " ".join([str(first), *(f"{operator} {number}" for operator, number in terms)])
    equation = find_equations(f"{setup} = {running(numbers, operators)[-1]}")[0]
    assert in_the_head(equation.setup) is alone


def running(numbers: list[int], operators: list[str]) -> list[int]:
    """What they come to after each operation, from left to right."""
    totals = [numbers[0]]
    for operator, number in zip(operators, numbers[1:], strict=True):
        totals.append(totals[-1] + number if operator == "+" else totals[-1] - number)
    return totals


@pytest.mark.parametrize("source", SOURCES)
def test_hard_steps_alone_have_keys_and_the_inspector_is_content(source: str) -> None:
    plain, sparse, inspector = ReferenceTeacher(), ReferenceTeacher(hard_keys=True), ReferenceInspector()

    async def look(problem: Problem) -> None:
        every, hard = await plain.thought(problem), await sparse.thought(problem)
        assert (await inspector.inspect(problem, hard)).accepted
        assert (hard.answer, hard.generalized) == (every.answer, every.generalized)
        for one, other in zip(every.steps, hard.steps, strict=True):
            setup = find_equations(other.text if other.key is None else f"{one.text} = {one.key.split()[-1]}")[-1].setup
            assert in_the_head(setup) is (other.key is None)
            assert other == one or (other.key is None and other.text.startswith(f"{one.text} = "))

    problems = load_problems(source, limit=30, seed=3)
    for problem in problems:
        asyncio.run(look(problem))
    thoughts = [asyncio.run(sparse.thought(problem)) for problem in problems]
    assert any(step.key is None for thought in thoughts for step in thought.steps)


def test_a_mistake_on_purpose_is_found_where_there_is_no_key() -> None:
    teacher, inspector = ReferenceTeacher(error_rate=1, hard_keys=True), ReferenceInspector()

    async def found(problem: Problem) -> bool:
        return not (await inspector.inspect(problem, await teacher.thought(problem))).accepted

    problems = load_problems("stories:ledger", limit=30, seed=4)
    assert all(asyncio.run(found(problem)) for problem in problems)
