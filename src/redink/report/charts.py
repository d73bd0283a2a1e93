"""Charts as SVG, drawn twice: wide, and narrow for a phone. Colours and type come from the page's style sheet.

A chart takes numbers and words and knows nothing of runs. Shares are of 1; positions are SVG user units (pixels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from redink.report.html import Content, Html, element, joined

WIDE, NARROW = 720, 350
LETTER = 6.6  # the usual width of a letter at 12 px
ROW = 22


class Mark(NamedTuple):
    """A point with its interval; `style` is a class of the style sheet."""

    value: float
    low: float
    high: float
    style: str
    title: str


class Bar(NamedTuple):
    """A part of a stacked bar."""

    value: float
    style: str
    title: str


class Series(NamedTuple):
    """A line through points (x, y)."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """Linear, from values to positions."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The position of a value."""
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.stop - self.start), 1)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values from at most `low` to at least `high`, about `count` of them.

    >>> ticks(0, 0.97), ticks(-3, 12, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [-5.0, 0.0, 5.0, 10.0, 15.0])
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def both(draw: Callable[[int], Html], label: str) -> Html:
    """A chart drawn wide and narrow; the style sheet shows the one that fits. `label` says what is seen."""
    return joined(
        element("div", draw(width), class_=f"chart {name}", role="img", aria_label=label)
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )


def drawing(width: float, height: float, *content: Content) -> Html:
    """An SVG of this size that scales with the page."""
    return element("svg", *content, viewBox=f"0 0 {width:g} {height:g}", class_="drawing", aria_hidden="true")


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> Html:
    """Words at a place."""
    return element("text", words, x=x, y=y, class_=style or None, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=style)


# --- progress: one column per model ---------------------------------------------------------------------------------


def progress(columns: Sequence[str], series: Sequence[Sequence[Mark | None]], width: int) -> Html:
    """Values of each series in each column, with intervals, joined from column to column; shares as percent."""
    height, left, right = (330 if width == WIDE else 290), 40, 12
    marks = [mark for values in series for mark in values if mark]
    levels = ticks(min((m.low for m in marks), default=0.0), max((m.high for m in marks), default=1.0), 4)
    y = Scale(levels[0], levels[-1], height - 40, 24)
    room = (width - left - right) / max(1, len(columns))
    middles = [round(left + room * (place + 0.5), 1) for place in range(len(columns))]
    grid = _grid_rows(levels, y, left, width - right)
    names = [text(x, height - 14, name, "axis strong", "middle") for x, name in zip(middles, columns, strict=True)]
    drawn = [
        _progress_line(values, [x + (place - (len(series) - 1) / 2) * 30 for x in middles], y, outer=2 * place - 1)
        for place, values in enumerate(series)
    ]
    return drawing(width, height, *grid, *names, *drawn)


def _grid_rows(levels: Sequence[float], y: Scale, left: float, right: float) -> list[Html]:
    return [
        joined((line(left, y(v), right, y(v), "grid"), text(left - 8, y(v) + 4, f"{100 * v:g}", "axis", "end")))
        for v in levels
    ]


def _progress_line(values: Sequence[Mark | None], xs: Sequence[float], y: Scale, outer: int) -> Html:
    """One series; its numbers stand beside its dots, on the side away from the other series."""
    known = [(x, mark) for x, mark in zip(xs, values, strict=True) if mark]
    path = " ".join(f"{x:g},{y(mark.value):g}" for x, mark in known)
    anchor = "end" if outer < 0 else "start"
    numbers = [
        text(x + outer * 11, y(m.value) + 4, f"{100 * m.value:.1f}", f"value {m.style}", anchor) for x, m in known
    ]
    style = known[0][1].style if known else ""
    return joined(
        (element("polyline", points=path, class_=f"path {style}"), *(_upright(x, m, y) for x, m in known), *numbers)
    )


def _upright(x: float, mark: Mark, y: Scale) -> Html:
    whisker = line(x, y(mark.low), x, y(mark.high), f"whisker {mark.style}")
    dot = element("circle", element("title", mark.title), cx=x, cy=y(mark.value), r=5.5, class_=f"dot {mark.style}")
    return joined((whisker, dot))


