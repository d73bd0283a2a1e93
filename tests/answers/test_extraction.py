"""The answer of a reply and where it stood: tables by hand, hostile replies against the clock."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers import Switches, extract, extract_turns, final_number, grade
from redink.answers.extraction import last_boxed

REPLIES = [
    ("<Step1>1 + 1 = 2</Step1>\n<Answer> 2 </Answer>", "2", "tag"), ("<Answer>1</Answer> then <Answer>2</Answer>", "2", "tag"),
    ("\\boxed{9} <Answer>2</Answer>", "2", "tag"), ("<answer>2</answer>", "2", "tag"), ("<Answer>\\boxed{3}</Answer>", "3", "tag"), ("<Answer>$x=3$</Answer>", "$x=3$", "tag"),
    ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}", "box"), ("\\boxed{1} or rather, since it is negative, \\boxed{2}", "2", "box"), ("\\fbox{7}", "7", "box"), ("\\framebox{7}", "7", "box"), ("\\boxed 5", "5", "box"),
    ("$\\boxed{ 12 }$", " 12 ".strip(), "box"), ("\\boxed{1}, \\boxed{2}", "1, 2", "box"), ("\\boxed{1} and \\boxed{2}", "1, 2", "box"), ("$\\boxed{1}$ or $\\boxed{2}$", "1, 2", "box"),
    ("\\(\\boxed{1}\\), \\(\\boxed{2}\\), and \\(\\boxed{3}\\)", "1, 2, 3", "box"), ("\\[ \\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}. \\]", "-2, 1", "box"), ("\\boxed{5}. Wait, that is wrong. \\boxed{7}", "7", "box"),
    ("\\boxed{5}\n\\boxed{7}", "7", "box"), ("\\boxed{5}\n\n**Final Answer**\n\\boxed{7}", "7", "box"), ("\\boxed{5} is not right; \\boxed{7}", "7", "box"), ("first \\boxed{5} and then \\boxed{7}", "7", "box"),
    ("\\boxed{x=\\boxed{5}}", "x=\\boxed{5}", "box"), ("\\boxed{\\{1,2\\}}", "\\{1,2\\}", "box"), ("\\boxed{\\text{(C)}}", "\\text{(C)}", "box"), ("\\boxed{5} but \\boxed{7", None, "cut off"), ("\\boxed{\\frac{1}{2", None, "cut off"),
    ("The answer is 5. \\boxed{7", None, "cut off"), ("\\boxed{}", None, "none"), ("\\boxed{3}\n#### 10", "3", "box"), ("5 + 5 = 10\n#### 10", "10", "hashes"), ("#### 1\n#### 2", "2", "hashes"), ("####5", "5", "hashes"),
    ("#### $1,200", "$1,200", "hashes"), ("The answer is 12.", "12", "stated"), ("The answer is 3.5.", "3.5", "stated"), ("Answer: 7\nbye", "7", "stated"), ("the answer is:\n 7", "7", "stated"), ("The answer is isosceles", "isosceles", "stated"),
    ("answer is 3\nThe answer is 4", "4", "stated"), ("**Answer:** 7", "7", "stated"), ("**Answer: 7**", "7", "stated"), ("Final Answer: 34", "34", "stated"), ("**Final Answer**\n34", "34", "stated"), ("### Answer\n34", "34", "stated"),
    ("The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}", "stated"), ("The final answer is \\(5\\).", "5", "stated"), ("The answer is $3$ and $4$.", "3, 4", "stated"), ("The answer is $5$ cm.", "5 cm", "stated"),
    ("The answer is 72, in total, so the farmer earns that much.", "72", "stated"), ("The answer is 72 because 70 + 2 = 72.", "72", "stated"), ("The answer is 5, not 6.", "5", "stated"), ("The answer is 1, 2, and 3.", "1, 2, and 3", "stated"),
    ("The answer is (1, 2).", "(1, 2)", "stated"), ("The answer is $1,200.", "1,200", "stated"), ("The answer is 5 apples. They are red.", "5 apples", "stated"), ("The answer is -3", "-3", "stated"), ("So the answer would be 8.", "8", "stated"),
    ("answer = 8", "8", "stated"), ("Answer: a+b+c = 12+25 = 37", "a+b+c = 12+25 = 37", "stated"), ("Answer: 12 is a guess.\n\nAnswer: 15", "15", "stated"), ("The answers are 3 and 4.", None, "none"), ("The answer is **42**.", "42", "stated"),
    ("I do not know", None, "none"), ("", None, "none"), ("answer", None, "none"), ("<Answer></Answer>", None, "none"), ("AZYUK2A", None, "none"), ("It is 12.", None, "none"), ("Unanswered 5", None, "none"),
    ("#### 18\n\nQuestion: Tom has 5 apples.\nAnswer: #### 5", "18", "hashes"), ("The answer is 18.\n\nQ: next?\nA: The answer is 5.", "18", "stated"), ("\\boxed{18}<|im_end|>\n<|im_start|>user\nAnd \\boxed{5}?", "18", "box"),
    ("\\boxed{18}\n\nProblem 2: find x.\n\\boxed{5}", "18", "box"), ("Question: what is 2+3?\nAnswer: 5", "5", "stated"), ("I restate.\nQuestion: what is 2+3?\nThe answer is 5", "5", "stated"), ("\\boxed{18}\n### Instruction: more \\boxed{5}", "18", "box"),
    ("\\boxed{18}</s>\\boxed{5}", "18", "box"), ("\\boxed{5\nHuman: more \\boxed{6}", None, "cut off"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "answer", "origin"), REPLIES)
def test_the_answer_of_a_reply_and_its_origin(reply: str, answer: str | None, origin: str) -> None:
    found = extract(reply)
    assert (found.answer, found.origin) == (answer, origin)


def test_the_last_number_counts_only_if_it_is_allowed() -> None:
    allowed = Switches(last_number=True)
    assert extract("It is 12, I think.").answer is None
    assert extract("It is 12, I think.", allowed).model_dump() == {"answer": "12", "origin": "last number"}
    assert extract("\\boxed{3} of 12", allowed).answer == "3"
    assert extract("\\boxed{3} of 12 \\boxed{4", allowed).answer is None


def test_each_turn_is_read_from_its_own_text() -> None:
    first, second = "So \\boxed{5}.", "I find no mistake."
    assert [turn.answer for turn in extract_turns(first, second)] == ["5", None]
    assert [turn.answer for turn in extract_turns(first, first + "\n" + second)] == ["5", None]
    assert [turn.answer for turn in extract_turns(first, first + " Wait: \\boxed{7}")] == ["5", "7"]


def test_boxes_of_two_turns_never_join() -> None:
    assert extract_turns("\\boxed{5}", "\\boxed{5} and \\boxed{7}")[1].answer == "7"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{a{b}c}", "a{b}c"),
        ("\\boxed{}", ""),
        ("\\boxed{a", None),
        ("\\boxed{a{b}", None),
        ("no box", None),
        ("\\boxed{\\}}", "\\}"),
    ],
)
def test_a_box_is_balanced(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


HOSTILE = [
    "answer" + "\n" * 20_000, "answer" + " " * 20_000 + "x", "answer is" + " \n" * 20_000 + "z", "\\boxed{" * 10_000, "\\boxed{" * 2_000 + "}" * 2_000, "####" * 20_000, "1," * 20_000,
    "<Answer>" * 5_000, "answer is " * 5_000, "answer: answer: " * 5_000, "\\boxed{1}," * 5_000, "answer is " + "(" * 20_000, "answer is " + "a, " * 20_000, "\nQuestion" * 5_000, "answer" + "*" * 20_000,
    "the answer is $" * 3_000, "answer is is is " * 4_000, "\\boxed{1} and " * 5_000, "answer (" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_a_degenerate_reply_costs_no_time(text: str) -> None:
    started = time.process_time()
    extract(text)
    final_number(text)
    assert time.process_time() - started < 1


@given(st.text(max_size=60) | st.text(alphabet="\\boxed{}answer is:#0123<>/A \n$", max_size=80))
def test_no_text_breaks_extraction(text: str) -> None:
    found = extract(text)
    assert (found.answer is None) == (found.origin in {"none", "cut off"})
    assert found.answer is None or found.answer.strip()


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
