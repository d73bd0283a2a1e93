"""The data of SuperCorrect for any number of problems: attempts → errors → corrections → pairs, chunk by chunk.

What `redink run` does from the error set to D_corr (section 3.2), with memory that does not grow with the rows: chunk n
of every stage is made of chunk n of those before it (`stages/store.py`). A chunk that is there is not made again, so a
run that was cut off goes on; the seeds are those of `redink run`, one for each chunk.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from redink.answers.checkers import checker_of
from redink.answers.checking import forget
from redink.failures import BadInput, BadRecipe, Failure
from redink.models.shelf import Shelf, placed
from redink.models.student import Sampler, Sampling, derived_seed
from redink.pipelines.apart import Apart, fingerprint_of, key_of_question
from redink.pipelines.panels import Corrected
from redink.pipelines.spending import ledger_table, write_ledger
from redink.pipelines.staff import Staff, hire, journal_of
from redink.pipelines.workshop import about, first_wrong, numbered, sampling_by
from redink.problems.jsonl import Line, problem_of
from redink.progress import Advance, progress
from redink.prompts import load_prompt
from redink.recipe import Recipe
from redink.rows import parse_object, write_text
from redink.run import Run
from redink.stages.attempts import attempt, quarantined
from redink.stages.corrections import write_correction
from redink.stages.engine import Job
from redink.stages.flow import flow
from redink.stages.making import Making
from redink.stages.pairs import STEP_ENDS, error_pair, no_own_correction, own_corrections
from redink.stages.store import Index, Store, added, key_of, line_of, opened
from redink.teaching.recheck import results_only, with_checks
from redink.types import (
    Attempt,
    CorrectionRow,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    Rejected,
    Row,
    StageCounts,
)

R = TypeVar("R", bound=Row)
STAGES = ("problems", "attempts", "errors", "corrections", "own_corrections", "pairs")
FOLDER = "chunks"
SIZE = 1024
"""Problems per chunk."""
TAUGHT_AT_ONCE = 2
"""Chunks that a teacher works at: the second is begun before the last rows of the first have come."""
SIDES: dict[str, type[Row] | None] = {"": None, ".rejected": Rejected, ".quarantine": Quarantined}
"""The files of a stage in a plain run directory, and what is in them; None: accepted rows."""
HANDED_OUT = 32
"""Chunks that are handed to an engine at a time: a cluster's are in memory here until they are made."""
IN_EVALUATION = "in_evaluation"
Made = tuple[int, Sequence[Row]]
"""How many inputs a chunk has, and an outcome for each."""


class Taken(Row):
    """What a stream was made of: written once every problem is in its chunk."""

    sha256: str = Field(description="Of the file of problems.")
    lines: int = Field(ge=0, description="Its rows that are not blank.")
    chunks: int = Field(ge=0, description="Chunks of each stage.")
    size: int = Field(ge=1, description="Lines per chunk.")
    apart: tuple[str, ...] = Field((), description="Sources whose evaluation questions were left out.")
    apart_questions: str = Field("", description="Fingerprint of these questions.")