# --- rows: one line per thing ---------------------------------------------------------------------------------------


class Group(NamedTuple):
    """Rows under one heading: (name, marks from left to right)."""

    title: str
    rows: Sequence[tuple[str, Sequence[Mark]]]


def rows(groups: Sequence[Group], width: int, *, arrows: bool = False) -> Html:
    """A line per row with its marks on one scale from 0 to 100 %; with `arrows` from the first mark to the last."""
    names = [name for group in groups for name, _ in group.rows]
    left = min(max(map(len, names), default=0) * LETTER + 22, width * 0.4)
    x = Scale(0.0, _top(groups), left, width - 46)
    content, at = list[Html](), 8
    for group in groups:
        content.append(text(0, at + 14, group.title, "heading"))
        at += ROW + 4
        for name, marks in group.rows:
            content.append(_row(name, marks, x, at + 4, arrows))
            at += ROW
        at += 10
    grid = [joined((line(x(v), 4, x(v), at, "grid"), text(x(v), at + 16, f"{100 * v:g}", "axis", "middle")))
            for v in ticks(0, x.high, 5 if width == WIDE else 4) if v <= x.high + 1e-9]  # fmt: skip
    return drawing(width, at + 24, *grid, *content)


def _top(groups: Sequence[Group]) -> float:
    highest = max((mark.high for group in groups for _, marks in group.rows for mark in marks), default=1.0)
    return min(1.0, ticks(0, max(highest, 0.05), 5)[-1])


def _row(name: str, marks: Sequence[Mark], x: Scale, y: float, arrows: bool) -> Html:
    pieces = [text(x.start - 12, y + 4, name, "axis", "end")]
    if arrows and len(marks) > 1:
        pieces.append(line(x(marks[0].value), y, x(marks[-1].value), y, f"move {marks[-1].style}"))
    for place, mark in enumerate(marks):
        level = y + (place - (len(marks) - 1) / 2) * 5
        pieces.append(line(x(mark.low), level, x(mark.high), level, f"whisker {mark.style}"))
        dot = element(
            "circle", element("title", mark.title), cx=x(mark.value), cy=level, r=4.5, class_=f"dot {mark.style}"
        )
        pieces.append(dot)
    if marks:
        end = max(mark.high for mark in marks)
        pieces.append(text(x(end) + 7, y + 4, f"{100 * marks[-1].value:.1f}", f"value {marks[-1].style}"))
    return joined(pieces)


# --- flow: what changed from a first look to a second ---------------------------------------------------------------


class Flow(NamedTuple):
    """Shares of all: right and kept, right and broken, wrong and repaired, wrong and left."""

    name: str
    kept: float
    broken: float
    repaired: float
    unmended: float


def flows(panels: Sequence[Flow], width: int) -> Html:
    """For each panel, right and wrong at first beside right and wrong after, with bands between them."""
    across = min(3, len(panels)) if width == WIDE else 1
    room, height = width / max(1, across), 250
    drawn = [
        element("g", _flow(panel, room), transform=f"translate({place % across * room:g} {place // across * height:g})")
        for place, panel in enumerate(panels)
    ]
    return drawing(width, height * math.ceil(len(panels) / max(1, across)), *drawn)


_FLOW_TOP, _FLOW_TALL, _FLOW_GAP, _FLOW_SIDE = 52.0, 150.0, 9.0, 62.0


def _flow(flow: Flow, room: float) -> Html:
    """One panel: blocks of right and wrong left and right, bands between, and the two that matter named."""
    x1, x2 = _FLOW_SIDE, room - _FLOW_SIDE
    first, second = flow.kept + flow.broken, flow.kept + flow.repaired
    bands = [_band(x1, x2, *ends, share, style, title) for ends, share, style, title in _bands(flow)]
    ends = [_flow_end(x1, first, "end", -8), _flow_end(x2, second, "start", 8)]
    gained = text(room / 2, 24, f"+{100 * flow.repaired:.1f} mended", "label mended", "end")
    lost = text(room / 2, 24, f"\u2002−{100 * flow.broken:.1f} broken", "label broken")
    return joined((text(room / 2, 6, flow.name, "heading", "middle"), gained, lost, *bands, *ends))


