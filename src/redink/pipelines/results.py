"""Results: typed rows for machines, tables for people; each names n, its interval and its seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from redink.evaluation.accuracy import Rates
from redink.evaluation.panel import Panel
from redink.evaluation.stability import Stability
from redink.evaluation.statistics import Estimate
from redink.failures import BadInput
from redink.pipelines.tables import NO_VALUE, Table, number, percent
from redink.problems import SetCheck
from redink.rows import write_text
from redink.types import Row, StageCounts

MAIN = (
    ("t1", "accuracy_t1"),
    ("t2", "accuracy_t2"),
    ("Δ", "delta"),
    ("w→r", "wrong_to_right"),
    ("r→w", "right_to_wrong"),
    ("locate", "locate"),
    ("correct", "correct"),
    ("false alarms", "false_alarms"),
)
FURTHER = (
    ("fixed | wrong", "fixed"),
    ("broken | right", "broken"),
    ("answer edited", "edited"),
    ("macro t1", "macro_t1"),
    ("macro t2", "macro_t2"),
    ("mends, shown where", "given_location"),
)
RATES = (("ungradable", "ungradable"), ("no answer", "no_answer"), ("truncated", "truncated"))
SIGNED = frozenset({"delta"})
HISTOGRAM_FROM = 8
"""Fewer repeats than this make no histogram."""
HOW = (
    "%, [95 % interval: Wilson for shares, Tango for Δ]. t1, t2: right before and after the student's own review; "
    "w→r, r→w: of all problems, repaired and broken by it; locate, correct: the teacher's wrong step marked, mended."
)
HOW_FURTHER = (
    "%, [95 %]. fixed, broken: of those wrong, and right, at t1; edited: another answer at t2; macro: every subject "
    "counts once; shown where: the student is told the wrong step; votes: a majority of repeats for the tokens of t1 "
    "and t2; perplexity per token of the gold solutions."
)
HOW_REPEATS = "%, [95 %: bootstrap over problems, seed {seed}]; pass@k: unbiased; maj@k: ties shared."


class Results(Row):
    """What a run shows: the panel of each model, with n, intervals and seed."""

    recipe: str = Field(description="The recipe's name.")
    student: str = Field(description="The base student.")
    seed: int = Field(description="The recipe's seed.")
    problems: int = Field(description="Evaluation problems, seen by no stage.")
    panels: tuple[Panel, ...] = Field(description="One per model, from the base on.")
    counts: tuple[StageCounts, ...] = Field(description="The books of every stage.")


class BenchmarkPanel(Panel):
    """The panel of one student on one benchmark."""

    benchmark: str = Field(description="The set of problems.")


class EvaluationResults(Row):
    """What `redink evaluate` shows: every student on every benchmark."""

    recipe: str = Field(description="The run directory's name.")
    seed: int = Field(description="Seed of every draw.")
    split: str = Field(description="The split of published sets.")
    limit: int | None = Field(description="The first so many problems of each set; None: all.")
    checker: str = Field(description="Who said what is right.")
    teacher: str = Field(description="Who located the errors.")
    repeats: int = Field(description="Solutions drawn per problem beside the greedy one.")
    temperature: float = Field(description="Temperature of the repeats.")
    sets: tuple[SetCheck, ...] = Field(description="Whether each benchmark, whole, is the published one.")
    panels: tuple[BenchmarkPanel, ...] = Field(description="By benchmark, then by student.")
    counts: tuple[StageCounts, ...] = Field(description="The books of every stage of the run directory.")


def write_results(path: Path, results: Results | EvaluationResults) -> None:
    """Write results.json."""
    write_text(path, results.model_dump_json(indent=2) + "\n")


def read_results(folder: Path) -> Results | EvaluationResults:
    """The results of a run directory; raises `BadInput` if it has none, or they cannot be read."""
    path = folder / "results.json"
    try:
        values = json.loads(path.read_text("utf-8"))
        kind: type[Results | EvaluationResults] = EvaluationResults if "sets" in values else Results
        return kind.model_validate(values)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(path, "there is no such file.", "Name a run directory whose run is done.") from None
    except (OSError, ValueError, TypeError) as failure:
        why = f"{failure.error_count()} fields" if isinstance(failure, ValidationError) else str(failure)
        raise BadInput(path, f"cannot be read as results ({why}).", "Type the command of the run again.") from None


def tables_of(results: Results | EvaluationResults) -> list[Table]:
    """Every table of some results."""
    return evaluation_tables(results) if isinstance(results, EvaluationResults) else run_tables(results)


def run_tables(results: Results) -> list[Table]:
    """base → HSFT → Cross-DPO: the panel, and what stands beside it."""
    return [main_table(results), *_further(f"{results.recipe}", results.panels)]


def main_table(results: Results) -> Table:
    """base → HSFT → Cross-DPO, in percent with 95 % intervals."""
    return panel_table(
        f"{results.recipe}: {results.problems} held-out problems, seed {results.seed}; %, [95 %]", results.panels
    )


def evaluation_tables(results: EvaluationResults) -> list[Table]:
    """Per benchmark: the panel, subjects and levels, rates, repeats."""
    tables = []
    for name in dict.fromkeys(panel.benchmark for panel in results.panels):
        panels = [panel for panel in results.panels if panel.benchmark == name]
        title = f"{name}: {panels[0].accuracy_t1.n} problems, greedy, seed {results.seed}; %, [95 %]"
        tables += [panel_table(title, panels, HOW), *_further(name, panels)]
    return tables


def panel_table(title: str, panels: Sequence[Panel], note: str = "") -> Table:
    """The figures of `MAIN`, one column per model."""
    rows = [_row(label, panels, _figure(name)) for label, name in MAIN]
    rows.append(_row("n wrong located", panels, lambda panel: str(panel.locate.n)))
    return _table(title, panels, rows, note)


def _further(name: str, panels: Sequence[Panel]) -> list[Table]:
    makers = (_further_table, _rates_table, *map(_grouped, ("by_subject", "by_level")), _at_k_table, _stability_table)
    tables = [table for make in makers if (table := make(name, panels)) is not None]
    return [*tables, *_histograms(name, panels)]


def _further_table(name: str, panels: Sequence[Panel]) -> Table | None:
    rows = [_row(label, panels, _figure(field)) for label, field in FURTHER]
    rows.append(_row("votes of the same cost", panels, _votes))
    rows.append(_row("t2 less these votes", panels, _ahead))
    rows.append(_row("perplexity of gold", panels, _perplexity))
    known = _known(rows)
    return _table(f"{name}: further figures", panels, known, HOW_FURTHER) if known else None


def _rates_table(name: str, panels: Sequence[Panel]) -> Table | None:
    rows = [
        _row(f"{label} {when}", panels, lambda panel, when=when, field=field: _rate(panel, when, field))  # type: ignore[misc]
        for when in ("t1", "t2") for label, field in RATES
    ]  # fmt: skip
    known = _known(rows)
    return (
        _table(f"{name}: replies that could not count", panels, known, "% of replies, [95 %: Wilson].")
        if known
        else None
    )


def _grouped(field: str) -> Callable[[str, Sequence[Panel]], Table | None]:
    """A maker of the table by subject, or by level (figure 4)."""

    def table(name: str, panels: Sequence[Panel]) -> Table | None:
        groups: list[Mapping[str, Mapping[str, Estimate]]] = [getattr(panel, field) or {} for panel in panels]
        labels = list(dict.fromkeys(label for group in groups for label in group))
        if len(labels) < 2:
            return None
        rows = [
            (f"{label or 'not stated'}: {when}, n = {_n_of(groups, label, figure)}",
             *(percent(group[label][figure]) if label in group else NO_VALUE for group in groups))
            for label in labels for when, figure in (("t1", "accuracy_t1"), ("t2", "accuracy_t2"))
        ]  # fmt: skip
        return _table(f"{name}: {field.replace('_', ' ')}", panels, rows, "%, [95 %: Wilson].")

    return table


def _n_of(groups: Sequence[Mapping[str, Mapping[str, Estimate]]], label: str, figure: str) -> int:
    return next(group[label][figure].n for group in groups if label in group)


def _at_k_table(name: str, panels: Sequence[Panel]) -> Table | None:
    known = [panel.at_k for panel in panels if panel.at_k]
    if not known:
        return None
    rows = []
    for label, field in (("pass", "pass_at"), ("maj", "majority_at")):
        ks = sorted({k for each in known for k in getattr(each, field)})
        rows += [_row(f"{label}@{k}", panels, _at(field, k)) for k in ks]
    title = f"{name}: {known[0].problems} problems, {known[0].repeats} repeats each"
    return _table(title, panels, rows, HOW_REPEATS.format(seed=known[0].seed))


def _stability_table(name: str, panels: Sequence[Panel]) -> Table | None:
    known = [panel.stability for panel in panels if panel.stability]
    if not known:
        return None
    rows = [
        _row("mean accuracy", panels, _steady(lambda each: percent(each.mean))),
        _row("lowest repeat", panels, _steady(lambda each: f"{100 * each.lowest:.1f}")),
        _row("highest repeat", panels, _steady(lambda each: f"{100 * each.highest:.1f}")),
        _row("variance of a repeat", panels, _steady(lambda each: _small(each.variance))),
        _row("… if independent", panels, _steady(lambda each: _small(each.independent_variance))),
        _row("variance in a problem", panels, _steady(lambda each: _small(each.problem_variance))),
        _row("always solved", panels, _steady(lambda each: percent(each.always))),
        _row("never solved", panels, _steady(lambda each: percent(each.never))),
    ]
    title = f"{name}: stability over {known[0].repeats} repeats of {known[0].problems} problems"
    note = f"%, [95 %: bootstrap over problems, seed {known[0].seed}]; variances are of shares, 0 … 1."
    return _table(title, panels, rows, note)


def _histograms(name: str, panels: Sequence[Panel]) -> list[Table]:
    """Figure 5 as counts: how many repeats have so many right answers."""
    steady = [(panel.model, panel.stability) for panel in panels if panel.stability]
    return [
        Table(
            title=f"{name}: right answers per repeat, {model}",
            columns=("right answers", "repeats", ""),
            rows=tuple(
                (_bin(low, high), str(count), "█" * round(30 * count / max(each.by_repeat.counts)))
                for low, high, count in zip(
                    each.by_repeat.edges, each.by_repeat.edges[1:], each.by_repeat.counts, strict=False
                )
            ),
            note=f"{each.repeats} repeats of {each.problems} problems.",
        )
        for model, each in steady
        if each.repeats >= HISTOGRAM_FROM
    ]


def _bin(low: float, high: float) -> str:
    return f"{low:.0f}" if high - low <= 1 else f"{low:.0f} … {high - 1:.0f}"


def _table(title: str, panels: Sequence[Panel], rows: Sequence[tuple[str, ...]], note: str = "") -> Table:
    return Table(title=title, columns=("figure", *(panel.model for panel in panels)), rows=tuple(rows), note=note)


def _row(label: str, panels: Sequence[Panel], cell: Callable[[Panel], str]) -> tuple[str, ...]:
    return (label, *map(cell, panels))


def _known(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without rows that say nothing of any model."""
    return [row for row in rows if any(cell != NO_VALUE for cell in row[1:])]


def _figure(name: str) -> Callable[[Panel], str]:
    return lambda panel: percent(getattr(panel, name), signed=name in SIGNED)


def _at(field: str, k: int) -> Callable[[Panel], str]:
    return lambda panel: percent(getattr(panel.at_k, field).get(k)) if panel.at_k else NO_VALUE


def _steady(cell: Callable[[Stability], str]) -> Callable[[Panel], str]:
    return lambda panel: cell(panel.stability) if panel.stability else NO_VALUE


def _votes(panel: Panel) -> str:
    found = panel.majority
    return f"{percent(found.accuracy)} (maj@{found.votes:.1f})" if found else NO_VALUE


def _ahead(panel: Panel) -> str:
    return percent(panel.majority.ahead, signed=True) if panel.majority else NO_VALUE


def _small(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.5f}"


def _perplexity(panel: Panel) -> str:
    return number(panel.perplexity.per_token if panel.perplexity else None)


def _rate(panel: Panel, when: str, field: str) -> str:
    rates: Rates | None = panel.rates.get(when)
    return percent(getattr(rates, field)) if rates else NO_VALUE
