"""The commands around step errors, teachers and chains: what they read, whom they ask, where they keep it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from redink.answers.checkers import Checker, checker_of
from redink.evaluation.chain_quality import ChainJudge
from redink.evaluation.labelled import golds_for
from redink.evaluation.step_errors import judged_step_errors
from redink.evaluation.step_judge import StepJudge
from redink.evaluation.teacher_quality import ARMS, Case, Kind, Piece
from redink.failures import BadInput, Failure
from redink.markup import render_thought
from redink.models.shelf import placed
from redink.models.student import Sampling, Student, derived_seed
from redink.pipelines.chains import ChainsReport, evaluate_chains
from redink.pipelines.evaluation import prompts_for
from redink.pipelines.measured import Measured, measured, of_name
from redink.pipelines.staff import Desk, Staff, desk_for, hire, journal_of, teacher_name
from redink.pipelines.step_errors import (
    STAGE,
    JudgedCorrections,
    JudgedModel,
    JudgeReviewer,
    ReferenceReviewer,
    Reviewer,
    StepResults,
    StudentReviewer,
    TeacherReviewer,
    evaluate_steps,
    judge_corrections,
)
from redink.pipelines.teacher_quality import (
    TeacherQuality,
    evaluate_teacher,
    strict_check,
    teacher_pieces,
    thought_cases,
    trace_cases,
)
from redink.problems import SetCheck, load_labelled, load_problems
from redink.problems.draw import Sizes, draw_sets
from redink.progress import progress
from redink.prompts import Prompt, load_prompt
from redink.recipe import Recipe, TeacherRecipe, load_recipe
from redink.rows import read_json_lines, read_rows, slug, write_rows
from redink.run import JOURNAL
from redink.stages.attempts import attempt
from redink.stages.engine import EngineSettings
from redink.stages.engines import engine_of
from redink.types import ChainRow, Problem, Row, ThoughtRow

R = TypeVar("R")
RUN_FILES = ("thoughts.jsonl", "learned.jsonl", "long_chains.jsonl", "plain_chains.jsonl")
CORRECTIONS, CHAINS = "evaluate-corrections", "evaluate-chains"
CHAIN_FIELDS = ("chain", "solution", "text", "reply")


@dataclass(frozen=True)
class Judging:
    """A chat model that judges: its name, server and the environment variable of its key; no name: nobody."""

    model: str = ""
    url: str = "https://api.openai.com/v1"
    key_name: str = "OPENAI_API_KEY"

    @contextmanager
    def desk(self, folder: Path) -> Iterator[Desk]:
        """Where it is asked; what is bought lies in the folder's journal, and what it cost in its `ledger.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        with desk_for(folder / JOURNAL, self.recipe).kept(folder) as desk:
            yield desk

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
    asked: StepQuestion,
    folder: Path,
    data_dir: Path | None = None,
    limit: int | None = None,
    engine: EngineSettings | None = None,
) -> tuple[StepResults, SetCheck]:
    """Students, a teacher and a judge on a set of labelled solutions; markings and bought replies lie in `folder`.

    With `limit` so many of them, evenly spread. `engine` says who makes what students write (None: this process).
    `teacher` is 'reference', or a recipe whose teacher is asked; it sees the gold solutions of the sources in `golds`.
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
    with closing(engine_of(engine or EngineSettings())) as makes, _reviewers(asked, golds, folder) as reviewers:
        return evaluate_steps(asked.labelled, solutions, reviewers, folder / "markings", makes), checks[0]


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
    with ExitStack() as stack:
        if asked.judging.model:
            desk = stack.enter_context(asked.judging.desk(folder))
            found.append(JudgeReviewer(StepJudge(desk.chat(asked.judging.recipe)), golds, partial(desk.at, STAGE)))
        if asked.teacher == "reference":
            found.append(ReferenceReviewer(golds))
        elif asked.teacher:
            found.append(_teacher_reviewer(asked.teacher, golds, folder / "teacher", stack))
        yield found


def _student_reviewer(name: str, asked: StepQuestion) -> StudentReviewer:
    student = Student.load(placed(name))
    prompt = prompts_for(student, None, asked.correct)[1]
    sampling = Sampling(max_new_tokens=asked.max_new_tokens, batch_rows=asked.batch_rows)
    return StudentReviewer(student, prompt, sampling, label=name)


def _teacher_reviewer(name: str, golds: dict[str, Problem], folder: Path, stack: ExitStack) -> Reviewer:
    """Its journal and ledger are its own, apart from the judge's."""
    recipe = load_recipe(name)
    folder.mkdir(parents=True, exist_ok=True)
    staff = hire(recipe, folder / JOURNAL)
    if staff.desk:
        stack.enter_context(staff.desk.kept(folder))
    within = partial(staff.at, STAGE)
    return TeacherReviewer(teacher_name(recipe), staff.teacher, golds, window=staff.window, within=within)


def corrections(
    run: Path, folder: Path, judging: Judging, models: Sequence[str] = (), limit: int | None = None
) -> JudgedCorrections:
    """Table 6 by a judge, of the models of a run directory (all, or those named), from its attempts and reviews.

    With `limit` at most so many wrong solutions of each model, evenly spread. Bought judgments lie in the folder's
    journal; what was said of each review is written to `judgments/`. Raises `Failure` for what the user can mend.
    """
    found = measured(run)
    for name in models:
        of_name(run, found, name)
    chosen = [each for each in found if not models or each.model in models]
    with judging.desk(folder) as desk:
        judge = StepJudge(desk.chat(judging.recipe))
        place = folder / "judgments" / slug(str(run))
        rows = tuple(_judged_model(judge, desk, each, limit, place) for each in chosen)
    return JudgedCorrections(run=str(run), judge=judging.model, limit=limit, models=rows)


