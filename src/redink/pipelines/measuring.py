"""The commands around step errors, teachers and chains: what they read, whom they ask, where they keep it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redink.answers.checkers import checker_of
from redink.evaluation.chain_quality import ChainJudge
from redink.evaluation.labelled import golds_for
from redink.evaluation.step_judge import StepJudge
from redink.failures import BadInput, Failure
from redink.markup import render_thought
from redink.models.student import Sampling, Student, derived_seed
from redink.pipelines.chains import ChainsReport, evaluate_chains
from redink.pipelines.evaluation import prompts_for
from redink.pipelines.series import digest, weights_of
from redink.pipelines.staff import Desk, desk_for, hire, journal_of, teacher_name
from redink.pipelines.step_errors import (
    JudgeReviewer,
    ReferenceReviewer,
    Reviewer,
    StepResults,
    StudentReviewer,
    TeacherReviewer,
    evaluate_steps,
)
from redink.pipelines.teacher_quality import TeacherQuality, evaluate_teacher, thought_cases, trace_cases
from redink.problems import SetCheck, load_labelled, load_problems
from redink.problems.draw import Sizes, draw_sets
from redink.progress import progress
from redink.prompts import Prompt, load_prompt
from redink.recipe import Recipe, TeacherRecipe, load_recipe
from redink.rows import read_json_lines, read_rows
from redink.run import JOURNAL
from redink.stages.attempts import attempt
from redink.types import Problem, Row, ThoughtRow

R = TypeVar("R")
CHAIN_FIELDS = ("chain", "solution", "text", "reply")


@dataclass(frozen=True)
class Judging:
    """A chat model that judges: its name, server and the environment variable of its key; no name: nobody."""

    model: str = ""
    url: str = "https://api.openai.com/v1"
    key_name: str = "OPENAI_API_KEY"

    def desk(self, folder: Path) -> Desk:
        """Where it is asked; what is bought lies in the folder's journal."""
        folder.mkdir(parents=True, exist_ok=True)
        return desk_for(folder / JOURNAL, self.recipe)

    @property
    def recipe(self) -> TeacherRecipe:
        """As a recipe says it."""
        return TeacherRecipe(kind="openai", model=self.model, base_url=self.url, key_name=self.key_name)


@dataclass(frozen=True)
class StepQuestion:
    """Who is asked for the first wrong step, on which set."""

    labelled: str
    students: Sequence[str] = ()
    teacher: str = ""
    judging: Judging = Judging()
    golds: Sequence[str] = ()
    correct: str | None = None
    max_new_tokens: int = 1536
    batch_rows: int = 32


def steps(
    asked: StepQuestion, folder: Path, data_dir: Path | None = None, limit: int | None = None
) -> tuple[StepResults, SetCheck]:
    """Students, a teacher and a judge on a set of labelled solutions; markings and bought replies lie in `folder`.

    With `limit` so many of them, evenly spread. `teacher` is 'reference', or a recipe whose teacher is asked; it sees
    the gold solutions of the sources in `golds`.
    Raises `Failure` for what the user can mend.
    """
    checks: list[SetCheck] = []
    solutions = spread(load_labelled(asked.labelled, data_dir=data_dir, checks=checks), limit)
    known = [row for source in asked.golds for row in load_problems(source, data_dir=data_dir, split="test")]
    golds = golds_for(solutions, known)
    if asked.teacher and not golds:
        raise Failure(
            f"{asked.labelled}: no gold solution is known, so no teacher can review it.",
            "Name the set that its questions come from, such as --golds gsm8k.",
        )
    with _reviewers(asked, golds, folder) as reviewers:
        place = folder / "markings" / digest("\n".join(weights_of(name) for name in asked.students))[:8]
        return evaluate_steps(asked.labelled, solutions, reviewers, place), checks[0]


def spread(rows: Sequence[R], limit: int | None) -> list[R]:
    """At most so many rows, evenly spread: ProcessBench holds those with an error first.

    >>> spread("abcdefghij", 4)
    ['a', 'c', 'f', 'h']
    """
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


@contextmanager
def _reviewers(asked: StepQuestion, golds: dict[str, Problem], folder: Path) -> Iterator[list[Reviewer]]:
    found: list[Reviewer] = [_student_reviewer(name, asked) for name in asked.students]
    desks: list[Desk] = []
    try:
        if asked.judging.model:
            desks.append(asked.judging.desk(folder))
            judge = StepJudge(desks[-1].chat(asked.judging.recipe))
            found.append(JudgeReviewer(judge, golds, desks[-1].engine))
        if asked.teacher == "reference":
            found.append(ReferenceReviewer(golds))
        elif asked.teacher:
            found.append(_teacher_reviewer(asked.teacher, golds, folder, desks))
        yield found
    finally:
        for desk in desks:
            desk.journal.close()


def _student_reviewer(name: str, asked: StepQuestion) -> StudentReviewer:
    student = Student.load(name)
    prompt = prompts_for(student, None, asked.correct)[1]
    return StudentReviewer(student, prompt, Sampling(max_new_tokens=asked.max_new_tokens, batch_rows=asked.batch_rows))


