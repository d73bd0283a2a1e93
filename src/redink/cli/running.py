"""`redink demo`, `redink run`, and one verb per stage."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from redink.cli.shared import (
    DataDirOption,
    EngineOption,
    FreshOption,
    LimitOption,
    MaxUsdOption,
    NameOption,
    RayAddressOption,
    RecipeArgument,
    RunDirOption,
    SeedOption,
    SetOption,
    StudentOption,
    WorkersOption,
    calm_libraries,
    console,
)

commands = typer.Typer()
SHOWN = 2
"""Tables that are printed at the end of a run: what changed, and what else is worth a look."""


@dataclass(frozen=True)
class RunOptions:
    """What every command that runs a recipe takes."""

    set_: SetOption = None
    data_dir: DataDirOption = None
    run_dir: RunDirOption = Path("runs")
    name: NameOption = None
    student: StudentOption = None
    limit: LimitOption = None
    seed: SeedOption = None
    max_usd: MaxUsdOption = None
    fresh: FreshOption = False
    engine: EngineOption = None
    ray_address: RayAddressOption = None
    workers: WorkersOption = None

    @property
    def overrides(self) -> list[str]:
        """As `load_recipe` takes them; the options that have a name of their own come last."""
        given = {
            "name": self.name, "student": self.student, "seed": self.seed, "budget.max_usd": self.max_usd,
            "engine.kind": self.engine, "engine.address": self.ray_address, "engine.workers": self.workers,
        }  # fmt: skip
        named = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
        return [*(self.set_ or []), *named]


NONE_GIVEN = RunOptions()
UntilOption = Annotated[str, typer.Option(help="The last stage to do: one of the recipe's method (docs/orion.md).")]


def _with_run_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the fields of `RunOptions` in place of its last parameter, for typer to read."""
    hints = get_type_hints(RunOptions, include_extras=True)
    own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]

    @wraps(function)
    def command(**values: Any) -> None:
        arguments = [values.pop(parameter.name) for parameter in own]
        function(*arguments, RunOptions(**values))

    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(RunOptions)
    ]
    parameters = [*own, *options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _run(recipe_name: str, until: str, options: RunOptions) -> None:
    """Load the recipe with its overrides, do the stages up to `until`, print the table if there is one."""
    calm_libraries()
    from redink.pipelines.methods import follow_recipe
    from redink.pipelines.results import run_tables
    from redink.pipelines.tables import as_rich
    from redink.recipe import load_recipe
    from redink.report.commands import write_and_say
    from redink.run import Run, start_anew

    recipe = load_recipe(recipe_name, options.overrides)
    if options.limit is not None:
        recipe = recipe.limited(options.limit)
    folder = options.run_dir / recipe.name
    if options.fresh:
        start_anew(folder)
    with Run(folder, recipe) as run:
        results = follow_recipe(run, options.data_dir, until)
        if results is not None:
            for table in run_tables(results)[:SHOWN]:
                console.print(as_rich(table, console.width))
            more = f"results: {run.path('results.json')}; every table: redink tables {folder}"
            console.print(more, markup=False, highlight=False, soft_wrap=True)
            write_and_say(folder)


@commands.command(epilog="Example: redink demo --seed 1 --name demo-1")
@_with_run_options
def demo(options: RunOptions) -> None:
    """The whole SuperCorrect method offline: a table base → HSFT → Cross-DPO in about six minutes on two cores."""
    _run("demo", "evaluate", options)


def _stage_command(until: str, help_: str) -> Callable[..., None]:
    """A command that runs a recipe up to one stage."""

    def command(recipe: RecipeArgument, options: RunOptions) -> None:
        _run(recipe, until, options)

    command.__doc__ = help_
    return _with_run_options(command)


@commands.command(epilog="Example: redink run recipes/gsm8k-smollm2.toml --data-dir data --limit 8")
@_with_run_options
def run(recipe: RecipeArgument, until: UntilOption = "evaluate", options: RunOptions = NONE_GIVEN) -> None:
    """Do a recipe's method from the first stage to the table; a run that was cut off goes on."""
    _run(recipe, until, options)


_VERBS = {
    "thoughts": ("thoughts", "Teacher and inspector write the hierarchical thoughts (D_sft)."),
    "hsft": ("hsft", "… and fine-tune the student on them (HSFT)."),
    "attempts": ("attempts", "… and let it solve the problems held apart (the error set)."),
    "corrections": ("corrections", "… and let the teacher mark the first wrong step of each wrong attempt."),
    "pairs": ("pairs", "… and let the student continue the same prefix: the preference pairs (D_corr)."),
    "cross-dpo": ("cross-dpo", "… and train the student to prefer the teacher's corrections (Cross-DPO)."),
}
for _name, (_until, _help) in _VERBS.items():
    commands.command(_name, epilog=f"Example: redink {_name} recipes/gsm8k-smollm2.toml --data-dir data --limit 8")(
        _stage_command(_until, _help)
    )