def _judged_model(judge: StepJudge, desk: Desk, each: Measured, limit: int | None, place: Path) -> JudgedModel:
    rows = zip(each.problems, *each.greedy(), strict=True)
    wrong = [row for row in rows if not row[1].verdict.right]
    some = spread(wrong, limit)
    judged = judge_corrections(
        judge, [row[0] for row in some], [row[1] for row in some], [row[2] for row in some],
        partial(desk.at, CORRECTIONS), f"{each.benchmark}, {each.model}",
    )  # fmt: skip
    write_rows(place / slug(each.benchmark) / f"{slug(each.model)}.jsonl", judged)
    figures = judged_step_errors(judged, judge.model.name)
    return JudgedModel(model=each.model, benchmark=each.benchmark, wrong=len(wrong), step_errors=figures)


def teacher(recipe: Recipe, folder: Path, data_dir: Path | None = None) -> TeacherQuality:
    """Table 5 for a recipe's teacher and inspector: thoughts on problems for D_sft, traces on its student's errors.

    Bought replies lie in the folder's journal. Raises `Failure` for what the user can mend.
    """
    names = (teacher_name(recipe), recipe.inspector.model or recipe.inspector.kind)
    with _teaching(recipe, folder, data_dir) as (staff, cases, checker):
        return evaluate_teacher(staff, cases, names=names, checker=checker)


def teacher_quality_rows(recipe: Recipe, folder: Path, data_dir: Path | None = None) -> dict[Kind, list[Piece]]:
    """What table 5 rests on: each piece of work of the teacher, by kind of work, case by case in the three arms."""
    with _teaching(recipe, folder, data_dir) as (staff, cases, checker):
        pieces = teacher_pieces(staff, cases, strict_check(staff)[0], checker)
    rows: dict[Kind, list[Piece]] = {"thoughts": [], "traces": []}
    for place, case in enumerate(cases):
        rows["traces" if case.attempt else "thoughts"] += [pieces[place, arm] for arm in ARMS]
    return rows


@contextmanager
def _teaching(recipe: Recipe, folder: Path, data_dir: Path | None) -> Iterator[tuple[Staff, list[Case], Checker]]:
    """A recipe's teacher and inspector, what they are asked for, and who says what is right."""
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
    with staff.desk.kept(folder) if staff.desk else nullcontext():
        yield staff, [*thought_cases(sets.thoughts), *trace_cases(sets.errors, attempts)], checker


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

    A file holds rows of `question` and one of `CHAIN_FIELDS`; of a run directory `read_chains` takes what it teaches.
    """
    sets = [(str(path), read_chains(path)[:limit]) for path in paths]
    reader = Student.load(student) if student else None
    asked = prompts_for(reader, prompt, None)[0] if reader else None
    found = []
    with judging.desk(folder) if judging and judging.model else nullcontext() as desk:
        judge = _chain_judge(desk, judging, rubric) if desk and judging else None
        within = partial(desk.at, CHAINS) if desk else nullcontext
        for name, rows in sets:
            questions, texts = [row.question for row in rows], [row.text for row in rows]
            made = evaluate_chains(name, questions, texts, judge=judge, student=reader, prompt=asked, within=within)
            found.append((name, made))
    return ChainsReport(
        quality=tuple(quality for _, (quality, _, _) in found),
        perplexity={name: read for name, (_, read, _) in found if read is not None},
    )


def _chain_judge(desk: Desk, judging: Judging, rubric: str | None) -> ChainJudge:
    return ChainJudge(desk.chat(judging.recipe), rubric=load_prompt(rubric) if rubric else None)


def solving_prompt(student: str, prompt: str | None) -> Prompt:
    """How a student is asked: as named, else as its kind is asked."""
    return load_prompt(prompt) if prompt else prompts_for(Student.load(student), None, None)[0]


class Chain(Row):
    """A question and a chain of thought about it."""

    question: str
    text: str


def read_chains(path: Path) -> list[Chain]:
    """The chains of a JSONL file, or what a run directory teaches; raises `BadInput` naming file and line.

    That is its thoughts, else the chains it learns, else the teacher's; each of these files may be named by itself.
    """
    if path.is_dir():
        path = next((path / name for name in RUN_FILES if (path / name).exists()), path / RUN_FILES[0])
    problems = path.parent / "problems.thoughts.jsonl"
    if path.name in RUN_FILES and problems.exists():
        asked = {row.id: row.question for row in read_rows(problems, Problem)}
        return [Chain(question=asked[name], text=text) for name, text in _taught(path)]
    return [_chain(path, number, fields) for number, fields in read_json_lines(path)]


def _taught(path: Path) -> list[tuple[str, str]]:
    """Problem and text of each thought or chain in a file of a run."""
    if path.name == RUN_FILES[0]:
        return [(row.problem_id, render_thought(row.thought)) for row in read_rows(path, ThoughtRow)]
    return [(row.problem_id, row.text) for row in read_rows(path, ChainRow)]


def _chain(path: Path, number: int, fields: dict[str, object]) -> Chain:
    question = fields.get("question")
    text = next((fields[name] for name in CHAIN_FIELDS if fields.get(name) is not None), None)
    if not isinstance(question, str) or not isinstance(text, str):
        raise BadInput(
            path, "is no chain of thought.", f"Each line: question and one of {', '.join(CHAIN_FIELDS)}.", line=number
        )
    return Chain(question=question, text=text)
