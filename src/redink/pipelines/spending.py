"""What a run's chat models cost: beside the progress, as a table at the end of a stage, and in ledger.json."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from rich.table import Table

from redink.models.ledger import Ledger
from redink.progress import Note
from redink.rows import write_text

COLUMNS = (
    ("bought", "calls"),
    ("failed tries", "failed_tries"),
    ("replayed", "replayed"),
    ("prompt", "prompt_tokens"),
    ("cached", "cached_tokens"),
    ("completion", "completion_tokens"),
    ("reasoning", "reasoning_tokens"),
)


def stage_note(ledger: Ledger, stage: str) -> Note:
    """What is spent in all, and what it will be when the stage is done if its other rows cost what these did."""

    def note(done: int, total: int) -> str:
        own = [each for each in ledger.totals() if each.stage == stage]
        if not all(each.priced for each in own):
            return "price unknown"
        spent = ledger.spent
        to_come = sum((each.usd for each in own), Decimal(0)) * (total - done) / max(done, 1)
        return f"{usd(spent)} spent, {usd(spent + to_come)} projected" if done else f"{usd(spent)} spent"

    return note


def usd(amount: Decimal) -> str:
    """An amount for people: cents from a dollar on, else four decimals.

    >>> usd(Decimal("1234.567")), usd(Decimal("0.01234"))
    ('$1,234.57', '$0.0123')
    """
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def ledger_table(ledger: Ledger) -> Table:
    """One line per stage and model, and what is spent in all."""
    table = Table(title="ledger")
    for title in ("stage", "model"):
        table.add_column(title)
    for title in (*(title for title, _ in COLUMNS), "USD"):
        table.add_column(title, justify="right")
    for total in ledger.totals():
        figures = (f"{getattr(total, name):,}" for _, name in COLUMNS)
        table.add_row(total.stage, total.model, *figures, usd(total.usd) if total.priced else "price unknown")
    limit = "" if ledger.max_usd is None else f" of {usd(ledger.max_usd)}"
    table.add_row("in all", *([""] * (len(COLUMNS) + 1)), usd(ledger.spent) + limit)
    return table


def ledger_lines(ledger: Ledger) -> list[str]:
    """The same in one line per stage and model, for narrow places."""
    return [
        f"{total.stage}, {total.model}: {total.calls:,} replies bought in all, {total.failed_tries:,} failed tries, "
        f"{total.replayed:,} replayed now; {total.prompt_tokens:,} tokens sent, {total.completion_tokens:,} received; "
        f"{usd(total.usd) if total.priced else 'price unknown'}"
        for total in ledger.totals()
    ]


def write_ledger(path: Path, ledger: Ledger) -> None:
    """Write ledger.json: amounts in USD as decimal strings, tokens as numbers."""
    books = {
        "spent_usd": str(ledger.spent),
        "max_usd": None if ledger.max_usd is None else str(ledger.max_usd),
        "totals": [total.model_dump(mode="json") for total in ledger.totals()],
    }
    write_text(path, json.dumps(books, indent=2) + "\n")