def _bands(flow: Flow) -> list[tuple[tuple[float, float], float, str, str]]:
    """((y on the left, y on the right), share, style, title) of the four bands, those that change on top."""
    below_first = _FLOW_TOP + (flow.kept + flow.broken) * _FLOW_TALL + _FLOW_GAP
    below_second = _FLOW_TOP + (flow.kept + flow.repaired) * _FLOW_TALL + _FLOW_GAP
    split = _FLOW_TOP + flow.kept * _FLOW_TALL
    last = (below_first + flow.repaired * _FLOW_TALL, below_second + flow.broken * _FLOW_TALL)
    return [
        ((_FLOW_TOP, _FLOW_TOP), flow.kept, "kept", f"right, and kept: {flow.kept:.1%}"),
        (last, flow.unmended, "unmended", f"wrong, and stayed wrong: {flow.unmended:.1%}"),
        ((below_first, split), flow.repaired, "mended", f"wrong, then right: {flow.repaired:.1%}"),
        ((split, below_second), flow.broken, "broken", f"right, then wrong: {flow.broken:.1%}"),
    ]


def _flow_end(x: float, right: float, anchor: str, shift: float) -> Html:
    """The words beside the blocks of one side."""
    upper, lower = _FLOW_TOP + right * _FLOW_TALL / 2, _FLOW_TOP + (1 + right) * _FLOW_TALL / 2 + _FLOW_GAP
    return joined(
        joined(
            (text(x + shift, y - 3, word, "axis", anchor), text(x + shift, y + 12, f"{100 * v:.1f}", "value", anchor))
        )
        for y, word, v in ((upper, "right", right), (lower, "wrong", 1 - right))
    )


def _band(x1: float, x2: float, y1: float, y2: float, share: float, style: str, title: str) -> Html:
    if share <= 0:
        return Html()
    thick = max(1.0, share * _FLOW_TALL)
    middle = (x1 + x2) / 2
    path = (
        f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}V{y2 + thick:.1f}"
        f"C{middle:.1f} {y2 + thick:.1f} {middle:.1f} {y1 + thick:.1f} {x1:.1f} {y1 + thick:.1f}Z"
    )
    return element("path", element("title", title), d=path, class_=f"band {style}")


# --- bars -----------------------------------------------------------------------------------------------------------


def stacked(bars: Sequence[tuple[str, Sequence[Bar], str]], width: int) -> Html:
    """One bar per name, its parts as shares of their sum, and words at its end."""
    left = min(max((len(name) for name, _, _ in bars), default=0) * LETTER + 14, width * 0.42)
    room = max((len(words) for _, _, words in bars), default=0) * LETTER + 10
    right = width - min(room, width * 0.3)
    content = [
        joined((text(left - 12, at + 15, name, "axis", "end"), _parts(parts, left, right, at + 4), 
                text(right + 8, at + 15, words, "axis")))
        for at, (name, parts, words) in zip(range(0, ROW * len(bars), ROW), bars, strict=True)
    ]  # fmt: skip
    return drawing(width, ROW * len(bars) + 6, *content)


def _parts(parts: Sequence[Bar], left: float, right: float, y: float) -> Html:
    whole, at, drawn = sum(part.value for part in parts) or 1.0, left, list[Html]()
    for part in parts:
        wide = part.value / whole * (right - left)
        if wide > 0:
            title = element("title", part.title)
            drawn.append(
                element(
                    "rect",
                    title,
                    x=f"{at:.1f}",
                    y=y,
                    width=f"{max(wide, 1.2):.1f}",
                    height=14,
                    class_=f"bar {part.style}",
                )
            )
        at += wide
    return joined(drawn)


