"""`redink solve` and `redink thoughts-store`: use a trained student, or a published model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from redink.cli.evaluation import FormOption, OutputOption, show
from redink.cli.shared import CorrectOption, DataDirOption, PromptOption, calm_libraries, console
from redink.failures import Failure

if TYPE_CHECKING:
    from redink.solving.solver import Generation, Solver

commands = typer.Typer()
store_commands = typer.Typer(
    name="thoughts-store",
    help="The <Generalized> thoughts of a training set as a store that `redink solve` may consult.",
    epilog="Example: redink thoughts-store build runs/demo",
    no_args_is_help=True,
)
commands.add_typer(store_commands)
TRAINED = Path("runs/demo/cross_dpo")
AskedStudentOption = Annotated[
    str | None,
    typer.Option(
        help="bundled, smollm2, a folder or a hub id; with --base-url the model's name there. "
        "By default the demo's last student, if there is one."
    ),
]
RoundsOption = Annotated[int, typer.Option(min=0, help="Rounds of self-correction at most; 0: none.")]
StoreOption = Annotated[Path | None, typer.Option(help="A store of thoughts to consult; see redink thoughts-store.")]
ThoughtsOption = Annotated[int, typer.Option(min=1, help="How many thoughts of the store a question is shown.")]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Longest solution and review; else as the preset says.")
]
TemperatureOption = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token each time.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Replies generated at once (transformers).")]


@commands.command(
    epilog='Example: redink solve "Eva has 6 rows of 5 cards. Then gives 16 away. How many has Eva now?"\n\n'
    "Example: redink solve --file questions.jsonl --out solved.jsonl --rounds 2\n\n"
    'Example: redink solve "What is 17 * 23?" --base-url http://localhost:8000/v1 --student SuperCorrect-7B'
)
def solve(
    question: Annotated[str | None, typer.Argument(help="The question; or --file.")] = None,
    student: AskedStudentOption = None,
    backend: Annotated[
        Literal["auto", "transformers", "vllm", "openai"],
        typer.Option(help="Who generates; auto: openai with --base-url, else transformers."),
    ] = "auto",
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server, such as vLLM's.")] = None,
    key_name: Annotated[str, typer.Option(help="The environment variable that holds its key.")] = "OPENAI_API_KEY",
    rounds: RoundsOption = 1,
    preset: Annotated[
        str, typer.Option(help="How to ask: redink, supercorrect-7b, or auto by what the model is.")
    ] = "auto",
    prompts: Annotated[
        Path | None, typer.Option(help="A folder with system.md, solve.md, correct.md …, or a model card.")
    ] = None,
    prompt: PromptOption = None,
    correct: CorrectOption = None,
    store: StoreOption = None,
    thoughts: ThoughtsOption = 3,
    temperature: TemperatureOption = 0.0,
    top_p: Annotated[float, typer.Option(help="Nucleus of what is drawn.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.")] = 0,
    max_new_tokens: MaxTokensOption = None,
    batch_rows: BatchOption = 32,
    file: Annotated[Path | None, typer.Option(help="JSONL rows of question (and id): solve them all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the solved rows of --file go.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin --out anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Solve a question, then let the model look over its solution until its own verdict ends it.

    With --file, a batch: order kept, bad rows set aside in OUT.quarantine.jsonl; the same command resumes it.
    """
    _one_of(question, file, out, as_json)
    calm_libraries()
    from redink.solving.solver import Solver

    solver = Solver.load(
        _student(student, base_url), backend=backend, preset=preset, rounds=rounds, base_url=base_url,
        key_name=key_name, prompt=prompt, correct=correct, prompts=prompts, store=store, thoughts=thoughts,
        generation=_generation(temperature, top_p, seed, max_new_tokens), batch_rows=batch_rows,
    )  # fmt: skip
    if file is not None and out is not None:
        _solve_file(solver, file, out, fresh)
    elif question is not None and as_json:
        print(solver.solve(question).model_dump_json())
    elif question is not None:
        asyncio.run(_watch(solver, question))


def _one_of(question: str | None, file: Path | None, out: Path | None, as_json: bool) -> None:
    if (question is None) == (file is None):
        raise Failure("a question or a --file is needed, and not both.", 'Ask: redink solve "What is 2 + 3?"')
    if question is not None and not question.strip():
        raise Failure("the question is empty.", 'Ask: redink solve "What is 2 + 3?"')
    if (file is None) != (out is None):
        raise Failure("--file and --out belong together.", "redink solve --file questions.jsonl --out solved.jsonl")
    if file is not None and as_json:
        raise Failure(
            "--json prints the result of one question.", "The rows of --out are JSON as they are; leave it out."
        )


