"""Who finds the first wrong step: students, judges, teachers and dummies on labelled solutions (ProcessBench, …)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import Field

from redink.answers.checkers import MATH, Checker, grade_by
from redink.evaluation.labelled import (
    DUMMIES,
    LabelledFigures,
    Marking,
    clean_steps,
    labelled_figures,
    read_mark,
    shown,
    with_golds,
)
from redink.evaluation.step_errors import (
    JudgedReview,
    MendedAnswer,
    MendedAnswers,
    StepErrors,
    answers_given_location,
    as_problem,
    mendable,
    mended_answers,
    no_mended_answer,
)
from redink.evaluation.step_judge import StepJudge, judge_reviews, mark_solutions
from redink.failures import Failure, RowFailure, Unteachable
from redink.models.shelf import Shelf
from redink.models.student import Request, Sampling, Student
from redink.pipelines.series import weights_of
from redink.pipelines.staff import Open
from redink.pipelines.tables import Table, percent
from redink.progress import Advance, progress
from redink.prompts import Prompt
from redink.rows import write_rows
from redink.stages.chunks import chunk_path
from redink.stages.engine import LOCAL, Engine
from redink.stages.flow import flow
from redink.stages.making import not_made
from redink.stages.shards import MakeShard, Shards, SpoiledShard
from redink.teaching.protocols import Teacher
from redink.teaching.reference import first_wrong_step
from redink.types import Attempt, LabelledSolution, Problem, Review, Row

R = TypeVar("R", bound=Row)
STAGE = "evaluate-steps"
GIVEN = "given-location"


class Reviewer(Protocol):
    """Anyone who marks the first wrong step of solutions."""

    @property
    def name(self) -> str:
        """How results call it."""

    @property
    def identity(self) -> str:
        """Everything that its markings depend on besides the solutions."""

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """The solutions that it can review at all."""

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """One marking per solution, in their order."""


class JudgedModel(Row):
    """Table 6 of one model on one benchmark, by a judge."""

    model: str = Field(description="The model.")
    benchmark: str = Field(description="The set of problems.")
    wrong: int = Field(description="Its wrong solutions at t1, judged or not.")
    step_errors: StepErrors = Field(description="Of those that were judged.")


class JudgedCorrections(Row):
    """Table 6 of a run's models, by a judge."""

    run: str = Field(description="The run directory.")
    judge: str = Field(description="The chat model that judged.")
    limit: int | None = Field(None, description="At most so many wrong solutions of each model were judged.")
    models: tuple[JudgedModel, ...] = Field(description="One per model and benchmark.")


class StepResults(Row):
    """One set of labelled solutions, and how well each reviewer finds the steps that people marked."""

    set: str = Field(description="The set, e.g. 'processbench/gsm8k'.")
    solutions: int = Field(description="How many solutions.")
    with_error: int = Field(description="Those in which people marked a step.")
    figures: tuple[LabelledFigures, ...] = Field(description="One per reviewer.")
    given_location: dict[str, MendedAnswers] = Field(
        default_factory=dict, description="Students shown the true step, by name, where the set has gold answers."
    )


@dataclass(frozen=True)
class StudentReviewer:
    """A student with P_c: problem and solution, no gold solution; greedy unless `sampling` says otherwise."""

    student: Student
    prompt: Prompt
    sampling: Sampling = field(default_factory=lambda: Sampling(max_new_tokens=1536, batch_rows=32))
    label: str = ""

    @property
    def name(self) -> str:
        """What the user called the student."""
        return self.label or self.student.name

    @property
    def identity(self) -> str:
        """Student, its weights as they are now, prompt and sampling."""
        return f"{self.name}\n{weights_of(self.student.name)}\n{self.prompt.text}\n{self.sampling}"

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """All."""
        return list(solutions)

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """One review each."""
        return _reviewed(self.student, self.prompt, self.sampling, solutions, advance)

    @property
    def marking(self) -> MakeShard[LabelledSolution, Marking]:
        """`mark` for a shard; a worker elsewhere loads the student itself."""
        shelf, name, prompt, sampling = Shelf(self.student), self.student.name, self.prompt, self.sampling

        def make(rows: Sequence[LabelledSolution], _: str, chunk: int, advance: Advance) -> list[Marking]:
            return _reviewed(shelf.student(name), prompt, sampling, rows, advance)

        return make

    @property
    def mending(self) -> MakeShard[LabelledSolution, MendedAnswer]:
        """`answers_given_location` for a shard, likewise."""
        shelf, name, prompt, sampling = Shelf(self.student), self.student.name, self.prompt, self.sampling

        def make(rows: Sequence[LabelledSolution], _: str, chunk: int, advance: Advance) -> list[MendedAnswer]:
            return answers_given_location(rows, shelf.student(name), prompt, sampling, advance=advance)

        return make


