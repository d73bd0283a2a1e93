"""A table or figure of the papers, from what the runs say: each cell a mean over seeds with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from redink.evaluation.across_seeds import SeedMean, over_seeds, seed_difference, seed_mean
from redink.evaluation.statistics import NOTHING, Estimate
from redink.pipelines.comparison import p_value
from redink.pipelines.tables import NO_VALUE, Table, number, percent
from redink.reproduction.claims import Found
from redink.reproduction.items import FINAL, STUDENT, Column, Item, Line
from redink.reproduction.samples import ENDS, Archive, Sample
from redink.types import Row

HOW = "%, mean over seeds [95 %: problems and seeds, docs/reproduce.md]"


class BuiltLine(Row):
    """A row of a table."""

    label: str = Field(description="As people call it.")
    arm: str = Field(description="The arm.")
    model: str = Field(description="The model.")
    paper: str = Field(description="What the paper reports, at its own scale.")
    seeds: tuple[int, ...] = Field(description="The seeds that it rests on.")
    figures: dict[str, Estimate] = Field(description="By the column's label.")
    groups: dict[str, Estimate] = Field(description="Its one accuracy by source or subject.")


class Built(Row):
    """A table or figure with its numbers."""

    item: Item = Field(description="What it is.")
    seeds: tuple[int, ...] = Field(description="The seeds that were asked for.")
    problems: dict[int, int] = Field(description="Evaluation problems of each seed.")
    lines: tuple[BuiltLine, ...] = Field(description="Its rows.")
    missing: tuple[str, ...] = Field(description="Arms and seeds that are not done, as run directories.")


def build(item: Item, archive: Archive, called: Mapping[str, str] | None = None) -> Built:
    """The numbers of an item; what is not done is missing, and said to be. `called` names the students of arms."""
    built = [_line(item, place, archive, called or {}) for place in range(len(item.lines))]
    return Built(
        item=item, seeds=archive.seeds, problems=_problems(item, archive), lines=tuple(built),
        missing=tuple(
            archive.name(line.arm, seed)
            for line in _once_per_arm(built) for seed in archive.seeds if seed not in line.seeds
        ),
    )  # fmt: skip


def _once_per_arm(lines: Iterable[BuiltLine]) -> list[BuiltLine]:
    return list({line.arm: line for line in lines}.values())


def _problems(item: Item, archive: Archive) -> dict[int, int]:
    counted: dict[int, int] = {}
    for line in item.lines:
        for seed, sample in archive.samples(line.arm, line.model, line.final).items():
            counted[seed] = max(len(sample.ids), counted.get(seed, 0))
    return counted


def _line(item: Item, place: int, archive: Archive, called: Mapping[str, str]) -> BuiltLine:
    line, above = item.lines[place], item.lines[place - 1] if place else None
    seeds = tuple(archive.samples(line.arm, line.model, line.final))
    label = line.label.replace(STUDENT, called.get(line.arm, line.arm))
    return BuiltLine(
        label=label, arm=line.arm, model=line.model, paper=line.paper, seeds=seeds,
        figures={column.label: _figure(column, line, above, archive) for column in item.columns},
        groups=_groups(item.by, line, archive),
    )  # fmt: skip


def _figure(column: Column, line: Line, above: Line | None, archive: Archive) -> Estimate:
    metric = line.final if column.metric == FINAL else column.metric
    found = archive.samples(line.arm, line.model, metric)
    if column.gain:
        return _gain(found, archive.samples(above.arm, above.model, above.final)) if above else NOTHING
    ends = ENDS.get(metric, (0.0, 1.0))
    return over_seeds([seed_mean(sample.values, ends) for sample in found.values()], ends)


def _gain(found: dict[int, Sample], above: dict[int, Sample]) -> Estimate:
    """The difference to the line above, on the problems that both have."""
    means: list[SeedMean] = []
    for seed in set(found) & set(above):
        known = set(above[seed].ids)
        shared = [name for name in found[seed].ids if name in known]
        if shared:
            means.append(seed_difference(above[seed].of(shared).values, found[seed].of(shared).values))
    return over_seeds(means, (-1.0, 1.0))


def _groups(by: str, line: Line, archive: Archive) -> dict[str, Estimate]:
    """The line's one accuracy in each group of problems."""
    means: dict[str, list[SeedMean]] = {}
    for seed, sample in archive.samples(line.arm, line.model, line.final).items() if by else ():
        told = archive.told(line.arm, seed)
        for label, ids in told.groups(line.model, by).items() if told else ():
            known = set(sample.ids)
            shared = [name for name in ids if name in known]
            if shared:
                means.setdefault(label, []).append(seed_mean(sample.of(shared).values))
    return {label: over_seeds(means[label]) for label in sorted(means)}


