"""Does a store of the thoughts that an arm taught help its students? The same problems without and with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from redink.answers.checkers import Checker, checker_of
from redink.failures import Failure
from redink.pipelines.methods import models_of
from redink.pipelines.solving import settings_of
from redink.pipelines.thought_store import ThoughtsRow, problems_for, solved_rows, without_and_with
from redink.recipe import Recipe, kept_recipe
from redink.reproduction.arms import job_name
from redink.rows import digest, write_rows
from redink.run import Run
from redink.solving.solver import Generation, Solver
from redink.solving.store import ThoughtStore, of_run
from redink.types import Problem

FILE = "store.jsonl"
OFF, ON = "off", "on"


class StoreRow(ThoughtsRow):
    """One problem, solved by one student of one arm without or with that arm's store."""

    arm: str = Field(description="Whose student and thoughts.")
    model: str = Field(description="The student.")

    @property
    def name(self) -> str:
        """How the tables call what solved it: 'supercorrect/hsft/on'."""
        return f"{self.arm}/{self.model}/{ON if self.thoughts else OFF}"


def measure_stores(run: Run[Recipe], runs: Path, arms: Sequence[str]) -> None:
    """Solve the evaluation problems of these arms of the recipe's seed with each student they trained, without and with
    a store of the thoughts they taught, into store.jsonl.

    What is asked of one student one way is a file of its own, named by all that it rests on and written whole; those
    that are there stay. Raises `Failure` where an arm is not done, or has no thoughts.
    """
    rows = [row for arm in arms for row in _of_arm(run, arm, runs / job_name(arm, run.recipe.seed))]
    write_rows(run.path(FILE), rows)


def _of_arm(run: Run[Recipe], arm: str, source: Path) -> Iterator[StoreRow]:
    made_by, wanted = kept_recipe(source), run.recipe.store
    if not isinstance(made_by, Recipe) or not (source / "results.json").exists():
        raise Failure(f"{source} is not done.", "It is an arm that must be done first.")
    store, problems = ThoughtStore(of_run(source)), problems_for(str(source), None, wanted.problems or None, 0)
    checker = checker_of(made_by.problems.checker)
    drawn = made_by.sampling
    for folder in (source / model for model in models_of(made_by) if (source / model).is_dir()):
        solver = Solver.load(
            str(folder), rounds=wanted.rounds, thoughts=wanted.thoughts, batch_rows=drawn.batch_rows,
            generation=Generation(max_new_tokens=max(drawn.max_new_tokens, drawn.max_review_tokens)),
        )  # fmt: skip
        for one in without_and_with(solver, store):
            yield from _part(run, arm, folder.name, one, problems, checker)


def _part(
    run: Run[Recipe], arm: str, model: str, solver: Solver, problems: Sequence[Problem], checker: Checker
) -> list[StoreRow]:
    """One student's rows, one way: read where they are there, else made."""
    way = OFF if solver.store is None else ON

    def make() -> list[StoreRow]:
        return [StoreRow(arm=arm, model=model, **dict(row)) for row in solved_rows(solver, problems, checker)]

    rows = run.keep(f"store.{arm}.{model}.{way}.{_rests_on(solver, problems)}", make, StoreRow)
    rights = [sum(getattr(row, right) for row in rows) for right in ("right_t1", "right_t2")]
    run.say(f"{arm}/{model}, store {way}: of {len(rows)} problems {rights[0]} right at t1, {rights[1]} at t2")
    return rows


def _rests_on(solver: Solver, problems: Sequence[Problem]) -> str:
    """A digest of weights, prompts, store, lengths and problems; where the run directories lie is no part of it."""
    settings = {key: value for key, value in settings_of(solver).items() if key != "model"}
    return digest(json.dumps([settings, [problem.model_dump(mode="json") for problem in problems]], sort_keys=True))
