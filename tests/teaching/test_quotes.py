"""What a step takes up, in the words of the question."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.problems import load_problems
from redink.teaching.equations import find_equations
from redink.teaching.quotes import LONGEST_QUOTE, quotes
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher

LEO = "Leo has 5 jars of 9 books. Then gets 3 jars of 7. Then makes 58 more. How many books does Leo have now?"


@pytest.mark.parametrize(
    ("question", "solution", "expected"),
    [
        (LEO, "5 * 9 = 45, 3 * 7 = 21, 45 + 21 = 66, 66 + 58 = 124",
         ["Leo has 5 jars of 9 books", "Then gets 3 jars of 7", "", "Then makes 58 more"]),
        ("Work out 9 + 9 - 8 - 5 + 0 =", "9 + 9 = 18, 18 - 8 = 10, 10 - 5 = 5, 5 + 0 = 5",
         ["+ 9 - 8 - 5 + 0", "- 8 - 5 + 0", "- 5 + 0", "+ 0"]),
        ("A book costs $12.50. Ann buys 4.", "4 * 12.50 = 50", ["Ann buys 4"]),
        ("Ann has 12 eggs and eats 1.", "12 - 1 = 11", ["Ann has 12 eggs and eats 1"]),
        ("Ann has 8. Ben has 8 too.", "8 + 8 = 16", ["Ben has 8 too"]),
        ("Nothing is stated here.", "3 + 4 = 7", [""]),
        (f"Ann has 3 {'very ' * 60}large eggs.", "3 + 4 = 7", [""]),
    ],
)  # fmt: skip
def test_a_step_quotes_the_sentence_of_its_newest_operand(question, solution, expected):
    assert quotes(question, find_equations(solution)) == expected


@given(
    st.text(alphabet="123 .+-?a,\n", max_size=60), st.lists(st.sampled_from(["1 + 2 = 3", "3 * 2 = 6", "6 - 1 = 5"]))
)
def test_a_quote_stands_in_the_question(question, lines):
    equations = [found for line in lines for found in find_equations(line)]
    found = quotes(question, equations)
    assert len(found) == len(equations)
    assert all(words in question and len(words) <= max(LONGEST_QUOTE, len(question)) for words in found)


def test_a_step_that_computes_nothing_quotes_nothing():
    assert quotes("Ann has 3.", [None]) == [""]


@pytest.mark.parametrize(
    "source", ["stories:ledger", "stories:groups", "stories:compare", "reasoning_gym:chain_sum?min_terms=4"]
)
def test_thoughts_with_quotes_pass_the_inspector(source):
    teacher, inspector = ReferenceTeacher(quotes=True), ReferenceInspector()

    async def look() -> list[tuple[bool, bool]]:
        found = []
        for problem in load_problems(source, limit=40, seed=3):
            plain, thought = await ReferenceTeacher().thought(problem), await teacher.thought(problem)
            verdict = await inspector.inspect(problem, thought)
            same = [step.text for step in thought.steps] == [step.text for step in plain.steps]
            longer = sum(len(step.key or "") for step in thought.steps) > sum(
                len(step.key or "") for step in plain.steps
            )
            assert all(
                (one.key or "").endswith(two.key or "") for one, two in zip(thought.steps, plain.steps, strict=True)
            )
            found.append((verdict.accepted and same, longer))
        return found

    found = asyncio.run(look())
    assert all(right for right, _ in found) and any(longer for _, longer in found)
