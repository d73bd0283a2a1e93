"""Answers: numbers exactly, the last answer of a reply, and ungradable kept apart from wrong."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers import compare, extract, final_number, grade, read_number
from redink.answers.extraction import last_boxed

# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", Fraction(5)),
        (" -5 ", Fraction(-5)),
        ("−5", Fraction(-5)),
        ("- 5", Fraction(-5)),
        ("+5", Fraction(5)),
        ("5.", Fraction(5)),
        (".5", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        ("1,234,567", Fraction(1234567)),
        ("$1,200.50", Fraction(2401, 2)),
        ("-$3", Fraction(-3)),
        ("$3$", Fraction(3)),
        ("32,\\! 349", Fraction(32349)),
        ("3/4", Fraction(3, 4)),
        ("3 / 4", Fraction(3, 4)),
        ("-3/4", Fraction(-3, 4)),
        ("50%", Fraction(50)),
        ("0.30000000000000000001", Fraction(30000000000000000001, 10**20)),
        ("9" * 50, Fraction(10**50 - 1)),
    ],
)
def test_a_plain_number_is_read_exactly(text: str, value: Fraction) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", ".", "$", "%", "x", "5 apples", "1,23", "12,3456", "1e3", "3/0", "1 2", "1 1/2", "3//4", "9" * 61,
     "5-3", "1.2.3", "\\frac{1}{2}", "1/2/3"],
)  # fmt: skip
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert read_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_decimals_are_read_as_python_reads_them(value: Decimal) -> None:
    assert read_number(str(value)) == Fraction(value)
    assert read_number(f"{value:,}") == Fraction(value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    read_number(text)
    final_number(text)
    extract(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("47 + 38 = 85", "85"),
        ("it is 1,200.", "1,200"),
        ("5, 6,", "6"),
        ("12.5 and no more", "12.5"),
        ("5 - -3", "-3"),
        ("none", None),
        ("", None),
    ],
)
def test_the_final_number_is_the_last_one_stated(text: str, number: str | None) -> None:
    assert final_number(text) == number


# ---------------------------------------------------------------- extraction


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<Step1>1 + 1 = 2</Step1>\n<Answer> 2 </Answer>", "2"),
        ("<Answer>1</Answer> then <Answer>2</Answer>", "2"),
        ("\\boxed{9} <Answer>2</Answer>", "2"),
        ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{1} or rather \\boxed{2}", "2"),
        ("5 + 5 = 10\n#### 10", "10"),
        ("\\boxed{3}\n#### 10", "3"),
        ("The answer is 12.", "12"),
        ("The answer is 3.5.", "3.5"),
        ("Answer: 7\nbye", "7"),
        ("the answer is:\n 7", "7"),
        ("The answer is isosceles", "isosceles"),
        ("answer is 3\nThe answer is 4", "4"),
        ("I do not know", None),
        ("", None),
        ("answer", None),
        ("<Answer></Answer>", None),
    ],
)
def test_the_answer_of_a_reply(reply: str, answer: str | None) -> None:
    assert extract(reply) == answer


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{a{b}c}", "a{b}c"),
        ("\\boxed{}", ""),
        ("\\boxed{a", None),
        ("\\boxed{a{b}", None),
        ("no box", None),
    ],
)
def test_a_box_is_balanced(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    "text",
    [
        "answer" + "\n" * 20_000,
        "answer" + " " * 20_000 + "x",
        "answer is" + " \n" * 20_000 + "z",
        "\\boxed{" * 10_000,
        "####" * 20_000,
        "1," * 20_000,
        "<Answer>" * 5_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_degenerate_reply_costs_no_time(text: str) -> None:
    started = time.process_time()
    extract(text)
    final_number(text)
    assert time.process_time() - started < 1


# ---------------------------------------------------------------- comparison


@pytest.mark.parametrize(
    ("answer", "gold", "outcome", "method"),
    [
        ("72", "72", "right", "exact"),
        ("72.0", "72", "right", "exact"),
        ("1,200", "1200", "right", "exact"),
        ("$5", "5", "right", "exact"),
        ("2/4", "0.5", "right", "exact"),
        ("0.3333", "1/3", "wrong", "exact"),
        ("99999999999999999999", "100000000000000000000", "wrong", "exact"),
        ("-5", "5", "wrong", "exact"),
        ("(1, 2)", "(1,2)", "right", "same text"),
        ("isosceles", "isosceles", "right", "same text"),
        ("1 1/2", "11/2", "wrong", "math_verify"),
        ("1 2", "12", "wrong", "math_verify"),
        ("\\frac{1}{2}", "0.5", "right", "math_verify"),
        ("\\boxed{\\frac{1}{2}}", "0.5", "right", "math_verify"),
        ("x = 5", "5", "right", "math_verify"),
        ("\\sqrt{8}", "2\\sqrt{2}", "right", "math_verify"),
        ("\\sqrt{3}", "\\sqrt{2}", "wrong", "math_verify"),
        ("", "5", "ungradable", "math_verify"),
        ("x" * 401, "5", "ungradable", "length"),
    ],
)
def test_a_verdict_and_what_decided_it(answer: str, gold: str, outcome: str, method: str) -> None:
    verdict = compare(answer, gold)
    assert (verdict.outcome, verdict.method) == (outcome, method)
    assert bool(verdict.reason) == (outcome == "ungradable")


def test_a_long_answer_that_is_the_gold_answer_is_right() -> None:
    assert compare("x" * 500, "x" * 500).right


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_whole_numbers_compare_as_numbers(first: int, second: int) -> None:
    assert compare(str(first), f"{second:,}").right is (first == second)
    assert compare(f"{second:,}", str(first)) == compare(str(first), f"{second:,}")


def test_a_comparison_outside_the_main_thread_works_too() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(compare("\\frac{2}{6}", "1/3").outcome))
    thread.start()
    thread.join()
    assert found == ["right"]


def test_a_checker_that_breaks_is_ungradable_and_never_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RecursionError

    monkeypatch.setattr("math_verify.verify", broken)
    verdict = compare("\\sqrt{7}+1", "\\sqrt{7}+2")
    assert (verdict.outcome, verdict.reason) == ("ungradable", "RecursionError")


@pytest.mark.parametrize(
    ("reply", "answer", "outcome", "reason"),
    [
        ("<Answer>72</Answer>", "72", "right", ""),
        ("<Answer>71</Answer>", "71", "wrong", ""),
        ("I give up.", None, "ungradable", "no answer found"),
    ],
)
def test_a_reply_is_graded_by_its_answer(reply: str, answer: str | None, outcome: str, reason: str) -> None:
    found, verdict = grade(reply, "72")
    assert (found, verdict.outcome, verdict.reason) == (answer, outcome, reason)
