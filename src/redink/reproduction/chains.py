"""The chains that arms learnt, read side by side (ORION's quality analysis): length, perplexity, coherence by rule.

No judge is needed: a line is coherent if every number in it stands in the question or in a line before, or is what its
own equation comes to; an equation is consistent if it holds. What stands in `<Key>` is working-out, so its numbers
are known afterwards but need not be known before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from pydantic import Field

from redink.evaluation.perplexity import ChainScore, score_chains
from redink.failures import Failure
from redink.models.student import Student
from redink.pipelines.measuring import read_chains
from redink.progress import progress
from redink.prompts import load_prompt
from redink.recipe import Recipe
from redink.rows import read_rows, write_rows
from redink.teaching.equations import find_equations, find_numbers
from redink.types import Problem, Row

FILE = "chains.jsonl"
_KEY = re.compile(r"<Key>.*?(?:</Key>|$)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z]+\d*>")


class ChainRead(Row):
    """One chain of one arm, as the base student reads it."""

    problem_id: str = Field(description="The `Problem.id`.")
    arm: str = Field(description="Who learnt it.")
    words: int = Field(description="Length in words (what white space parts).")
    tokens: int = Field(description="Length in the base student's tokens.")
    nats: float | None = Field(description="−log p per token, by the base student, as a reply to `prompts.chain`.")
    coherent: float = Field(ge=0, le=1, description="Share of its lines that follow from what stands before them.")
    consistent: float | None = Field(description="Share of its equations that hold; None where it has none.")


def coherence(question: str, chain: str) -> float:
    """Share of the lines in which every number was stated before, in the question or above; 1 for no line.

    >>> coherence("Ann has 3 pens and buys 4.", "3 + 4 = 7\\n7 - 9 = -2")
    0.5
    """
    known = _numbers(question)
    lines = [line for line in chain.splitlines() if line.strip()]
    follow = 0
    for line in lines:
        said = _TAG.sub(" ", _KEY.sub(" ", line))
        results = {found.right.value for found in find_equations(said)}
        follow += _numbers(said) <= known | results
        known |= _numbers(_TAG.sub(" ", line))
    return follow / len(lines) if lines else 1.0


def _numbers(text: str) -> set[Fraction]:
    return {number.value for number in find_numbers(text)}


def consistency(chain: str) -> float | None:
    """Share of the equations that hold; None where there is none.

    >>> consistency("3 + 4 = 7, 7 - 1 = 5"), consistency("none")
    (0.5, None)
    """
    found = find_equations(_TAG.sub(" ", chain))
    return sum(equation.holds for equation in found) / len(found) if found else None


def compare_chains(recipe: Recipe, runs: Path, arms: Sequence[str], folder: Path) -> None:
    """Read what each of these arms of the recipe's seed learnt, by its base student, into `folder`/chains.jsonl.

    Raises `Failure` where an arm has no chains.
    """
    student, prompt = Student.load(recipe.student), load_prompt(recipe.prompts.chain)
    rows: list[ChainRead] = []
    for arm in arms:
        ids, questions, chains = _learnt(runs / f"{arm}-s{recipe.seed}")
        asked = [prompt.render(question=question) for question in questions]
        with progress(f"{arm}: reading", len(chains), "chains") as advance:
            scores = score_chains(student, asked, chains, advance=advance)
        rows += [
            ChainRead(
                problem_id=name, arm=arm, words=len(chain.split()), tokens=score.tokens, nats=_per_token(score),
                coherent=coherence(question, chain), consistent=consistency(chain),
            )
            for name, question, chain, score in zip(ids, questions, chains, scores, strict=True)
        ]  # fmt: skip
    write_rows(folder / FILE, rows)


def _per_token(score: ChainScore) -> float | None:
    return None if score.nll is None or not score.tokens else score.nll / score.tokens


def _learnt(run: Path) -> tuple[list[str], list[str], list[str]]:
    """Ids, questions and chains that a run teaches, aligned."""
    if not (run / "problems.thoughts.jsonl").exists():
        raise Failure(f"{run} has no chains.", "It is an arm that must be done first.")
    by_question = {row.question: row.id for row in read_rows(run / "problems.thoughts.jsonl", Problem)}
    found = read_chains(run)
    return [by_question[row.question] for row in found], [row.question for row in found], [row.text for row in found]
