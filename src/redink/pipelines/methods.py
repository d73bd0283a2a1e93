"""Every method by the name that a recipe calls it: how it is run, what it makes, and what rests on what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import BadRecipe
from redink.pipelines import baselines, orion, resting, supercorrect
from redink.pipelines.results import Results
from redink.pipelines.workshop import BASE
from redink.recipe import EvaluationRecipe, Recipe
from redink.run import Run
from redink.types import ChainRow, CorrectionRow, RefinedChain, Row, ThoughtRow

KINDS: dict[str, type[Row]] = {"thoughts": ThoughtRow, "long_chains": ChainRow, "refinement": RefinedChain}
"""The kinds of rows of the stages of teacher and inspector, by the last part of their names; else corrections."""


@dataclass(frozen=True)
class Method:
    """A method: `run(run, data_dir, until)` does its `stages` up to `until`."""

    run: Callable[[Run[Recipe], Path | None, str], Results | None]
    stages: Sequence[str]
    models: Callable[[Recipe], Sequence[str]]
    made_from: Callable[[Recipe], dict[str, tuple[str, ...]]]


def _fixed(*models: str) -> Callable[[Recipe], Sequence[str]]:
    return lambda recipe: (BASE, *models)


def _after(taught: str) -> Callable[[Recipe], Sequence[str]]:
    return lambda recipe: (BASE, taught, *supercorrect.round_models(recipe))


METHODS = {
    "supercorrect": Method(
        supercorrect.supercorrect, supercorrect.STAGES, _after("hsft"), resting.of_supercorrect
    ),
    "orion": Method(orion.orion, orion.STAGES, _fixed(orion.MODEL), resting.of_orion),
    "orion-supercorrect": Method(
        orion.orion_supercorrect, orion.COMBINED_STAGES, _after(orion.MODEL), resting.of_both
    ),
    "hsft": Method(
        baselines.hsft_alone, baselines.HSFT_STAGES, _fixed("hsft"), lambda _: resting.of_hsft()
    ),
    "sft": Method(
        baselines.sft, baselines.SFT_STAGES, _fixed("sft"), lambda _: resting.of_sft("sft")
    ),
    "long-sft": Method(
        baselines.long_sft, baselines.SFT_STAGES, _fixed("long_sft"),
        lambda _: resting.of_sft("long_sft", "long_chains"),
    ),
    "dpo": Method(
        baselines.dpo, baselines.DPO_STAGES, _fixed("hsft", "dpo"), lambda _: resting.of_baseline("dpo")
    ),
    "step-dpo": Method(
        baselines.step_dpo, baselines.STEP_DPO_STAGES, _fixed("hsft", "step_dpo"),
        lambda _: resting.of_baseline("step_dpo"),
    ),
    "reflexion": Method(
        baselines.reflexion, baselines.REFLEXION_STAGES, _fixed("hsft", "reflexion"),
        lambda _: resting.of_baseline("reflexion"),
    ),
}  # fmt: skip


def follow_recipe(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
    """Do what the recipe's `method` says, up to the stage `until`, going on where the run directory left off.

    Returns the results once the evaluation is done, else None. Raises `BadRecipe` for a stage that the method has not.
    """
    name = run.recipe.method
    method = METHODS[name]
    if until not in method.stages:
        raise BadRecipe(f"method {name!r} has no stage {until!r}.", f"Its stages: {', '.join(method.stages)}.")
    return method.run(run, data_dir, until)


def made_from(recipe: Recipe | EvaluationRecipe) -> dict[str, tuple[str, ...]]:
    """What rests on the rows of each stage of teacher and inspector; `results.json` on those not named."""
    return METHODS[recipe.method].made_from(recipe) if isinstance(recipe, Recipe) else {}


def taught_kind(stage: str) -> type[Row]:
    """The kind of rows of a stage of teacher and inspector."""
    return KINDS.get(stage.rpartition(".")[2], CorrectionRow)


def models_of(recipe: Recipe) -> Sequence[str]:
    """The models that a run evaluates, in the order of its method."""
    return METHODS[recipe.method].models(recipe)