def as_table(built: Built) -> Table:
    """For people."""
    item = built.item
    groups = list(dict.fromkeys(label for line in built.lines for label in line.groups))
    papers = any(line.paper for line in built.lines)
    columns = ["", *(column.label for column in item.columns), *(group or "not stated" for group in groups)]
    rows = [
        (
            line.label,
            *(cell(line.figures[column.label], column.style) for column in item.columns),
            *(percent(line.groups.get(group)) for group in groups),
            *((line.paper or NO_VALUE,) if papers else ()),
        )
        for line in built.lines
    ]
    return Table(
        title=f"{item.title} ({item.paper})", columns=(*columns, *(("paper",) if papers else ())), rows=tuple(rows),
        note=" ".join(filter(None, (f"{HOW}; {_counts(built)}.", item.words, missing_words(built.missing)))),
    )  # fmt: skip


def cell(estimate: Estimate, style: str) -> str:
    """A figure in a column's style.

    >>> cell(Estimate(value=0.2, low=0.1, high=0.25, n=9), "small")
    '0.2000 [0.1000, 0.2500]'
    """
    if style == "number":
        return number(estimate)
    if style == "small":
        known = estimate.value is not None
        return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]" if known else NO_VALUE
    return percent(estimate, signed=style == "signed")


def _counts(built: Built) -> str:
    if not built.problems:
        return "no run is done"
    sizes = sorted(set(built.problems.values()))
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"n = {n} per seed, seeds {', '.join(map(str, built.problems))}"


def missing_words(missing: Sequence[str]) -> str:
    """What is not there, for a table's note."""
    return f"Missing: {', '.join(missing)}." if missing else ""


def claims_in_brief(found: Sequence[Found]) -> list[Table]:
    """For a terminal of 80 columns: of each claim verdict, effect and p, a table for each paper."""
    papers = list(dict.fromkeys(each.claim.paper for each in found))
    return [
        Table(
            title=f"Claims at this scale: {paper}", columns=("claim", "verdict", "second − first", "p"),
            rows=tuple(_in_brief(each) for each in found if each.claim.paper == paper),
            note=BRIEF_NOTE if paper == papers[-1] else "",
        )
        for paper in papers
    ]  # fmt: skip


def _in_brief(found: Found) -> tuple[str, ...]:
    verdict = found.verdict.removesuffix(" at this scale")
    if found.p_value is None:
        return found.claim.statement, verdict, NO_VALUE, NO_VALUE
    qualified = f"{verdict}*" if found.remark else verdict
    return found.claim.statement, qualified, _amount(found, found.effect, signed=True), p_value(found.p_value)


def claims_table(found: Sequence[Found]) -> Table:
    """Every claim with its verdict, effect, interval and p."""
    rows = tuple(
        (
            each.claim.statement,
            f"{each.claim.paper}, {each.claim.where}",
            f"{each.verdict}{f': {each.remark}' if each.remark else ''}",
            _amount(each, each.first), _amount(each, each.second), _amount(each, each.effect, signed=True),
            f"{each.higher}, {each.lower}" if each.test and each.higher + each.lower else NO_VALUE,
            *(NO_VALUE if p is None else p_value(p) for p in (each.p_value, each.p_over_seeds)),
        )
        for each in found
    )  # fmt: skip
    return Table(
        title="The papers' claims at this scale",
        columns=("claim", "where", "verdict", "first", "second", "second − first", "higher, lower", "p",
                 "p over seeds"),
        rows=rows, note=CLAIMS_NOTE,
    )  # fmt: skip


CLAIMS_NOTE = (
    "Shares in %, other figures as they are; means over seeds [95 %: problems and seeds]. Verdicts by p < 0.05, "
    "two-sided: on all (problem, seed) pairs McNemar's exact test for answers that are right or wrong, a permutation "
    "of signs for others, Fisher's exact test for locate and correct, which rest on each model's own wrong solutions. "
    "p over seeds has in its error what the seeds differ by too. No correction for the number of claims. 'not higher' "
    "claims count as reproduced only where the figure is lower."
)
BRIEF_NOTE = (
    "second − first: shares in %, other figures as they are, [95 %: problems and seeds]. * of these seeds' students: "
    "one seed, or seeds that differ too much to say it of others. Both sides, tests and remarks: claims.md."
)
UNITS = frozenset({"unsteady", "words", "tokens", "nats", "rounds"})


def _amount(found: Found, estimate: Estimate, signed: bool = False) -> str:
    if found.claim.second.metric in UNITS:
        return cell(estimate, "small")
    return percent(estimate, signed=signed or found.claim.second.metric == "delta")
