"""The books: what went in is what came out, by reason."""

from __future__ import annotations

import pytest

from redink.failures import RowFailure
from redink.stages.outcomes import all_tries, quarantined, tally
from redink.types import OwnCorrection, Quarantined, Rejected, StageCounts, Tried

OK = OwnCorrection(problem_id="p", text="x")
LEFT_OUT = Rejected(problem_id="p", stage="s", reason="left_out")
HELD = Quarantined(problem_id="p", stage="s", reason="broken")


def test_a_tally_counts_by_outcome_and_reason() -> None:
    assert tally("s", 6, [OK, LEFT_OUT, HELD, OK, LEFT_OUT, OK]) == StageCounts(
        stage="s", inputs=6, accepted=3, rejected=2, quarantined=1, reasons={"left_out": 2, "broken": 1}
    )


@pytest.mark.parametrize("inputs", [1, 3])
def test_books_that_do_not_balance_are_a_defect(inputs: int) -> None:
    with pytest.raises(AssertionError, match=f"s: {inputs} rows went in, 2 came out"):
        tally("s", inputs, [OK, HELD])


def test_a_failed_row_is_kept_with_all_it_said() -> None:
    failure = RowFailure("broken", "in two", "raw text")
    failure.tries = (Tried(reason="empty"),)
    row = quarantined("s", "p", 3, failure)
    assert row == Quarantined(
        problem_id="p",
        sample=3,
        stage="s",
        reason="broken",
        detail="in two",
        raw="raw text",
        tries=(Tried(reason="empty"),),
    )
    assert all_tries(row) == (Tried(reason="empty"), Tried(reason="broken", detail="in two", raw="raw text"))
