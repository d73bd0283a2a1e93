"""Arms: what the bundled scales say, and what is refused in a scale of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from redink.failures import BadInput, BadRecipe
from redink.pipelines.methods import models_of
from redink.reproduction.arms import Change, job_name, jobs_of, load_scale, merged, needed, ordered, recipe_of
from redink.reproduction.claims import CLAIMS
from redink.reproduction.items import ITEMS
from redink.reproduction.stores import OFF, ON

OWN = """
title = "two arms"
seeds = [4]
[common.hsft]
epochs = 3
[arms.one]
extends = "demo"
set = { problems = { thoughts = 7 } }
[arms.two]
extends = "one"
set = { method = "step-dpo", cross_dpo = { beta = 0.1 } }
shares = [{ from = "one", stages = ["problems", "hsft"] }]
"""


def scale_file(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["mini", "paper"])
def test_every_arm_of_a_bundled_scale_is_a_recipe_and_shares_what_it_may(name: str) -> None:
    scale = load_scale(name)
    jobs = jobs_of(scale, list(scale.arms), scale.seeds)
    assert {job.name for job in jobs} == {job_name(arm, seed) for arm in scale.arms for seed in scale.seeds}
    assert len(scale.seeds) >= 3 or name == "paper"
    assert scale.confirm == (name == "paper")


@pytest.mark.parametrize("name", ["mini", "paper"])
def test_every_line_of_a_table_is_a_model_of_an_arm(name: str) -> None:
    scale = load_scale(name)
    for item in ITEMS.values():
        for line in item.lines:
            name = scale.aliases.get(line.arm, line.arm)
            arm = scale.arms[name]
            if arm.kind == "run":
                assert line.model in models_of(recipe_of(scale, name, 0)), (item.name, line.label)
            elif arm.kind == "chains":
                assert scale.aliases.get(line.model, line.model) in arm.of
            elif arm.kind == "store":
                source, model, way = line.model.split("/")
                assert source in arm.of and model in models_of(recipe_of(scale, source, 0)) and way in (OFF, ON)


def test_every_claim_is_carried_by_an_item_that_has_its_arms() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert set(claim.arms) <= set(ITEMS[claim.where].arms), claim.id


def test_an_arm_is_what_it_extends_what_is_common_and_what_it_sets(tmp_path: Path) -> None:
    scale = load_scale(scale_file(tmp_path, OWN))
    recipe = recipe_of(scale, "two", 4)
    assert (recipe.name, recipe.seed, recipe.method) == ("two-s4", 4, "step-dpo")
    assert (recipe.problems.thoughts, recipe.hsft.epochs, recipe.cross_dpo.beta) == (7, 3, 0.1)
    changed = recipe_of(scale, "two", 4, Change(limit=5, settings=("hsft.epochs=1", "student=elsewhere")))
    assert (changed.problems.thoughts, changed.hsft.epochs, changed.student) == (5, 1, "elsewhere")


def test_arms_come_after_those_that_they_wait_for(tmp_path: Path) -> None:
    text = OWN.replace("[arms.one]", '[arms.three]\nextends = "one"\nkind = "chains"\nof = ["two"]\n[arms.one]')
    scale = load_scale(scale_file(tmp_path, text))
    assert ordered(scale, ["three", "one", "two"]) == ["one", "two", "three"]
    assert needed(scale, ["three", "nowhere"]) == ["two", "three"]
    jobs = jobs_of(scale, ["three", "one", "two"], [4, 5])
    assert [job.name for job in jobs] == ["one-s4", "one-s5", "two-s4", "two-s5", "three-s4", "three-s5"]
    assert jobs[2].waits_for == ("one-s4",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("beta = 0.1", "betta = 0.1"), "unknown key 'cross_dpo.betta'. Did you mean 'beta'?"),
        (('from = "one"', 'from = "none"'), "arm 'two' names 'none', which is no arm. Arms: one, two."),
        (('extends = "demo"', 'extends = "two"'), "rests on itself"),
        (('stages = ["problems"', 'stages = ["nothing"'), "'nothing' is no part of a run that can be shared"),
        (('"hsft"]', '"pairs"]'), "arm 'two' has no 'pairs' (method 'step-dpo')"),
        (("cross_dpo = { beta = 0.1 }", "hsft = { epochs = 1 }"),
         "arms 'one' and 'two' cannot share 'hsft': they differ in hsft.epochs. Change the arm's `shares`"),
        (("cross_dpo = { beta = 0.1 }", "teacher = { error_rate = 0.5 }"), "'thoughts': they differ in teacher.error_rate"),
        (("seeds = [4]", ""), "seeds: Field required"),
        (("seeds = [4]", "seed = [4]"), "seed"),
        (('extends = "one"', 'extends = "one"\nkind = "store"'),
         "arm 'two' of kind 'store' reads no other: it needs `of`. For example of ="),
        (('extends = "one"', 'extends = "one"\nof = ["one"]'), "arm 'two' of kind 'run' has `of`"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_scale_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in OWN
    with pytest.raises(BadRecipe) as caught:
        scale = load_scale(scale_file(tmp_path, OWN.replace(*change)))
        jobs_of(scale, list(scale.arms), scale.seeds)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the scale cannot be read"):
        load_scale(str(tmp_path / "none.toml"))
    with pytest.raises(BadInput, match="is not TOML"):
        load_scale(scale_file(tmp_path, "= ="))


def test_merged_tables_do_not_touch_those_they_are_made_of() -> None:
    below = {"a": {"b": 1}}
    both = merged(below, {"a": {"c": [2]}})
    both["a"]["c"].append(3)
    assert below == {"a": {"b": 1}}
