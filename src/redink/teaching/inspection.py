"""The loop between teacher and inspector (SuperCorrect: at most three rounds), and the tries for each reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from redink.failures import RowFailure
from redink.markup import render_thought, render_trace
from redink.teaching.protocols import Inspection
from redink.types import Attempt, CorrectionTrace, Problem, Thought, Tried

T = TypeVar("T")
W = TypeVar("W", bound=Thought | CorrectionTrace | str)
Remarks = tuple[str, ...]

_NO_REASON = ("This was not accepted, and no reason was given: check every step and calculation again.",)
_NOT_THE_MODELS_FAULT = ("server_failed", "unreadable_reply")


@dataclass(frozen=True)
class Patience:
    """How much is done for one row: inspection rounds, and in each the tries for work and for a verdict of use."""

    rounds: int = 3
    tries: int = 3
    verdict_tries: int = 3

    def __post_init__(self) -> None:
        if min(self.rounds, self.tries, self.verdict_tries) < 1:
            raise ValueError(f"{self}: at least one of each is needed.")


@dataclass(frozen=True)
class Inspected(Generic[W]):
    """Accepted work, the number of rounds it took (from 1), and the tries before it, oldest first."""

    work: W
    rounds: int
    tries: tuple[Tried, ...] = ()


class NoInspector:
    """Accepts everything: for recipes that leave the inspection out."""

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        """Accept."""
        return Inspection(accepted=True)


async def uninspected(
    make: Callable[[Sequence[str]], Awaitable[W]], patience: Patience | None = None, before: Sequence[Tried] = ()
) -> W:
    """Work that nobody inspects, asked for again with the reason while that may help; raises as `inspected` does."""

    async def accept(work: W, remarks: Sequence[str]) -> Inspection:
        return Inspection(accepted=True)

    return (await inspected(make, accept, patience, before)).work


async def inspected(
    make: Callable[[Sequence[str]], Awaitable[W]],
    inspect: Callable[[W, Sequence[str]], Awaitable[Inspection]],
    patience: Patience | None = None,
    before: Sequence[Tried] = (),
) -> Inspected[W]:
    """Have work made, inspected and made anew with the inspector's remarks, until it is accepted.

    `make` and `inspect` are given the remarks to settle, none at first. A reply that cannot be used is asked for
    again within its round, with the reason beside the remarks that still stand. `before` are the failed tries of an
    earlier run at this row. No request is made twice: a greedy model would say the same again.

    Raises `RowFailure` 'not_accepted' (detail: the last remarks, raw: the last work), the failure of the last try
    for a usable reply, or at once one that another try cannot mend; each with the tries before it.
    """
    wanted, failed = patience or Patience(), list(before)
    try:
        return await _rounds(make, inspect, wanted, failed)
    except RowFailure as failure:
        failure.tries = tuple(failed)
        raise


async def _rounds(
    make: Callable[[Sequence[str]], Awaitable[W]],
    inspect: Callable[[W, Sequence[str]], Awaitable[Inspection]],
    patience: Patience,
    failed: list[Tried],
) -> Inspected[W]:
    remarks, asked = _opening(failed), set[Remarks]()
    for number in range(1, patience.rounds + 1):
        work = await _usable(make, remarks, patience.tries, failed, asked)
        inspection = await _inspection(work, inspect, patience.verdict_tries, failed)
        if inspection.accepted:
            return Inspected(work, number, tuple(failed))
        remarks = inspection.remarks or _NO_REASON
        refused = RowFailure("not_accepted", "; ".join(remarks), _render(work))
        if number < patience.rounds:
            failed.append(refused.as_tried())
    raise refused


async def _inspection(
    work: W, inspect: Callable[[W, Sequence[str]], Awaitable[Inspection]], tries: int, failed: list[Tried]
) -> Inspection:
    return await _usable(lambda remarks: inspect(work, remarks), (), tries, failed, set())


async def _usable(
    ask: Callable[[Sequence[str]], Awaitable[T]],
    remarks: Remarks,
    tries: int,
    failed: list[Tried],
    asked: set[Remarks],
) -> T:
    """What `ask` gives, asked again with the reason while that may help; failures but the last go into `failed`."""
    faults: Remarks = ()
    for _ in range(tries - 1):
        try:
            return await ask(_anew((*remarks, *faults), len(failed), asked))
        except RowFailure as failure:
            if not failure.remark:
                raise
            failed.append(failure.as_tried())
            faults = (failure.remark,)
    return await ask(_anew((*remarks, *faults), len(failed), asked))


def _anew(remarks: Remarks, failed: int, asked: set[Remarks]) -> Remarks:
    """The remarks, so that the request is none of those made before."""
    if remarks in asked:
        remarks = (*remarks, f"Replies so far that have not settled this: {failed}.")
    asked.add(remarks)
    return remarks


def _opening(failed: Sequence[Tried]) -> Remarks:
    """What is said of an earlier run at this row; nothing where only the server failed."""
    blamed = [tried for tried in failed if tried.reason not in _NOT_THE_MODELS_FAULT]
    if not blamed:
        return ()
    why = f"{blamed[-1].reason}: {blamed[-1].detail}" if blamed[-1].detail else blamed[-1].reason
    return (f"Earlier replies that could not be used: {len(blamed)}; the last because of {why}",)


def _render(work: Thought | CorrectionTrace | str) -> str:
    if isinstance(work, str):
        return work
    return render_thought(work) if isinstance(work, Thought) else render_trace(work)
