"""The rows that could not be made: what they are, and how they get another try."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import Field

from redink.failures import BadInput, Failure
from redink.pipelines.methods import made_from, taught_kind
from redink.recipe import kept_recipe
from redink.rows import read_rows
from redink.run import Run
from redink.stages.unfinished import held_so_far
from redink.types import Quarantined, Row

ENDING = ".quarantine.jsonl"
SOURCES = "problems"
UNDER_WAY = ".unfinished.jsonl"
RESULTS = ("results.json",)
Resting = Mapping[str, tuple[str, ...]]


class Reopened(Row):
    """A stage that will be done again for some of its rows."""

    stage: str = Field(description="The stage.")
    rows: int = Field(ge=1, description="Rows that will be made anew.")
    removed: tuple[str, ...] = Field(description="What was made of the stage's rows, and is removed.")


def quarantined_rows(folder: Path, reason: str | None = None, stage: str | None = None) -> dict[str, list[Quarantined]]:
    """The quarantined rows of a run by stage, those of stages under way too; only those asked for.

    Raises `BadInput` if `folder` is no run directory.
    """
    if not (folder / "recipe.json").exists():
        raise BadInput(folder, "is no run directory (no recipe.json).", "Name one such as runs/demo.")
    found = {path.name.removesuffix(ENDING): read_rows(path, Quarantined) for path in folder.glob(f"*{ENDING}")}
    found |= {path.name.removesuffix(UNDER_WAY): held_so_far(path) for path in folder.glob(f"*{UNDER_WAY}")}
    chosen = {name: _with_reason(found[name], reason) for name in sorted(found) if stage in (None, name)}
    return {name: rows for name, rows in chosen.items() if rows}


def requeue(folder: Path, reason: str, stage: str | None = None, remake: bool = False) -> list[Reopened]:
    """Give the rows quarantined for `reason` another try: the next run of the recipe makes just those anew.

    What was made of a stage's rows (models trained on them, stages after it) would not know of the new ones: it is
    removed with `remake`, to be made anew, and otherwise a `Failure` that names it. Raises `Failure` too where no row
    has this reason, or its stage is not finished.
    """
    found = quarantined_rows(folder, reason, stage)
    if not found:
        raise Failure(f"{folder}: no row is quarantined as {reason!r}.", _reasons(folder, stage))
    if SOURCES in found:
        raise Failure(f"{folder}: rows of the problem sources have no other try.", "Mend the source, or leave them.")
    with Run(folder, kept_recipe(folder)) as run:
        resting = made_from(run.recipe)
        later = {name: _made_of(folder, name, resting) for name in _first(found, resting)}
        _refuse(run, later, remake)
        return [_reopened(run, name, len(found[name]), later[name], reason) for name in later]


def _first(stages: Iterable[str], resting: Resting) -> list[str]:
    """The stages that rest on none of the others: those that do are made anew as a whole."""
    patterns = [pattern for stage in stages for pattern in resting.get(stage, RESULTS)]
    return [stage for stage in stages if not any(fnmatch(f"{stage}.jsonl", pattern) for pattern in patterns)]


def _refuse(run: Run[Any], later: dict[str, tuple[str, ...]], remake: bool) -> None:
    for name, made in later.items():
        if not run.finished(name):
            raise Failure(f"{run.folder}: {name} is under way.", "Type the command of the run first, until it is done.")
        if made and not remake:
            raise Failure(
                f"{run.folder}: {', '.join(made)} rest on the rows of {name}.",
                "Add --remake to remove them; the command of the run then makes them anew.",
            )


def _reopened(run: Run[Any], stage: str, rows: int, later: tuple[str, ...], reason: str) -> Reopened:
    run.forget(later)
    run.requeue(stage, taught_kind(stage), lambda row: row.reason == reason)
    return Reopened(stage=stage, rows=rows, removed=later)


def _made_of(folder: Path, stage: str, resting: Resting) -> tuple[str, ...]:
    patterns = resting.get(stage, RESULTS)
    made = {str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern)}
    return tuple(sorted(made))


def _with_reason(rows: list[Quarantined], reason: str | None) -> list[Quarantined]:
    return [row for row in rows if reason in (None, row.reason)]


def _reasons(folder: Path, stage: str | None) -> str:
    held = quarantined_rows(folder, stage=stage).values()
    reasons = sorted({row.reason for rows in held for row in rows})
    return f"Reasons here: {', '.join(reasons)}." if reasons else "No row is quarantined here."
