"""One table, four forms: for the terminal (rich), markdown, LaTeX and JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from redink.evaluation.statistics import Estimate
from redink.types import Row

Form = Literal["table", "json", "markdown", "latex"]
FORM_OF: dict[str, Form] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".tex": "latex",
    ".json": "json",
    ".txt": "table",
}
NO_VALUE = "–"
_SIDES: dict[bool, Literal["left", "right"]] = {False: "left", True: "right"}

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "Δ": r"$\Delta$",
    "→": r"$\to$", "−": r"$-$", "–": "--", "—": "---", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$",
    "…": r"\ldots{}", "█": r"\rule{.4em}{.6em}",
    "≤": r"$\le$", "≥": r"$\ge$", "²": r"$^2$", "χ": r"$\chi$", "β": r"$\beta$",
}  # fmt: skip
_MARKDOWN = re.compile(r"([\\|`*<])")


class Table(Row):
    """A table of texts: the first column names the rows; `note` says n, the interval and the seeds."""

    title: str = Field(description="What it shows, on how many problems.")
    columns: tuple[str, ...] = Field(min_length=1, description="Headings.")
    rows: tuple[tuple[str, ...], ...] = Field(description="Cells, as many per row as there are columns.")
    note: str = Field("", description="What a reader must know of the figures.")


def percent(estimate: Estimate | None, signed: bool = False) -> str:
    """A share as percent with its 95 % interval, e.g. '62.4 [57.9, 66.7]'; '–' where there are no cases.

    >>> percent(Estimate(value=0.624, low=0.579, high=0.667, n=400))
    '62.4 [57.9, 66.7]'
    """
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return NO_VALUE
    sign = "+" if signed else ""
    return f"{100 * estimate.value:{sign}.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def number(estimate: Estimate | None) -> str:
    """A figure that is no share, with its 95 % interval where it has one: '4.25 [4.01, 4.49]'.

    >>> number(Estimate(value=4.25, low=4.01, high=4.49, n=40))
    '4.25 [4.01, 4.49]'
    """
    if estimate is None or estimate.value is None:
        return NO_VALUE
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def as_rich(table: Table, width: int | None = None) -> Group:
    """For the terminal; cells are shown as they are, never read as rich's markup.

    A table that is too wide for `width` characters is turned, rows for columns, where that is narrower.
    """
    if width is not None and width < width_of(table) > width_of(turned(table)):
        table = turned(table)
    shown = RichTable()
    for place, heading in enumerate(table.columns):
        shown.add_column(Text(heading), justify=_SIDES[_right(place, heading)], overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    note = [Text(table.note, style="dim")] if table.note else []
    return Group(Text(table.title, style="bold"), shown, *note, Text())


def turned(table: Table) -> Table:
    """The table with its columns as rows; the first column's cells become the headings."""
    heading, *others = zip(table.columns, *table.rows, strict=True)
    return table.model_copy(update={"columns": heading, "rows": tuple(others)})


def width_of(table: Table) -> int:
    """Characters that a line of the table needs on a terminal, with three between cells."""
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
    return sum(widths) + 3 * len(widths) + 1


def as_markdown(table: Table) -> str:
    """A heading in bold, a GitHub-flavoured table, and the note."""
    rule = ["---:" if _right(*column) else "---" for column in enumerate(table.columns)]
    lines = [_line(table.columns), "| " + " | ".join(rule) + " |", *(_line(row) for row in table.rows)]
    parts = [f"**{_markdown(table.title)}**", "\n".join(lines), _markdown(table.note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_latex(table: Table) -> str:
    """A `table` environment with booktabs rules; every cell escaped."""
    body = [_latex_row(row) for row in table.rows]
    sides = "".join("r" if _right(*column) else "l" for column in enumerate(table.columns))
    note = [r"\par\smallskip{\footnotesize " + latex(table.note) + "}"] if table.note else []
    return "\n".join([
        r"% needs \usepackage{booktabs}", r"\begin{table}[t]", r"\centering", rf"\caption{{{latex(table.title)}}}",
        rf"\begin{{tabular}}{{{sides}}}", r"\toprule", _latex_row(table.columns), r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}", *note, r"\end{table}",
    ]) + "\n"  # fmt: skip


def latex(text: str) -> str:
    r"""The text with every character that LaTeX reads as a command, or lacks in its fonts, written out.

    >>> latex("Δ of cross_dpo: 5 %")
    '$\\Delta$ of cross\\_dpo: 5 \\%'
    """
    return "".join(_LATEX.get(character, character) for character in text)


def rendered(tables: Sequence[Table], form: Form) -> str:
    """Tables as text in one of the forms; 'table' is plain text as on a terminal without colours."""
    if form == "json":
        return TypeAdapter(tuple[Table, ...]).dump_json(tuple(tables), indent=2).decode() + "\n"
    if form == "table":
        console = Console(width=200, color_system=None)
        with console.capture() as captured:
            for table in tables:
                console.print(as_rich(table))
        return captured.get()
    return "\n".join((as_markdown if form == "markdown" else as_latex)(table) for table in tables)


def form_of(path: Path, asked: Form) -> Form:
    """The form in which a file is written: what its ending says, else the one asked for, else JSON."""
    return FORM_OF.get(path.suffix.lower(), "json" if asked == "table" else asked)


def _right(place: int, heading: str) -> bool:
    """Whether a column is set to the right: all but the first, and those without a heading, which hold bars."""
    return place > 0 and bool(heading)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown(cell) for cell in cells) + " |"


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _latex_row(cells: Sequence[str]) -> str:
    r"""A row; one that begins with a bracket or a star would be read as an option of the `\\` before it."""
    text = " & ".join(latex(cell) for cell in cells)
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"
