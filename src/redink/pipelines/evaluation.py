"""Evaluate one student, or watch it solve one question: t1, then its own review at t2."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.panel import panel
from redink.models.student import Sampling, Student
from redink.pipelines.results import Results
from redink.progress import progress
from redink.prompts import Prompt, load_prompt
from redink.stages.attempts import attempt
from redink.stages.corrections import write_correction
from redink.stages.reviews import review
from redink.teaching.inspection import NoInspector
from redink.teaching.reference import ReferenceTeacher
from redink.types import Attempt, CorrectionRow, Problem, Quarantined, Rejected, Row


class Solved(Row):
    """One question as the student solved and reviewed it."""

    thought: str = Field(description="The reply at t1.")
    review: str = Field(description="The reply at t2.")
    answer_t1: str | None = Field(description="The answer at t1, if one could be extracted.")
    answer_t2: str | None = Field(description="The answer at t2, if one could be extracted.")


def evaluate_student(
    student: Student,
    problems: Sequence[Problem],
    *,
    prompt: str | None = None,
    correct: str | None = None,
    max_new_tokens: int = 1024,
    batch_rows: int = 32,
    seed: int = 0,
    checker: Checker = MATH,
) -> Results:
    """The panel of one student, greedy; the offline `reference` teacher locates the errors."""
    solving, correcting = prompts_for(student, prompt, correct)
    greedy = Sampling(max_new_tokens=max_new_tokens, batch_rows=batch_rows)
    with progress("solving", len(problems), "problems") as advance:
        attempts = attempt(problems, student, solving, greedy, advance, checker)
    with progress("reviewing", len(problems), "problems") as advance:
        reviews = review(problems, attempts, student, correcting, greedy, advance, checker)
    figures = panel(student.name, problems, attempts, reviews, _located(problems, attempts, checker))
    return Results(
        recipe="evaluate", student=student.name, seed=seed, problems=len(problems), panels=(figures,), counts=()
    )


def _located(problems: Sequence[Problem], attempts: Sequence[Attempt], checker: Checker) -> list[CorrectionRow]:
    teacher, inspector = ReferenceTeacher(), NoInspector()

    async def locate() -> list[CorrectionRow | Rejected | Quarantined]:
        wrong = [pair for pair in zip(problems, attempts, strict=True) if not pair[1].verdict.right]
        return [await write_correction(*pair, teacher, inspector, checker=checker) for pair in wrong]

    return [row for row in asyncio.run(locate()) if isinstance(row, CorrectionRow)]


def solve_question(
    student: Student,
    question: str,
    *,
    prompt: str | None = None,
    correct: str | None = None,
    max_new_tokens: int = 1024,
) -> Solved:
    """Let the student solve a question and review its own solution, greedily."""
    solving, correcting = prompts_for(student, prompt, correct)
    problem = Problem(id="question", question=question, answer="?")
    greedy = Sampling(max_new_tokens=max_new_tokens)
    first = attempt([problem], student, solving, greedy)[0]
    second = review([problem], [first], student, correcting, greedy)[0]
    return Solved(
        thought=first.text,
        review=second.text,
        answer_t1=first.answer,
        answer_t2=second.answer,
    )


def prompts_for(student: Student, prompt: str | None, correct: str | None) -> tuple[Prompt, Prompt]:
    """The prompts asked for; by default the compact ones for a student without a chat template."""
    compact = "" if student.tokenizer.chat_template else "compact/"
    return load_prompt(prompt or f"{compact}solve_hierarchical"), load_prompt(correct or f"{compact}correct")
