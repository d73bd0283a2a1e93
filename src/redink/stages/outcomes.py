"""What a stage makes of each input: a row, a stated reason to leave it out, or a quarantined row. Nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

from redink.failures import RowFailure
from redink.rows import count_by
from redink.types import Quarantined, Rejected, Row, StageCounts


def quarantined(stage: str, problem_id: str, sample: int, failure: RowFailure) -> Quarantined:
    """Keep a failed row with its reason and raw text."""
    return Quarantined(
        problem_id=problem_id, sample=sample, stage=stage, reason=failure.reason, detail=failure.detail, raw=failure.raw
    )


def tally(stage: str, inputs: int, outcomes: Sequence[Row]) -> StageCounts:
    """The books of a stage: one outcome per input.

    Raises `AssertionError` if they do not balance: that is a defect of ours, never of the data.
    """
    rejected = [row for row in outcomes if isinstance(row, Rejected)]
    held = [row for row in outcomes if isinstance(row, Quarantined)]
    counts = StageCounts(
        stage=stage,
        inputs=inputs,
        accepted=len(outcomes) - len(rejected) - len(held),
        rejected=len(rejected),
        quarantined=len(held),
        reasons=count_by([row.reason for row in rejected] + [row.reason for row in held]),
    )
    if not counts.balanced:
        raise AssertionError(f"{stage}: {counts.inputs} rows went in, {len(outcomes)} came out")
    return counts