def _reviewed(
    student: Student, prompt: Prompt, sampling: Sampling, solutions: Sequence[LabelledSolution], advance: Advance
) -> list[Marking]:
    requests = [Request(prompt.render(question=row.question, attempt=shown(row))) for row in solutions]
    replies = student.generate(requests, sampling, advance)
    markings = []
    for row, drawn in zip(solutions, replies, strict=True):
        step, readable = read_mark(drawn[0].text)
        markings.append(
            Marking(
                id=row.id, step=step, readable=readable, text=drawn[0].text, truncated=drawn[0].truncated,
                tokens=drawn[0].tokens,
            )
        )  # fmt: skip
    return markings


def unmarked(solution: LabelledSolution, why: str) -> list[Marking]:
    """What stands for the marking of a solution that a student could not be shown: unreadable, which is a miss."""
    return [Marking(id=solution.id, readable=False, text=not_made(why).reason)]


@dataclass(frozen=True)
class JudgeReviewer:
    """A chat model with the judge's prompt; it sees gold solutions where `golds` (by solution id) has them."""

    judge: StepJudge
    golds: Mapping[str, Problem] = field(default_factory=dict)
    within: Callable[[], Open] = nullcontext

    @property
    def name(self) -> str:
        """The model's name."""
        return self.judge.model.name

    @property
    def identity(self) -> str:
        """Model, prompt, settings and what it is shown."""
        shown_golds = sorted((name, problem.solution or "") for name, problem in self.golds.items())
        return f"{self.name}\n{self.judge.marking.text}\n{self.judge.settings}\n{shown_golds}"

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """All."""
        return list(solutions)

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """One judgment for each distinct solution."""
        references = {name: problem.solution or "" for name, problem in self.golds.items()}

        async def work() -> list[Marking]:
            async with self.within():
                return await mark_solutions(self.judge, solutions, references, advance)

        return asyncio.run(work())


@dataclass(frozen=True)
class TeacherReviewer:
    """A teacher's correction of each solution, whose gold solution it sees; solutions without one are left out."""

    name: str
    teacher: Teacher
    golds: Mapping[str, Problem]
    checker: Checker = MATH
    window: int = 32
    within: Callable[[], Open] = nullcontext

    @property
    def identity(self) -> str:
        """The teacher's name and the gold solutions."""
        return f"{self.name}\n{sorted((name, problem.solution or '') for name, problem in self.golds.items())}"

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """Those whose gold solution is known."""
        return with_golds(solutions, self.golds)[0]

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """One correction each; one that cannot be made or read is unreadable."""
        found: dict[str, Marking] = {}

        def settle(solution: LabelledSolution, marking: Marking) -> None:
            found[solution.id] = marking
            advance()

        async def work() -> None:
            async with self.within():
                await flow(solutions, self._marking, settle, self.window)

        asyncio.run(work())
        return [found[solution.id] for solution in solutions]

    async def _marking(self, solution: LabelledSolution) -> Marking:
        problem, text = self.golds[solution.id], shown(solution)
        answer, verdict = grade_by(self.checker, solution.steps[-1].text, problem)
        written = Attempt(problem_id=problem.id, text=text, steps=clean_steps(solution), answer=answer, verdict=verdict)
        try:
            error = (await self.teacher.correction(problem, written)).error
        except Unteachable as failure:
            return Marking(id=solution.id, readable=failure.reason == "unlocated", text=str(failure))
        except RowFailure as failure:
            return Marking(id=solution.id, readable=False, text=failure.raw or str(failure))
        return Marking(id=solution.id, step=error.step if error else None)


@dataclass(frozen=True)
class ReferenceReviewer:
    """The offline locating rule of the reference teacher (`first_wrong_step`), given the gold solution."""

    golds: Mapping[str, Problem]
    name: str = "reference"

    @property
    def identity(self) -> str:
        """The gold solutions."""
        return f"{self.name}\n{sorted((name, problem.solution or '') for name, problem in self.golds.items())}"

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """Those whose gold solution is known."""
        return with_golds(solutions, self.golds)[0]

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """By rule."""
        markings = []
        for solution in solutions:
            step = first_wrong_step(self.golds[solution.id], clean_steps(solution))
            markings.append(Marking(id=solution.id, step=step))
            advance()
        return markings


