"""`redink plan`: what a recipe takes, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redink.cli.shared import LimitOption, RecipeArgument, SetOption, StudentOption, calm_libraries, console

commands = typer.Typer()


@commands.command(
    epilog="Example: redink plan demo --from runs/demo-small   "
    "Example: redink plan paper-7b --hardware 8xA100-40GB --scale-by 1 --scale-by 10 --markdown"
)
def plan(
    recipe: RecipeArgument,
    set_: SetOption = None,
    student: StudentOption = None,
    limit: LimitOption = None,
    hardware: Annotated[
        str | None, typer.Option(help="8xA100-40GB, H200, cpu, cpu:2, …; the recipe's, or this machine, by default.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Take lengths, shares, calls and speeds from an earlier run.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine's speed first (seconds; loads the student).")
    ] = False,
    shape: Annotated[
        str | None, typer.Option(help="The student's shape where it is not known: layers=28,hidden=3584,…")
    ] = None,
    scale_by: Annotated[
        list[float] | None, typer.Option(help="So many times the problems; several give a line each.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Show the plan beside what this run did.")] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Every stage of the evaluation on a line of its own.")
    ] = False,
    assumptions: Annotated[
        bool, typer.Option("--assumptions", help="List every assumption: value, and where it is from.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The plan, or the plans, as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The tables as markdown.")] = False,
) -> None:
    """What a recipe will take: rows, calls, tokens, dollars, hours, memory and disk, stage by stage.

    Nothing is bought, downloaded or trained. What is assumed are the recipe's keys plan.… (docs/plan.md).
    """
    calm_libraries()
    import sys

    from redink.pipelines.tables import as_rich, rendered
    from redink.planning.calibrate import calibrated
    from redink.planning.measured import measure
    from redink.planning.plan import plan_recipe, scaled
    from redink.planning.tables import assumption_table, beside_table, plan_tables, scale_table
    from redink.recipe import load_recipe

    given = {"student": student, "plan.hardware": hardware, "plan.shape": shape}
    named = [f'{key}="{value}"' for key, value in given.items() if value is not None]
    loaded = load_recipe(recipe, [*(set_ or []), *named])
    wanted = loaded if limit is None else loaded.limited(limit)
    earlier = measure(from_) if from_ else None
    rates = calibrated(wanted) if calibrate else None
    factors = scale_by or [1.0]
    stand = {
        key.partition("=")[0].strip().removeprefix("plan.") for key in set_ or [] if key.strip().startswith("plan.")
    }
    plans = [(factor, plan_recipe(scaled(wanted, factor), earlier, rates, stand)) for factor in factors]
    if json:
        texts = [made.model_dump_json(indent=2) for _, made in plans]
        print(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")
        return
    first = plans[0][1]
    tables = [scale_table(plans)] if len(plans) > 1 else list(plan_tables(first, stages))
    tables += [assumption_table(first)] if assumptions else []
    tables += [beside_table(first, measure(against))] if against else []
    if markdown:
        sys.stdout.write(rendered(tables, "markdown"))
    else:
        for table in tables:
            console.print(as_rich(table, console.width))
    _say(first.warnings, first.notes, markdown)


def _say(warnings: tuple[str, ...], notes: tuple[str, ...], markdown: bool) -> None:
    """Warnings and notes; below markdown tables as a list."""
    for sign, lines in (("Warning", warnings), ("Note", notes)):
        for line in lines:
            if markdown:
                print(f"- {sign}: {line}")
            else:
                style = "yellow" if sign == "Warning" else "dim"
                console.print(f"{sign}: {line}", style=style, markup=False, highlight=False, soft_wrap=True)
