"""`redink quarantine`: the rows that could not be made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from redink.cli.shared import console
from redink.types import Quarantined

commands = typer.Typer(
    name="quarantine",
    help="The rows that could not be made: list them, look at them, give them another try.",
    epilog="Example: redink quarantine list runs/demo",
    no_args_is_help=True,
)
RunArgument = Annotated[Path, typer.Argument(help="A run directory, such as runs/demo.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only rows with this reason.")]
StageOption = Annotated[str | None, typer.Option(help="Only rows of this stage.")]


@commands.command("list", epilog="Example: redink quarantine list runs/demo")
def list_(run: RunArgument, reason: ReasonOption = None, stage: StageOption = None) -> None:
    """How many rows each stage holds back, by reason."""
    from redink.pipelines.quarantine import quarantined_rows

    held = quarantined_rows(run, reason, stage)
    table = Table("stage", "reason", "rows")
    for name, rows in held.items():
        for why, count in sorted(Counter(row.reason for row in rows).items()):
            table.add_row(name, why, str(count))
    console.print(table if held else "No row is quarantined.")


@commands.command(epilog="Example: redink quarantine show runs/demo --reason no_steps --limit 1")
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


@commands.command(epilog="Example: redink quarantine requeue runs/demo --reason server_failed")
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
