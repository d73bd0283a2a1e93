"""Which answers to one problem are the same: what a majority vote counts, in bounded memory and time.

All right answers are one group. Others are first told apart by a key: the exact value of a number, else the squeezed
text. Then the most frequent groups of a problem are compared with each other, unless both are plain numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt

from redink.answers.checkers import Checker, ChoiceChecker, ExactChecker, MathChecker, NumericChecker
from redink.answers.numbers import read_exact, squeezed
from redink.progress import Advance, quiet
from redink.types import Problem

NO_ANSWER, RIGHT = -1, 0
"""The group of no answer, and that of every right one."""
COMPARED = 8
"""Groups of one problem that are compared with each other: the most frequent ones."""
KEPT = 64
"""Groups of one problem whose first answer is kept for that."""
LONGEST = 200
"""Characters of an answer that is compared; longer ones are told apart by their text alone."""
BATCH = 4096
_BY_VALUE = (MathChecker, NumericChecker)
_COMPARING = (MathChecker, NumericChecker, ExactChecker, ChoiceChecker)
Groups = npt.NDArray[np.int32]


class Answers:
    """The distinct answers to one problem that are not right, as they come; groups count from 1."""

    __slots__ = ("first", "groups")

    def __init__(self) -> None:
        self.groups: dict[str, int] = {}
        self.first: dict[int, str] = {}

    def group(self, answer: str, by_value: bool) -> int:
        """The group of an answer, a new one if there is none with its key."""
        key = answer_key(answer, by_value)
        known = self.groups.get(key)
        if known is not None:
            return known
        group = self.groups[key] = len(self.groups) + 1
        if group <= KEPT and len(answer) <= LONGEST:
            self.first[group] = answer
        return group


@lru_cache(maxsize=100_000)
def answer_key(answer: str, by_value: bool) -> str:
    """'=' and the exact value if it is a plain number, else the text without white space (a digest if it is long).

    >>> answer_key("1,200.50", True)
    '=2401/2'
    """
    found = read_exact(answer) if by_value else None
    if found is not None:
        return f"={found[0]}"
    text = squeezed(answer)
    if len(text) <= LONGEST:
        return text
    return "#" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def told_by_value(checker: Checker) -> bool:
    """Whether two writings of one number are the same answer to this checker."""
    return isinstance(checker, _BY_VALUE)


def join_same(
    problems: Sequence[Problem],
    answers: Sequence[Answers],
    groups: Groups,
    checker: Checker,
    advance: Advance = quiet,
) -> Groups:
    """The groups [problems, repeats], those that the checker finds the same joined; `answers` is one per problem.

    Of each problem the `COMPARED` most frequent groups are looked at, the more frequent (then the earlier) as gold; a
    group joins the most frequent one that it is the same as. Checkers of the user's and of reasoning_gym, which do not
    compare two answers, join nothing.
    """
    if not isinstance(checker, _COMPARING):
        return groups
    same: dict[int, dict[int, int]] = {}
    pairs = _pairs(answers, groups, told_by_value(checker))
    while batch := list(islice(pairs, BATCH)):
        golds = [problems[place].model_copy(update={"answer": answers[place].first[one]}) for place, one, _ in batch]
        verdicts = checker.compare_many([answers[place].first[other] for place, _, other in batch], golds)
        for (place, one, other), verdict in zip(batch, verdicts, strict=True):
            if verdict.right:
                found = same.setdefault(place, {})
                found.setdefault(other, found.get(one, one))
        advance(len(batch))
    joined = groups.copy()
    for place, targets in same.items():
        for other, one in targets.items():
            joined[place][groups[place] == other] = one
    return joined


def _pairs(answers: Sequence[Answers], groups: Groups, by_value: bool) -> Iterator[tuple[int, int, int]]:
    """(problem, more frequent group, other group) to be compared, the most frequent first."""
    for place, known in enumerate(answers):
        if len(known.first) > 1:
            for one, other in combinations(_frequent(known, groups[place]), 2):
                if not (by_value and _is_number(known.first[one]) and _is_number(known.first[other])):
                    yield place, one, other


def _frequent(known: Answers, groups: Groups) -> list[int]:
    counts = np.bincount(groups[groups > RIGHT], minlength=len(known.groups) + 1)
    return sorted(known.first, key=lambda group: (-counts[group], group))[:COMPARED]


@lru_cache(maxsize=100_000)
def _is_number(answer: str) -> bool:
    return read_exact(answer) is not None


def same_answers(
    pairs: Sequence[tuple[str | None, str | None]], problems: Sequence[Problem], checker: Checker
) -> list[bool]:
    """Whether the two answers of each pair are the same; `problems` is aligned. No answer is the same as no answer."""
    same = [_same_key(one, other, told_by_value(checker)) for one, other in pairs]
    if isinstance(checker, _COMPARING):
        asked = [place for place, found in enumerate(same) if found is None]
        golds = [problems[place].model_copy(update={"answer": pairs[place][0]}) for place in asked]
        verdicts = checker.compare_many([str(pairs[place][1]) for place in asked], golds)
        for place, verdict in zip(asked, verdicts, strict=True):
            same[place] = verdict.right
    return [bool(found) for found in same]


def _same_key(one: str | None, other: str | None, by_value: bool) -> bool | None:
    """Whether two answers have the same key; None where only a checker may tell."""
    if one is None or other is None:
        return one is other
    if answer_key(one, by_value) == answer_key(other, by_value):
        return True
    told = max(len(one), len(other)) > LONGEST or (by_value and _is_number(one) and _is_number(other))
    return False if told else None