def _teacher_reviewer(name: str, golds: dict[str, Problem], folder: Path, desks: list[Desk]) -> Reviewer:
    recipe = load_recipe(name)
    folder.mkdir(parents=True, exist_ok=True)
    staff = hire(recipe, folder / JOURNAL)
    if staff.desk is None:
        return TeacherReviewer(teacher_name(recipe), staff.teacher, golds, window=staff.window)
    desks.append(staff.desk)
    return TeacherReviewer(teacher_name(recipe), staff.teacher, golds, window=staff.window, within=staff.desk.engine)


def teacher(recipe: Recipe, folder: Path, data_dir: Path | None = None) -> TeacherQuality:
    """Table 5 for a recipe's teacher and inspector: thoughts on problems for D_sft, traces on its student's errors.

    Bought replies lie in the folder's journal. Raises `Failure` for what the user can mend.
    """
    wanted, sampling = recipe.problems, recipe.sampling
    checker = checker_of(wanted.checker, [*wanted.sources, *wanted.evaluation_sources])
    sizes = Sizes(wanted.thoughts, wanted.errors, 1)
    sets = draw_sets(wanted.sources, wanted.evaluation_sources, sizes, seed=recipe.seed, data_dir=data_dir)
    drawn = Sampling(
        temperature=sampling.temperature, top_p=sampling.top_p, max_new_tokens=sampling.max_new_tokens,
        seed=derived_seed(recipe.seed, "evaluate-teacher"), batch_rows=sampling.batch_rows,
    )  # fmt: skip
    with progress("the student solving", len(sets.errors), "problems") as advance:
        student, prompt = Student.load(recipe.student), load_prompt(recipe.prompts.base)
        attempts = attempt(sets.errors, student, prompt, drawn, advance, checker)
    folder.mkdir(parents=True, exist_ok=True)
    staff = hire(recipe, journal_of(folder, recipe), checker, folder)
    names = (teacher_name(recipe), recipe.inspector.model or recipe.inspector.kind)
    try:
        cases = [*thought_cases(sets.thoughts), *trace_cases(sets.errors, attempts)]
        return evaluate_teacher(staff, cases, names=names, checker=checker)
    finally:
        staff.leave()


def chains(
    paths: Sequence[Path],
    folder: Path,
    *,
    judging: Judging | None = None,
    rubric: str | None = None,
    student: str | None = None,
    prompt: str | None = None,
    limit: int | None = None,
) -> ChainsReport:
    """Length, a judge's marks and a student's perplexity of the chains of thought in some files or run directories.

    A file holds rows of `question` and one of `CHAIN_FIELDS`; of a run directory the accepted thoughts are taken.
    """
    reader = Student.load(student) if student else None
    asked = prompts_for(reader, prompt, None)[0] if reader else None
    desk = judging.desk(folder) if judging and judging.model else None
    judge = (
        ChainJudge(desk.chat(judging.recipe), rubric=load_prompt(rubric) if rubric else None)
        if desk and judging
        else None
    )
    found = []
    try:
        for path in paths:
            rows = read_chains(path)[:limit]
            questions, texts = [row.question for row in rows], [row.text for row in rows]
            found.append(
                (str(path), evaluate_chains(
                    str(path), questions, texts, judge=judge, student=reader, prompt=asked,
                    within=desk.engine if desk else None,
                ))
            )  # fmt: skip
    finally:
        if desk:
            desk.journal.close()
    return ChainsReport(
        quality=tuple(quality for _, (quality, _, _) in found),
        perplexity={name: read for name, (_, read, _) in found if read is not None},
    )


def solving_prompt(student: str, prompt: str | None) -> Prompt:
    """How a student is asked: as named, else as its kind is asked."""
    return load_prompt(prompt) if prompt else prompts_for(Student.load(student), None, None)[0]


class Chain(Row):
    """A question and a chain of thought about it."""

    question: str
    text: str


def read_chains(path: Path) -> list[Chain]:
    """The chains of a JSONL file, or the thoughts of a run directory; raises `BadInput` naming file and line."""
    if path.is_dir():
        asked = {row.id: row.question for row in read_rows(path / "problems.thoughts.jsonl", Problem)}
        thoughts = read_rows(path / "thoughts.jsonl", ThoughtRow)
        return [Chain(question=asked[row.problem_id], text=render_thought(row.thought)) for row in thoughts]
    return [_chain(path, number, fields) for number, fields in read_json_lines(path)]


def _chain(path: Path, number: int, fields: dict[str, object]) -> Chain:
    question = fields.get("question")
    text = next((fields[name] for name in CHAIN_FIELDS if fields.get(name) is not None), None)
    if not isinstance(question, str) or not isinstance(text, str):
        raise BadInput(
            path, "is no chain of thought.", f"Each line: question and one of {', '.join(CHAIN_FIELDS)}.", line=number
        )
    return Chain(question=question, text=text)
