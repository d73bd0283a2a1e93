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
    solved: Sequence[Path]
    reviewed: Sequence[Path]

    def greedy(self) -> tuple[list[Attempt], list[Review]]:
        """Its greedy solutions and its reviews of them, aligned with `problems`."""
        first, second = _by_id(self.solved, Attempt), _by_id(self.reviewed, Review)
        return [first[problem.id] for problem in self.problems], [second[problem.id] for problem in self.problems]

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


def of_name(run: Path, found: Sequence[Measured], name: str) -> list[Measured]:
    """Those of one model; raises `Failure` naming the models that there are."""
    chosen = [each for each in found if each.model == name]
    if not chosen:
        raise Failure(f"{run} has no figures of {name!r}.", f"It has {names_of(found)}.")
    return chosen


def names_of(found: Sequence[Measured]) -> str:
    """The models, each once."""
    return ", ".join(dict.fromkeys(each.model for each in found))


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
            [folder / f"evaluate.{name}.attempts.jsonl"],
            [folder / f"evaluate.{name}.reviews.jsonl"],
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
    solved, reviewed = (sorted((place / GREEDY).glob("*.jsonl")) for place in (attempts, reviews))
    if series is None or len(reviewed) < -(-len(problems) // CHUNK):
        return None
    return _measured(series.model, series.benchmark, problems, solved, reviewed, attempts)


def _measured(
    model: str, benchmark: str, problems: Sequence[Problem], solved: Sequence[Path], reviewed: Sequence[Path],
    place: Path,
) -> Measured:  # fmt: skip
    first = {name: row.verdict.right for name, row in _by_id(solved, Attempt).items()}
    second = {name: row.verdict.right for name, row in _by_id(reviewed, Review).items()}
    ids = [problem.id for problem in problems]
    t1, t2 = [first[name] for name in ids], [second[name] for name in ids]
    return Measured(model, benchmark, problems, t1, t2, place, solved, reviewed)


def _by_id(paths: Sequence[Path], kind: type[R]) -> dict[str, R]:
    return {row.problem_id: row for path in paths for row in read_rows(path, kind)}
