"""The figures of a report: each a chart, the words above it, and the table behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import isfinite

from redink.evaluation.statistics import Estimate
from redink.report import charts
from redink.report.cases import bits
from redink.report.catalogue import Catalogue, Line
from redink.report.charts import Bar, Flow, Group, Mark, Series
from redink.report.files import AtKRead, HistogramRead, PanelRead, RunFiles, Spent
from redink.report.html import Html, element, joined
from redink.rows import slug

LABELS = {
    "base": "base", "sft": "SFT", "long_sft": "SFT on long chains", "hsft": "HSFT", "orion": "ORION", "dpo": "DPO",
    "step_dpo": "Step-DPO", "reflexion": "Reflexion", "cross_dpo": "Cross-DPO", "cross-dpo": "Cross-DPO",
    "error_prone": "the exposure model", **{f"cross_dpo_{n}": f"Cross-DPO, round {n}" for n in range(2, 10)},
}  # fmt: skip
STYLES = ("m0", "m1", "m2", "m3", "m4", "m5")
NO_NUMBER = "–"
Grouped = dict[str, dict[str, Estimate]]


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """One figure; `chart` is empty where only the table is worth showing."""

    name: str
    """For links: #figure-<name>."""
    title: str
    words: str
    chart: Html
    table: Table
    note: str = ""
    legend: Html | None = None


def legend(*entries: tuple[str, str]) -> Html:
    """What the colours of a chart mean: (class of the style sheet, words)."""
    return element("p", *(element("span", element("i"), words, class_=style) for style, words in entries), class_="key")


SEEN_TWICE = legend(("ring", "first try (t1)"), ("disc", "after its own review (t2)"))


def label(model: str) -> str:
    """A model's name for people; of a run that is compared, 'run · model'."""
    run, _, name = model.rpartition(" · ")
    return f"{run} · {LABELS.get(name, name)}" if run else LABELS.get(name, name)


def percent(estimate: Estimate | None, signed: bool = False) -> str:
    """A share as percent with its interval, '62.4 [57.9, 66.7]'; '–' where there are no cases."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return NO_NUMBER
    sign = "+" if signed else ""
    return minus(f"{100 * estimate.value:{sign}.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]")


def minus(words: str) -> str:
    """Numbers with a real minus sign."""
    return words.replace("-", "−")


def mark(estimate: Estimate | None, style: str, name: str) -> Mark | None:
    """An estimate as a point with its interval."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return Mark(estimate.value, estimate.low, estimate.high, style, f"{name}: {percent(estimate)} %, n = {estimate.n}")


def run_figures(files: RunFiles, catalogue: Catalogue) -> list[Figure]:
    """Every figure that the run has numbers for, in the order of the page."""
    groups = files.results.by_benchmark if files.results else {}
    made = [
        figure and (titled(name, figure) if len(groups) > 1 else figure)
        for name, panels in (groups or {"": []}).items()
        for figure in panel_figures(panels, lines_of(catalogue, name))
    ]
    return [figure for figure in (*made, training(files), books(files), costs(files)) if figure is not None]


def lines_of(catalogue: Catalogue, benchmark: str) -> Sequence[Line]:
    """The problems of a benchmark of `redink evaluate`; all of them without one."""
    return [line for line in catalogue.lines if line.set == slug(benchmark)] if benchmark else catalogue.lines


def titled(name: str, figure: Figure) -> Figure:
    """A figure of one run, or of one benchmark, among others: named so."""
    return replace(figure, name=f"{figure.name}-{name}", title=f"{name}: {figure.title}")


def panel_figures(panels: Sequence[PanelRead], lines: Sequence[Line]) -> list[Figure | None]:
    """The figures that are drawn from the panels of some models, and from their rows."""
    steady = stability(panels) or stability_of_rows(lines)
    if not panels:
        return [steady]
    return [
        accuracy(panels),
        flow(panels),
        grouped(panels, "subjects", "In what?", "subject", [panel.by_subject for panel in panels]),
        grouped(panels, "levels", "How hard a problem?", "level", [panel.by_level for panel in panels]),
        step_errors(panels),
        draws(panels),
        steady,
    ]


Column = tuple[str, Callable[[PanelRead], str]]


def _numbers(panels: Sequence[PanelRead], *columns: Column) -> Table:
    """A table with a row for each model; a column that no model has a number for is left out."""
    filled = [(name, cells) for name, cell in columns if {*(cells := [cell(panel) for panel in panels])} != {NO_NUMBER}]
    rows = [(label(panel.model), *(cells[place] for _, cells in filled)) for place, panel in enumerate(panels)]
    return Table(("model", *(name for name, _ in filled)), tuple(rows))


