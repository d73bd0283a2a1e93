"""`redink reproduce`: which arms the asked-for tables need, what is done of them, and the tables that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from redink.failures import Failure, StoppedByHand
from redink.pipelines.tables import Table
from redink.planning.plan import plan_recipe
from redink.progress import progress
from redink.reproduction.arms import AS_IT_IS, Change, Job, Scale, jobs_of, needed
from redink.reproduction.items import ITEMS, Item
from redink.reproduction.jobs import Crew, Spell, is_done, spells_of
from redink.reproduction.samples import Archive
from redink.reproduction.writing import Reproduction, gather, write_all
from redink.run import start_anew
from redink.types import Row

ALL = "all"
Say = Callable[[str], None]


class Wish(Row):
    """What is asked for."""

    what: tuple[str, ...] = Field(min_length=1, description="Names of `ITEMS`, or 'all'.")
    scale: str = Field(description="mini, paper, or a file.")
    seeds: tuple[int, ...] = Field((), description="Seeds; (): the scale's own.")
    change: Change = Field(AS_IT_IS, description="What is changed in every arm.")
    runs: Path = Field(description="Where run directories lie.")
    command: str = Field("redink reproduce", description="As it was typed, for the index of the results.")


class Plan:
    """The items that are wished for, their arms as jobs, and what is done of them."""

    def __init__(self, wish: Wish, scale: Scale) -> None:
        """Raises `Failure` for a name that is no item, `BadRecipe` where a recipe is wrong."""
        self.wish, self.scale = wish, scale
        self.items = items_of(wish.what)
        self.seeds = wish.seeds or scale.seeds
        self.arms = needed(scale, [arm for item in self.items for arm in item.arms])
        self.jobs = jobs_of(scale, self.arms, self.seeds, wish.change)

    @property
    def open(self) -> list[Job]:
        """The jobs that are not done; one that reads what an open one makes is open too."""
        found: list[Job] = []
        for job in self.jobs:
            reads_open = any(job.reads(other) for other in found)
            if reads_open or not is_done(job, self.wish.runs):
                found.append(job)
        return found

    @property
    def absent(self) -> list[str]:
        """Arms that some item names and the scale does not have."""
        wanted = dict.fromkeys(arm for item in self.items for arm in item.arms)
        return [arm for arm in wanted if self.scale.aliases.get(arm, arm) not in self.scale.arms]


def items_of(names: Sequence[str]) -> list[Item]:
    """Items by name, 'all' for every one; raises `Failure` naming those that there are."""
    unknown = [name for name in names if name != ALL and name not in ITEMS]
    if unknown:
        raise Failure(f"{unknown[0]!r} is no table or figure.", f"There are: {', '.join(ITEMS)}, {ALL}.")
    return list(ITEMS.values()) if ALL in names else [ITEMS[name] for name in dict.fromkeys(names)]


def work(plan: Plan, *, at_once: int, data_dir: Path | None = None, fresh: bool = False, say: Say) -> list[Spell]:
    """Do what is not done; returns how each start ended. Raises `StoppedByHand` for Ctrl-C."""
    if fresh:
        for job in plan.jobs:
            start_anew(plan.wish.runs / job.name)
    jobs = plan.open
    crew = Crew(plan.wish.runs, at_once=at_once, threads=plan.scale.threads, data_dir=data_dir, say=say)
    with progress("arms", len(plan.jobs), "arms", done=len(plan.jobs) - len(jobs)) as advance:
        return crew.run(jobs, advance)


def results_of(plan: Plan) -> tuple[Reproduction, Archive]:
    """Every number of what is done so far."""
    archive = Archive(plan.wish.runs, plan.seeds, plan.scale.aliases)
    found = gather(
        plan.items, archive, plan.scale, name=plan.wish.scale, command=plan.wish.command,
        limit=plan.wish.change.limit, spells=spells_of(plan.wish.runs, plan.jobs),
    )  # fmt: skip
    return found, archive


def reproduce(
    plan: Plan, out: Path, *, at_once: int, data_dir: Path | None = None, fresh: bool = False, latex: bool = False,
    say: Say,
) -> tuple[Reproduction, list[Spell]]:  # fmt: skip
    """Do what is not done and write the tables; after Ctrl-C they are written of what there is, then it is raised."""
    try:
        spells = work(plan, at_once=at_once, data_dir=data_dir, fresh=fresh, say=say)
    except StoppedByHand:
        write_tables(plan, out, latex)
        raise
    return write_tables(plan, out, latex), [spell for spell in spells if spell.outcome == "failed"]


def write_tables(plan: Plan, out: Path, latex: bool = False) -> Reproduction:
    """The tables of what is done, written into `out`."""
    found, archive = results_of(plan)
    write_all(found, archive, out, latex)
    return found


def overview(plan: Plan) -> Table:
    """Every arm with its state for each seed."""
    rows = []
    for name in plan.arms:
        arm, jobs = plan.scale.arms[name], [job for job in plan.jobs if job.arm == name]
        shares = ", ".join(f"{share.source} ({len(share.stages)} parts)" for share in arm.shares)
        states = [_state(job, plan.wish.runs) for job in jobs]
        rows.append((name, _what(jobs[0]), shares or "–", *states))
    return Table(
        title=f"{', '.join(item.name for item in plan.items)}: {len(plan.jobs)} runs, {len(plan.open)} to do",
        columns=("arm", "what", "takes over from", *(f"seed {seed}" for seed in plan.seeds)), rows=tuple(rows),
        note=f"The scale has no arm {', '.join(plan.absent)}: lines of it stay empty." if plan.absent else "",
    )  # fmt: skip


def costs(plan: Plan) -> Table:
    """What each arm would take, by `redink plan`, for one seed and without what it takes over."""
    jobs = [job for job in plan.jobs if job.seed == plan.seeds[0] and job.kind == "run"]
    rows, remarks = zip(*map(_cost, jobs), strict=True) if jobs else ((), ())
    students = ", ".join(dict.fromkeys(job.recipe.student for job in jobs))
    note = f"Expected, by `redink plan`; what an arm takes over from another is not taken off. Students: {students}."
    return Table(
        title=f"What each arm takes, for one of {len(plan.seeds)} seeds",
        columns=("arm", "calls", "M tokens in", "M out", "USD", "GPU hours", "GB"),
        rows=rows,
        note=" ".join([note, *filter(None, remarks)]),
    )


def _cost(job: Job) -> tuple[tuple[str, ...], str]:
    """The row of an arm, and what there is to remark on it."""
    try:
        plan = plan_recipe(job.recipe)
    except Failure as failure:
        return (job.arm, *["–"] * 6), f"{job.arm}: {failure}"
    bought = [work for work in plan.work if work.calls]
    tokens = [f"{sum(getattr(work, name) for work in bought) / 1e6:,.1f}" for name in ("tokens_in", "tokens_out")]
    usd = "–" if plan.usd is None else f"{plan.usd:,.0f}"
    sizes = [f"{size:,.1f}" for size in (plan.gpu_hours, plan.disk / 1e9)]
    warnings = f"{job.arm}: {'; '.join(plan.warnings)}" if plan.warnings else ""
    return (job.arm, f"{plan.calls:,}", *tokens, usd, *sizes), warnings


def _what(job: Job) -> str:
    if job.of:
        return f"{job.kind} of {', '.join(job.of)}"
    return f"{job.recipe.method if job.kind == 'run' else 'teacher and inspector'}, {job.recipe.student}"


def _state(job: Job, runs: Path) -> str:
    if is_done(job, runs):
        return "done"
    return "begun" if (runs / job.name / "recipe.json").exists() else "–"
