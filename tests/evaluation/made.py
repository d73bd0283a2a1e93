"""Outcomes written by hand: a letter per attempt, one word per problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redink.evaluation.outcomes import Outcomes
from redink.types import Attempt, Outcome, Problem, Verdict

GROUPS = {"-": -1, "R": 0, "a": 1, "b": 2, "c": 3, "u": 4, "t": 5}
"""- no answer, R right, a b c other answers, u one that cannot be graded, t one of a reply that was cut."""


def outcomes(
    *words: str, model: str = "m", subjects: Sequence[str] = (), levels: Sequence[str | None] = (), tokens: int = 10
) -> Outcomes:
    """One word per problem, ids p0, p1, …"""
    letters = np.array([list(word) for word in words])
    return Outcomes(
        model=model,
        problem_ids=tuple(f"p{place}" for place in range(len(words))),
        subjects=tuple(subjects) or ("",) * len(words),
        levels=tuple(levels) or (None,) * len(words),
        ungradable=np.isin(letters, ["-", "u"]),
        no_answer=letters == "-",
        truncated=letters == "t",
        group=np.vectorize(GROUPS.__getitem__, otypes=[np.int32])(letters),
        tokens=np.full(letters.shape, tokens, np.int32),
    )


def problem(name: str, gold: str = "1", subject: str = "", level: str | None = None) -> Problem:
    return Problem(id=name, question=name, answer=gold, subject=subject, level=level)


def attempt(
    name: str, answer: str | None, outcome: Outcome, sample: int = 0, cut: bool = False, tokens: int = 7
) -> Attempt:
    return Attempt(
        problem_id=name, sample=sample, text=f"so {answer}", answer=answer, verdict=Verdict(outcome=outcome),
        truncated=cut, tokens=tokens,
    )  # fmt: skip


def never_called(answer: str, gold: str) -> bool:
    """A checker of the user's, which must not be asked whether two answers are the same."""
    raise AssertionError
