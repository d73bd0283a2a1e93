"""The checker of a run decides at every place where an answer is judged, and a bad one stops a run at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stand_ins import ATTEMPT, CORRECT, GREEDY, PROBLEM, SOLVE, THOUGHT, TRACE, Desk, SayingStudent

from redink.answers.checkers import checker_of
from redink.failures import BadRecipe
from redink.pipelines.supercorrect import supercorrect
from redink.recipe import load_recipe
from redink.run import Run
from redink.stages.attempts import attempt
from redink.stages.corrections import write_correction
from redink.stages.reviews import review
from redink.stages.thoughts import write_thought
from redink.types import CorrectionRow, Rejected, ThoughtRow

EXACT = checker_of("exact")
SAID = "<Answer>66.0</Answer>"


def test_attempts_and_reviews() -> None:
    assert [row.verdict.outcome for row in attempt([PROBLEM], SayingStudent(SAID), SOLVE, GREEDY)] == ["right"]
    by_text = attempt([PROBLEM], SayingStudent(SAID), SOLVE, GREEDY, checker=EXACT)
    assert [(row.verdict.outcome, row.verdict.method) for row in by_text] == [("wrong", "exact")]
    reviews = review([PROBLEM], [ATTEMPT], SayingStudent(SAID), CORRECT, GREEDY, checker=EXACT)
    assert [(row.verdict.outcome, row.verdict.method) for row in reviews] == [("wrong", "exact")]


@pytest.mark.parametrize(("checker", "kinds"), [("math", [ThoughtRow, CorrectionRow]), ("exact", [Rejected, Rejected])])
def test_the_teachers_answers(checker: str, kinds: list[type]) -> None:
    thought, trace = (work.model_copy(update={"answer": "66.0"}) for work in (THOUGHT, TRACE))
    chosen, desk = checker_of(checker), Desk({"p1": [thought, trace]})
    rows = (
        asyncio.run(write_thought(PROBLEM, desk, desk, checker=chosen)),
        asyncio.run(write_correction(PROBLEM, ATTEMPT, desk, desk, checker=chosen)),
    )
    assert [type(row) for row in rows] == kinds


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("problems.checker=exct", "Did you mean 'exact'?"),
        ("problems.checker=reasoning_gym", "is not for stories"),
        ("problems.checker.stories=nowhere_at_all:f", "cannot be imported"),
    ],
)
def test_a_bad_checker_stops_a_run_before_any_work(tmp_path: Path, override: str, said: str) -> None:
    recipe = load_recipe("demo", [override]).limited(2)
    with Run(tmp_path / "run", recipe) as run, pytest.raises(BadRecipe, match=said):
        supercorrect(run)
    assert not list((tmp_path / "run").glob("*.jsonl"))


def test_a_recipe_names_a_checker_per_source() -> None:
    recipe = load_recipe("demo", ["problems.checker.gsm8k=exact", "problems.checker.default=numeric"])
    assert recipe.problems.checker == {"gsm8k": "exact", "default": "numeric"}
    assert load_recipe("demo").problems.checker == "math"
