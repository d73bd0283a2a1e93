"""Recipes: unknown keys are refused with the nearest one, overrides are TOML, limits bound every set."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from redink.failures import BadInput, BadRecipe
from redink.recipe import MAY_CHANGE, Recipe, _table_of, bundled_recipes, load_recipe, validated

SMALL = """
name = "small"
[problems]
sources = ["stories:ledger"]
thoughts = 10
errors = 20
evaluation = 30
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


# ---------------------------------------------------------------- loading


def test_a_recipe_is_read_and_the_rest_are_defaults(small: str) -> None:
    recipe = load_recipe(small)
    assert (recipe.name, recipe.student, recipe.seed) == ("small", "bundled", 0)
    assert recipe.problems.sources == ("stories:ledger",)
    assert (recipe.problems.thoughts, recipe.problems.errors, recipe.problems.evaluation) == (10, 20, 30)
    assert recipe.teacher.kind == "reference"
    assert recipe.inspector.rounds == 3


@pytest.mark.parametrize("name", bundled_recipes())
def test_every_bundled_recipe_loads_by_name_and_is_called_so(name: str) -> None:
    assert load_recipe(name).name == name


def test_the_demo_is_bundled() -> None:
    assert "demo" in bundled_recipes()


# ---------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", "seed", 7),
        ("student=smollm2", "student", "smollm2"),
        ("student='some folder/x'", "student", "some folder/x"),
        ("student=/a=b", "student", "/a=b"),
        ("hsft.epochs=2", "hsft.epochs", 2.0),
        ("hsft.learning_rate = 1e-4", "hsft.learning_rate", 1e-4),
        ("problems.held_out=true", "problems.held_out", True),
        ('problems.sources=["gsm8k", "math"]', "problems.sources", ("gsm8k", "math")),
        ("cross_dpo.lora.rank=8", "cross_dpo.lora.rank", 8),
        ("budget.max_usd=2.5", "budget.max_usd", Decimal("2.5")),
        ("budget.max_usd=0.1", "budget.max_usd", Decimal("0.1")),
        ("teacher.limits.requests_per_minute=500", "teacher.limits.requests_per_minute", 500.0),
        ("teacher.price={prompt = 0.15, completion = 0.6}", "teacher.price.prompt", Decimal("0.15")),
        ("teacher.batch=true", "teacher.batch", True),
        ('cross_dpo.lora={rank = 4, target_modules = ["q_proj"]}', "cross_dpo.lora.target_modules", ("q_proj",)),
    ],
)
def test_an_override_is_a_dotted_key_and_a_toml_value(small: str, override: str, path: str, value: object) -> None:
    found: object = load_recipe(small, [override])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_the_last_override_counts(small: str) -> None:
    assert load_recipe(small, ["seed=7", "seed=8"]).seed == 8


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "is not of the form key.sub=value"),
        ("=3", "is not of the form key.sub=value"),
        ("name.first=x", "'name' is not a table"),
        ("problems.sources.first=x", "'sources' is not a table"),
        ("hsft.epohcs=2", "unknown key 'hsft.epohcs'. Did you mean 'epochs'?"),
        ("hsft.epochs=many", "hsft.epochs: "),
        ("style=cot", "style: errors are located in 'xml' only; others need method = \"hsft\""),
    ],
)
def test_a_bad_override_is_one_line(small: str, override: str, said: str) -> None:
    with pytest.raises(BadRecipe, match=re.escape(said)) as caught:
        load_recipe(small, [override])
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- bad recipes


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[hsft]\nlerning_rate = 1", "unknown key 'hsft.lerning_rate'. Did you mean 'learning_rate'?"),
        ("[cros_dpo]\nbeta = 1", "unknown key 'cros_dpo'. Did you mean 'cross_dpo'?"),
        ("[cross_dpo.lora]\nrnk = 1", "unknown key 'cross_dpo.lora.rnk'. Did you mean 'rank'?"),
        ("[zzzzzzzz]\na = 1", "unknown key 'zzzzzzzz'. Known keys: name, seed, teacher, inspector"),
        ("[hsft]\nepochs = -1", "hsft.epochs: "),
        ("[hsft]\nepochs = 'x'", "hsft.epochs: "),
        ("[teacher]\nkind = 'oracle'", "teacher.kind: "),
        ("[inspector]\nrounds = 4", "inspector.rounds: "),
        ("[hsft.lora]\nrank = 0", "hsft.lora.rank: "),
    ],
)
def test_a_bad_key_or_value_names_file_and_key(small: str, added: str, said: str) -> None:
    Path(small).write_text(SMALL + added)
    with pytest.raises(BadRecipe) as caught:
        load_recipe(small)
    assert str(caught.value).startswith(f"{small}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(BadRecipe, match="name: "):
        validated({"name": name, "problems": {"sources": ["gsm8k"], "thoughts": 1, "errors": 1, "evaluation": 1}}, "r")


def test_a_recipe_without_problems_says_what_is_missing() -> None:
    with pytest.raises(BadRecipe, match=r"r: problems: Field required"):
        validated({}, "r")


def test_a_file_that_is_not_toml_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("name = \n")
    with pytest.raises(BadInput, match=r"bad\.toml: is not TOML \(.*line 1.*demo\.toml"):
        load_recipe(str(path))


def test_a_file_that_is_not_text_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dmeo", "Did you mean 'demo'?"),
        ("recipes/demoo.toml", "Did you mean 'demo'?"),
        ("zzzz", "Bundled recipes: "),
    ],
)
def test_a_missing_recipe_names_the_nearest(name: str, said: str) -> None:
    with pytest.raises(BadInput, match="the recipe cannot be read") as caught:
        load_recipe(name)
    assert said in str(caught.value)


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(("limit", "sizes"), [(8, (8, 8, 8)), (15, (10, 15, 15)), (100, (10, 20, 30))])
def test_a_limit_bounds_every_set(small: str, limit: int, sizes: tuple[int, int, int]) -> None:
    recipe = load_recipe(small)
    limited = recipe.limited(limit)
    assert (limited.problems.thoughts, limited.problems.errors, limited.problems.evaluation) == sizes
    assert recipe.problems.evaluation == 30
    unchanged = {"problems": recipe.problems}
    assert limited.model_copy(update=unchanged) == recipe


def test_a_recipe_survives_json(small: str) -> None:
    price = "teacher.price={prompt = 0.15, cached_prompt = 0.075, completion = 0.6, batch_discount = 0.5}"
    recipe = load_recipe(small, ["cross_dpo.lora.rank=8", price, "budget.max_usd=0.1"])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_what_may_change_is_a_key() -> None:
    for key in MAY_CHANGE:
        found: type[BaseModel] | None = Recipe
        for part in key.split("."):
            assert found is not None and part in found.model_fields, key
            found = _table_of(found.model_fields[part].annotation)
