"""The command line: `redink demo`, `redink run`, one verb per stage, evaluation, and the small tools around them."""

from __future__ import annotations

import sys
from typing import Any

import typer

from redink.cli import (
    evaluation,
    measuring,
    planning,
    quarantine,
    reproducing,
    running,
    serving,
    sharing,
    solving,
    streaming,
    tools,
    training,
)
from redink.failures import Failure, StoppedByHand
from redink.report import commands as report

USER_ERROR, INTERRUPTED = 2, 130

app = typer.Typer(
    name="redink",
    help="Teach small language models from their own mistakes "
    "(SuperCorrect, arXiv 2410.09008; ORION, arXiv 2505.22131).\n\n"
    "Start with [bold]redink demo[/]: the whole method, offline, on two CPU cores.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _part in (
    running, planning, training, evaluation, measuring, reproducing, report, solving, serving, sharing, quarantine,
    streaming, tools,
):  # fmt: skip
    app.add_typer(_part.commands)


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