def lengths(bars: Sequence[tuple[str, float, str]], width: int) -> Html:
    """One bar per name, as long as its value, with words at its end."""
    left = min(max((len(name) for name, _, _ in bars), default=0) * LETTER + 14, width * 0.42)
    x = Scale(0.0, max((value for _, value, _ in bars), default=1.0), left, width - 70)
    content = [
        joined((text(left - 12, at + 15, name, "axis", "end"), _length(value, x, at + 4, words),
                text(x(value) + 8, at + 15, words, "value")))
        for at, (name, value, words) in zip(range(0, ROW * len(bars), ROW), bars, strict=True)
    ]  # fmt: skip
    return drawing(width, ROW * len(bars) + 6, *content)


def _length(value: float, x: Scale, y: float, title: str) -> Html:
    wide = max(round(x(value) - x.start, 1), 1.0)
    return element("rect", element("title", title), x=x.start, y=y, width=wide, height=14, class_="bar plain")


def histogram(counts: Sequence[tuple[str, int]], series: str, above: int, width: int) -> Html:
    """Upright bars with their numbers; `above` is the number that reaches the top, so that panels can be compared."""
    height, base = 170, 136
    room = (width - 20) / max(1, len(counts))
    y = Scale(0, max(1, above), base, 26)
    content = list[Html]()
    for place, (name, count) in enumerate(counts):
        x = 10 + place * room
        title = element("title", f"{name}: {count}")
        content.append(
            element("rect", title, x=f"{x + room * 0.12:.1f}", y=y(count), width=f"{room * 0.76:.1f}",
                    height=round(base - y(count), 1), class_=f"bar {series}")
        )  # fmt: skip
        content.append(text(round(x + room / 2, 1), y(count) - 5, str(count), "value", "middle"))
        content.append(text(round(x + room / 2, 1), base + 16, name, "axis", "middle"))
    return drawing(width, height, line(10, base, width - 10, base, "base"), *content)


# --- lines ----------------------------------------------------------------------------------------------------------


def curves(title: str, series: Sequence[Series], width: float, unit: str) -> Html:
    """Lines over steps; the last value of each is written at its end."""
    left, right, top, bottom = 46.0, width - (100 if len(series) > 1 else 64), 34.0, 158.0
    points = [point for one in series for point in one.points]
    levels = ticks(min(y for _, y in points), max(y for _, y in points), 3)
    x = Scale(min(x for x, _ in points), max(x for x, _ in points), left, right)
    y = Scale(levels[0], levels[-1], bottom, top)
    grid = [
        joined((line(left, y(v), right, y(v), "grid"), text(left - 7, y(v) + 4, f"{v:g}", "axis", "end")))
        for v in levels
    ]
    ends = [
        text(left, bottom + 18, f"{x.low:g}", "axis"),
        text(right, bottom + 18, f"{unit} {x.high:g}", "axis", "end"),
    ]
    return joined((text(0, 14, title, "heading"), *grid, *ends, *_lines(series, x, y)))


def _lines(series: Sequence[Series], x: Scale, y: Scale) -> list[Html]:
    drawn, taken = list[Html](), list[float]()
    for one in series:
        path = " ".join(f"{x(a):g},{y(b):g}" for a, b in one.points)
        level = _clear(y(one.points[-1][1]) + 4, taken)
        taken.append(level)
        words = f"{one.points[-1][1]:.3g}" + (f" {one.name}" if one.name else "")
        drawn.append(element("polyline", element("title", words), points=path, class_=f"path thin {one.style}"))
        drawn.append(text(x.stop + 6, level, words, f"value {one.style}"))
    return drawn


def _clear(level: float, taken: Sequence[float]) -> float:
    """The level, or the next one below at which words do not cover those that are there."""
    while any(abs(level - other) < 13 for other in taken):
        level += 13
    return level


def many_curves(panels: Sequence[tuple[str, Sequence[Series]]], width: int, unit: str = "step") -> Html:
    """Panels of curves in a grid."""
    across = min(3 if width == WIDE else 1, max(1, len(panels)))
    room, height = width / across, 196
    drawn = [
        element("g", curves(title, series, room - 12, unit),
                transform=f"translate({place % across * room:g} {place // across * height:g})")
        for place, (title, series) in enumerate(panels)
    ]  # fmt: skip
    return drawing(width, height * math.ceil(len(panels) / across), *drawn)
