"""Reflexion-style prompting (arXiv 2303.11366) as a baseline: say what went wrong, then try again; nothing is trained.

No oracle says whether a solution is right: every one is reflected upon, as in self-correction at t2.
"""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker
from redink.models.student import Request, Sampling, Student
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.reviews import as_review
from redink.types import Attempt, Problem, Reflection, Review

Written = Attempt | Review


def reflect(
    problems: Sequence[Problem],
    written: Sequence[Written],
    student: Student,
    prompt: Prompt,
    sampling: Sampling,
    trial: int,
    advance: Advance = quiet,
) -> list[Reflection]:
    """One reflection on each solution (aligned with the problems)."""
    requests = [
        Request(prompt.render(question=problem.question, attempt=row.text))
        for problem, row in zip(problems, written, strict=True)
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        Reflection(
            problem_id=row.problem_id, sample=row.sample, trial=trial, text=drawn[0].text.strip(),
            truncated=drawn[0].truncated,
        )
        for row, drawn in zip(written, replies, strict=True)
    ]  # fmt: skip


def retry(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    memories: Sequence[Sequence[Reflection]],
    student: Student,
    prompt: Prompt,
    sampling: Sampling,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[Review]:
    """Another solution of each problem after its reflections so far, as the second answer (all aligned)."""
    requests = [
        Request(
            prompt.render(
                question=problem.question,
                attempt=row.text,
                reflections="\n".join(reflection.text for reflection in memory),
            )
        )
        for problem, row, memory in zip(problems, attempts, memories, strict=True)
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        as_review(problem, row, drawn[0], checker)
        for problem, row, drawn in zip(problems, attempts, replies, strict=True)
    ]
