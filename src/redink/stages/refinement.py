"""Teacher's chains and own errors → refined chains (ORION, refinement): reflect on the errors, rewrite the chain."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redink.answers.checkers import MATH, Checker, grade_by
from redink.failures import Unteachable
from redink.models.student import Completion, Request, Sampling, Student
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import set_aside
from redink.teaching.chains import rewritten
from redink.teaching.llm import listed_errors
from redink.types import ChainRow, ExposedError, LocatedError, Problem, Quarantined, RefinedChain, Rejected

STAGE, BEST = "refinement", "refined"
GRAM = 3
_REFLECTION = re.compile(r"<reflection>.*?(?:</reflection>|\Z)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class ToRefine:
    """A problem, the teacher's chain for it, and the student's own errors at it (there may be none)."""

    problem: Problem
    chain: ChainRow
    errors: tuple[ExposedError, ...] = ()


@dataclass(frozen=True)
class RefinePrompts:
    """How the student is asked: with its errors (question, chain, errors), and where there are none."""

    exposed: Prompt
    unexposed: Prompt

    def render(self, row: ToRefine) -> str:
        """The prompt for one chain."""
        given = {"question": row.problem.question, "chain": row.chain.text}
        if not row.errors:
            return self.unexposed.render(**given)
        return self.exposed.render(**given, errors=listed_errors([error.text for error in row.errors]))


def refine(
    rows: Sequence[ToRefine],
    student: Student,
    prompts: RefinePrompts,
    sampling: Sampling,
    max_similarity: float,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[RefinedChain | Rejected]:
    """`sampling.samples` rewritings of each chain by the student, grouped by chain; see `judged` for the outcomes."""
    replies = student.generate([Request(prompts.render(row)) for row in rows], sampling, advance)
    return [
        judged(row, reply, sample, max_similarity, checker)
        for row, drawn in zip(rows, replies, strict=True)
        for sample, reply in enumerate(drawn)
    ]


def no_refinements(row: ToRefine, why: str, samples: int) -> list[Quarantined]:
    """What stands for the rewritings of a chain of which none could be drawn: set aside, with the chain."""
    return set_aside(STAGE, row.problem.id, why, row.chain.text, range(samples))


def judged(
    row: ToRefine, reply: Completion, sample: int, max_similarity: float, checker: Checker = MATH
) -> RefinedChain | Rejected:
    """A rewriting that is right and no mere copy, or why it is left out.

    Reasons: 'truncated', 'empty', 'no_answer', 'answer_is_wrong', 'mere_copy' (more alike than `max_similarity`).
    """
    text = _REFLECTION.sub("", reply.text).strip()
    likeness = similarity(row.chain.text, text)
    reason = "truncated" if reply.truncated else _fault(row.problem, text, checker)
    if reason is None and likeness > max_similarity:
        reason = "mere_copy"
    if reason:
        return Rejected(problem_id=row.problem.id, sample=sample, stage=STAGE, reason=reason)
    shown = tuple(error.sample for error in row.errors)
    return RefinedChain(problem_id=row.problem.id, sample=sample, text=text, errors=shown, similarity=likeness)


def whole(text: str) -> Completion:
    """A text as a reply that came to its end."""
    return Completion(text, "end", 0)


def by_rule(
    row: ToRefine, errors: Sequence[LocatedError] | None, max_similarity: float, checker: Checker = MATH
) -> RefinedChain | Rejected:
    """A rewriting without any model (`teaching/chains.py:rewritten`), judged like others.

    `errors` are those that could be located in the student's attempts; None: there are none, or they are not reflected
    upon. Further reason: 'no_steps'.
    """
    try:
        text = rewritten(row.chain.text, errors)
    except Unteachable as failure:
        return Rejected(problem_id=row.problem.id, stage=STAGE, reason=failure.reason)
    return judged(row, whole(text), 0, max_similarity, checker)


def _fault(problem: Problem, text: str, checker: Checker) -> str | None:
    if not text:
        return "empty"
    answer, verdict = grade_by(checker, text, problem)
    if answer is None:
        return "no_answer"
    return None if verdict.right else "answer_is_wrong"


def similarity(one: str, other: str) -> float:
    """Dice's coefficient of the multisets of word trigrams, 2·|A ∩ B| / (|A| + |B|), from 0 to 1.

    Texts of fewer than three words are alike only if their words are the same.

    >>> similarity("a b c d", "a b c d"), similarity("a b c d", "a b c e"), similarity("a b", "a c")
    (1.0, 0.5, 0.0)
    """
    left, right = _grams(one), _grams(other)
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else float(one.split() == other.split())


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def best(
    rows: Sequence[ToRefine], refined: Sequence[RefinedChain], cost: Mapping[tuple[str, int], float | None]
) -> list[RefinedChain | Rejected]:
    """For each problem the rewriting of the least `cost` (perplexity by the student), or that the teacher's stands.

    A rewriting whose cost is not known is taken only where there is no other; a tie goes to the first try.
    """
    tries: dict[str, list[RefinedChain]] = {}
    for row in refined:
        tries.setdefault(row.problem_id, []).append(row)

    def surprise(row: RefinedChain) -> tuple[float, int]:
        known = cost.get((row.problem_id, row.sample))
        return (float("inf") if known is None else known, row.sample)

    return [
        min(tries[row.problem.id], key=surprise)
        if row.problem.id in tries
        else Rejected(problem_id=row.problem.id, stage=BEST, reason="teachers_chain_stands")
        for row in rows
    ]
