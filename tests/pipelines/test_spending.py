"""What a run's models cost, for people and machines."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from redink.models.chat import Usage
from redink.models.ledger import Ledger, Price
from redink.pipelines.spending import ledger_table, stage_note, usd, write_ledger

PRICES = {"m": Price(prompt=Decimal(2), completion=Decimal(8))}
MILLION = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)
"""Costs 2 + 8 = 10 USD."""


@pytest.fixture
def ledger() -> Ledger:
    """30 USD: 10 for the thoughts, 20 (a failed try among them) for the corrections."""
    made = Ledger(prices=PRICES, max_usd=Decimal(50))
    made.charge("thoughts", "m", MILLION)
    made.charge("corrections", "m", MILLION)
    made.charge("corrections", "m", MILLION, failed=True)
    return made


@pytest.mark.parametrize(
    ("stage", "done", "said"),
    [
        ("corrections", 0, "$30.00 spent"),
        ("corrections", 10, "$30.00 spent, $90.00 projected"),
        ("corrections", 40, "$30.00 spent, $30.00 projected"),
        ("thoughts", 20, "$30.00 spent, $40.00 projected"),
        ("another", 20, "$30.00 spent, $30.00 projected"),
    ],
)
def test_the_rest_of_a_stage_is_taken_to_cost_what_its_rows_did(
    ledger: Ledger, stage: str, done: int, said: str
) -> None:
    """Of 40 rows: 10 for 20 USD leave 30 for 60; 20 for 10 USD leave 20 for 10."""
    assert stage_note(ledger, stage)(done, 40) == said


def test_without_a_price_nothing_is_projected() -> None:
    ledger = Ledger()
    ledger.charge("thoughts", "m", MILLION)
    assert stage_note(ledger, "thoughts")(3, 9) == "price unknown"


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "$0.0000"), ("0.00005", "$0.0000"), ("0.9999", "$0.9999"), ("1234.567", "$1,234.57")]
)
def test_amounts_for_people(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


def test_the_table_has_a_line_per_stage_and_the_sum_beside_the_budget(ledger: Ledger) -> None:
    screen = io.StringIO()
    Console(file=screen, width=200).print(ledger_table(ledger))
    lines = {line.split("│")[1].strip(): line for line in screen.getvalue().splitlines() if "│" in line}
    assert "1,000,000" in lines["thoughts"] and "$10.00" in lines["thoughts"]
    assert "2,000,000" in lines["corrections"] and "$20.00" in lines["corrections"]
    assert "$30.00 of $50.00" in lines["in all"]


def test_the_file_holds_exact_amounts(ledger: Ledger, tmp_path: Path) -> None:
    write_ledger(tmp_path / "ledger.json", ledger)
    books = json.loads((tmp_path / "ledger.json").read_text())
    assert Decimal(books["spent_usd"]) == 30 and Decimal(books["max_usd"]) == 50
    found = {row["stage"]: (row["calls"], row["failed_tries"], Decimal(row["usd"])) for row in books["totals"]}
    assert found == {"thoughts": (1, 0, 10), "corrections": (1, 1, 20)}