def _share(name: str, field: str, signed: bool = False) -> Column:
    return name, lambda panel: percent(getattr(panel, field), signed)


def _rate(name: str, look: str, field: str) -> Column:
    return name, lambda panel: percent(getattr(panel.rates.get(look), field, None))


def accuracy(panels: Sequence[PanelRead]) -> Figure:
    """Accuracy at t1 and t2, model by model."""
    series = [
        [mark(getattr(panel, field), style, f"{label(panel.model)}, {style}") for panel in panels]
        for field, style in (("accuracy_t1", "t1"), ("accuracy_t2", "t2"))
    ]
    table = _numbers(
        panels, _share("t1 %", "accuracy_t1"), _share("t2 %", "accuracy_t2"), _share("Δ points", "delta", True),
        ("n", lambda panel: str(panel.accuracy_t1.n)), _share("t1 %, mean of subjects", "macro_t1"),
        _share("t2 %, mean of subjects", "macro_t2"), ("ungradable t1", lambda panel: str(panel.ungradable_t1)),
        ("ungradable t2", lambda panel: str(panel.ungradable_t2)), ("cut", lambda panel: str(panel.truncated)),
        _rate("no answer t1 %", "t1", "no_answer"), _rate("no answer t2 %", "t2", "no_answer"),
    )  # fmt: skip
    return Figure(
        "accuracy",
        "Did the student get better?",
        "Share of held-out problems solved, in percent, with 95 % intervals: at the first try, and after the student "
        "has looked over its own solution.",
        charts.both(partial(charts.progress, [label(p.model) for p in panels], series), _spoken("Accuracy", table)),
        table,
        "An answer that cannot be graded counts as not right. Cut: solutions and reviews that met the token limit.",
        SEEN_TWICE,
    )


def _spoken(what: str, table: Table) -> str:
    """A chart in words, for those who do not see it: the first two numbers of each row."""
    said = (
        f"{row[0]}: {', '.join(f'{n} {v}' for n, v in zip(table.columns[1:3], row[1:3], strict=False))}"
        for row in table.rows
    )
    return f"{what}. {'; '.join(said)}. All numbers are in the table."


def flow(panels: Sequence[PanelRead]) -> Figure:
    """What the student's own review changes."""
    table = _numbers(
        panels, _share("wrong → right %", "wrong_to_right"), _share("right → wrong %", "right_to_wrong"),
        _share("Δ points", "delta", True), _share("of the wrong, mended %", "fixed"),
        _share("of the right, broken %", "broken"), _share("answer changed %", "edited"),
    )  # fmt: skip
    return Figure(
        "flow",
        "What does its own review change?",
        "From the first try to the answer after the review: how many wrong solutions are mended, and how many right "
        "ones broken. Nobody tells the student when to stop.",
        charts.both(partial(charts.flows, [_flow(panel) for panel in panels]), _spoken("Changes by review", table)),
        table,
    )


def _flow(panel: PanelRead) -> Flow:
    first, repaired, broken = (
        part.value or 0.0 for part in (panel.accuracy_t1, panel.wrong_to_right, panel.right_to_wrong)
    )
    return Flow(label(panel.model), max(0.0, first - broken), broken, repaired, max(0.0, 1 - first - repaired))


def grouped(panels: Sequence[PanelRead], name: str, title: str, what: str, by: Sequence[Grouped]) -> Figure | None:
    """t1 and t2 of each model, group by group; None where there are no groups."""
    names = list(dict.fromkeys(group for groups in by for group in groups))
    if not names:
        return None
    rows = [
        (group, panel, groups[group])
        for group in names
        for panel, groups in zip(panels, by, strict=True)
        if group in groups
    ]
    groups_ = [Group(group, [_group_row(panel, cells) for of, panel, cells in rows if of == group]) for group in names]
    fields = ("accuracy_t1", "accuracy_t2", "delta")
    numbers = [
        (group, label(panel.model), *(percent(cells.get(field), field == "delta") for field in fields),
         str(cells["accuracy_t1"].n))
        for group, panel, cells in rows
    ]  # fmt: skip
    return Figure(
        name,
        title,
        f"By {what}: from the first try (ring) to after the review (dot), in percent with 95 % intervals.",
        charts.both(
            partial(charts.rows, groups_, arrows=True), f"Accuracy by {what}: {', '.join(names)}; see the table."
        ),
        Table((what, "model", "t1 %", "t2 %", "Δ points", "n"), tuple(numbers)),
        legend=SEEN_TWICE,
    )