class Stream:
    """One run directory whose rows lie in chunks."""

    def __init__(self, run: Run[Recipe], solver: Sampler | None = None, apart: Apart | None = None) -> None:
        """`solver` stands in for the recipe's student, e.g. a scripted one; questions of `apart` are left out.

        Raises `BadRecipe` for switches of the recipe that are not streamed.
        """
        if run.recipe.method != "supercorrect" or run.recipe.rounds > 1 or run.recipe.pairs.confirmations:
            raise BadRecipe(
                "a stream makes the pairs of one round of SuperCorrect, without confirmations.",
                "Set method='supercorrect', rounds=1 and pairs.confirmations=0, or use `redink run`.",
            )
        self.run, self.recipe = run, run.recipe
        folder = run.path(FOLDER)
        self.problems = Store(folder, "problems", Problem)
        self.attempts = Store(folder, "attempts", Attempt)
        self.errors = Store(folder, "errors", Attempt)
        self.corrections = Store(folder, "corrections", CorrectionRow)
        self.own_corrections = Store(folder, "own_corrections", OwnCorrection)
        self.pairs = Store(folder, "pairs", PreferencePair)
        self.checker = checker_of(self.recipe.problems.checker)
        prompts = self.recipe.prompts
        self._ask, self._correct = load_prompt(prompts.solve), load_prompt(prompts.correct)
        self._given, self._shelf, self._apart = solver, Shelf(), apart

    def follow(self, problems: Path, until: str = "pairs", size: int = SIZE) -> list[StageCounts]:
        """Do every stage up to `until` (one of `STAGES`); returns their books.

        Raises `Failure` for a file of problems that cannot be read, or is another one than before.
        """
        taken = self.take(problems, size)
        makers = (self._attempts, self._errors, self._corrections, self._own_corrections, self._pairs)
        books = [self._book(self.problems, taken)]
        for stage, make in zip(STAGES[1:], makers, strict=True):
            if STAGES.index(stage) <= STAGES.index(until):
                books.append(make(taken))
        sets = {"problems": taken.sha256} | ({"apart_questions": taken.apart_questions} if taken.apart else {})
        self.run.write_manifest(sets, {name: self._seed(name) for name in STAGES[1:]})
        return books

    # ------------------------------------------------------------------ problems

    def take(self, problems: Path, size: int = SIZE) -> Taken:
        """Put the problems of a JSONL file (also .zst or .gz) into chunks, and file them by id.

        A line that is no problem is quarantined; a question that stands in an evaluation set is rejected. Raises
        `BadInput` for an id that stands twice or a file without a problem to use.
        """
        names = self._apart.names if self._apart else ()
        path, digest = self.run.path(f"{FOLDER}/problems.json"), _sha256(problems)
        if path.exists():
            taken = Taken.model_validate_json(path.read_text("utf-8"))
            if taken.sha256 != digest:
                raise Failure(f"{self.run.folder} was made of other problems.", "Choose another --name, or --fresh.")
            if taken.apart != names:
                raise Failure(
                    f"{self.run.folder} was kept apart from {', '.join(taken.apart) or 'no evaluation set'}, not from "
                    f"{', '.join(names) or 'none'}.", "Choose another --name, or --fresh.",
                )  # fmt: skip
            return taken
        taken = self._take(problems, size, digest)
        write_text(path, taken.model_dump_json() + "\n")
        return taken

    def _take(self, path: Path, size: int, digest: str) -> Taken:
        keys, chunks, lines, number = array("Q"), array("L"), 0, -1
        names, asked = (self._apart.names, self._apart.keys()) if self._apart else ((), frozenset())
        kept = 0
        with progress("problems", 0) as advance:
            for number, read in enumerate(_batched((_left_out(row, asked) for row in _read(path)), size)):
                kept += self.problems.write(number, len(read), read).accepted
                ids = [_id(row) for row in read if isinstance(row, Problem | Rejected)]
                keys.extend(map(key_of, ids))
                chunks.extend([number] * len(ids))
                lines += len(read)
                advance(len(read))
        if not kept:
            known = f" beside those of evaluation sets ({', '.join(names)})" if keys else ""
            raise BadInput(path, f"holds no problem{known}.", "Each line: a JSON object with question and answer.")
        index = Index.build(index_path(self.run.folder), np.array(keys, np.uint64), np.array(chunks, np.uint32))
        self._refuse_doubles(path, index)
        return Taken(
            sha256=digest, lines=lines, chunks=number + 1, size=size, apart=names, apart_questions=fingerprint_of(asked)
        )

    def _refuse_doubles(self, path: Path, index: Index) -> None:
        for first, second in index.shared():
            rows = (row for number in sorted({first, second}) for row in self.problems.outcomes(number))
            ids = [_id(row) for row in rows if isinstance(row, Problem | Rejected)]
            double = next((name for place, name in enumerate(ids) if name in set(ids[:place])), None)
            if double is not None:
                raise BadInput(path, f"the id {double!r} stands twice.", "Give each problem an id of its own.")

    # ------------------------------------------------------------------ the stages

    def _attempts(self, taken: Taken) -> StageCounts:
        wanted, ask, checker, solver = self.recipe.sampling, self._ask, self.checker, self._solver()
        sampling, samples = self._sampling("attempts", wanted.temperature), wanted.samples

        def make(rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
            drawn = attempt(rows, solver(), ask, numbered(sampling, number, samples), advance, checker)
            forget()
            return drawn

        making = Making("attempts", make, line_of, partial(quarantined, samples=samples))
        return self._sampled(self.attempts, taken, making, self.problems, self.problems.rows, samples)

    def _errors(self, taken: Taken) -> StageCounts:
        def make(number: int) -> Made:
            wrong = first_wrong(self.attempts.rows(number), self.recipe.pairs.per_problem)
            return len(wrong), wrong

        return self._made(self.errors, taken, make)

    def _corrections(self, taken: Taken) -> StageCounts:
        if all(number in self.corrections for number in range(taken.chunks)):
            return self._book(self.corrections, taken)
        staff = hire(self.recipe, journal_of(self.run.folder, self.recipe), self.checker, self.run.folder)
        try:
            return self.run.wait(self._taught(taken, staff))
        finally:
            if staff.desk:
                write_ledger(self.run.path("ledger.json"), staff.desk.ledger)
                self.run.console.print(ledger_table(staff.desk.ledger))
            staff.leave()

    async def _taught(self, taken: Taken, staff: Staff) -> StageCounts:
        store = self.corrections
        with progress(store.stage, self._total(self.errors, taken), note=staff.note(store.stage)) as advance:

            async def chunk(number: int) -> None:
                if number not in store:
                    store.write(number, *await self._corrected(number, staff))
                advance(store.books(number).inputs)

            async with staff.at(store.stage):
                await flow(range(taken.chunks), chunk, lambda number, _: None, TAUGHT_AT_ONCE)
        return self._book(store, taken)

    async def _corrected(self, number: int, staff: Staff) -> Made:
        wrong = self._shown(number)
        by_id = {problem.id: problem for problem in self.problems.rows(number)}
        found = dict[int, Row]()

        async def correct(place: int) -> Row:
            written = wrong[place]
            problem = by_id[written.problem_id]
            row = await write_correction(
                problem, written, staff.teacher, staff.inspector, staff.patience, (), self.checker
            )
            await staff.booked()
            return row

        await flow(range(len(wrong)), correct, found.__setitem__, staff.window)
        return len(wrong), [found[place] for place in range(len(wrong))]

    def _own_corrections(self, taken: Taken) -> StageCounts:
        prompt, solver = self._correct, self._solver()
        sampling = self._sampling("own_corrections", self.recipe.sampling.correction_temperature, STEP_ENDS)

        def make(rows: Sequence[Corrected], number: int, advance: Advance) -> Sequence[Row]:
            problems, written, shown = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
            return own_corrections(problems, written, shown, solver(), prompt, numbered(sampling, number), advance)

        making = Making("own_corrections", make, line_of, no_own_correction)
        return self._sampled(self.own_corrections, taken, making, self.corrections, self._corrected_rows)

    def _pairs(self, taken: Taken) -> StageCounts:
        def make(number: int) -> Made:
            own = {(row.problem_id, row.sample): row for row in self.own_corrections.rows(number)}
            rows = self._corrected_rows(number)
            return len(rows), [self._pair(*row, own.get((row[2].problem_id, row[2].sample))) for row in rows]

        return self._made(self.pairs, taken, make)

    def _pair(self, problem: Problem, written: Attempt, row: CorrectionRow, own: OwnCorrection | None) -> Row:
        if own is None:
            return Rejected(problem_id=row.problem_id, sample=row.sample, stage="pairs", reason="no_student_side")
        return error_pair(problem, written, row, own, self._correct)

    # ------------------------------------------------------------------ what they share

    def _sampled(
        self,
        store: Store[R],
        taken: Taken,
        making: Making,
        before: Store[Any],
        inputs: Callable[[int], Sequence[Any]],
        per_input: int = 1,
    ) -> StageCounts:
        """A stage of the student: its chunks that are not there yet, made by the engine, some at a time."""

        def keep(job: Job[Any], text: str) -> None:
            assert isinstance(job.key, int)
            store.write_text(job.key, job.units, text)

        def jobs(numbers: Iterable[int]) -> Iterator[Job[Any]]:
            for number in numbers:
                rows = inputs(number)
                yield Job(number, rows, len(rows) * per_input)

        open_ = [number for number in range(taken.chunks) if number not in store]
        done = sum(store.books(number).inputs for number in range(taken.chunks) if number in store)
        total = per_input * self._total(before, taken)
        with progress(store.stage, total, done=done) as advance:
            for start in range(0, len(open_), HANDED_OUT):
                self.run.engine.make(making, jobs(open_[start : start + HANDED_OUT]), keep, advance)
        return self._book(store, taken)

    def _made(self, store: Store[R], taken: Taken, make: Callable[[int], Made]) -> StageCounts:
        """A stage: its chunks that are not there yet, in order."""
        with progress(store.stage, taken.chunks, "chunks") as advance:
            for number in range(taken.chunks):
                if number not in store:
                    store.write(number, *make(number))
                advance()
        return self._book(store, taken)

    def _book(self, store: Store[R], taken: Taken) -> StageCounts:
        counts = added(store.stage, map(store.books, range(taken.chunks)))
        self.run.book(counts)
        return counts

    def _total(self, store: Store[R], taken: Taken) -> int:
        return sum(store.books(number).accepted for number in range(taken.chunks))

    def _shown(self, number: int) -> list[Attempt]:
        """The error set of a chunk as reviewers see it."""
        rows = self.errors.rows(number)
        return [results_only(row) for row in rows] if self.recipe.review.results_only else rows

    def _as_shown(self, number: int) -> list[CorrectionRow]:
        """The corrections of a chunk as the student learns them."""
        rows = self.corrections.rows(number)
        if not self.recipe.review.recheck:
            return rows
        return [row.model_copy(update={"trace": with_checks(row.trace)}) for row in rows]

    def _corrected_rows(self, number: int) -> list[Corrected]:
        """Problem, attempt and correction of each correction of a chunk."""
        corrections = self._as_shown(number)
        problems, written = about(corrections, self.problems.rows(number), self._shown(number))
        return list(zip(problems, written, corrections, strict=True))

    def _solver(self) -> Callable[[], Sampler]:
        """Whoever solves, in whichever process; a student is loaded there once."""
        given, shelf, name = self._given, self._shelf, placed(self.recipe.student)
        return lambda: given or shelf.student(name)

    def _seed(self, stage: str) -> int:
        return derived_seed(self.recipe.seed, stage)

    def _sampling(self, stage: str, temperature: float, stop: tuple[str, ...] = ("</Answer>",)) -> Sampling:
        return sampling_by(self.recipe.sampling, self._seed(stage), temperature, stop)


def stores(folder: Path) -> dict[str, Store[Any]]:
    """The stores of a run directory whose rows lie in chunks, by stage."""
    kinds = (Problem, Attempt, Attempt, CorrectionRow, OwnCorrection, PreferencePair)
    return {stage: Store(folder / FOLDER, stage, kind) for stage, kind in zip(STAGES, kinds, strict=True)}


def index_path(folder: Path) -> Path:
    """The index of a run directory whose rows lie in chunks."""
    return folder / FOLDER / "problems.index.npy"


def _left_out(row: Row, asked: frozenset[bytes]) -> Row:
    """A problem whose question is among those asked in evaluations becomes `Rejected`; every other row stays."""
    if asked and isinstance(row, Problem) and key_of_question(row.question) in asked:
        return Rejected(problem_id=row.id, stage="problems", reason=IN_EVALUATION)
    return row


def _id(row: Problem | Rejected) -> str:
    return row.id if isinstance(row, Problem) else row.problem_id


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise BadInput(path, "there is no such file.", "Check the path.") from None
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the file and its permissions.") from None


def _read(path: Path) -> Iterator[Problem | Quarantined]:
    """Each line that is not blank, as a problem or with the reason why it is none."""
    stem, count = path.name.split(".")[0], 0
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield _problem(path, number, raw, f"{stem}/{count}")
                count += 1


def _problem(path: Path, number: int, raw: bytes, default_id: str) -> Problem | Quarantined:
    try:
        return problem_of(Line(str(path), number, parse_object(path, number, raw)), default_id)
    except BadInput as failure:
        return Quarantined(
            problem_id=f"{path.name}:{number}", stage="problems", reason="no_problem", detail=failure.what,
            raw=raw.decode("utf-8", "replace").rstrip("\n"),
        )  # fmt: skip


def _batched(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, size)):
        yield batch
