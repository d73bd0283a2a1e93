"""Refinement: what a rewriting must be to be accepted, and which of several is taken."""

from __future__ import annotations

import pytest
from stand_ins import GREEDY, PROBLEM, SayingStudent

from redink.models.student import Completion, Request, Sampling
from redink.prompts import Prompt
from redink.stages.refinement import RefinePrompts, ToRefine, best, by_rule, judged, refine, similarity, whole
from redink.types import ChainRow, ExposedError, LocatedError, RefinedChain, Rejected

CHAIN = ChainRow(problem_id="p1", text="one two three four five <Answer>66</Answer>")
ERROR = ExposedError(problem_id="p1", sample=3, text="it is 76", answer="76")
ROW = ToRefine(PROBLEM, CHAIN, (ERROR,))
PROMPTS = RefinePrompts(
    Prompt(name="x", text="{{question}}|{{chain}}|{{errors}}"), Prompt(name="u", text="{{question}}|{{chain}}")
)
GOOD = "quite another way <Answer>66</Answer>"


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b c d", "a b c d e", 0.8),  # 2 of 2 and 3: 2·2/5
        ("a a a a", "a a a", 2 / 3),  # a multiset: 2·1/3
        ("a b c", "d e f", 0.0),
        ("a b c", "c b a", 0.0),
        ("a b", "a  b", 1.0),
        ("a b", "a b c", 0.0),
        ("", "", 1.0),
    ],
)
def test_similarity_is_dice_over_word_trigrams(one: str, other: str, value: float) -> None:
    assert similarity(one, other) == pytest.approx(value)
    assert similarity(other, one) == pytest.approx(value)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Completion(GOOD, "length", 9), "truncated"),
        (whole("  "), "empty"),
        (whole("<Reflection>I was wrong. <Answer>66</Answer>"), "empty"),
        (whole("<Step1>x</Step1>"), "no_answer"),
        (whole("<Step1>x</Step1><Answer>67</Answer>"), "answer_is_wrong"),
        (whole(CHAIN.text), "mere_copy"),
        (whole(f"<Reflection>I see.</Reflection>\n{CHAIN.text}"), "mere_copy"),
    ],
)
def test_a_rewriting_that_is_no_use_says_why(reply: Completion, reason: str) -> None:
    assert judged(ROW, reply, 2, 0.9) == Rejected(problem_id="p1", sample=2, stage="refinement", reason=reason)


def test_the_reflection_is_no_part_of_the_chain() -> None:
    row = judged(ROW, whole(f"<Reflection>I saw\n76.</Reflection>\n{GOOD}"), 1, 0.9)
    assert row == RefinedChain(problem_id="p1", sample=1, text=GOOD, errors=(3,), similarity=0.0)


def test_a_threshold_of_one_lets_a_copy_pass() -> None:
    assert isinstance(judged(ROW, whole(CHAIN.text), 0, 1.0), RefinedChain)


def test_the_student_sees_problem_chain_and_its_errors_and_tries_several_times() -> None:
    student = SayingStudent(GOOD, CHAIN.text, GOOD, "<Answer>1</Answer>")
    bare = ToRefine(PROBLEM, CHAIN)
    rows = refine([ROW, bare], student, PROMPTS, Sampling(samples=2), 0.9)  # type: ignore[arg-type]
    assert student.requests == [
        Request(f"{PROBLEM.question}|{CHAIN.text}|Wrong solution 1:\nit is 76"),
        Request(f"{PROBLEM.question}|{CHAIN.text}"),
    ]
    assert [row.reason if isinstance(row, Rejected) else row.errors for row in rows] == [
        (3,), "mere_copy", (), "answer_is_wrong",
    ]  # fmt: skip
    assert [row.sample for row in rows] == [0, 1, 0, 1]


def refined(sample: int, problem: str = "p1") -> RefinedChain:
    return RefinedChain(problem_id=problem, sample=sample, text=f"{sample}", similarity=0.0)


@pytest.mark.parametrize(
    ("cost", "sample"),
    [
        ({("p1", 0): 3.0, ("p1", 1): 2.0, ("p1", 2): 2.5}, 1),
        ({("p1", 0): 2.0, ("p1", 1): 2.0}, 0),
        ({("p1", 0): None, ("p1", 1): None, ("p1", 2): 99.0}, 2),
        ({}, 0),
    ],
)
def test_the_rewriting_of_the_least_perplexity_is_taken(cost: dict[tuple[str, int], float | None], sample: int) -> None:
    assert best([ROW], [refined(0), refined(1), refined(2)], cost) == [refined(sample)]


def test_where_no_rewriting_was_accepted_the_teachers_chain_stands() -> None:
    assert best([ROW], [refined(0, "other")], {}) == [
        Rejected(problem_id="p1", stage="refined", reason="teachers_chain_stands")
    ]


# ---------------------------------------------------------------- by rule

LONG = ChainRow(
    problem_id="p1",
    text="<Step1>85 - 20<Key>85 - 20 = 65</Key></Step1>\n<Step2>65 + 1 = 66</Step2>\n<Answer>66</Answer>",
)
SLIP = LocatedError(step=1, cause="65 + 1 = 66, not 76", correction="65 + 1 = 66")


def test_by_rule_the_working_stays_where_an_error_was_located() -> None:
    row = by_rule(ToRefine(PROBLEM, LONG, (ERROR,)), [SLIP], 0.9)
    assert isinstance(row, RefinedChain) and row.errors == (ERROR.sample,)
    assert row.text.startswith("<Step1>85 - 20 = 65</Step1>")


@pytest.mark.parametrize(("chain", "reason"), [(LONG, "mere_copy"), (CHAIN, "no_steps")])
def test_by_rule_what_cannot_be_rewritten_says_why(chain: ChainRow, reason: str) -> None:
    row = by_rule(ToRefine(PROBLEM, chain, (ERROR,)), None, 0.9)
    assert isinstance(row, Rejected) and row.reason == reason


def test_greedy_is_one_try() -> None:
    assert len(refine([ROW], SayingStudent(GOOD), PROMPTS, GREEDY, 0.9)) == 1  # type: ignore[arg-type]
