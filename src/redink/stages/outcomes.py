"""What a stage makes of each input: a row, a stated reason to leave it out, or a quarantined row. Nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from redink.failures import RowFailure
from redink.types import Quarantined, Rejected, Row, StageCounts, Tried


def quarantined(stage: str, problem_id: str, sample: int, failure: RowFailure) -> Quarantined:
    """Keep a failed row with its reason, its raw text and the tries before it."""
    return Quarantined(
        problem_id=problem_id,
        sample=sample,
        stage=stage,
        reason=failure.reason,
        detail=failure.detail,
        raw=failure.raw,
        tries=failure.tries,
    )


def all_tries(row: Quarantined) -> tuple[Tried, ...]:
    """Every try at a quarantined row, oldest first."""
    return (*row.tries, Tried(reason=row.reason, detail=row.detail, raw=row.raw))


def tally(stage: str, inputs: int, outcomes: Iterable[Row]) -> StageCounts:
    """The books of a stage: one outcome per input.

    Raises `AssertionError` if they do not balance: that is a defect of ours, never of the data.
    """
    kinds: Counter[type[Row]] = Counter()
    reasons: Counter[str] = Counter()
    for row in outcomes:
        kinds[type(row)] += 1
        if isinstance(row, Rejected | Quarantined):
            reasons[row.reason] += 1
    rejected, held = kinds[Rejected], kinds[Quarantined]
    counts = StageCounts(
        stage=stage,
        inputs=inputs,
        accepted=kinds.total() - rejected - held,
        rejected=rejected,
        quarantined=held,
        reasons=dict(sorted(reasons.items())),
    )
    if not counts.balanced:
        raise AssertionError(f"{stage}: {counts.inputs} rows went in, {kinds.total()} came out")
    return counts