@dataclass(frozen=True)
class DummyReviewer:
    """A reviewer who reads nothing: 'always_right' or 'always_first'."""

    name: str

    @property
    def identity(self) -> str:
        """The name."""
        return self.name

    def kept(self, solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
        """All."""
        return list(solutions)

    def mark(self, solutions: Sequence[LabelledSolution], advance: Advance) -> list[Marking]:
        """By rule."""
        advance(len(solutions))
        return DUMMIES[self.name](solutions)


def evaluate_steps(
    name: str,
    solutions: Sequence[LabelledSolution],
    reviewers: Sequence[Reviewer],
    folder: Path | None = None,
    engine: Engine = LOCAL,
) -> StepResults:
    """The figures of every reviewer on one set, the dummies' for comparison where none is among them; shows progress.

    With `folder` markings are kept there (`marked`), and `engine` has students make theirs. Students are shown the true
    step too, where the set has gold answers. Raises `Failure` for an empty set and as the reviewers' models do.
    """
    if not solutions:
        raise Failure(f"{name}: there is no solution to review.", "Raise --limit.")
    dummies = [DummyReviewer(dummy) for dummy in DUMMIES if dummy not in {reviewer.name for reviewer in reviewers}]
    figures, given = [], {}
    for reviewer in (*reviewers, *dummies):
        kept = reviewer.kept(solutions)
        markings = marked(reviewer, kept, folder, engine)
        figures.append(labelled_figures(kept, markings, reviewer.name, left_out=len(solutions) - len(kept)))
        if isinstance(reviewer, StudentReviewer) and (rows := mendable(kept)):
            unaided = dict(zip(kept, markings, strict=True))
            given[reviewer.name] = _given_location(reviewer, rows, unaided, folder, engine)
    return StepResults(
        set=name,
        solutions=len(solutions),
        with_error=sum(solution.first_wrong is not None for solution in solutions),
        figures=tuple(figures),
        given_location=given,
    )


def marked(
    reviewer: Reviewer, solutions: Sequence[LabelledSolution], folder: Path | None = None, engine: Engine = LOCAL
) -> list[Marking]:
    """The reviewer's markings, written into `folder` too, under a name that tells reviewer and solutions.

    A student's are made by `engine` and kept chunk by chunk, and a later call goes on from them. All others' are made
    anew by each call and all at once, in one event loop: what a judge or a teacher says is bought once and kept by its
    journal, which alone knows what it depends on, and a call that failed for the server's sake is worth another try.
    """
    if not solutions:
        return []
    with progress(f"{reviewer.name} marking", len(solutions), "solutions") as advance:
        if folder is None:
            return reviewer.mark(solutions, advance)
        name = _slug(reviewer, solutions)
        if isinstance(reviewer, StudentReviewer):
            return _filled(folder, name, Marking, reviewer.marking, unmarked, solutions, engine, advance)
        markings = reviewer.mark(solutions, advance)
        write_rows(chunk_path(folder / name, 0), markings)
    return markings


def _filled(
    folder: Path,
    name: str,
    kind: type[R],
    make: MakeShard[LabelledSolution, R],
    spoiled: SpoiledShard[LabelledSolution, R],
    solutions: Sequence[LabelledSolution],
    engine: Engine,
    advance: Advance,
) -> list[R]:
    """A student's rows in `<folder>/<name>`, as far as they are not there."""
    shards = Shards(folder, kind, make, engine=engine, spoiled=spoiled)
    shards.fill([name], solutions, advance)
    return shards.rows(name, solutions)


def _slug(reviewer: Reviewer, solutions: Sequence[LabelledSolution], *, located: bool = False) -> str:
    """What tells rows of one reviewer on some solutions from others; with `located` it was shown the true steps."""
    unseen = {"answer_right"} if located else {"first_wrong", "answer_right"}
    contents = "\n".join(row.model_dump_json(exclude=unseen) for row in solutions)
    digest = hashlib.sha256(f"{reviewer.identity}\n{contents}".encode()).hexdigest()
    readable = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in reviewer.name)
    return f"{readable.strip('-.')[:40]}-{digest[:12]}"


