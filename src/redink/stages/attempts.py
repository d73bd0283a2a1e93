"""Problems → attempts: the student solves; wrong attempts are the error set (T_err, s_err, y_err)."""

from __future__ import annotations

from collections.abc import Sequence

from redink.answers.checkers import MATH, Checker, grade_by
from redink.markup import parse_steps
from redink.models.student import Completion, Request, Sampler, Sampling
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import not_made, set_aside
from redink.types import Attempt, Problem, Quarantined

STAGE = "attempts"


def attempt(
    problems: Sequence[Problem],
    student: Sampler,
    prompt: Prompt,
    sampling: Sampling,
    advance: Advance = quiet,
    checker: Checker = MATH,
) -> list[Attempt]:
    """Draw `sampling.samples` solutions per problem, grouped by problem, each with its verdict."""
    requests = [Request(prompt.render(question=problem.question)) for problem in problems]
    replies = student.generate(requests, sampling, advance)
    return [
        as_attempt(problem, sample, reply, checker)
        for problem, drawn in zip(problems, replies, strict=True)
        for sample, reply in enumerate(drawn)
    ]


def no_attempts(problem: Problem, why: str, samples: int = 1) -> list[Attempt]:
    """What stands for the solutions of a problem of which none could be drawn: ungradable, never wrong."""
    verdict = not_made(why)
    return [Attempt(problem_id=problem.id, sample=sample, text="", verdict=verdict) for sample in range(samples)]


def quarantined(problem: Problem, why: str, samples: int = 1) -> list[Quarantined]:
    """The same where the solutions are to be learnt from: set aside, with the question."""
    return set_aside(STAGE, problem.id, why, problem.question, range(samples))


def as_attempt(problem: Problem, sample: int, reply: Completion, checker: Checker = MATH) -> Attempt:
    """Read steps and answer out of a reply and grade it."""
    answer, verdict = grade_by(checker, reply.text, problem)
    return Attempt(
        problem_id=problem.id,
        sample=sample,
        text=reply.text.strip(),
        steps=parse_steps(reply.text),
        answer=answer,
        verdict=verdict,
        truncated=reply.truncated,
        tokens=reply.tokens,
    )
