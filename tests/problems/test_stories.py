"""Story problems: every worked solution is recomputed from the question's own words, by another route."""

from __future__ import annotations

import re

import pytest

from redink.problems.stories import LIMIT, NAMES, SUBJECTS, generate
from redink.types import Problem

EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = <<(\d+)([-+*])(\d+)=(\d+)>>(\d+)")
GAIN = re.compile(r"Then (?:buys|finds|gets|makes) (\d+) (?:more|from a friend)\.")
LOSS = re.compile(r"Then (?:loses (\d+)|sells (\d+)|gives (\d+) away|breaks (\d+))\.")
RELATION = re.compile(r"(\w+) has (\d+) (times as many as|fewer than|more than) (\w+)\.")
COUNT = 250


@pytest.fixture(scope="module", params=SUBJECTS)
def stories(request: pytest.FixtureRequest) -> list[Problem]:
    return generate(request.param, COUNT, seed=7)


def changes(question: str) -> int:
    """What the gains and losses of a story come to."""
    gains = sum(int(n) for n in GAIN.findall(question))
    losses = sum(int("".join(groups)) for groups in LOSS.findall(question))
    return gains - losses


def solve_ledger(question: str) -> int:
    found = re.match(r"\w+ has (\d+) \w+\.", question)
    assert found
    return int(found[1]) + changes(question)


def solve_groups(question: str) -> int:
    found = re.match(r"\w+ has (\d+) \w+ of (\d+) \w+\.(?: Then gets (\d+) \w+ of (\d+)\.)?", question)
    assert found
    return int(found[1]) * int(found[2]) + int(found[3] or 0) * int(found[4] or 0) + changes(question)


def solve_compare(question: str) -> int:
    first = re.match(r"(\w+) has (\d+) \w+\.", question)
    assert first
    have = {first[1]: int(first[2])}
    for name, number, kind, other in RELATION.findall(question):
        factor, plus = (int(number), 0) if kind.startswith("times") else (1, int(number))
        have[name] = have[other] * factor + (-plus if kind.startswith("fewer") else plus)
    asked = re.search(r"does (\w+) have\?$", question)
    return have[asked[1]] if asked else sum(have.values())


SOLVERS = {"ledger": solve_ledger, "groups": solve_groups, "compare": solve_compare}


def test_the_answer_is_what_the_words_come_to(stories: list[Problem]) -> None:
    for problem in stories:
        assert str(SOLVERS[problem.subject](problem.question)) == problem.answer, problem.question


def test_every_sentence_is_understood_by_the_test(stories: list[Problem]) -> None:
    """So that no sentence is left out of the sum above unseen."""
    start = re.compile(r"^\w+ has \d+ \w+(?: of \d+ \w+)?\.")
    more = re.compile(r"Then gets \d+ \w+ of \d+\.")
    asked = re.compile(r"How many \w+ (?:does \w+ have(?: now)?|do they have in all)\?$")
    for problem in stories:
        rest = problem.question
        for pattern in (start, more, GAIN, LOSS, RELATION, asked):
            rest = pattern.sub("", rest)
        assert rest.strip() == "", problem.question


def test_every_equation_is_true_and_its_numbers_fit(stories: list[Problem]) -> None:
    operate = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    for problem in stories:
        assert problem.solution is not None
        *equations, last = problem.solution.splitlines()
        assert last == f"#### {problem.answer}"
        assert problem.level == str(len(equations))
        for equation in equations:
            found = EQUATION.fullmatch(equation)
            assert found, equation
            left, operator, right, *again, value = found.groups()
            assert again == [left, operator, right, value]
            assert operate[operator](int(left), int(right)) == int(value)
            assert all(0 <= int(n) <= LIMIT for n in (left, right, value))
        assert equations[-1].endswith(f">>{problem.answer}")
        assert all(int(n) <= LIMIT for n in re.findall(r"\d+", problem.question))


def test_the_operands_come_from_the_question_or_from_earlier_results(stories: list[Problem]) -> None:
    for problem in stories:
        known = {int(n) for n in re.findall(r"\d+", problem.question)}
        for left, _, right, *_, value in EQUATION.findall(problem.solution or ""):
            assert {int(left), int(right)} <= known, problem.question
            known.add(int(value))


def test_questions_and_ids_are_distinct(stories: list[Problem]) -> None:
    assert len({problem.question for problem in stories}) == COUNT
    assert [problem.id for problem in stories] == [f"stories/{stories[0].subject}/{n}" for n in range(COUNT)]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_same_seed_tells_the_same_stories_and_a_longer_draw_begins_with_a_shorter(subject: str) -> None:
    assert generate(subject, 20, seed=3) == generate(subject, 40, seed=3)[:20]
    assert generate(subject, 20, seed=4) != generate(subject, 20, seed=3)


def test_the_stories_vary(stories: list[Problem]) -> None:
    assert len({problem.level for problem in stories}) >= 2
    assert {problem.question.split()[0] for problem in stories} == set(NAMES)


def test_people_who_are_compared_are_three_different_ones() -> None:
    for problem in generate("compare", 50):
        assert len({*RELATION.findall(problem.question)[0][::3], *RELATION.findall(problem.question)[1][::3]}) == 3


def test_no_draw_is_no_story_and_an_unknown_subject_is_refused() -> None:
    assert generate("ledger", 0) == []
    with pytest.raises(KeyError):
        generate("opera", 1)