def _group_row(panel: PanelRead, cells: dict[str, Estimate]) -> tuple[str, list[Mark]]:
    name = label(panel.model)
    first = mark(cells.get("accuracy_t1"), "t1", f"{name}, t1")
    second = mark(cells.get("accuracy_t2"), "t2", f"{name}, t2")
    return name, [one for one in (first, second) if one]


_STEP_ERRORS = (
    ("found the wrong step", "locate"),
    ("found it and mended it", "correct"),
    ("mended it once shown where", "given_location"),
    ("false alarms on right solutions", "false_alarms"),
)


def step_errors(panels: Sequence[PanelRead]) -> Figure:
    """Whether the student finds its own wrong step, and mends it."""
    groups = [Group(title, _field_rows(panels, field, title)) for title, field in _STEP_ERRORS]
    table = _numbers(
        panels, _share("located %", "locate"), _share("corrected %", "correct"), ("n wrong", lambda p: str(p.locate.n)),
        _share("mended once shown %", "given_location"), _share("false alarms %", "false_alarms"),
        ("n right", lambda p: str(p.false_alarms.n)), ("teacher found none", lambda p: str(p.unlocated)),
    )  # fmt: skip
    return Figure(
        "steps",
        "Does it find its own mistakes?",
        "Of its wrong solutions, those in which the student marks the step that the teacher marks, and those in which "
        "its correction is right too; of its right solutions, those in which it marks a step all the same.",
        charts.both(partial(charts.rows, [group for group in groups if group.rows]), _spoken("Step errors", table)),
        table,
        "Each model is measured on its own wrong solutions, so the rows do not rest on the same cases.",
    )


def _field_rows(panels: Sequence[PanelRead], field: str, title: str) -> list[tuple[str, list[Mark]]]:
    marks = [
        (label(panel.model), mark(getattr(panel, field), _style(panel.model, place), title))
        for place, panel in enumerate(panels)
    ]
    return [(name, [one]) for name, one in marks if one]


def _style(model: str, place: int) -> str:
    """A model's colour: the same for the same step of training; by its place where it has another name."""
    short = model.rpartition(" · ")[2]
    return STYLES[(list(LABELS).index(short) if short in LABELS else place) % len(STYLES)]


# --- several draws --------------------------------------------------------------------------------------------------


def draws(panels: Sequence[PanelRead]) -> Figure | None:
    """pass@k and maj@k; None where every problem was drawn once."""
    drawn = [(place, panel, panel.at_k) for place, panel in enumerate(panels) if panel.at_k]
    groups = [
        Group(label(panel.model), list(_at_k_rows(panel, at_k, _style(panel.model, place))))
        for place, panel, at_k in drawn
    ]
    numbers = [
        (
            label(panel.model),
            str(k),
            percent(at_k.pass_at.get(k)),
            percent(at_k.majority_at.get(k)),
            f"{at_k.problems:,}",
        )
        for _, panel, at_k in drawn
        for k in sorted({*at_k.pass_at, *at_k.majority_at})
    ]
    if not numbers:
        return None
    return Figure(
        "draws",
        "What is within its reach?",
        "Several draws of each problem: in percent, how often one of k is right (pass@k), and how often a vote of k is "
        "(maj@k). A vote for the same tokens is what the tokens of solution and review would buy instead.",
        charts.both(partial(charts.rows, groups), "pass@k and maj@k of each model; see the table."),
        Table(("model", "k", "pass@k %", "maj@k %", "problems"), tuple(numbers)),
    )


def _at_k_rows(panel: PanelRead, at_k: AtKRead, style: str) -> Iterator[tuple[str, list[Mark]]]:
    named = [(f"pass@{k}", value) for k, value in sorted(at_k.pass_at.items())]
    named += [(f"maj@{k}", value) for k, value in sorted(at_k.majority_at.items()) if k > 1]
    named += [("vote, same tokens", panel.majority.accuracy)] if panel.majority else []
    for name, value in named:
        if one := mark(value, style, name):
            yield name, [one]


def stability(panels: Sequence[PanelRead]) -> Figure | None:
    """How often each problem is solved when it is drawn several times, as the evaluation counted it."""
    known = {panel.model: panel.stability for panel in panels if panel.stability and panel.stability.by_problem.counts}
    counted = {model: _edges(found.by_problem) for model, found in known.items()}
    rows = [
        (
            label(model),
            percent(one.mean),
            percent(one.always),
            percent(one.never),
            f"{one.problems:,}",
            str(one.repeats),
        )
        for model, one in known.items()
    ]
    table = Table(("model", "mean %", "always solved %", "never solved %", "problems", "draws"), tuple(rows))
    return _histogram_figure(counted, table) if counted else None


