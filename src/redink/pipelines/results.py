"""Results: one typed row for a run, as JSON for machines and as a table for people."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from rich.table import Table

from redink.evaluation.panel import Panel
from redink.evaluation.statistics import Estimate
from redink.rows import write_text
from redink.types import Row, StageCounts

COLUMNS = (
    ("t1", "accuracy_t1"),
    ("t2", "accuracy_t2"),
    ("Δ", "delta"),
    ("w→r", "wrong_to_right"),
    ("r→w", "right_to_wrong"),
    ("locate", "locate"),
    ("correct", "correct"),
    ("false alarms", "false_alarms"),
)


class Results(Row):
    """What a run shows: the panel of each model, with n, intervals and seed."""

    recipe: str = Field(description="The recipe's name.")
    student: str = Field(description="The base student.")
    seed: int = Field(description="The recipe's seed.")
    problems: int = Field(description="Evaluation problems, seen by no stage.")
    panels: tuple[Panel, ...] = Field(description="base, hsft, cross_dpo.")
    counts: tuple[StageCounts, ...] = Field(description="The books of every stage.")


def write_results(path: Path, results: Results) -> None:
    """Write results.json."""
    write_text(path, results.model_dump_json(indent=2) + "\n")


def percent(estimate: Estimate, signed: bool = False) -> str:
    """A share as percent with its 95 % interval, e.g. '62.4 [57.9, 66.7]'; '–' where there are no cases."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    sign = "+" if signed else ""
    return f"{100 * estimate.value:{sign}.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def as_table(results: Results) -> Table:
    """base → HSFT → Cross-DPO, in percent with 95 % intervals."""
    table = Table(title=f"{results.recipe}: {results.problems} held-out problems, seed {results.seed}; %, [95 %]")
    table.add_column("figure")
    for panel in results.panels:
        table.add_column(panel.model, justify="right")
    for title, name in COLUMNS:
        cells = [percent(getattr(panel, name), signed=name == "delta") for panel in results.panels]
        table.add_row(title, *cells)
    table.add_row("n wrong located", *(str(panel.locate.n) for panel in results.panels))
    return table
