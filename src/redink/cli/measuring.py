"""`redink evaluate-steps`, `-corrections`, `-teacher` and `-chains`, `lm-eval-task` and `lm-eval-agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redink.cli.evaluation import FormOption, OutputOption, show
from redink.cli.shared import (
    CheckerOption,
    CorrectOption,
    DataDirOption,
    EngineOption,
    LimitOption,
    MaxUsdOption,
    PromptOption,
    RayAddressOption,
    RecipeArgument,
    RunDirOption,
    SeedOption,
    SetOption,
    WorkersOption,
    calm_libraries,
    console,
    engine_settings,
)

commands = typer.Typer()
JudgeOption = Annotated[str, typer.Option(help="A chat model that judges, by its name.")]
JudgeUrlOption = Annotated[str, typer.Option(help="The judge's OpenAI-compatible server.")]
JudgeKeyOption = Annotated[str, typer.Option(help="The environment variable that holds the judge's key.")]
StudentsOption = Annotated[
    list[str] | None, typer.Option(help="bundled, smollm2, a local folder or a hub id. May be repeated.")
]
OPENAI = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"


@commands.command(
    "evaluate-steps",
    epilog="Example: redink evaluate-steps --student bundled --set processbench/gsm8k --data-dir data --limit 20",
)
def evaluate_steps(
    set_: Annotated[str, typer.Option("--set", help="Labelled solutions: processbench/gsm8k, …, jsonl:<path>.")],
    student: StudentsOption = None,
    teacher: Annotated[str, typer.Option(help="reference, or a recipe whose teacher is asked; needs --golds.")] = "",
    golds: Annotated[
        list[str] | None, typer.Option(help="A set whose gold solutions teacher and judge see, e.g. gsm8k.")
    ] = None,
    judge: JudgeOption = "",
    judge_url: JudgeUrlOption = OPENAI,
    judge_key_name: JudgeKeyOption = OPENAI_KEY,
    correct: CorrectOption = None,
    data_dir: DataDirOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many solutions, evenly spread over the set; else all.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest review, in tokens.")] = 1536,
    batch_rows: Annotated[int, typer.Option(min=1, help="Replies sampled at once.")] = 32,
    run_dir: RunDirOption = Path("runs"),
    name: Annotated[str, typer.Option(help="The directory of markings and bought replies.")] = "evaluate-steps",
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Who finds the first wrong step that people marked (ProcessBench, BIG-Bench-Mistake): F1 and exact accuracy."""
    calm_libraries()
    from redink.pipelines.measuring import Judging, StepQuestion, steps
    from redink.pipelines.step_errors import given_location_table, labelled_table

    asked = StepQuestion(
        set_, student or (), teacher, Judging(judge, judge_url, judge_key_name), golds or (), correct, max_new_tokens,
        batch_rows,
    )  # fmt: skip
    results, check = steps(asked, run_dir / name, data_dir, limit, engine_settings(engine, ray_address, workers))
    typer.echo(check.summary, err=True)
    tables = [labelled_table(results), *([given_location_table(results)] if results.given_location else [])]
    show(results, tables, form, output)


