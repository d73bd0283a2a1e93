"""`redink evaluate`, `redink compare`, `redink tables`: figures with intervals, of students on benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from redink.cli.shared import (
    CheckerOption,
    CorrectOption,
    DataDirOption,
    EngineOption,
    FreshOption,
    MaxUsdOption,
    PromptOption,
    RayAddressOption,
    RunDirOption,
    WorkersOption,
    calm_libraries,
    console,
    engine_values,
)

if TYPE_CHECKING:
    from redink.pipelines.tables import Table
    from redink.types import Row

commands = typer.Typer()
Form = Literal["table", "json", "markdown", "latex"]
FormOption = Annotated[Form, typer.Option("--format", help="How figures are printed, and written to --output.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="Write the figures here too: by the ending (.json, .md, .tex, .txt), else as --format says."),
]


def show(result: Row, tables: Sequence[Table], form: Form, output: Path | None = None) -> None:
    """Print figures in one form, and write them to a file too; as JSON they are the result itself."""
    from redink.pipelines.tables import as_rich, form_of, rendered
    from redink.rows import write_text

    def text(chosen: Form) -> str:
        return result.model_dump_json(indent=2) + "\n" if chosen == "json" else rendered(tables, chosen)

    if form == "table":
        for table in tables:
            console.print(as_rich(table, console.width))
    else:
        print(text(form), end="")
    if output is not None:
        write_text(output, text(form_of(output, form)))


@commands.command(
    epilog="Example: redink evaluate --student runs/demo/hsft --student runs/demo/cross_dpo --benchmark stories:ledger "
    "--limit 50 --repeats 4"
)
def evaluate(
    student: Annotated[
        list[str] | None, typer.Option(help="bundled, smollm2, a local folder or a hub id. May be repeated.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "--source", help="A set of problems; see redink problems. May be repeated."),
    ] = None,
    data_dir: DataDirOption = None,
    split: Annotated[str, typer.Option(help="The split of published sets.")] = "test",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="The first so many problems of each set; else all, of a generator 100."),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=0, help="Solutions drawn per problem beside the greedy one, for stability and pass@k.")
    ] = 0,
    temperature: Annotated[float, typer.Option(help="Temperature of the repeats.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Nucleus of the repeats.")] = 1.0,
    k: Annotated[
        list[int] | None,
        typer.Option(min=1, help="A k of pass@k and maj@k; else powers of two. May be repeated."),
    ] = None,
    prompt: PromptOption = None,
    correct: CorrectOption = None,
    results_only: Annotated[
        bool,
        typer.Option("--results-only", help="Reviewers see each step's result without its <Key>, as in the demo."),
    ] = False,
    checker: CheckerOption = "math",
    teacher: Annotated[
        str, typer.Option(help="Who locates the errors: reference, or a recipe whose teacher and inspector do.")
    ] = "reference",
    max_usd: MaxUsdOption = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 1024,
    batch_rows: Annotated[int, typer.Option(min=1, help="Replies sampled at once.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.")] = 0,
    run_dir: RunDirOption = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(help="The run directory's name; else made of the settings, so that they go on."),
    ] = None,
    fresh: FreshOption = False,
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Grade the stored replies anew (after a change of checker) first.")
    ] = False,
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Students on benchmarks: t1, self-correction at t2, step errors, repeats, with 95 % intervals.

    Replies are stored once in a run directory: the same command goes on after a kill, and more students, benchmarks or
    repeats cost only what is new.
    """
    calm_libraries()
    from redink.pipelines.evaluation import evaluate as evaluated
    from redink.pipelines.results import evaluation_tables
    from redink.recipe import evaluation_recipe
    from redink.run import Run, start_anew

    recipe = evaluation_recipe(
        teacher,
        {
            "name": name, "seed": seed, "students": student or ["bundled"], "benchmarks": benchmark or ["stories"],
            "split": split, "limit": limit, "checker": checker, "prompt": prompt or "", "correct": correct or "",
            "results_only": results_only, "repeats": repeats, "temperature": temperature, "top_p": top_p, "ks": k or (),
            "max_new_tokens": max_new_tokens, "batch_rows": batch_rows,
            "engine": engine_values(engine, ray_address, workers),
        },
        max_usd,
    )  # fmt: skip
    folder = run_dir / recipe.name
    if fresh:
        start_anew(folder)
    with Run(folder, recipe, may_change=("checker",) if recompute else ()) as run:
        results = evaluated(run, data_dir, recompute=recompute)
        run.say(f"results: {run.path('results.json')}")
    show(results, evaluation_tables(results), form, output)


@commands.command(epilog="Example: redink compare runs/demo --model hsft --model cross_dpo")
def compare(
    run: Annotated[Path, typer.Argument(help="A run directory, of any command.")],
    other: Annotated[Path | None, typer.Argument(help="Another; else the models of the first are compared.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Which model; given twice, the first run's and the second's. Else all that both have."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of bootstrap and permutations.")] = 0,
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Is one model better than another, by how much, is that chance? Paired tests on the problems that both have."""
    from redink.pipelines.comparison import compare_runs, comparison_tables

    results = compare_runs(run, other, model or (), seed)
    for line in results.remarks:
        typer.echo(line, err=True)
    show(results, comparison_tables(results), form, output)


@commands.command(epilog="Example: redink tables runs/demo --format latex")
def tables(
    run: Annotated[Path, typer.Argument(help="A run directory with results.json, such as runs/demo.")],
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Every table of a run's results again, without any work: for the terminal, markdown, LaTeX or JSON."""
    from redink.pipelines.results import read_results, tables_of

    results = read_results(run)
    show(results, tables_of(results), form, output)
