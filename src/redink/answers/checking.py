"""Compare an answer with the gold answer: exactly, then by structure, then (rarely) in a worker.

Every verdict is cached under (answer, gold, switches). Nothing here raises for any text, evaluates text as code, or
takes longer than the worker's limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from redink.answers.extraction import extract
from redink.answers.latex import TooLarge, Undecided, Unreadable, Unsupported, clean
from redink.answers.numbers import read_exact, squeezed
from redink.answers.outside import Question, question
from redink.answers.reading import Value, common_logs, other_readings, plain, read
from redink.answers.structure import Comparer
from redink.answers.switches import DEFAULT, Switches
from redink.answers.values import Undefined
from redink.answers.workers import METHOD, POOL, Starting
from redink.progress import Advance, quiet
from redink.types import Outcome, Verdict

CACHED = 500_000
LONGEST_CACHED = 300
"""Characters of answer and gold together; longer pairs are rare, and would make the cache large."""
EVERY = 256
INTERNAL = "the checker failed"
"""What a reason begins with where the fault is ours: it costs that verdict only; the fuzz counts it."""


def grade(reply: str, gold: str, switches: Switches = DEFAULT) -> tuple[str | None, Verdict]:
    """Extract the answer of a reply and compare it with the gold answer."""
    answer = extract(reply, switches).answer
    if answer is None:
        return None, Verdict(outcome="ungradable", reason="no answer found", method="extract")
    return answer, compare(answer, gold, switches)


def compare(pred: str, gold: str, switches: Switches = DEFAULT) -> Verdict:
    """The verdict on `pred`; its outcome is the same with the two exchanged. Never raises for a text."""
    found = _look(pred, gold, switches)
    if isinstance(found, Verdict):
        return found
    try:
        return _asked(found)
    except Starting:
        return _ungradable("the worker has not started yet: warm_up() waits for it", METHOD)


def warm_up() -> bool:
    """Load sympy in a worker now (seconds), so that no verdict has to wait for it; whether that worked."""
    return POOL.warm_up()


def forget() -> None:
    """Let go of the verdicts that are remembered: of millions of different answers they would fill the memory."""
    _remembered_look.cache_clear()
    _asked.cache_clear()


def _look(pred: str, gold: str, switches: Switches) -> Verdict | Question:
    """The verdict of this process, or what to ask a worker."""
    look = _remembered_look if len(pred) + len(gold) <= LONGEST_CACHED else _new_look
    return look(pred, gold, switches)


def _new_look(pred: str, gold: str, switches: Switches) -> Verdict | Question:
    first, second = read_exact(pred), read_exact(gold)
    if first is not None and second is not None and (first[0] == second[0] or not (first[1] or second[1])):
        return _verdict(first[0] == second[0], "exact")
    if not pred.strip() or not gold.strip():
        return _ungradable("there is no answer" if not pred.strip() else "there is no gold answer", "empty")
    if squeezed(pred) == squeezed(gold):
        return _verdict(True, "same text")
    one, other = sorted((pred, gold))
    return _by_structure(one, other, switches)


_remembered_look = lru_cache(maxsize=CACHED)(_new_look)


@lru_cache(maxsize=CACHED)
def _asked(asked: Question) -> Verdict:
    """The worker's verdict; raises `Starting`, so that nothing is remembered of a worker that was not there yet."""
    return POOL.look(*asked)


async def compare_async(pred: str, gold: str, switches: Switches = DEFAULT) -> Verdict:
    """`compare` without blocking the event loop."""
    return await asyncio.to_thread(compare, pred, gold, switches)


def compare_many(
    pairs: Iterable[tuple[str, str]], switches: Switches = DEFAULT, advance: Advance = quiet
) -> list[Verdict]:
    """One verdict per (answer, gold), in order; `advance` is told of every `EVERY` pairs, and of the rest.

    What needs a worker is asked of all workers at once while the other pairs go on; each question once.
    """
    askers, tell = ThreadPoolExecutor(POOL.most, "redink-asker"), _Teller(advance)
    try:
        found = [tell.of(look) for look in _looks(pairs, switches, askers)]
        verdicts = [look if isinstance(look, Verdict) else tell.of(look.result()) for look in found]
    finally:
        askers.shutdown(cancel_futures=True)
    tell.rest()
    return verdicts


