"""Sets of problems that share no question: drawn apart, refused when they overlap, known by a fingerprint."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence

from redink.failures import Failure
from redink.problems.questions import question_key
from redink.types import Problem

_REMEDY = "Draw both from one list with split_problems, or take the problem out of one of them."


def refuse_overlap(**sets: Sequence[Problem]) -> None:
    """Raise `Failure`, naming both sets and both ids, if a normalised question or an id stands in two sets."""
    questions: dict[str, tuple[str, str]] = {}
    ids: dict[str, str] = {}
    for name, problems in sets.items():
        for problem in problems:
            _refuse_id(ids.setdefault(problem.id, name), name, problem.id)
            first = questions.setdefault(question_key(problem.question), (name, problem.id))
            _refuse_question(first, (name, problem.id))


def _refuse_id(first: str, second: str, problem_id: str) -> None:
    if first != second:
        raise Failure(f"The sets {first!r} and {second!r} both hold the problem id {problem_id!r}.", _REMEDY)


def _refuse_question(first: tuple[str, str], second: tuple[str, str]) -> None:
    if first[0] != second[0]:
        raise Failure(
            f"The sets {first[0]!r} and {second[0]!r} share a question: {first[1]!r} and {second[1]!r}.",
            _REMEDY,
        )


def split_problems(problems: Sequence[Problem], sizes: Mapping[str, int], seed: int) -> dict[str, list[Problem]]:
    """Draw disjoint sets of the given sizes at random, the same for the same seed.

    Of problems with the same normalised question only the first is used, so duplicates never straddle sets.
    Raises `Failure` for a negative size, an id borne by two questions, or too few distinct questions.
    """
    if negative := [name for name, size in sizes.items() if size < 0]:
        raise Failure(f"The set {negative[0]!r} has a negative size ({sizes[negative[0]]}).", "Sizes start at 0.")
    distinct = _distinct(problems)
    if len(distinct) < sum(sizes.values()):
        asked = " + ".join(f"{size} {name}" for name, size in sizes.items())
        raise Failure(
            f"{asked} problems are asked for, but only {len(distinct)} of {len(problems)} are distinct questions.",
            "Ask for fewer, or raise the source's limit.",
        )
    random.Random(seed).shuffle(distinct)
    rest = iter(distinct)
    return {name: [next(rest) for _ in range(size)] for name, size in sizes.items()}


def _distinct(problems: Sequence[Problem]) -> list[Problem]:
    """The first problem of each normalised question, in order."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(question_key(problem.question), problem)
    bearers: dict[str, Problem] = {}
    for problem in first.values():
        if bearers.setdefault(problem.id, problem) is not problem:
            raise Failure(
                f"Two different questions bear the problem id {problem.id!r}.", "Give each problem an id of its own."
            )
    return list(first.values())


def fingerprint(problems: Sequence[Problem]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the rows, in their order: what a manifest names a set by."""
    digest = hashlib.sha256()
    for problem in problems:
        unused = {"entry"} if problem.entry is None else None
        digest.update(problem.model_dump_json(exclude=unused).encode() + b"\n")
    return digest.hexdigest()[:16]


def content_fingerprint(texts: Iterable[str]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the texts, whatever their order.

    The same set from a folder and from the hub, in another order and with other ids, has the same.
    """
    digests = sorted(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]
