"""Two runs on one page: figures side by side, and tests on the problems that both have solved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from redink.progress import Advance, quiet
from redink.report import charts
from redink.report.archive import Archive
from redink.report.building import (
    INLINED_BYTES,
    LOOKS,
    Changes,
    Report,
    colophon,
    drawn_cases,
    drawn_words,
    search_form,
    settings,
    verdicts,
)
from redink.report.catalogue import Catalogue
from redink.report.changes import CHANCE, change
from redink.report.charts import Group
from redink.report.figures import (
    SEEN_TWICE,
    Figure,
    Table,
    books,
    costs,
    label,
    mark,
    panel_figures,
    percent,
    titled,
    training,
)
from redink.report.files import PanelRead, RunFiles, read_run
from redink.report.html import Html, element, joined
from redink.report.page import Page, render
from redink.rows import write_text


def write_comparison(
    first: Path, second: Path, to: Path | None = None, inlined: int = INLINED_BYTES, advance: Advance = quiet
) -> Report:
    """Write the comparison of two runs, `report-with-<first>.html` in the second unless `to` says otherwise.

    Raises `BadInput` if one is no run directory, `Failure` if the file cannot be written.
    """
    names = run_names(first, second)
    runs = [named(read_run(folder), name) for folder, name in zip((first, second), names, strict=True)]
    with Archive(dict(zip(names, (first, second), strict=True))) as archive:
        catalogue = Catalogue(archive, advance)
        cases = drawn_cases(archive, inlined)
        changes = _changes(runs, names, catalogue)
        page = Page(
            title=f"{names[0]} and {names[1]}",
            subtitle=f"{names[0]} compared with {names[1]}",
            lead=joined((element("h1", _headline(names, changes)), verdicts(changes), _how(changes))),
            figures=_figures(runs, catalogue),
            colophon=colophon(runs, archive.faults, drawn_words(catalogue, cases)),
            settings=settings(catalogue, served=False),
            form=search_form(catalogue),
            cases=cases,
        )
        path = to or second / f"report-with-{names[0].replace('/', '-')}.html"
        write_text(path, render(page))
        return Report(path, len(catalogue.lines), len(cases), tuple(archive.faults))


def run_names(first: Path, second: Path) -> tuple[str, str]:
    """Names that tell two run directories apart: the last parts of their paths, as many as are needed.

    >>> run_names(Path("a/demo"), Path("b/demo")), run_names(Path("runs/x"), Path("runs/y"))
    (('a/demo', 'b/demo'), ('x', 'y'))
    """
    paths = (first.resolve().parts, second.resolve().parts)
    for count in range(1, max(map(len, paths)) + 1):
        one, other = ("/".join(parts[-count:]) for parts in paths)
        if one != other:
            return one, other
    return "first", "second"


def named(files: RunFiles, name: str) -> RunFiles:
    """A run whose models carry its name, so that two can stand in one figure."""
    results = files.results
    if results:
        panels = tuple(panel.model_copy(update={"model": f"{name} · {panel.model}"}) for panel in results.panels)
        results = results.model_copy(update={"panels": panels})
    logs = {f"{name} · {model}": log for model, log in files.logs.items()}
    return files.model_copy(update={"name": name, "results": results, "logs": logs})


def _panels(runs: Sequence[RunFiles]) -> list[PanelRead]:
    """The panels of both runs, each model of the one beside the same of the other."""
    found = [panel for files in runs if files.results for panel in files.results.panels]
    order = list(dict.fromkeys(_model(panel) for panel in found))
    return sorted(found, key=lambda panel: order.index(_model(panel)))


def _model(panel: PanelRead) -> str:
    return panel.model.rpartition(" · ")[2]


def _changes(runs: Sequence[RunFiles], names: tuple[str, str], catalogue: Catalogue) -> Changes:
    """Each model of the first run against the same of the second."""
    models = list(dict.fromkeys(_model(panel) for panel in _panels(runs)))
    pairs = [(f"{names[0]} · {model}", f"{names[1]} · {model}") for model in models]
    return [
        (" → ".join(map(label, pair)), {look: change(catalogue.lines, *pair, look) for look in LOOKS}) for pair in pairs
    ]


def _headline(names: tuple[str, str], changes: Changes) -> str:
    found = [looks["t2"] for _, looks in changes if looks["t2"]]
    if not found or not found[-1]:
        return f"{names[0]} and {names[1]} share no held-out problem."
    last = found[-1]
    if last.p >= CHANCE:
        return f"{names[1]} cannot be told from {names[0]}."
    return f"{names[1]} is {last.verdict} than {names[0]}."


def _how(changes: Changes) -> Html:
    words = "Paired tests on the problems that both runs hold out. Each run's own figures stand below, with intervals."
    return element(
        "p", words if any(looks["t1"] for _, looks in changes) else words.partition(". ")[2], class_="caveat"
    )


def _figures(runs: Sequence[RunFiles], catalogue: Catalogue) -> list[Figure]:
    panels = _panels(runs)
    drawn = (
        [_accuracy(panels), *panel_figures(panels, catalogue.lines)[1:]]
        if panels
        else panel_figures((), catalogue.lines)
    )
    of_each = [
        titled(files.name, figure) for draw in (training, books, costs) for files in runs if (figure := draw(files))
    ]
    return [*(figure for figure in drawn if figure), *of_each]


def _accuracy(panels: Sequence[PanelRead]) -> Figure:
    """t1 and t2 of the same model in both runs, row by row."""
    models = list(dict.fromkeys(map(_model, panels)))
    groups = [Group(label(model), [_row(panel) for panel in panels if _model(panel) == model]) for model in models]
    rows = tuple(
        (label(p.model), percent(p.accuracy_t1), percent(p.accuracy_t2), percent(p.delta, True), str(p.accuracy_t1.n))
        for p in panels
    )
    return Figure(
        "accuracy",
        "Which is better?",
        "Share of held-out problems solved, in percent, with 95 % intervals; each run on its own held-out problems.",
        charts.both(partial(charts.rows, groups, arrows=True), "Accuracy of both runs; see the table."),
        Table(("model", "t1 %", "t2 %", "Δ points", "n"), rows),
        legend=SEEN_TWICE,
    )


def _row(panel: PanelRead) -> tuple[str, list[charts.Mark]]:
    name = label(panel.model)
    first, second = mark(panel.accuracy_t1, "t1", f"{name}, t1"), mark(panel.accuracy_t2, "t2", f"{name}, t2")
    return panel.model.rpartition(" · ")[0], [one for one in (first, second) if one]
