"""The figures as SVG files: the charts of the report, its style sheet, and words for those who cannot see."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import resources
from itertools import pairwise

import numpy as np

from redink.report.charts import WIDE, Group, Mark, histogram, rows
from redink.report.figures import STYLES, mark
from redink.report.html import Content, Html, element
from redink.reproduction.building import Built, BuiltLine
from redink.reproduction.samples import Archive

BINS = 8
HEAD, MARGIN = 40, 20
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def draw(built: Built, archive: Archive) -> str:
    """The figure of an item as an SVG document; empty where it has none, or nothing is done."""
    maker = _MAKERS.get(built.item.chart)
    if maker is None or not any(line.seeds for line in built.lines):
        return ""
    return standalone(built.item.title, maker(built, archive), _described(built))


def standalone(title: str, panels: Sequence[tuple[str, Html]], description: str) -> str:
    """Drawings under their headings in one SVG document with its own style sheet, for light and dark pages."""
    placed, at = list[Content](), float(HEAD)
    for heading, drawing in panels:
        if heading:
            placed.append(element("text", heading, x=MARGIN, y=at + 14, class_="heading"))
            at += 24
        width, height = size_of(drawing)
        placed.append(
            Html(drawing.replace("<svg ", f'<svg x="{MARGIN}" y="{at:g}" width="{width:g}" height="{height:g}" ', 1))
        )
        at += height + 12
    width, height = WIDE + 2 * MARGIN, at + 8
    return str(
        element(
            "svg", element("title", title), element("desc", description), element("style", style_sheet()),
            element("rect", width=width, height=f"{height:g}", fill="var(--paper)"),
            element("text", title, x=MARGIN, y=26, class_="axis strong"), *placed,
            xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height:g}", width=width, height=f"{height:g}",
            role="img", aria_label=f"{title}. {description}",
        )
    ) + "\n"  # fmt: skip


def size_of(drawing: str) -> tuple[float, float]:
    """Width and height of an SVG drawing, from its view box."""
    found = _SIZE.search(drawing)
    if found is None:
        raise ValueError("a drawing without a view box")
    return float(found[1]), float(found[2])


def style_sheet() -> Html:
    """The colours and the rules for drawings of the report's style sheet."""
    css = (resources.files("redink.report") / "assets" / "report.css").read_text("utf-8")
    colours, rest = css.split("*, *::before", 1)
    drawn = [line for line in rest.splitlines() if line.startswith("svg ")]
    return Html("\n".join([re.sub(r"\s*--stroke:.*", "", colours), *drawn]))


def _arrows(built: Built, archive: Archive) -> list[tuple[str, Html]]:
    """From t1 to t2, a line per model."""
    lines = [
        (line.label, [found for name, style in (("t1", "t1"), ("t2", "t2")) if (found := _mark(line, name, style))])
        for line in built.lines if line.seeds
    ]  # fmt: skip
    return [("", rows([Group("blue: first solution (t1), red: after review (t2)", lines)], WIDE, arrows=True))]


def _mark(line: BuiltLine, name: str, style: str) -> Mark | None:
    return mark(line.figures.get(name), style, f"{line.label}, {name}")


def _groups(built: Built, archive: Archive) -> list[tuple[str, Html]]:
    """A group per subject, a line per model in it."""
    names = list(dict.fromkeys(name for line in built.lines for name in line.groups))
    groups = [
        Group(name or "not stated", [
            (line.label, [found])
            for place, line in enumerate(built.lines)
            if (found := mark(line.groups.get(name), STYLES[place % len(STYLES)], f"{line.label}, {name}"))
        ])
        for name in names
    ]  # fmt: skip
    return [("", rows(groups, WIDE))]


def _repeats(built: Built, archive: Archive) -> list[tuple[str, Html]]:
    """How many repeats have such an accuracy, of all seeds, a panel per model on one scale."""
    found = {line.label: _accuracies(line, archive) for line in built.lines}
    known = {label: values for label, values in found.items() if values}
    if not known:
        return [("no repeats were drawn", rows([], WIDE))]
    every = [value for values in known.values() for value in values]
    edges = np.histogram_bin_edges(every, BINS)
    counts = {label: np.histogram(values, edges)[0] for label, values in known.items()}
    above = max(int(count.max()) for count in counts.values())
    names = [f"{100 * low:.0f}–{100 * high:.0f} %" for low, high in pairwise(edges)]
    return [
        (_spread_words(label, known[label]),
         histogram([(name, int(count)) for name, count in zip(names, counts[label], strict=True)],
                   STYLES[place % len(STYLES)], above, WIDE))
        for place, label in enumerate(known)
    ]  # fmt: skip


def _spread_words(label: str, values: Sequence[float]) -> str:
    mean, deviation = 100 * np.mean(values), 100 * np.std(values)
    return f"{label}: mean {mean:.1f} %, standard deviation {deviation:.1f} points, {len(values)} repeats"


def _accuracies(line: BuiltLine, archive: Archive) -> list[float]:
    told = [archive.told(line.arm, seed) for seed in line.seeds]
    return [value for each in told if each for value in each.accuracies(line.model)]


_MAKERS: dict[str, Callable[[Built, Archive], list[tuple[str, Html]]]] = {
    "arrows": _arrows,
    "groups": _groups,
    "repeats": _repeats,
}


def _described(built: Built) -> str:
    """The numbers in words: what the alternative text of the figure says."""
    said = []
    for line in built.lines:
        figures = {**line.figures, **{name: found for name, found in line.groups.items() if name}}
        known = [f"{name} {100 * found.value:.1f} %" for name, found in figures.items() if found.value is not None]
        if known:
            said.append(f"{line.label}: {', '.join(known)}")
    return "; ".join(said)