def _given_location(
    reviewer: StudentReviewer,
    rows: Sequence[LabelledSolution],
    markings: Mapping[LabelledSolution, Marking],
    folder: Path | None,
    engine: Engine,
) -> MendedAnswers:
    with progress(f"{reviewer.name} mending", len(rows), "solutions") as advance:
        if folder is None:
            given = answers_given_location(rows, reviewer.student, reviewer.prompt, reviewer.sampling, advance=advance)
        else:
            place, name = folder / GIVEN, _slug(reviewer, rows, located=True)
            given = _filled(place, name, MendedAnswer, reviewer.mending, no_mended_answer, rows, engine, advance)
    unaided = [grade_by(MATH, markings[row].text, as_problem(row))[1] for row in rows]
    return mended_answers(given, unaided)


def judge_corrections(
    judge: StepJudge,
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    reviews: Sequence[Review],
    within: Callable[[], Open] = nullcontext,
    label: str = "",
) -> list[JudgedReview]:
    """What a judge says of a model's reviews of its wrong attempts (all aligned; right ones are left out).

    `judged_step_errors` makes table 6 of it. Shows progress under the judge's name and `label`.
    """
    wrong = [row for row in zip(problems, attempts, reviews, strict=True) if not row[1].verdict.right]
    asked, written, reviewed = ([row[0] for row in wrong], [row[1] for row in wrong], [row[2] for row in wrong])

    async def work(advance: Advance) -> list[JudgedReview]:
        async with within():
            return await judge_reviews(judge, asked, written, reviewed, advance)

    with progress(f"{judge.model.name} judging {label}".rstrip(), len(wrong), "solutions") as advance:
        return asyncio.run(work(advance))


def labelled_table(results: StepResults) -> Table:
    """One row per reviewer."""
    columns = (
        "reviewer",
        "F1",
        "exact, with error",
        "exact, without",
        "exact, all",
        "detected",
        "unreadable",
        "left out",
    )
    rows = tuple(
        (
            row.reviewer,
            *(percent(x) for x in (row.f1, row.exact_wrong, row.exact_right, row.exact, row.detected, row.unreadable)),
            str(row.left_out),
        )
        for row in results.figures
    )
    note = (
        f"%, [95 %]; n = {results.solutions}, of them {results.with_error} with a wrong step. F1 is ProcessBench's: "
        "the harmonic mean of exact hits with and without error; 'exact, all' is BIG-Bench-Mistake's. Unreadable "
        "replies count as misses. Solutions left out have no known gold solution."
    )
    return Table(title=f"First wrong steps that people marked: {results.set}", columns=columns, rows=rows, note=note)


def given_location_table(results: StepResults) -> Table:
    """One row per student that was shown the true first wrong step."""
    rows = tuple(
        (name, percent(row.given), percent(row.unaided), str(row.ungradable), str(row.truncated))
        for name, row in results.given_location.items()
    )
    count = next((row.given.n for row in results.given_location.values()), 0)
    return Table(
        title=f"Right answers after review, given the true first wrong step: {results.set}",
        columns=("student", "location given", "unaided", "ungradable", "truncated"),
        rows=rows,
        note=f"%, [95 %]; n = {count} solutions with a marked step and a wrong answer. Greedy.",
    )


def corrections_tables(results: JudgedCorrections) -> list[Table]:
    """One table per benchmark."""
    some = f"; at most {results.limit} wrong solutions of each model" if results.limit else ""
    return [
        step_errors_table(
            f"{name}: wrong steps located and corrected, by the judge {results.judge}{some}",
            {row.model: row.step_errors for row in results.models if row.benchmark == name},
        )
        for name in dict.fromkeys(row.benchmark for row in results.models)
    ]


def step_errors_table(title: str, results: Mapping[str, StepErrors]) -> Table:
    """Table 6: one row per model, by name."""
    rows = tuple(
        (
            name,
            str(row.wrong),
            str(row.locate.n),
            *(percent(x) for x in (row.locate, row.correct, row.correct_located)),
            *(str(count) for count in (row.unlocated, row.unjudged, row.unsure)),
        )
        for name, row in results.items()
    )
    truths = ", ".join(sorted({row.truth for row in results.values()})) or "nobody"
    return Table(
        title=title,
        columns=(
            "model", "wrong", "n", "locate", "correct", "correct | located", "unlocated", "unjudged", "unsure",
        ),
        rows=rows,
        note=f"%, [95 %: Wilson]; the first wrong step k by {truths}. n: wrong solutions that have one; locate: "
        "the review marks k; correct: and its correction is right. In no figure: unlocated, where every step is found "
        "right, and unjudged, where no judgment could be read. Unsure: corrections not judged, in locate alone.",
    )  # fmt: skip
