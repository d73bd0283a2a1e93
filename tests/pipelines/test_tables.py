"""Tables in four forms: nothing in a cell is read as markup by any of them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from redink.evaluation.statistics import NOTHING, Estimate
from redink.pipelines.tables import (
    Table,
    as_latex,
    as_markdown,
    as_rich,
    form_of,
    latex,
    percent,
    rendered,
    turned,
    width_of,
)

PLAIN = Table(
    title="Δ of cross_dpo",
    columns=("figure", "base"),
    rows=(("t1", "33.5 [29.1, 38.3]"), ("w→r", "5 %")),
    note="n = 400",
)


def test_markdown_is_a_github_table() -> None:
    assert as_markdown(PLAIN) == (
        "**Δ of cross_dpo**\n\n| figure | base |\n| --- | ---: |\n| t1 | 33.5 [29.1, 38.3] |\n| w→r | 5 % |\n\nn = 400\n"
    )


def test_latex_is_a_booktabs_table_with_every_cell_escaped() -> None:
    lines = as_latex(PLAIN).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert r"\caption{$\Delta$ of cross\_dpo}" in lines
    assert r"\begin{tabular}{lr}" in lines
    assert r"w$\to$r & 5 \% \\" in lines
    assert lines[-1] == r"\end{table}"
    assert all(line.count("{") == line.count("}") for line in lines)


SPECIAL = [("a_b", r"a\_b"), ("50 %", r"50 \%"), ("$x$", r"\$x\$"), ("{}", r"\{\}"), ("a\\b", r"a\textbackslash{}b"),
           ("a&b#c", r"a\&b\#c"), ("~^", r"\textasciitilde{}\textasciicircum{}"), ("<|>", r"$<$$|$$>$"),
           ("−1 – 2", r"$-$1 -- 2"), ("±…×", r"$\pm$\ldots{}$\times$")]  # fmt: skip


@pytest.mark.parametrize(("text", "written"), SPECIAL)
def test_what_latex_would_read_is_written_out(text: str, written: str) -> None:
    assert latex(text) == written


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_line_before() -> None:
    table = PLAIN.model_copy(update={"rows": (("[a]", "1"), ("*", "2"))})
    assert r"{}[a] & 1 \\" in as_latex(table)
    assert r"{}* & 2 \\" in as_latex(table)


def test_markdown_cells_hold_no_bar_and_no_line_break() -> None:
    table = PLAIN.model_copy(update={"rows": (("a|b\nc", "<x>`*"),)})
    assert r"| a\|b c | \<x>\`\* |" in as_markdown(table)


def test_a_terminal_shows_brackets_as_they_are() -> None:
    table = PLAIN.model_copy(update={"title": "[bold]no[/]", "rows": (("[red]x[/red]", "[1]"),)})
    screen = io.StringIO()
    Console(file=screen, width=80).print(as_rich(table))
    assert all(text in screen.getvalue() for text in ("[bold]no[/]", "[red]x[/red]", "[1]", "n = 400"))


def test_a_table_too_wide_for_the_terminal_is_turned() -> None:
    """Columns of 6, 5, 5 and 5 characters, three between and around them, and a border: 21 + 3·4 + 1 = 34 > 30."""
    wide = Table(title="t", columns=("figure", "aaaaa", "bbbbb", "ccccc"), rows=(("x", "11111", "22222", "33333"),))
    assert width_of(wide) == 6 + 5 + 5 + 5 + 3 * 4 + 1
    assert turned(wide).columns == ("figure", "x")
    assert turned(wide).rows == (("aaaaa", "11111"), ("bbbbb", "22222"), ("ccccc", "33333"))
    assert turned(turned(wide)) == wide
    screen = io.StringIO()
    Console(file=screen, width=30).print(as_rich(wide, 30))
    assert [line.count("│") for line in screen.getvalue().splitlines() if "22222" in line] == [3]
    assert "…" not in screen.getvalue()


def test_json_holds_the_cells() -> None:
    (table,) = json.loads(rendered([PLAIN], "json"))
    assert table["rows"][0] == ["t1", "33.5 [29.1, 38.3]"]


def test_several_tables_follow_each_other() -> None:
    assert rendered([PLAIN, PLAIN], "markdown").count("| figure | base |") == 2
    assert rendered([PLAIN, PLAIN], "latex").count(r"\begin{table}") == 2
    assert rendered([PLAIN], "table").count("33.5 [29.1, 38.3]") == 1


@pytest.mark.parametrize(
    ("name", "asked", "form"),
    [("a.json", "table", "json"), ("a.md", "table", "markdown"), ("a.TEX", "table", "latex"), ("a", "table", "json"),
     ("a.md", "latex", "markdown"), ("a", "latex", "latex"), ("a.txt", "table", "table")],
)  # fmt: skip
def test_a_file_is_written_as_its_ending_says_else_as_asked(name: str, asked: str, form: str) -> None:
    assert form_of(Path(name), asked) == form  # type: ignore[arg-type]


def test_shares_are_percent_with_their_interval() -> None:
    """0.125 → 12.5; −0.05 → −5.0; a difference has its sign."""
    assert percent(Estimate(value=0.125, low=0.05, high=0.25, n=8)) == "12.5 [5.0, 25.0]"
    assert percent(Estimate(value=0.125, low=-0.05, high=0.25, n=8), signed=True) == "+12.5 [-5.0, 25.0]"
    assert percent(NOTHING) == percent(None) == "–"
