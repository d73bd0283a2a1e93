"""The registry of methods: what each is made of, and what is refused before any work."""

from __future__ import annotations

import io
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from redink.failures import BadRecipe
from redink.pipelines.methods import METHODS, follow_recipe, made_from, models_of, taught_kind
from redink.pipelines.workshop import follow
from redink.recipe import Recipe, load_recipe
from redink.run import Run
from redink.types import ChainRow, CorrectionRow, RefinedChain, ThoughtRow


def test_every_method_of_a_recipe_is_one_of_these() -> None:
    assert set(METHODS) == set(get_args(Recipe.model_fields["method"].annotation))
    assert all(method.stages[-1] == "evaluate" for method in METHODS.values())


def test_a_stage_that_a_method_has_not_is_one_line(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["method=orion"]).limited(2)
    with Run(tmp_path, recipe, Console(file=io.StringIO())) as run, pytest.raises(BadRecipe) as caught:
        follow_recipe(run, until="corrections")
    assert str(caught.value) == (
        "method 'orion' has no stage 'corrections'. Its stages: long-chains, exposure, refinement, sft, evaluate."
    )
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        ([], ("base", "hsft", "cross_dpo")),
        (["rounds=3"], ("base", "hsft", "cross_dpo", "cross_dpo_2", "cross_dpo_3")),
        (["method=orion"], ("base", "orion")),
        (["method=orion-supercorrect"], ("base", "orion", "cross_dpo")),
        (["method=hsft", "style=text"], ("base", "hsft")),
        (["method=sft"], ("base", "sft")),
        (["method=long-sft"], ("base", "long_sft")),
        (["method=dpo"], ("base", "hsft", "dpo")),
        (["method=step-dpo"], ("base", "hsft", "step_dpo")),
        (["method=reflexion"], ("base", "hsft", "reflexion")),
    ],
)
def test_the_models_that_a_method_evaluates(settings: list[str], models: tuple[str, ...]) -> None:
    assert tuple(models_of(load_recipe("demo", settings))) == models


@pytest.mark.parametrize(
    ("settings", "stage", "rests", "stays"),
    [
        ([], "corrections", ["pairs.jsonl", "cross_dpo", "evaluate.cross_dpo.reviews.jsonl", "results.json"],
         ["hsft", "attempts.jsonl", "corrections.jsonl", "evaluate.hsft.attempts.jsonl"]),
        (["rounds=2"], "corrections", ["round2.scout.jsonl", "cross_dpo_2", "evaluate.cross_dpo_2.reviews.jsonl"], []),
        (["rounds=2"], "round2.corrections", ["round2.pairs.jsonl", "cross_dpo_2.reference"],
         ["pairs.jsonl", "cross_dpo", "evaluate.cross_dpo.reviews.jsonl", "round2.attempts.jsonl"]),
        (["method=orion"], "long_chains", ["exposure.jsonl", "refined.jsonl", "learned.jsonl", "orion", "error_prone"],
         ["long_chains.jsonl", "evaluate.base.attempts.jsonl"]),
        (["method=orion"], "exposure.corrections", ["refinement.jsonl", "orion"], ["exposure.jsonl"]),
        (["method=orion-supercorrect"], "long_chains", ["orion", "attempts.jsonl", "corrections.jsonl", "cross_dpo"], []),
        (["method=hsft"], "thoughts", ["styled.jsonl", "hsft", "results.json"], ["evaluate.base.attempts.jsonl"]),
        (["method=dpo"], "solutions.thoughts", ["pairs.jsonl", "dpo"], ["hsft", "attempts.jsonl"]),
        (["method=step-dpo"], "thoughts", ["hsft", "corrections.jsonl", "step_dpo"], []),
        (["method=long-sft"], "long_chains", ["long_sft", "results.json"], ["evaluate.base.attempts.jsonl"]),
    ],
)  # fmt: skip
def test_what_rests_on_a_stage(settings: list[str], stage: str, rests: list[str], stays: list[str]) -> None:
    patterns = made_from(load_recipe("demo", settings))[stage]
    assert [name for name in rests if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert [name for name in stays if any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert not any(fnmatch(f"{stage}.jsonl", pattern) for pattern in patterns)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("thoughts", ThoughtRow), ("solutions.thoughts", ThoughtRow), ("long_chains", ChainRow),
        ("refinement", RefinedChain), ("exposure.corrections", CorrectionRow), ("round2.corrections", CorrectionRow),
        ("evaluate.base.corrections", CorrectionRow),
    ],
)  # fmt: skip
def test_the_kind_of_a_taught_stage(stage: str, kind: type) -> None:
    assert taught_kind(stage) is kind


def test_a_method_is_followed_up_to_a_stage_and_no_further() -> None:
    done = []

    def stages():  # type: ignore[no-untyped-def]
        for name in ("one", "two", "three"):
            done.append(name)
            yield name
        return "results"

    assert follow(stages(), "two") is None
    assert done == ["one", "two"]
    assert follow(stages(), "evaluate") == "results"
