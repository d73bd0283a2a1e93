"""Compare an answer with the gold answer: exactly where both are plain numbers, by math-verify elsewhere."""

from __future__ import annotations

import threading
from functools import lru_cache

from redink.answers.extraction import extract
from redink.answers.numbers import read_number, squeezed
from redink.types import Verdict

LONGEST = 400
TIMEOUT_S = 5


def grade(reply: str, gold: str) -> tuple[str | None, Verdict]:
    """Extract the answer of a reply and compare it with the gold answer."""
    answer = extract(reply)
    if answer is None:
        return None, Verdict(outcome="ungradable", reason="no answer found", method="extract")
    return answer, compare(answer, gold)


@lru_cache(maxsize=100_000)
def compare(answer: str, gold: str) -> Verdict:
    """The verdict on `answer`; symmetric on plain numbers and on texts that are equal but for white space."""
    first, second = read_number(answer), read_number(gold)
    if first is not None and second is not None:
        return _verdict(first == second, "exact")
    if squeezed(answer) == squeezed(gold):
        return _verdict(True, "same text")
    if len(answer) > LONGEST:
        return Verdict(outcome="ungradable", reason=f"longer than {LONGEST} characters", method="length")
    return _by_math_verify(answer, gold)


def _verdict(right: bool, method: str) -> Verdict:
    return Verdict(outcome="right" if right else "wrong", method=method)


def _by_math_verify(answer: str, gold: str) -> Verdict:
    """math-verify bounds its own time by SIGALRM, which only the main thread can use."""
    from math_verify import parse, verify

    timeout = TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
    try:
        target = parse(_boxed(gold), parsing_timeout=timeout)
        given = parse(_boxed(answer), parsing_timeout=timeout)
        right = bool(verify(target, given, timeout_seconds=timeout))
    except Exception as failure:
        return Verdict(outcome="ungradable", reason=type(failure).__name__, method="math_verify")
    if not given:
        return Verdict(outcome="ungradable", reason="cannot be read", method="math_verify")
    return _verdict(right, "math_verify")


def _boxed(text: str) -> str:
    return text if "\\boxed" in text else f"$\\boxed{{{text}}}$"
