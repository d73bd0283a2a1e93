"""What rests on the rows of each stage of teacher and inspector, as patterns of names in a run directory.

Where such rows are made anew (`redink quarantine requeue`), what rests on them does not know of them.
"""

from __future__ import annotations

from redink.pipelines.orion import ERROR_PRONE, MODEL
from redink.pipelines.supercorrect import in_round, round_models
from redink.pipelines.workshop import BASE
from redink.recipe import Recipe
from redink.stages.styles import STAGE as STYLED

Patterns = dict[str, tuple[str, ...]]
RESULTS = "results.json"
AFTER_CORRECTIONS = ("own_corrections", "pairs", "alarms", "confirmations", "made_alarms", "counterparts")


def of_supercorrect(recipe: Recipe, taught: str = "hsft") -> Patterns:
    """Thoughts, and the corrections of each round."""
    rounds, models = range(1, recipe.rounds + 1), round_models(recipe)
    corrections = {
        in_round("corrections", number): (
            *(in_round(f"{stage}.*", number) for stage in AFTER_CORRECTIONS),
            *(f"round{later}.*" for later in rounds[number:]),
            *(pattern for model in models[number - 1 :] for pattern in _made_with(model)),
            RESULTS,
        )
        for number in rounds
    }
    thoughts = ("replay.*", *_made_with(taught), "attempts.*", "corrections.*", *corrections["corrections"])
    return {"thoughts": thoughts, **corrections, **_evaluated(BASE, taught, *models)}


def of_orion(recipe: Recipe) -> Patterns:
    """Long chains, corrections of exposed errors, and refinement by the teacher."""
    learned = ("refinement.scores.*", "refined.*", "learned.*", "replay.*", *_made_with(MODEL), RESULTS)
    return {
        "long_chains": ("exposure*", *_made_with(ERROR_PRONE), "refinement.*", *learned),
        "exposure.corrections": ("refinement.*", *learned),
        "refinement": learned,
        **_evaluated(BASE, MODEL),
    }


def of_both(recipe: Recipe) -> Patterns:
    """ORION's stages, on which all of Cross-DPO rests."""
    later, own = of_supercorrect(recipe, MODEL), of_orion(recipe)
    after = later.pop("thoughts")
    both = {stage: (*own[stage], *after) for stage in ("long_chains", "exposure.corrections", "refinement")}
    return {**both, **later}


def of_sft(model: str, stage: str = "") -> Patterns:
    """The teacher's chains, if `stage` makes them."""
    made = {stage: ("replay.*", *_made_with(model), RESULTS)} if stage else {}
    return {**made, **_evaluated(BASE, model)}


def of_hsft() -> Patterns:
    """Thoughts, in whatever style."""
    return {"thoughts": (f"{STYLED}.*", "replay.*", *_made_with("hsft"), RESULTS), **_evaluated(BASE, "hsft")}


def of_baseline(model: str) -> Patterns:
    """Thoughts, and the teacher's other work, where `model` comes after HSFT."""
    last = ("pairs.*", *_made_with(model), RESULTS)
    first = ("replay.*", *_made_with("hsft"), "attempts.*", "corrections.*", "solutions.*")
    taught = {"thoughts": (*first, *last), "solutions.thoughts": last, "corrections": last}
    return {**taught, **_evaluated(BASE, "hsft", model)}


def _made_with(model: str) -> tuple[str, ...]:
    """What a model of a run leaves: weights, log-probabilities, its evaluation."""
    return (f"{model}*", f"evaluate.{model}.*", f"attempts/evaluation/{model}")


def _evaluated(*models: str) -> Patterns:
    return {f"evaluate.{model}.corrections": (f"evaluate.{model}.given_location.*", RESULTS) for model in models}