def _edges(histogram: HistogramRead) -> list[tuple[str, int]]:
    return [
        (f"{100 * low:g}–{100 * high:g}", n)
        for (low, high), n in zip(pairwise(histogram.edges), histogram.counts, strict=True)
    ]


def stability_of_rows(lines: Sequence[Line]) -> Figure | None:
    """The same, counted here from the rows; None where every problem is drawn once."""
    whose = dict.fromkeys((work.group, work.model) for line in lines for work in line.works)
    shares = {model: found for group, model in whose if (found := _solved_shares(lines, group, model))}
    counted = {model: _bins(found) for model, found in shares.items()}
    rows = [(label(model), name, str(count)) for model, bins in counted.items() for name, count in bins]
    return _histogram_figure(counted, Table(("model", "solved %", "problems"), tuple(rows))) if counted else None


def _histogram_figure(counted: dict[str, list[tuple[str, int]]], table: Table) -> Figure:
    above = max(count for bins in counted.values() for _, count in bins)
    charted = [
        _histogram(label(model), bins, _style(model, place), above)
        for place, (model, bins) in enumerate(counted.items())
    ]
    return Figure(
        "stability",
        "How steady is it?",
        "Problems by the share of draws that solve them, in percent; a steady student has them at the two ends.",
        joined(charted),
        table,
    )


def _histogram(name: str, bins: Sequence[tuple[str, int]], style: str, above: int) -> Html:
    draw = partial(charts.histogram, bins, style, above)
    return joined(
        (element("h3", name), charts.both(draw, f"{name}: problems by share of draws solved; see the table."))
    )


def _solved_shares(lines: Sequence[Line], group: str, model: str) -> list[float]:
    """For each problem that was drawn more than once: the share of right solutions."""
    right, either = bits(["right"]), bits(["right", "wrong"])
    drawn = (
        [bool(w.outcomes & right) for w in line.works if (w.group, w.model) == (group, model) and w.outcomes & either]
        for line in lines
    )
    return [sum(right) / len(right) for right in drawn if len(right) > 1]


def _bins(shares: Sequence[float]) -> list[tuple[str, int]]:
    """Never, five bins between, always."""
    names = ("never", "to 20", "to 40", "to 60", "to 80", "below 100", "always")
    counted = Counter(0 if share == 0 else 6 if share == 1 else min(5, 1 + int(share * 5 - 1e-9)) for share in shares)
    return [(name, counted[place]) for place, name in enumerate(names)]


# --- training -------------------------------------------------------------------------------------------------------

_CURVES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("loss", (("loss", "", "ink"),)),
    (
        "reward of chosen and rejected",
        (("rewards/chosen", "chosen", "mended"), ("rewards/rejected", "rejected", "broken")),
    ),
    ("reward margin", (("rewards/margins", "", "ink"),)),
    ("pairs told apart, share", (("rewards/accuracies", "", "ink"),)),
    ("gradient norm", (("grad_norm", "", "ink"),)),
    ("learning rate", (("learning_rate", "", "ink"),)),
)


def training(files: RunFiles) -> Figure | None:
    """Loss, rewards, margin: every curve that the logs have."""
    found = list(_curves(files))
    if not found:
        return None
    charted = [
        _curves_of(model, [(title, series) for name, title, series in found if name == model]) for model in files.logs
    ]
    rows = tuple(
        (label(model), name, f"{len(points)}", f"{points[0][1]:.4g}", f"{points[-1][1]:.4g}",
         f"{min(y for _, y in points):.4g}", f"{max(y for _, y in points):.4g}")
        for model, title, series in found for name, points in ((f"{title} {s.name}".strip(), s.points) for s in series)
    )  # fmt: skip
    return Figure(
        "training",
        "How did training go?",
        "What the trainers logged, over optimizer steps.",
        joined(charted),
        Table(("model", "curve", "points", "first", "last", "least", "most"), rows),
    )


def _curves_of(model: str, panels: Sequence[tuple[str, Sequence[Series]]]) -> Html:
    spoken = f"Training curves of {label(model)}: {', '.join(title for title, _ in panels)}; see the table."
    drawn = charts.both(partial(charts.many_curves, panels), spoken)
    return joined((element("h3", label(model)), drawn)) if panels else Html()


