"""Compare an answer with the gold answer: exactly, then by structure, then (rarely) in a worker.

Every verdict is cached under (answer, gold, switches). Nothing here raises for any text, evaluates text as code, or
takes longer than the worker's limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from redink.answers.extraction import extract
from redink.answers.latex import TooLarge, Unreadable, Unsupported, clean
from redink.answers.numbers import read_exact, squeezed
from redink.answers.reading import Value, other_readings, plain, read
from redink.answers.structure import Comparer, Undecided
from redink.answers.switches import DEFAULT, Switches
from redink.answers.values import Undefined
from redink.answers.workers import METHOD, POOL, Starting
from redink.progress import Advance, quiet
from redink.types import Verdict

CACHED = 500_000
LONGEST_FOR_WORKER = 400
EVERY = 256


def grade(reply: str, gold: str, switches: Switches = DEFAULT) -> tuple[str | None, Verdict]:
    """Extract the answer of a reply and compare it with the gold answer."""
    answer = extract(reply, switches).answer
    if answer is None:
        return None, Verdict(outcome="ungradable", reason="no answer found", method="extract")
    return answer, compare(answer, gold, switches)


def compare(pred: str, gold: str, switches: Switches = DEFAULT) -> Verdict:
    """The verdict on `pred`; its outcome is the same with the two exchanged. Never raises for a text."""
    try:
        return _compare(pred, gold, switches)
    except Starting:
        return _ungradable("the worker has not started yet: warm_up() waits for it", METHOD)


def warm_up() -> bool:
    """Load sympy in a worker now (seconds), so that no verdict has to wait for it; whether that worked."""
    return POOL.warm_up()


@lru_cache(maxsize=CACHED)
def _compare(pred: str, gold: str, switches: Switches) -> Verdict:
    """Raises `Starting`, so that nothing is remembered of a pair whose worker was not there yet."""
    first, second = read_exact(pred), read_exact(gold)
    if first is not None and second is not None and (first[0] == second[0] or not (first[1] or second[1])):
        return _verdict(first[0] == second[0], "exact")
    if not pred.strip() or not gold.strip():
        return _ungradable("there is no answer" if not pred.strip() else "there is no gold answer", "empty")
    if squeezed(pred) == squeezed(gold):
        return _verdict(True, "same text")
    one, other = sorted((pred, gold))
    return _by_structure(one, other, switches)


async def compare_async(pred: str, gold: str, switches: Switches = DEFAULT) -> Verdict:
    """`compare` without blocking the event loop."""
    return await asyncio.to_thread(compare, pred, gold, switches)


def compare_many(
    pairs: Iterable[tuple[str, str]], switches: Switches = DEFAULT, advance: Advance = quiet
) -> list[Verdict]:
    """One verdict per (answer, gold), in order; `advance` is told of every `EVERY` pairs, and of the rest."""
    verdicts: list[Verdict] = []
    for pred, gold in pairs:
        verdicts.append(_patiently(pred, gold, switches))
        if len(verdicts) % EVERY == 0:
            advance(EVERY)
    advance(len(verdicts) % EVERY)
    return verdicts


def _patiently(pred: str, gold: str, switches: Switches) -> Verdict:
    """`compare`, waiting for the worker if it is only starting."""
    try:
        return _compare(pred, gold, switches)
    except Starting:
        warm_up()
        return compare(pred, gold, switches)


def _by_structure(one: str, other: str, switches: Switches) -> Verdict:
    """The verdict of our own reading; what it does not support goes to the worker."""
    try:
        if squeezed(plain(clean(one))) == squeezed(plain(clean(other))):
            return _verdict(True, "same text")
        return _verdict(_same(read(one), read(other), one, other, switches), "structure")
    except TooLarge as failure:
        return _ungradable(str(failure), "bounds")
    except Undecided as failure:
        return _ungradable(str(failure), "structure")
    except Unreadable as failure:
        return _by_worker(one, other, failure)
    except (Undefined, ArithmeticError, ValueError, RecursionError) as failure:
        return _ungradable(str(failure) or type(failure).__name__, "structure")


def _same(first: Value, second: Value, one: str, other: str, switches: Switches) -> bool:
    comparer = Comparer(switches)
    if comparer.same(first, second):
        return True
    if not switches.decimal_comma:
        return False
    return any(comparer.same(reading, second) for reading in other_readings(one)) or any(
        comparer.same(first, reading) for reading in other_readings(other)
    )


def _by_worker(one: str, other: str, failure: Unreadable) -> Verdict:
    """Only what is mathematics that our reader leaves out is worth a worker's time."""
    if not isinstance(failure, Unsupported) or max(len(one), len(other)) > LONGEST_FOR_WORKER:
        return _unread(one, other, failure)
    return POOL.look(clean(one), clean(other))


def _unread(one: str, other: str, failure: Unreadable) -> Verdict:
    """A text that has no reading, beside one that has: not the same, but no proof of it either."""
    return _ungradable(f"cannot be read: {failure}", "structure")


def _verdict(right: bool, method: str) -> Verdict:
    return Verdict(outcome="right" if right else "wrong", method=method)


def _ungradable(reason: str, method: str) -> Verdict:
    return Verdict(outcome="ungradable", reason=reason, method=method)
