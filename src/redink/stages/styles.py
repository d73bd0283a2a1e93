r"""Thoughts → chains in another style (SuperCorrect table 8): how much of HSFT is its structure, and how much its tags.

| style | a step | after the steps |
| --- | --- | --- |
| `cot` | a line: what is done, and its result | `\boxed{…}` |
| `cot_hierarchy` | a line: what is done, then the detail of its `<Key>` | `\boxed{…}` |
| `cot_hierarchy_generalized` | the same | the method in general, `\boxed{…}` |
| `text` | `Step 1: …`, and `Key: …` on a line of its own | `Generalized: …`, `Answer: …` |
| `xml` | the hierarchical thought itself, as HSFT learns it | |

All five say the same; the prompts that ask for them are `prompts/style_*.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from redink.answers.checkers import MATH, Checker, grade_by
from redink.markup import render_thought
from redink.teaching.equations import Equation, find_equations, find_numbers
from redink.types import ChainRow, Problem, Rejected, Step, Thought, ThoughtRow

STAGE = "styled"
Style = Literal["xml", "text", "cot_hierarchy_generalized", "cot_hierarchy", "cot"]
_END_OF_OPERAND = re.compile(r"(?<=[\d)}\]%])(?!\d|[.,]\d)")


def in_style(thought: Thought, style: Style) -> str:
    """The text of a thought in a style.

    >>> thought = Thought(steps=(Step(number=1, text="He buys 3 * 7 pens.", key="3 * 7 = 21"),), answer="21")
    >>> in_style(thought, "cot"), in_style(thought, "cot_hierarchy")
    ('He buys 3 * 7 = 21 pens.\n\\boxed{21}', 'He buys 3 * 7 pens. 3 * 7 = 21\n\\boxed{21}')
    """
    return _WRITERS[style](thought)


def in_styles(
    problems: Sequence[Problem], rows: Sequence[ThoughtRow], style: Style, checker: Checker = MATH
) -> list[ChainRow | Rejected]:
    """Each accepted thought in a style; one whose answer cannot be read there is left out as `answer_unreadable`."""
    by_id = {problem.id: problem for problem in problems}
    return [_written(by_id[row.problem_id], row.thought, style, checker) for row in rows]


def style_prompt(style: Style, solve: str, own: str = "") -> str:
    """The name of the prompt that asks for a style: `own`, else the style's.

    `xml` is what `solve` asks for. A compact prompt names no layout, so it asks for any style.
    """
    if own:
        return own
    return solve if style == "xml" or solve.startswith("compact/") else f"style_{style}"


def _written(problem: Problem, thought: Thought, style: Style, checker: Checker) -> ChainRow | Rejected:
    text = in_style(thought, style)
    if not grade_by(checker, text, problem)[1].right:
        return Rejected(problem_id=problem.id, stage=STAGE, reason="answer_unreadable")
    return ChainRow(problem_id=problem.id, text=text)


def _cot(thought: Thought) -> str:
    return _boxed([_with_result(step) for step in thought.steps], thought)


def _hierarchy(thought: Thought) -> str:
    return _boxed([_with_detail(step) for step in thought.steps], thought)


def _generalized(thought: Thought) -> str:
    general = [thought.generalized] if thought.generalized else []
    return _boxed([*map(_with_detail, thought.steps), *general], thought)


def _text(thought: Thought) -> str:
    lines: list[str] = []
    for step in thought.steps:
        lines.append(f"Step {step.number}: {step.text}".rstrip())
        lines += [f"Key: {step.key}"] if step.key else []
    lines += [f"Generalized: {thought.generalized}"] if thought.generalized else []
    return "\n".join([*lines, f"Answer: {thought.answer}"])


def _boxed(lines: Sequence[str], thought: Thought) -> str:
    return "\n".join([*lines, f"\\boxed{{{thought.answer}}}"])


def _with_detail(step: Step) -> str:
    if not step.text or not step.key:
        return step.text or step.key or ""
    return f"{step.text}{' ' if step.text.endswith(('.', '!', '?', ':')) else ': '}{step.key}"


def _with_result(step: Step) -> str:
    """The step's text, and where it only says what is to be computed, the result that its key comes to.

    The result stands behind the longest set-up in the text that comes to it, or at the end of a text that holds no
    set-up and does not name it. A text with an equation of its own, or a set-up that comes to something else, stays.
    """
    worked = find_equations(step.key or "")
    if not step.text or not worked or "=" in step.text:
        return step.text or step.key or ""
    result = worked[-1].result
    setups = [(end, setup) for end in _ends(step.text) if (setup := _setup_before(step.text, end, result.text))]
    if right := [(len(setup.left.operators), end) for end, setup in setups if setup.holds]:
        return f"{step.text[: max(right)[1]]} = {result.text}{step.text[max(right)[1] :]}"
    named = any(number.value == result.value for number in find_numbers(step.text))
    return step.text if setups or named else f"{step.text.rstrip('.')} = {result.text}"


def _ends(text: str) -> list[int]:
    """Where an operand may end."""
    return [place.start() for place in _END_OF_OPERAND.finditer(text)]


def _setup_before(text: str, end: int, result: str) -> Equation | None:
    """What the expression that ends here would state if it came to `result`; None if there is none to compute."""
    found = find_equations(f"{text[:end]} = {result}")
    return found[-1] if found and found[-1].left.operators else None


_WRITERS: dict[Style, Callable[[Thought], str]] = {
    "xml": render_thought,
    "text": _text,
    "cot_hierarchy_generalized": _generalized,
    "cot_hierarchy": _hierarchy,
    "cot": _cot,
}