@commands.command(
    "evaluate-corrections", epilog="Example: redink evaluate-corrections runs/demo --judge MODEL --limit 50"
)
def evaluate_corrections(
    run: Annotated[Path, typer.Argument(help="A run directory, of run, demo or evaluate.")],
    judge: JudgeOption,
    judge_url: JudgeUrlOption = OPENAI,
    judge_key_name: JudgeKeyOption = OPENAI_KEY,
    model: Annotated[list[str] | None, typer.Option(help="Which model; else all. May be repeated.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many wrong solutions of each model, evenly spread; else all.")
    ] = None,
    run_dir: RunDirOption = Path("runs"),
    name: Annotated[str, typer.Option(help="The directory of bought judgments.")] = "evaluate-corrections",
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Step errors by a judge (table 6): do a run's models mark the first wrong step, and is their correction right?"""
    calm_libraries()
    from redink.pipelines.measuring import Judging, corrections
    from redink.pipelines.step_errors import corrections_tables

    results = corrections(run, run_dir / name, Judging(judge, judge_url, judge_key_name), model or (), limit)
    show(results, corrections_tables(results), form, output)


@commands.command(
    "evaluate-teacher", epilog="Example: redink evaluate-teacher demo --set teacher.error_rate=0.2 --limit 20"
)
def evaluate_teacher(
    recipe: RecipeArgument,
    set_: SetOption = None,
    data_dir: DataDirOption = None,
    limit: LimitOption = 50,
    seed: SeedOption = None,
    max_usd: MaxUsdOption = None,
    run_dir: RunDirOption = Path("runs"),
    name: Annotated[str, typer.Option(help="The directory of bought replies.")] = "evaluate-teacher",
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """How good a recipe's teacher is, with and without its inspector (table 5): thoughts and correction traces."""
    calm_libraries()
    from redink.pipelines.measuring import teacher
    from redink.pipelines.teacher_quality import teacher_table
    from redink.recipe import load_recipe

    given = {"seed": seed, "budget.max_usd": max_usd}
    overrides = [*(set_ or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    chosen = load_recipe(recipe, overrides)
    quality = teacher(chosen.limited(limit) if limit else chosen, run_dir / name, data_dir)
    show(quality, [teacher_table(quality)], form, output)


@commands.command("evaluate-chains", epilog="Example: redink evaluate-chains runs/demo --student bundled --limit 50")
def evaluate_chains(
    chains: Annotated[
        list[Path], typer.Argument(help="JSONL of question and chain, or run directories (what they teach).")
    ],
    student: Annotated[str | None, typer.Option(help="A student that reads the chains: its perplexity.")] = None,
    prompt: PromptOption = None,
    judge: JudgeOption = "",
    judge_url: JudgeUrlOption = OPENAI,
    judge_key_name: JudgeKeyOption = OPENAI_KEY,
    rubric: Annotated[str | None, typer.Option(help="What the judge marks by: a bundled prompt or a file.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many chains of each; else all.")] = None,
    run_dir: RunDirOption = Path("runs"),
    name: Annotated[str, typer.Option(help="The directory of bought judgments.")] = "evaluate-chains",
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """Chains of thought (ORION): length, coherence and consistency by a judge with a rubric, a student's perplexity."""
    calm_libraries()
    from redink.pipelines.chains import chains_table
    from redink.pipelines.measuring import Judging
    from redink.pipelines.measuring import chains as measured

    judging = Judging(judge, judge_url, judge_key_name)
    report = measured(
        chains, run_dir / name, judging=judging, rubric=rubric, student=student, prompt=prompt, limit=limit
    )
    show(report, [chains_table(report)], form, output)


@commands.command(
    "lm-eval-task", epilog="Example: redink lm-eval-task --benchmark gsm8k --data-dir data --student bundled --limit 20"
)
def lm_eval_task(
    benchmark: Annotated[str, typer.Option("--benchmark", "--source", help="A set of problems.")] = "gsm8k",
    student: Annotated[str, typer.Option(help="Whom the task is for: says how prompts are rendered.")] = "bundled",
    prompt: PromptOption = None,
    checker: CheckerOption = "math",
    data_dir: DataDirOption = None,
    split: Annotated[str, typer.Option(help="The split of a published set.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many problems; else all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a generator's draw.")] = 0,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest reply, in tokens; 1024, or what the student's context leaves.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0: greedy.")] = 0.0,
    repeats: Annotated[int, typer.Option(min=1, help="Samples per problem; needs a temperature.")] = 1,
    output: Annotated[Path, typer.Option(help="The folder for --include_path.")] = Path("lm_eval_tasks"),
) -> None:
    """Write an lm-evaluation-harness task with our prompt, extraction and checker, and say how to run it."""
    calm_libraries()
    from redink.pipelines.lm_eval import write_task
    from redink.pipelines.measuring import solving_prompt
    from redink.problems import load_problems

    problems = load_problems(benchmark, data_dir=data_dir, limit=limit, seed=seed, split=split)
    task = write_task(
        output, benchmark, problems, solving_prompt(student, prompt), student=student, checker=checker,
        max_new_tokens=max_new_tokens, temperature=temperature, repeats=repeats,
    )  # fmt: skip
    console.print(
        f"{task.task}: {task.documents} problems, fingerprint {task.problems}, prompt {task.prompt}", markup=False
    )
    print(task.command)


@commands.command("lm-eval-agreement", epilog="Example: redink lm-eval-agreement lm_eval_results")
def lm_eval_agreement(
    samples: Annotated[Path, typer.Argument(help="What lm_eval --log_samples wrote: a file, or its folder.")],
    checker: CheckerOption = "math",
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """The harness's accuracy beside ours, on the replies that it logged, and where they differ."""
    from redink.pipelines.lm_eval import agreement, agreement_table

    found = agreement(samples, checker)
    show(found, [agreement_table(found)], form, output)