Told = TypeVar("Told", bound=Verdict | Future[Verdict])


class _Teller:
    """Tells of verdicts, `EVERY` at a time; promises of one do not count."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.untold = advance, 0

    def of(self, look: Told) -> Told:
        """The same, counted if it is a verdict."""
        self.untold += isinstance(look, Verdict)
        if self.untold == EVERY:
            self.rest()
        return look

    def rest(self) -> None:
        """Tell of what has not been told."""
        self.advance(self.untold)
        self.untold = 0


def _looks(
    pairs: Iterable[tuple[str, str]], switches: Switches, askers: ThreadPoolExecutor
) -> Iterator[Verdict | Future[Verdict]]:
    """The verdict on each pair, or the promise of one."""
    asked: dict[Question, Future[Verdict]] = {}
    for pred, gold in pairs:
        found = _look(pred, gold, switches)
        if isinstance(found, Question):
            if found not in asked:
                asked[found] = askers.submit(_patiently, found)
            yield asked[found]
        else:
            yield found


def _patiently(asked: Question) -> Verdict:
    """The worker's verdict, waiting for the worker if it is only starting."""
    try:
        return _asked(asked)
    except Starting:
        warm_up()
    try:
        return _asked(asked)
    except Starting:
        return _ungradable("the worker does not start", METHOD)


def _by_structure(one: str, other: str, switches: Switches) -> Verdict | Question:
    """The verdict of our own reading; what it does not support goes to the worker, if that may read it."""
    try:
        if squeezed(plain(clean(one))) == squeezed(plain(clean(other))):
            return _verdict(True, "same text")
        return _verdict(_same(read(one), read(other), one, other, switches), "structure")
    except (TooLarge, Undecided) as failure:
        return _ungradable(str(failure), "bounds" if isinstance(failure, TooLarge) else "structure")
    except Unreadable as failure:
        return _for_worker(one, other, failure)
    except (Undefined, ArithmeticError, ValueError, RecursionError) as failure:
        return _ungradable(str(failure) or type(failure).__name__, "structure")
    except Exception as failure:
        return _ungradable(f"{INTERNAL} ({type(failure).__name__})", "structure")


def _same(first: Value, second: Value, one: str, other: str, switches: Switches) -> bool:
    comparer = Comparer(switches)
    if comparer.same(first, second):
        return True
    if ("log" in one or "log" in other) and comparer.same(common_logs(first), common_logs(second)):
        raise Undecided("a logarithm without its base")
    if not switches.decimal_comma:
        return False
    return any(comparer.same(reading, second) for reading in other_readings(one)) or any(
        comparer.same(first, reading) for reading in other_readings(other)
    )


def _for_worker(one: str, other: str, failure: Unreadable) -> Verdict | Question:
    if not isinstance(failure, Unsupported):
        return _unread(failure)
    try:
        return question(one, other) or _unread(failure)
    except TooLarge as beyond:
        return _ungradable(str(beyond), "bounds")
    except (ArithmeticError, ValueError, RecursionError):
        return _unread(failure)
    except Exception as fault:
        return _ungradable(f"{INTERNAL} ({type(fault).__name__})", "structure")


def _unread(failure: Unreadable) -> Verdict:
    """A text that has no reading, beside one that has: not the same, but no proof of it either."""
    return _ungradable(f"cannot be read: {failure}", "structure")


def _verdict(right: bool, method: str) -> Verdict:
    return _made("right" if right else "wrong", "", method)


def _ungradable(reason: str, method: str) -> Verdict:
    return _made("ungradable", reason, method)


@lru_cache(maxsize=4096)
def _made(outcome: Outcome, reason: str, method: str) -> Verdict:
    return Verdict(outcome=outcome, reason=reason, method=method)
