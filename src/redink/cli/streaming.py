"""`redink stream`, `redink export-pairs`, `redink look`: millions of rows in bounded memory, and what lies in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redink.cli.shared import (
    DataDirOption,
    EngineOption,
    FreshOption,
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
from redink.failures import Failure

commands = typer.Typer()
StreamArgument = Annotated[Path, typer.Argument(help="A run directory that `redink stream` made.")]


@commands.command(
    epilog="Example: redink stream recipes/supercorrect.toml million.jsonl --student runs/x/hsft --pairs pairs.parquet"
)
def stream(
    recipe: RecipeArgument,
    problems: Annotated[Path, typer.Argument(help="JSONL of question, answer, solution (also .zst, .gz), any size.")],
    until: Annotated[str, typer.Option(help="problems, attempts, errors, corrections, own_corrections or pairs.")] = (
        "pairs"
    ),
    pairs: Annotated[Path | None, typer.Option(help="Then write the pairs for TRL: .parquet or .jsonl.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Problems per chunk: what is in memory at once.")] = 1024,
    apart_from: Annotated[
        list[str] | None,
        typer.Option(help="Leave out the questions of this set too (test split), as of the recipe's evaluation sets."),
    ] = None,
    data_dir: DataDirOption = None,
    set_: SetOption = None,
    run_dir: RunDirOption = Path("runs"),
    name: NameOption = None,
    student: StudentOption = None,
    seed: SeedOption = None,
    max_usd: MaxUsdOption = None,
    fresh: FreshOption = False,
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
) -> None:
    """The student's errors on millions of problems, corrected and paired, in bounded memory; goes on where it left off.

    The recipe says who solves and who teaches, as for `redink run`. Questions of its evaluation set are left out.
    """
    from redink.cli.running import RunOptions
    from redink.pipelines.apart import Apart
    from redink.pipelines.exporting import export_pairs
    from redink.pipelines.streaming import STAGES, Stream
    from redink.recipe import load_recipe
    from redink.run import Run, start_anew

    if until not in STAGES:
        raise Failure(f"--until {until}: there is no such stage.", f"Stages: {', '.join(STAGES)}.")
    if pairs and until != "pairs":
        raise Failure("--pairs writes what the last stage makes.", "Leave out --until.")
    calm_libraries()
    options = RunOptions(
        set_=set_, name=name, student=student, seed=seed, max_usd=max_usd, engine=engine, ray_address=ray_address,
        workers=workers,
    )  # fmt: skip
    loaded = load_recipe(recipe, options.overrides)
    folder = run_dir / loaded.name
    if fresh:
        start_anew(folder)
    with Run(folder, loaded) as run:
        Stream(run, apart=Apart(loaded, tuple(apart_from or ()), data_dir)).follow(problems, until, size)
    if pairs:
        said = f"{export_pairs(folder, pairs)} pairs: {pairs}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)


@commands.command("export-pairs", epilog="Example: redink export-pairs runs/big pairs.parquet")
def export_pairs_(run: StreamArgument, to: Annotated[Path, typer.Argument(help="A .parquet or .jsonl file.")]) -> None:
    """Write the pairs of a stream as TRL reads them: prompt, chosen, rejected."""
    from redink.pipelines.exporting import export_pairs

    console.print(f"{export_pairs(run, to)} pairs: {to}", markup=False, highlight=False, soft_wrap=True)


@commands.command(
    epilog="Example: redink look runs/big made-700123    or    redink look runs/big --first 500 --to runs/big-500"
)
def look(
    run: StreamArgument,
    problem: Annotated[list[str] | None, typer.Argument(help="Ids of problems.")] = None,
    first: Annotated[int, typer.Option(min=0, help="Also the first so many problems.")] = 0,
    to: Annotated[Path | None, typer.Option(help="Make a run directory of them, for redink report and view.")] = None,
) -> None:
    """Every row about some problems of a stream, found at once however large it is; as JSON lines, or as a run."""
    from redink.pipelines.exporting import extract, first_ids, rows_of

    ids = list(dict.fromkeys([*(problem or []), *(first_ids(run, first) if first else [])]))
    if not ids:
        raise Failure("no problem is named.", "Give ids, or --first 10.")
    if to:
        extract(run, to, ids)
        console.print(f"{len(ids)} problems: {to}; redink view {to}", markup=False, highlight=False, soft_wrap=True)
        return
    for name in ids:
        for stage, rows in rows_of(run, name).items():
            for row in rows:
                print(f'{{"stage":"{stage}","kind":"{type(row).__name__}","row":{row.model_dump_json()}}}')