def _student(student: str | None, base_url: str | None) -> str:
    if student is None and base_url:
        raise Failure("which model of the server is to be asked?", "Name it with --student.")
    return student or (str(TRAINED) if TRAINED.exists() else "bundled")


def _generation(temperature: float, top_p: float, seed: int, max_new_tokens: int | None) -> Generation:
    from redink.solving.solver import Generation

    if not 0 < top_p <= 1:
        raise Failure(f"--top-p is {top_p}.", "It is more than 0 and at most 1.")
    return Generation(temperature=temperature, top_p=top_p, seed=seed, max_new_tokens=max_new_tokens)


def _solve_file(solver: Solver, file: Path, out: Path, fresh: bool) -> None:
    from redink.pipelines.solving import beside, read_questions, solve_file
    from redink.progress import progress

    count = len(read_questions(file)[0])
    with progress("solving", count, "questions") as advance:
        done = solve_file(solver, file, out, fresh=fresh, advance=advance)
    line = f"{out}: {done.solved} of {done.rows} rows solved"
    if done.kept:
        line += f" ({done.kept} of them by an earlier run)"
    if done.quarantined:
        line += f"; {done.quarantined} set aside, see {beside(out, 'quarantine.jsonl')}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


async def _watch(solver: Solver, question: str) -> None:
    """Show solution and reviews while they come."""
    from redink.cli.red_ink import Ink
    from redink.failures import ReplyFailure

    ink = Ink(console, solver.backend.name)
    try:
        async for event in solver.astream(question):
            ink.show(event)
    except ReplyFailure as failure:
        raise Failure(f"{solver.backend.name} gave no solution ({failure}).", "Try again, or another model.") from None


@store_commands.command("build", epilog="Example: redink thoughts-store build runs/demo --to runs/demo/store")
def build(
    run: Annotated[Path, typer.Argument(help="A run directory with thoughts, such as runs/demo.")],
    to: Annotated[Path | None, typer.Option(help="Where the store goes; RUN/thoughts-store by default.")] = None,
) -> None:
    """Index the generalized thoughts that a run teaches by their questions."""
    from redink.solving.store import ThoughtStore, of_run

    store, folder = ThoughtStore(of_run(run)), to or run / "thoughts-store"
    store.save(folder)
    line = f"{folder}: {len(store)} questions, {len(store.thoughts)} different thoughts"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


@store_commands.command("search", epilog='Example: redink thoughts-store search runs/demo/thoughts-store "Tom has 14"')
def search(
    store: Annotated[Path, typer.Argument(help="A store of thoughts.")],
    question: Annotated[str, typer.Argument(help="The question.")],
    thoughts: ThoughtsOption = 3,
) -> None:
    """What the store holds for a question: score, thought and the question it was written for."""
    from redink.solving.store import ThoughtStore

    held = ThoughtStore.load(store)
    for place, score in held.ranked(question, thoughts):
        row = held.rows[place]
        console.print(f"{score:.2f}  {row.thought}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"      {row.question}", style="dim", markup=False, highlight=False, soft_wrap=True)


@store_commands.command(
    "measure",
    epilog="Example: redink thoughts-store measure runs/demo/thoughts-store --student runs/demo/cross_dpo "
    "--benchmark runs/demo",
)
def measure(
    store: Annotated[Path, typer.Argument(help="A store of thoughts.")],
    benchmark: Annotated[str, typer.Option(help="A set of problems, or a run directory's evaluation set.")] = "stories",
    student: AskedStudentOption = None,
    thoughts: ThoughtsOption = 3,
    rounds: RoundsOption = 1,
    data_dir: DataDirOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many problems.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of generated problems.")] = 0,
    max_new_tokens: MaxTokensOption = None,
    batch_rows: BatchOption = 32,
    form: FormOption = "table",
    output: OutputOption = None,
) -> None:
    """The same student on the same problems without and with the store: intervals and a paired test."""
    calm_libraries()
    from redink.pipelines.thought_store import measure_store, problems_for, store_table
    from redink.solving.solver import Solver
    from redink.solving.store import ThoughtStore

    held = ThoughtStore.load(store)
    problems = problems_for(benchmark, data_dir, limit, seed)
    solver = Solver.load(
        _student(student, None), rounds=rounds, thoughts=thoughts, batch_rows=batch_rows,
        generation=_generation(0.0, 1.0, seed, max_new_tokens),
    )  # fmt: skip
    found = measure_store(solver, held, problems, benchmark)
    show(found, [store_table(found)], form, output)
