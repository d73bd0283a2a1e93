"""Which answers are the same: keys, what the checker joins, and the bounds of both."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from made import attempt, problem

from redink.answers.checkers import ExactChecker, MathChecker, checker_of
from redink.evaluation.grouping import COMPARED, KEPT, Answers, answer_key, same_answers
from redink.evaluation.outcomes import Tally
from redink.types import Outcome, Problem, Verdict


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1,200.50", "1200.5", True), ("3/4", "6/8", True), ("0.75", "3/4", True), ("-7", "- 7", False),
        ("x + 1", "x+1", True), ("1 1/2", "11/2", False), ("5", "5 apples", False), ("(1, 2)", "(1,2)", True),
        ("x" * 900, "x" * 900, True), ("x" * 900, "x" * 899 + "y", False), ("\ud800" * 300, "\ud800" * 300, True),
    ],
)  # fmt: skip
def test_keys_by_value_then_by_text(one: str, other: str, same: bool) -> None:
    assert (answer_key(one, True) == answer_key(other, True)) is same


def test_a_key_by_text_only_tells_writings_apart() -> None:
    assert answer_key("1.0", False) != answer_key("1", False)
    assert answer_key("=2", True) != answer_key("=3", True)


def test_long_keys_are_short() -> None:
    assert len(answer_key("y" * 10_000, True)) < 50


def groups(answers: Sequence[tuple[str | None, Outcome]], checker=None) -> list[int]:  # type: ignore[no-untyped-def]
    tally = Tally("m", [problem("p", "1")], *([checker] if checker else []))
    tally.add(None, [attempt("p", answer, outcome, place) for place, (answer, outcome) in enumerate(answers)])
    return tally.outcomes().group[0].tolist()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["2", "2.0", "3", "4/2", None], [1, 1, 2, 1, -1]),
        ([r"\frac{1}{2}", "0.5", r"\dfrac12", "3"], [1, 1, 1, 4]),
        ([r"2\sqrt{3}", r"\sqrt{12}", r"\sqrt{13}"], [1, 1, 3]),
        (["x+1", "x + 1", "1+x"], [1, 1, 1]),
    ],
)
def test_wrong_answers_that_mean_the_same_share_a_group(answers: list[str | None], expected: list[int]) -> None:
    found = groups([(answer, "wrong" if answer else "ungradable") for answer in answers])
    partition = [[one == other for other in expected] for one in expected]
    assert [[one == other for other in found] for one in found] == partition
    assert [group == -1 for group in found] == [answer is None for answer in answers]


def test_every_right_answer_is_in_one_group_and_no_other_ever() -> None:
    """What the checker called right stays apart from the same text called wrong or ungradable."""
    found = groups([("1", "right"), ("one", "right"), ("1", "wrong"), ("one", "ungradable"), (None, "right")])
    assert found[0] == found[1] == found[4] == 0
    assert 0 not in found[2:4]


class Telling(MathChecker):
    """Counts what it is asked; texts are the same if they begin with the same letter."""

    def compare_many(self, answers, problems: Sequence[Problem], advance=None):  # type: ignore[no-untyped-def, override]
        asked.extend((answer, each.answer) for answer, each in zip(answers, problems, strict=True))
        return [
            Verdict(outcome="right" if answer[0] == each.answer[0] else "wrong")
            for answer, each in zip(answers, problems, strict=True)
        ]


asked: list[tuple[str, str]] = []


def test_a_group_joins_the_most_frequent_one_that_it_is_the_same_as() -> None:
    asked.clear()
    found = groups([(text, "wrong") for text in ["xa", "xb", "xb", "yc", "xd", "7", "8"]], Telling())
    assert found == [2, 2, 2, 3, 2, 5, 6]
    assert ("8", "7") not in asked and ("7", "8") not in asked


class Touching(MathChecker):
    """Texts are the same if they share a letter, which is not transitive."""

    def compare_many(self, answers, problems: Sequence[Problem], advance=None):  # type: ignore[no-untyped-def, override]
        met = [set(answer) & set(each.answer) for answer, each in zip(answers, problems, strict=True)]
        return [Verdict(outcome="right" if letters else "wrong") for letters in met]


def test_a_group_that_is_the_same_as_a_joined_one_goes_with_it() -> None:
    """yz joins xy; zw, which is only the same as yz, goes there too."""
    assert groups([(text, "wrong") for text in ["xy", "xy", "yz", "zw", "v"]], Touching()) == [1, 1, 1, 1, 4]


def test_only_the_most_frequent_groups_are_compared() -> None:
    asked.clear()
    texts = [f"x{place}" for place in range(30)]
    found = groups([(text, "wrong") for text in [*texts, *texts[20:22]]], Telling())
    assert len(asked) == COMPARED * (COMPARED - 1) // 2
    assert found.count(found[20]) == 4 + (COMPARED - 2)


def test_what_is_kept_of_one_problem_is_bounded() -> None:
    answers = Answers()
    for place in range(300):
        answers.group(f"x{place}", True)
    answers.group("y" * 5_000, True)
    assert (len(answers.groups), len(answers.first)) == (301, KEPT)
    assert all(len(key) <= 200 for key in answers.groups)


def test_a_checker_that_does_not_compare_two_answers_joins_nothing() -> None:
    assert groups([("x+1", "wrong"), ("1+x", "wrong")], checker_of("made:never_called")) == [1, 2]


def test_under_the_exact_checker_writings_differ() -> None:
    assert groups([("1.0", "wrong"), ("1", "wrong"), ("1 ", "wrong")], ExactChecker()) == [1, 2, 2]


def test_pairs_of_answers() -> None:
    pairs = [("2", "2.0"), ("2", "3"), (r"\frac12", "0.5"), (None, None), (None, "1"), ("x" * 300, "y" * 300)]
    assert same_answers(pairs, [problem(str(place)) for place in range(6)], MathChecker()) == [
        True, False, True, True, False, False,
    ]  # fmt: skip
