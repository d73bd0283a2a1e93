"""Thoughts in the styles of SuperCorrect's table 8, written out by hand; the checker reads each one's answer."""

from __future__ import annotations

from typing import get_args

import pytest

from redink.answers import grade
from redink.prompts import load_prompt
from redink.stages.styles import Style, in_style, in_styles, style_prompt
from redink.types import ChainRow, Problem, Rejected, Step, Thought, ThoughtRow

THOUGHT = Thought(
    steps=(
        Step(number=1, text="She packs 4 boxes of 7 pens.", key="4 * 7 = 28"),
        Step(number=2, text="She adds 28 + 15 pens", key="28 + 10 = 38, 38 + 5 = 43"),
        Step(number=3, text="That is all."),
    ),
    generalized="Multiply, then add.",
    answer="43",
)
WRITTEN = {
    "cot": r"""She packs 4 boxes of 7 pens = 28
She adds 28 + 15 = 43 pens
That is all.
\boxed{43}""",
    "cot_hierarchy": r"""She packs 4 boxes of 7 pens. 4 * 7 = 28
She adds 28 + 15 pens: 28 + 10 = 38, 38 + 5 = 43
That is all.
\boxed{43}""",
    "cot_hierarchy_generalized": r"""She packs 4 boxes of 7 pens. 4 * 7 = 28
She adds 28 + 15 pens: 28 + 10 = 38, 38 + 5 = 43
That is all.
Multiply, then add.
\boxed{43}""",
    "text": """Step 1: She packs 4 boxes of 7 pens.
Key: 4 * 7 = 28
Step 2: She adds 28 + 15 pens
Key: 28 + 10 = 38, 38 + 5 = 43
Step 3: That is all.
Generalized: Multiply, then add.
Answer: 43""",
    "xml": """<Step1>She packs 4 boxes of 7 pens.<Key>4 * 7 = 28</Key></Step1>
<Step2>She adds 28 + 15 pens<Key>28 + 10 = 38, 38 + 5 = 43</Key></Step2>
<Step3>That is all.</Step3>
<Generalized>Multiply, then add.</Generalized>
<Answer>43</Answer>""",
}
STYLES: tuple[Style, ...] = get_args(Style)


def row(answer: str = "43", *steps: Step) -> ThoughtRow:
    thought = THOUGHT.model_copy(update={"answer": answer, "steps": steps or THOUGHT.steps})
    return ThoughtRow(problem_id="p", thought=thought)


def problem(answer: str = "43") -> Problem:
    return Problem(id="p", question="How many?", answer=answer)


@pytest.mark.parametrize("style", STYLES)
def test_a_thought_in_each_style(style: Style) -> None:
    assert in_style(THOUGHT, style) == WRITTEN[style]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("answer", ["43", r"\frac{3}{4}", "x^2 + 1", "(0, \\infty)", "12.5", "Tuesday", r"\{1, 2\}"])
def test_each_style_can_be_graded(style: Style, answer: str) -> None:
    (written,) = in_styles([problem(answer)], [row(answer)], style)
    assert isinstance(written, ChainRow)
    assert grade(written.text, answer)[1].right
    assert not grade(written.text, "17")[1].right


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("22 + 44", "22 + 40 = 62, 62 + 4 = 66", "22 + 44 = 66"),
        ("She has 5 apples x 3 bags.", "5 * 3 = 15", "She has 5 apples x 3 = 15 bags."),
        ("Half of it: 1/2 * 1/2", "1 / 2 * 1 / 2 = 1 / 4", "Half of it: 1/2 * 1/2 = 1 / 4"),
        ("14 + 27 = 41 pens", "14 + 20 = 34, 34 + 7 = 41", "14 + 27 = 41 pens"),
        ("It costs 6 * 2 coins", "6 * 3 = 18", "It costs 6 * 2 coins"),
        ("She packs 4 boxes of 7 pens, 28 in all.", "4 * 7 = 28", "She packs 4 boxes of 7 pens, 28 in all."),
        ("Factor it: it is prime.", "no divisor below 7", "Factor it: it is prime."),
        ("", "3 * 7 = 21", "3 * 7 = 21"),
        ("Nothing to work out.", None, "Nothing to work out."),
    ],
)
def test_a_plain_chain_says_what_a_set_up_comes_to_and_nothing_that_is_false(
    text: str, key: str | None, expected: str
) -> None:
    thought = Thought(steps=(Step(number=1, text=text, key=key),), answer="1")
    assert in_style(thought, "cot") == f"{expected}\n\\boxed{{1}}"


def test_without_generalization_nothing_stands_for_it() -> None:
    thought = THOUGHT.model_copy(update={"generalized": None})
    assert in_style(thought, "cot_hierarchy_generalized") == WRITTEN["cot_hierarchy"]
    assert "Generalized" not in in_style(thought, "text")


def test_an_answer_that_cannot_be_read_back_is_left_out_by_name() -> None:
    (outcome,) = in_styles([problem("a } b")], [row("a } b")], "cot")
    assert outcome == Rejected(problem_id="p", stage="styled", reason="answer_unreadable")


@pytest.mark.parametrize("style", STYLES)
def test_each_style_has_a_prompt_of_its_own_unless_the_prompt_names_no_layout(style: Style) -> None:
    assert load_prompt(style_prompt(style, "solve_hierarchical")) == load_prompt(f"style_{style}")
    assert style_prompt(style, "compact/solve_hierarchical") == "compact/solve_hierarchical"
    assert style_prompt(style, "solve_hierarchical", "mine.md") == "mine.md"
