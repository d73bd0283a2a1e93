"""Sets of problems never share a question, and say so when they would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Failure
from redink.problems import fingerprint, refuse_overlap, split_problems
from redink.types import Problem


def problem(id: str, question: str, answer: str = "1") -> Problem:
    return Problem(id=id, question=question, answer=answer)


def numbered(questions: list[int]) -> list[Problem]:
    """Problem i asks question `questions[i]`; every other time in another spelling."""
    return [problem(f"p{i}", f"What is {n} + 1?" if i % 2 else f"  what IS {n}+1") for i, n in enumerate(questions)]


def test_disjoint_sets_pass() -> None:
    refuse_overlap(thoughts=[problem("a", "What is 5 - 3?")], errors=[problem("b", "What is 5 + 3?")], evaluation=[])


def test_a_set_may_repeat_its_own_question() -> None:
    refuse_overlap(thoughts=[problem("a", "Why?"), problem("b", "why")])


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (problem("b", "how  many"), ["'a'", "'b'", "question"]),
        (problem("a", "How few?"), ["'a'", "id"]),
    ],
)
def test_overlap_is_refused_with_both_sets_ids_and_a_remedy(second: Problem, named: list[str]) -> None:
    with pytest.raises(Failure) as caught:
        refuse_overlap(thoughts=[problem("a", "How many?")], errors=[], evaluation=[problem("c", "Who?"), second])
    message = str(caught.value)
    assert all(word in message for word in ["'thoughts'", "'evaluation'", *named])
    assert "\n" not in message
    assert "split_problems" in caught.value.remedy


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(0, 6), st.integers(0, 6), st.integers(0, 99))
def test_split_is_disjoint_exact_and_repeatable(questions: list[int], first: int, second: int, seed: int) -> None:
    problems, sizes = numbered(questions), {"a": first, "b": second}
    if len(set(questions)) < first + second:
        with pytest.raises(Failure):
            split_problems(problems, sizes, seed)
        return
    sets = split_problems(problems, sizes, seed)
    asked = {name: [questions[int(row.id[1:])] for row in rows] for name, rows in sets.items()}
    assert {name: len(rows) for name, rows in sets.items()} == sizes
    assert len({*asked["a"], *asked["b"]}) == first + second
    assert sets == split_problems(problems, sizes, seed)
    refuse_overlap(**sets)


def test_split_is_a_shuffle_that_the_seed_decides() -> None:
    problems = numbered(list(range(60)))
    one, other = (split_problems(problems, {"all": 60}, seed)["all"] for seed in (1, 2))
    assert one != other != problems
    assert sorted(row.id for row in one) == sorted(row.id for row in problems)


def test_too_few_distinct_questions_are_counted() -> None:
    with pytest.raises(Failure, match=r"2 train \+ 1 test .* only 2 of 4 are distinct"):
        split_problems(numbered([7, 7, 8, 8]), {"train": 2, "test": 1}, 0)


def test_negative_size_is_refused() -> None:
    with pytest.raises(Failure, match="'test' has a negative size"):
        split_problems(numbered([1, 2]), {"test": -1}, 0)


def test_one_id_for_two_questions_is_refused() -> None:
    with pytest.raises(Failure, match="problem id 'a'"):
        split_problems([problem("a", "Who?"), problem("a", "Why?")], {"train": 1}, 0)


def test_fingerprint_tells_order_and_content() -> None:
    a, b = problem("a", "Who?"), problem("b", "Why?")
    prints = [fingerprint(rows) for rows in ([a, b], [b, a], [a], [], [problem("a", "Who?", "2"), b])]
    assert len(set(prints)) == 5
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in prints)
    assert fingerprint([a, b]) == prints[0]
    # sha256 of nothing, from FIPS 180-4 test vectors
    assert prints[3] == "e3b0c44298fc1c14"
