"""The loop between teacher and inspector (SuperCorrect: at most three rounds)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from redink.failures import MarkupFailure, RowFailure
from redink.markup import render_thought, render_trace
from redink.teaching.protocols import Inspection
from redink.types import Attempt, CorrectionTrace, Problem, Thought

W = TypeVar("W", bound=Thought | CorrectionTrace)

ROUNDS = 3
_NO_REASON = ("This was not accepted, and no reason was given: check every step and calculation again.",)


@dataclass(frozen=True)
class Inspected(Generic[W]):
    """Accepted work, and the number of rounds it took (from 1)."""

    work: W
    rounds: int


class NoInspector:
    """Accepts everything: for recipes that leave the inspection out."""

    async def inspect(
        self, problem: Problem, work: Thought | CorrectionTrace, attempt: Attempt | None = None
    ) -> Inspection:
        """Accept."""
        return Inspection(accepted=True)


async def inspected(
    make: Callable[[Sequence[str]], Awaitable[W]],
    inspect: Callable[[W], Awaitable[Inspection]],
    rounds: int = ROUNDS,
) -> Inspected[W]:
    """Have work made, inspected and made anew with the inspector's remarks, until it is accepted.

    `make` is given the remarks to settle, none at first. Work that cannot be read takes a round too, and the reason
    goes back beside the remarks that still stand.

    Raises `RowFailure` 'not_accepted' (detail: the last remarks, raw: the last work) or, if the last work could not
    be read, its `MarkupFailure`. Any other failure of `make` or `inspect` is passed on at once.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least one is needed.")
    remarks: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    for number in range(1, rounds + 1):
        try:
            work = await make((*remarks, *unread))
        except MarkupFailure as failure:
            if number == rounds:
                raise
            unread = (_as_remark(failure),)
            continue
        inspection = await inspect(work)
        if inspection.accepted:
            return Inspected(work, number)
        remarks, unread = inspection.remarks or _NO_REASON, ()
    raise RowFailure("not_accepted", "; ".join(remarks), _render(work))


def _as_remark(failure: MarkupFailure) -> str:
    return f"The reply could not be read ({failure}): keep to the tags asked for, and close each one."


def _render(work: Thought | CorrectionTrace) -> str:
    return render_thought(work) if isinstance(work, Thought) else render_trace(work)
