"""`redink reproduce`: the papers' tables and figures."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redink.cli.shared import DataDirOption, LimitOption, SetOption, calm_libraries, console
from redink.failures import Failure

if TYPE_CHECKING:
    from redink.reproduction.arms import Scale
    from redink.reproduction.jobs import Spell
    from redink.reproduction.reproducing import Plan
    from redink.reproduction.writing import Reproduction

commands = typer.Typer()
INCOMPLETE = 1


@commands.command(
    epilog="Example: redink reproduce table2 figure3 --seeds 0,1,2 --jobs 2; first redink reproduce all --dry-run"
)
def reproduce(
    what: Annotated[
        list[str],
        typer.Argument(
            help="table1, table2, table5 … table8, figure3 … figure5, orion, orion-ablation, orion-quality, rounds, "
            "combined, store, or all. Several may be named."
        ),
    ],
    scale: Annotated[
        str, typer.Option(help="mini: tiny students, offline; paper: the papers' own; or a file like those.")
    ] = "mini",
    seeds: Annotated[str, typer.Option(help="Seeds with commas, such as 0,1,2; the scale's by default.")] = "",
    runs: Annotated[
        Path | None, typer.Option("--runs", "--run-dir", help="Run directories; runs/reproduce-<scale> by default.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where tables go; docs/results in a checkout, else results beside the run directories."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Arms at once; by default one per core where the scale says so.")
    ] = None,
    limit: LimitOption = None,
    set_: SetOption = None,
    data_dir: DataDirOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the arms and what is done; start nothing.")] = False,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="Write the tables of what is done; start nothing.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Write every table as LaTeX too.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete these arms' run directories first, all but bought replies.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Start a scale that costs days and money.")] = False,
) -> None:
    """Make the papers' tables and figures anew: every arm over seeds, intervals, and a verdict on each claim.

    Each arm is a run directory of its own; the same command goes on after a kill, and what arms of a seed share is made
    once. An arm that fails is said, the others go on, and the exit code is 1.
    """
    calm_libraries()
    from redink.reproduction.arms import Change, load_scale
    from redink.reproduction.reproducing import Plan, Wish, write_tables
    from redink.reproduction.reproducing import reproduce as reproduced

    chosen = load_scale(scale)
    place = runs or _runs(scale, limit)
    wish = Wish(
        what=tuple(what), scale=_named(scale), seeds=_seeds(seeds), runs=place, command=_command(),
        change=Change(limit=limit, settings=tuple(set_ or ())),
    )  # fmt: skip
    plan = Plan(wish, chosen)
    if dry_run:
        _show(plan, chosen)
        return
    target = out or _out(place, limit, set_)
    if tables_only:
        _report(write_tables(plan, target, latex), target, [])
        return
    if chosen.confirm and not yes:
        raise Failure(f"{chosen.title} It is not started without --yes.", "See what it costs with --dry-run.")
    at_once = jobs or _at_once(chosen)
    found, failed = reproduced(plan, target, at_once=at_once, data_dir=data_dir, fresh=fresh, latex=latex, say=_say)
    _report(found, target, failed)


def _show(plan: Plan, scale: Scale) -> None:
    """What would be done, and for a scale that costs days what each arm would cost."""
    from redink.pipelines.tables import as_rich
    from redink.reproduction.reproducing import costs, overview

    console.print(as_rich(overview(plan), console.width))
    if scale.confirm:
        console.print(as_rich(costs(plan), console.width))


def _report(found: Reproduction, out: Path, failed: list[Spell]) -> None:
    """The tables and the verdicts on the terminal, where the files are, and what failed."""
    from redink.pipelines.tables import as_rich
    from redink.reproduction.building import as_table, claims_in_brief
    from redink.reproduction.writing import verdicts

    for built in found.items:
        console.print(as_rich(as_table(built), console.width))
    for table in claims_in_brief(found.claims):
        console.print(as_rich(table))
    if found.claims:
        _say(f"claims: {verdicts(found.claims)}", err=False)
    _say(f"results: {out / 'README.md'}", err=False)
    for name, why in found.faults.items():
        _say(f"{name} cannot be read: {why}")
    for spell in failed:
        _say(f"failed: {spell.job}: {spell.said}")
    if failed:
        raise typer.Exit(INCOMPLETE)


def _say(line: str, err: bool = True) -> None:
    typer.echo(line, err=err)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        found = (-1,)
    if any(seed < 0 for seed in found):
        raise Failure(f"--seeds {text}: whole numbers from 0 are wanted.", "For example --seeds 0,1,2")
    return found


def _named(scale: str) -> str:
    return Path(scale).stem


def _runs(scale: str, limit: int | None) -> Path:
    return Path("runs") / (f"reproduce-{_named(scale)}" + (f"-limit{limit}" if limit else ""))


def _out(runs: Path, limit: int | None, settings: list[str] | None) -> Path:
    """docs/results in a checkout of this project, but not for a look at a few problems or with changed settings."""
    checkout = Path("src/redink").is_dir() and Path("docs").is_dir()
    return Path("docs/results") if checkout and not limit and not settings else runs / "results"


def _at_once(scale: Scale) -> int:
    """One arm per core where each takes one thread, else one arm."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // scale.threads) if scale.threads else 1


def _command() -> str:
    return " ".join(["redink", *sys.argv[1:]])
