"""Attempts → reviews: the student looks over its own solution without the gold solution (P_c), whole (t2)."""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker, grade_by
from redink.failures import MarkupFailure
from redink.markup import parse_trace
from redink.models.student import Completion, Request, Sampling, Student
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import not_made
from redink.types import Attempt, LocatedError, Problem, Review


def review(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    student: Student,
    prompt: Prompt,
    sampling: Sampling,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[Review]:
    """`sampling.samples` reviews of each attempt (problems and attempts aligned), grouped by attempt."""
    requests = [
        Request(correction_prompt(prompt, problem, written))
        for problem, written in zip(problems, attempts, strict=True)
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        as_review(problem, written, reply, checker)
        for problem, written, drawn in zip(problems, attempts, replies, strict=True)
        for reply in drawn
    ]


def no_reviews(about: tuple[Problem, Attempt], why: str, samples: int = 1) -> list[Review]:
    """What stands for the reviews of an attempt of which none could be drawn: ungradable, never wrong."""
    problem, written = about
    row = Review(problem_id=problem.id, sample=written.sample, text="", verdict=not_made(why))
    return [row] * samples


def correction_prompt(prompt: Prompt, problem: Problem, written: Attempt) -> str:
    """P_c filled in: problem and the student's own solution, no gold solution."""
    return prompt.render(question=problem.question, attempt=written.text)


def as_review(problem: Problem, written: Attempt, reply: Completion, checker: Checker = MATH) -> Review:
    """Read the marked error and the answer out of a review and grade the answer."""
    answer, verdict = grade_by(checker, reply.text, problem)
    return Review(
        problem_id=problem.id,
        sample=written.sample,
        text=reply.text,
        error=_marked(reply.text),
        answer=answer,
        verdict=verdict,
        truncated=reply.truncated,
        tokens=reply.tokens,
    )


def _marked(text: str) -> LocatedError | None:
    try:
        return parse_trace(text).error
    except MarkupFailure:
        return None
