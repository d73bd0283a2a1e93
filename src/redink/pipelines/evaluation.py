"""Evaluate students on benchmarks: t1 and t2, step errors, repeats; or watch one student solve one question.

The solutions of a student to a benchmark lie in `<run>/attempts/<benchmark>/<student>/<pass>/<chunk>.jsonl`, its
reviews in `<run>/reviews/…`; what lies there is never sampled again, and every figure is computed from it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from redink.answers.checkers import MATH, NO_ANSWER, Checker, checker_of
from redink.evaluation.panel import Panel, panel
from redink.evaluation.perplexity import ChainScore, Perplexity, perplexity, score_chains
from redink.evaluation.statistics import Estimate
from redink.evaluation.step_errors import UP_TO_STEP_END, given_location, mended_given_location
from redink.markup import render_thought
from redink.models.shelf import Shelf, placed
from redink.models.student import Sampling, Student
from redink.pipelines.results import BenchmarkPanel, EvaluationResults, Results, write_results
from redink.pipelines.series import Draw, Series, Store, kept_series, sampling_of, weights_of
from redink.pipelines.staff import Staff, corrected, hire, journal_of, staff_tag, teacher_name
from redink.problems import SetCheck, check_set, fingerprint, load_problems
from redink.progress import Advance, progress, quiet
from redink.prompts import Prompt, load_prompt
from redink.recipe import EvaluationRecipe
from redink.rows import digest, read_rows, slug, write_rows, write_text
from redink.run import Run
from redink.solving.presets import redink_preset
from redink.stages.attempts import attempt
from redink.stages.corrections import write_correction
from redink.stages.reviews import no_reviews, review
from redink.stages.shards import GREEDY, MakeShard, Shards, SpoiledShard
from redink.teaching.inspection import NoInspector
from redink.teaching.recheck import results_only
from redink.teaching.reference import ReferenceTeacher
from redink.types import (
    Attempt,
    CorrectionRow,
    OwnCorrection,
    Problem,
    Quarantined,
    Rejected,
    Review,
    Row,
    StageCounts,
    Step,
    Thought,
)

REGRADING, GIVEN = "regrading", "given_location"
_ANNOTATION = re.compile(r"<<[^<>]*>>")
T = TypeVar("T")
R = TypeVar("R", bound=Row)


def evaluate(run: Run[EvaluationRecipe], data_dir: Path | None = None, *, recompute: bool = False) -> EvaluationResults:
    """The panel of every student on every benchmark of the recipe, going on where the run directory left off.

    With `recompute` the stored replies are graded anew first, by the recipe's checker. Writes `results.json`.
    Raises `Failure` for what the user can mend, among it weights or prompts that changed since.
    """
    return _Evaluation(run, data_dir).results(recompute)


class _Evaluation:
    """The students and benchmarks of one run directory."""

    def __init__(self, run: Run[EvaluationRecipe], data_dir: Path | None) -> None:
        self.run, self.recipe, self.data_dir = run, run.recipe, data_dir
        self.checker = checker_of(self.recipe.checker, self.recipe.benchmarks)
        self.staff: Staff = hire(self.recipe, journal_of(run.folder, self.recipe), self.checker, run.folder)
        self.shelf = Shelf()

    def results(self, recompute: bool) -> EvaluationResults:
        """Every student on every benchmark; one student is in memory at a time."""
        recipe = self.recipe
        try:
            sets = {name: self.problems(name) for name in recipe.benchmarks}
            checks = tuple(self.check(name) for name in recipe.benchmarks)
            self._regrade(recompute)
            found = {(name, student): _Cell(self, student, name, sets[name]).panel()
                     for student in recipe.students for name in recipe.benchmarks}  # fmt: skip
        finally:
            self.staff.leave()
        results = EvaluationResults(
            recipe=recipe.name, seed=recipe.seed, split=recipe.split, limit=recipe.limit, checker=recipe.checker,
            teacher=teacher_name(recipe), repeats=recipe.repeats, temperature=recipe.temperature, sets=checks,
            panels=tuple(
                BenchmarkPanel(benchmark=name, **dict(found[name, student]))
                for name in recipe.benchmarks for student in recipe.students
            ),
            counts=tuple(self.run.counts()),
        )  # fmt: skip
        write_results(self.run.path("results.json"), results)
        self.run.write_manifest({name: fingerprint(rows) for name, rows in sets.items()}, {"attempts": recipe.seed})
        return results

    def problems(self, name: str) -> list[Problem]:
        """The problems of a benchmark, kept in the run directory from the first time on."""
        if not self.run.path(f"{_set(name)}.jsonl").exists():
            self._load(name)
        return self.run.rows(_set(name), Problem)

    def _load(self, name: str) -> None:
        recipe, checks, aside = self.recipe, list[SetCheck](), list[Quarantined]()
        found = load_problems(
            name, data_dir=self.data_dir, limit=recipe.limit, seed=recipe.seed, split=recipe.split, set_aside=aside,
            checks=checks,
        )  # fmt: skip
        if aside:
            self.run.keep(f"{_set(name)}.quarantine", lambda: aside, Quarantined)
        self.run.keep(f"{_set(name)}.check", lambda: checks[:1] or [check_set(name, found)], SetCheck)
        self.run.keep(_set(name), lambda: found, Problem)

    def check(self, name: str) -> SetCheck:
        """Whether the whole benchmark is the published one; said aloud."""
        check = self.run.rows(f"{_set(name)}.check", SetCheck)[0]
        self.run.say(_said(check, len(self.problems(name))))
        return check

    def _regrade(self, asked: bool) -> None:
        """Grade the stored replies anew; a kill while it is done has the next run do it again."""
        mark = self.run.path(REGRADING)
        if not asked and not mark.exists():
            return
        write_text(mark, "")
        for name in self.recipe.benchmarks:
            by_id = {problem.id: problem for problem in self.problems(name)}
            shards: list[tuple[Path, type[Attempt] | type[Review]]] = [
                (path, kind)
                for place, kind in (("attempts", Attempt), ("reviews", Review))
                for path in sorted(self.run.path(f"{place}/{slug(name)}").glob("*/*/*.jsonl"))
            ]
            with progress(f"{name}: grading anew", len(shards), "shards") as advance:
                for path, kind in shards:
                    regrade(path, kind, by_id, self.checker)
                    advance()
        self.run.forget([path.name for path in self.run.folder.glob("corrections.*")])
        self.run.forget([GIVEN, REGRADING])

    def student(self, name: str) -> Student:
        """The student of this name; the last one asked for stays in memory."""
        return self.shelf.student(placed(name))


@dataclass(frozen=True)
class _Cell:
    """One student on one benchmark."""

    whole: _Evaluation
    model: str
    benchmark: str
    problems: Sequence[Problem]

    def panel(self) -> Panel:
        """Every figure, sampled as far as it is not stored."""
        recipe, run = self.whole.recipe, self.whole.run
        attempts = self.store.greedy(self._draw)
        reviews = self._reviews(attempts)
        wrong = [row for row in attempts if not row.verdict.right]
        stage = f"corrections.{self._place.replace('/', '.')}.{staff_tag(recipe)}"
        corrections = corrected(run, self.whole.staff, stage, self.problems, wrong, self.whole.checker)
        mended = self._mended(attempts, corrections)
        repeats = self.store.repeats(self._draw, recipe.repeats, self.whole.checker)
        self._book("attempts", len(self.problems) * (1 + recipe.repeats))
        self._book("reviews", len(self.problems))
        return panel(
            self.model, self.problems, attempts, reviews, corrections, repeats, ks=recipe.ks, seed=recipe.seed,
            checker=self.whole.checker, given_location=mended, perplexity=self._perplexity(),
        )  # fmt: skip

    @property
    def _place(self) -> str:
        return f"{slug(self.benchmark)}/{slug(self.model)}"

    @cached_property
    def store(self) -> Store:
        """Where its solutions lie."""
        recipe, (solve, correct) = self.whole.recipe, self._prompts
        series = Series(
            model=self.model, weights=weights_of(self.model), benchmark=self.benchmark,
            problems=fingerprint(self.problems), prompt=solve.name, prompt_text=digest(solve.text),
            correct=correct.name, correct_text=digest(correct.text), temperature=recipe.temperature,
            top_p=recipe.top_p, max_new_tokens=recipe.max_new_tokens, batch_rows=recipe.batch_rows, seed=recipe.seed,
        )  # fmt: skip
        return Store(self.whole.run.path(f"attempts/{self._place}"), series, self.problems, self.whole.run.engine)

    @cached_property
    def _prompts(self) -> tuple[Prompt, Prompt]:
        """As asked for, else as the series was begun, else as the student's kind is asked (which loads it)."""
        solve, correct = self.whole.recipe.prompt, self.whole.recipe.correct
        if not (solve and correct):
            begun = kept_series(self.whole.run.path(f"attempts/{self._place}"))
            if begun is None:
                return prompts_for(self.whole.student(self.model), solve or None, correct or None)
            solve, correct = solve or begun.prompt, correct or begun.correct
        return load_prompt(solve), load_prompt(correct)

    @property
    def _draw(self) -> Draw:
        shelf, name, prompt, checker = self.whole.shelf, placed(self.model), self._prompts[0], self.whole.checker

        def draw(rows: Sequence[Problem], sampling: Sampling, advance: Advance) -> list[Attempt]:
            return attempt(rows, shelf.student(name), prompt, sampling, advance, checker)

        return draw

    def _shards(
        self, folder: str, kind: type[R], make: MakeShard[T, R], spoiled: SpoiledShard[T, R] | None = None
    ) -> Shards[T, R]:
        return Shards(self.whole.run.path(folder), kind, make, engine=self.whole.run.engine, spoiled=spoiled)

    def _reviews(self, attempts: Sequence[Attempt]) -> list[Review]:
        shelf, name_, prompt, checker = self.whole.shelf, placed(self.model), self._prompts[1], self.whole.checker
        series = self.store.series

        def make(rows: Sequence[tuple[Problem, Attempt]], name: str, chunk: int, advance: Advance) -> Sequence[Review]:
            about, written = [row[0] for row in rows], [row[1] for row in rows]
            drawn = sampling_of(series, name, chunk)
            return review(about, written, shelf.student(name_), prompt, drawn, advance, checker)

        shards = self._shards(f"reviews/{self._place}", Review, make, no_reviews)
        return self._filled(shards, list(zip(self.problems, self._shown(attempts), strict=True)), "reviewing")

    def _shown(self, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
        """The attempts as reviewers see them."""
        return [results_only(row) for row in attempts] if self.whole.recipe.results_only else attempts

    def _mended(self, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> Estimate:
        """Of the errors that the teacher located, those that the student mends once shown where."""
        by_id = {
            row.problem_id: (problem, row) for problem, row in zip(self.problems, self._shown(attempts), strict=True)
        }
        inputs = [(*by_id[row.problem_id], row) for row in corrections]
        shelf, name_, prompt, series = self.whole.shelf, placed(self.model), self._prompts[1], self.store.series

        def make(
            rows: Sequence[tuple[Problem, Attempt, CorrectionRow]], name: str, chunk: int, advance: Advance
        ) -> Sequence[OwnCorrection]:
            about, written, traces = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
            drawn = replace(sampling_of(series, name, chunk), stop=UP_TO_STEP_END)
            return given_location(about, written, traces, shelf.student(name_), prompt, drawn, advance)

        shards = self._shards(f"{GIVEN}/{self._place}/{staff_tag(self.whole.recipe)}", OwnCorrection, make)
        own = self._filled(shards, inputs, "mending")
        return mended_given_location(own, [row[1] for row in inputs], corrections)

    def _perplexity(self) -> Perplexity:
        """How likely the student finds the gold solutions, where there are any."""
        solved = [problem for problem in self.problems if problem.solution]
        shelf, name_, prompt = self.whole.shelf, placed(self.model), self._prompts[0]

        def make(rows: Sequence[Problem], name: str, chunk: int, advance: Advance) -> Sequence[ChainScore]:
            return gold_scores(shelf.student(name_), prompt, rows, advance)

        shards = self._shards(f"perplexity/{self._place}", ChainScore, make)
        return perplexity(self.model, self._filled(shards, solved, "reading the gold solutions"))

    def _filled(self, shards: Shards[T, R], inputs: Sequence[T], doing: str) -> list[R]:
        with progress(f"{self.benchmark}, {self.model}: {doing}", len(inputs), "problems") as advance:
            shards.fill([GREEDY], inputs, advance)
        return shards.rows(GREEDY, inputs)

    def _book(self, stage: str, rows: int) -> None:
        name = f"{stage}.{self._place.replace('/', '.')}"
        self.whole.run.book(StageCounts(stage=name, inputs=rows, accepted=rows))


def regrade(path: Path, kind: type[Attempt] | type[Review], by_id: dict[str, Problem], checker: Checker) -> None:
    """Extract and grade the answers of a shard anew; the file is written again only where a verdict changed."""
    rows: Sequence[Attempt | Review] = read_rows(path, kind)
    problems = [by_id[row.problem_id] for row in rows]
    answers = [checker.extract(row.text, problem) for row, problem in zip(rows, problems, strict=True)]
    found = [(answer, problem) for answer, problem in zip(answers, problems, strict=True) if answer is not None]
    verdicts = iter(checker.compare_many([row[0] for row in found], [row[1] for row in found]))
    graded = [
        row.model_copy(update={"answer": answer, "verdict": NO_ANSWER if answer is None else next(verdicts)})
        for row, answer in zip(rows, answers, strict=True)
    ]
    if graded != rows:
        write_rows(path, graded)


def gold_scores(
    student: Student, prompt: Prompt, problems: Sequence[Problem], advance: Advance = quiet
) -> list[ChainScore]:
    """How likely the student finds the gold solution of each problem (`gold_chain`), as a reply to its prompt."""
    prompts = [prompt.render(question=problem.question) for problem in problems]
    return score_chains(student, prompts, [gold_chain(problem) for problem in problems], advance=advance)


def gold_chain(problem: Problem) -> str:
    """The gold solution in the form that the hierarchical prompt asks for: a step per line, no calculator annotations.

    >>> gold_chain(Problem(id="1", question="?", answer="5", solution="2 + 3 = <<2+3=5>>5\\n#### 5"))
    '<Step1>2 + 3 = 5</Step1>\\n<Answer>5</Answer>'
    """
    return as_chain(gold_lines(problem), problem.answer)


def gold_lines(problem: Problem) -> list[str]:
    """The lines of the gold solution without calculator annotations and final answer."""
    lines = (line.strip() for line in _ANNOTATION.sub("", problem.solution or "").splitlines())
    return [line for line in lines if line and not line.startswith("####")]


def as_chain(lines: Sequence[str], answer: str) -> str:
    """Lines as tagged steps with an answer; without a line nothing."""
    steps = tuple(Step(number=number, text=line) for number, line in enumerate(lines, start=1))
    return render_thought(Thought(steps=steps, answer=answer)) if steps else ""


def _set(benchmark: str) -> str:
    return f"problems.{slug(benchmark)}"


def _said(check: SetCheck, used: int) -> str:
    part = f"; the first {used} of them are used" if used < check.rows else ""
    known = check.expected_rows is not None or check.expected_fingerprint is not None
    verdict = "as published" if check.ok else "NOT the published set"
    return f"{check.summary}{f' ({verdict})' if known else ''}{part}"


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
    """The panel of one student in memory, greedy; the offline `reference` teacher locates the errors.

    `evaluate` does the same and more in a run directory.
    """
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


def prompts_for(student: Student, prompt: str | None, correct: str | None) -> tuple[Prompt, Prompt]:
    """The prompts asked for; by default the compact ones for a student without a chat template."""
    asked = redink_preset(bool(student.tokenizer.chat_template), prompt, correct)
    return asked.solve, asked.correct