def _curves(files: RunFiles) -> Iterator[tuple[str, str, list[Series]]]:
    """(model, title, lines) of every curve with at least two points."""
    for model, log in files.logs.items():
        for title, wanted in _CURVES:
            series = [Series(name, style, _points(log, key)) for key, name, style in wanted]
            kept = [one for one in series if len(one.points) > 1]
            if kept:
                yield model, title, kept


def _points(log: Sequence[dict[str, float]], key: str) -> list[tuple[float, float]]:
    points = [(line["step"], line[key]) for line in log if key in line and "step" in line]
    return [(x, y) for x, y in points if isfinite(x) and isfinite(y)]


# --- books ----------------------------------------------------------------------------------------------------------


def books(files: RunFiles) -> Figure | None:
    """Where the rows went, stage by stage."""
    if not files.counts:
        return None
    bars = [
        (
            row.stage,
            [Bar(row.accepted, "accepted", f"accepted: {row.accepted:,}"),
             Bar(row.rejected, "rejected", f"left out: {row.rejected:,}"),
             Bar(row.quarantined, "quarantined", f"quarantined: {row.quarantined:,}")],
            f"{row.accepted:,} of {row.inputs:,}",
        )
        for row in files.counts
    ]  # fmt: skip
    rows = tuple(
        (row.stage, f"{row.inputs:,}", f"{row.accepted:,}", f"{row.rejected:,}", f"{row.quarantined:,}",
         ", ".join(f"{reason} {count:,}" for reason, count in row.reasons.items()))
        for row in files.counts
    )  # fmt: skip
    lost = Counter[str]()
    for row in files.counts:
        lost.update(row.reasons)
    reasons = ", ".join(f"{reason.replace('_', ' ')} ({count:,})" for reason, count in lost.most_common(6))
    held = sum(row.quarantined for row in files.counts)
    words = (
        "Of what entered each stage: accepted, left out for a stated reason, quarantined because it could not be made. "
        "Nothing is lost: "
    )
    return Figure(
        "books",
        "Where did the rows go?",
        words
        + "the three add up to the inputs of every stage"
        + (f". Most common reasons: {reasons}" if reasons else "")
        + (f". {held:,} rows are quarantined." if held else ". No row is quarantined."),
        charts.both(partial(charts.stacked, bars), "Rows accepted, left out and quarantined per stage; see the table."),
        Table(("stage", "inputs", "accepted", "left out", "quarantined", "reasons"), rows),
        f"Under way: {', '.join(files.under_way)}." if files.under_way else "",
        legend(("accepted", "accepted"), ("rejected", "left out"), ("quarantined", "quarantined")),
    )


# --- costs ----------------------------------------------------------------------------------------------------------


def costs(files: RunFiles) -> Figure | None:
    """Time, tokens and money, stage by stage."""
    if not (files.seconds or files.spent):
        return None
    names = list(dict.fromkeys([*files.seconds, *(row.stage for row in files.spent)]))
    bars = [(name, files.seconds[name], duration(files.seconds[name])) for name in files.seconds]
    rows = tuple(_cost_row(name, files) for name in names)
    whole = f"In all {duration(sum(files.seconds.values()))}" if files.seconds else "Times are not known"
    bought = sum(row.calls for row in files.spent)
    usd = _usd(files.spent)
    money = (
        f", {bought:,} replies bought, {usd}." if files.spent else "; no chat model was asked, so nothing was bought."
    )
    return Figure(
        "costs",
        "What did it take?",
        whole + money,
        charts.both(partial(charts.lengths, bars), "Time per stage; see the table.") if bars else Html(),
        Table(("stage", "time", "replies bought", "tokens sent", "tokens received", "USD"), rows),
        "Times are those of the run's files, from the end of one stage to the end of the next: a pause counts, and a "
        "stage that was done beside another has little time of its own.",
    )


def _cost_row(name: str, files: RunFiles) -> tuple[str, ...]:
    spent = [row for row in files.spent if row.stage == name]
    seconds = files.seconds.get(name)
    numbers = (
        sum(row.calls for row in spent),
        sum(row.prompt_tokens for row in spent),
        sum(row.completion_tokens for row in spent),
    )
    shown = tuple(f"{number:,}" if spent else "–" for number in numbers)
    return (name, "–" if seconds is None else duration(seconds), *shown, _usd(spent) if spent else "–")


def _usd(spent: Sequence[Spent]) -> str:
    amount = sum(row.usd for row in spent)
    words = f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"
    return words if all(row.priced for row in spent) else f"{words} and what has no known price"


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(0.4), duration(75), duration(4000)
    ('0.4 s', '1 min 15 s', '1 h 6 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
