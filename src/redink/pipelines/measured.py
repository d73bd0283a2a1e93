"""What run directories hold of each model's figures: read back, whichever command made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redink.answers.checkers import ExactChecker
from redink.evaluation.outcomes import Outcomes
from redink.failures import Failure
from redink.pipelines.methods import models_of
from redink.pipelines.series import SERIES, kept_series, read_outcomes
from redink.recipe import EvaluationRecipe, kept_recipe
from redink.rows import read_rows
from redink.stages.chunks import CHUNK
from redink.stages.shards import GREEDY, repeat_name
from redink.types import Attempt, Problem, Review

R = TypeVar("R", Attempt, Review)
HELD_OUT = "evaluation"
"""What the evaluation set of a method's run is called."""


@dataclass(frozen=True)
class Measured:
    """One model on one benchmark: aligned with `problems`, whether it was right at t1 and at t2."""

    model: str
    benchmark: str
    problems: Sequence[Problem]
    t1: Sequence[bool]
    t2: Sequence[bool]
    attempts: Path

    def repeats(self, at_most: int | None = None) -> Outcomes | None:
        """The outcomes of its repeats, or of the first so many; None if it has none."""
        count = repeats_in(self.attempts)
        count = count if at_most is None else min(count, at_most)
        ids = _ids_of_first_repeat(self.attempts) if count else []
        by_id = {problem.id: problem for problem in self.problems}
        if not count:
            return None
        shards = [path for number in range(count) for path in _shards(self.attempts, number)]
        return read_outcomes(self.model, [by_id[name] for name in ids], shards, ExactChecker())


def measured(folder: Path) -> list[Measured]:
    """Every model on every benchmark that a run directory has figures of, in the order of the recipe.

    Raises `BadInput` if it is no run directory, `Failure` if it has no figures yet.
    """
    recipe = kept_recipe(folder)
    if isinstance(recipe, EvaluationRecipe):
        found = _from_evaluation(folder, recipe.students)
    else:
        found = _from_method(folder, models_of(recipe))
    if not found:
        raise Failure(f"{folder} has no figures yet.", "Type the command of the run again, until it is done.")
    return found


def repeats_in(attempts: Path) -> int:
    """How many repeats a series has whole: as many shards as the first one."""
    first = len(_shards(attempts, 0))
    count = 0
    while first and len(_shards(attempts, count)) == first:
        count += 1
    return count


def _shards(attempts: Path, number: int) -> list[Path]:
    return sorted((attempts / repeat_name(number)).glob("*.jsonl"))


def _ids_of_first_repeat(attempts: Path) -> list[str]:
    return [row.problem_id for path in _shards(attempts, 0) for row in read_rows(path, Attempt)]


def _from_method(folder: Path, models: Sequence[str]) -> list[Measured]:
    problems = folder / f"problems.{HELD_OUT}.jsonl"
    done = [name for name in models if (folder / f"evaluate.{name}.reviews.counts.json").exists()]
    return [
        _measured(
            name,
            HELD_OUT,
            read_rows(problems, Problem),
            read_rows(folder / f"evaluate.{name}.attempts.jsonl", Attempt),
            read_rows(folder / f"evaluate.{name}.reviews.jsonl", Review),
            folder / "attempts" / HELD_OUT / name,
        )
        for name in done
    ]


def _from_evaluation(folder: Path, students: Sequence[str]) -> list[Measured]:
    found = [_cell(folder, place.parent) for place in sorted((folder / "attempts").glob(f"*/*/{SERIES}"))]
    order = {name: place for place, name in enumerate(students)}
    known = [each for each in found if each is not None]
    return sorted(known, key=lambda each: (each.benchmark, order.get(each.model, len(order))))


def _cell(folder: Path, attempts: Path) -> Measured | None:
    """One student on one benchmark; None while it is under way."""
    series = kept_series(attempts)
    problems = read_rows(folder / f"problems.{attempts.parent.name}.jsonl", Problem)
    reviews = folder / "reviews" / attempts.parent.name / attempts.name
    shards = -(-len(problems) // CHUNK)
    if series is None or len(list((reviews / GREEDY).glob("*.jsonl"))) < shards:
        return None
    return _measured(
        series.model, series.benchmark, problems, _rows(attempts, Attempt), _rows(reviews, Review), attempts
    )


def _measured(
    model: str, benchmark: str, problems: Sequence[Problem], attempts: Sequence[Attempt], reviews: Sequence[Review],
    place: Path,
) -> Measured:  # fmt: skip
    first, second = ({row.problem_id: row.verdict.right for row in rows} for rows in (attempts, reviews))
    ids = [problem.id for problem in problems]
    return Measured(model, benchmark, problems, [first[name] for name in ids], [second[name] for name in ids], place)


def _rows(place: Path, kind: type[R]) -> list[R]:
    return [row for path in sorted((place / GREEDY).glob("*.jsonl")) for row in read_rows(path, kind)]
