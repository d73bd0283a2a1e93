"""`redink report` and `redink view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from redink.progress import progress

commands = typer.Typer()
console = Console()

RunArgument = Annotated[Path, typer.Argument(help="A run directory, such as runs/demo.")]


@commands.command(epilog="Example: redink report runs/demo")
def report(
    run: RunArgument,
    other: Annotated[Path | None, typer.Argument(help="With --compare: the second run directory.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Two runs on one page.")] = False,
    output: Annotated[Path | None, typer.Option(help="Where it goes; report.html in the run directory.")] = None,
    inline_mb: Annotated[
        float,
        typer.Option(min=0, help="Most megabytes of cases to inline, before compression; a draw if there are more."),
    ] = 12.0,
) -> None:
    """Write the report of a run as one HTML page that needs no network: figures, tests, and the marked work."""
    from redink.failures import Failure

    if compare != (other is not None):
        raise Failure("two runs are compared with --compare.", "Example: redink report --compare runs/a runs/b")
    write_and_say(run, other, output, round(inline_mb * 1e6))


def write_and_say(run: Path, other: Path | None = None, output: Path | None = None, inlined: int | None = None) -> None:
    """Write the report of a run, or of two, and print where it is; `inlined`: most bytes of cases, None as usual."""
    from redink.report.building import INLINED_BYTES, write_report
    from redink.report.comparing import write_comparison

    most = INLINED_BYTES if inlined is None else inlined
    with progress("report", 0, "problems") as advance:
        done = (
            write_comparison(run, other, output, most, advance) if other else write_report(run, output, most, advance)
        )
    if done.shown < done.problems:
        _say(f"{done.shown:,} of {done.problems:,} problems are in the page; redink view {run} shows them all.")
    if done.faults:
        _say(f"{len(done.faults):,} rows could not be read: {done.faults[0]}")
    _say(f"report: {done.path}")


@commands.command(epilog="Example: redink view runs/demo")
def view(
    run: RunArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Serve the report of a run of any size to this machine alone, every problem in it, until Ctrl-C."""
    from redink.report import server

    with progress("reading", 0, "problems") as advance:
        app = server.application(run, advance)
    server.serve(app, port, lambda address: _say(f"{run}: {address} (Ctrl-C ends it)"))


def _say(words: str) -> None:
    console.print(words, markup=False, highlight=False, soft_wrap=True)
