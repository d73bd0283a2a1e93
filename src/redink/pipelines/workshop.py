"""What the methods share: problems, one student in memory, sampling with seeds of its own, taught stages, training."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from redink.answers.checkers import checker_of
from redink.markup import parse_steps
from redink.models.shelf import Shelf, placed
from redink.models.student import Sampling, Student, derived_seed
from redink.pipelines.evaluation import as_chain, gold_lines
from redink.pipelines.results import Results
from redink.pipelines.staff import Staff, corrected, hire, journal_of, taught
from redink.problems import fingerprint
from redink.problems.draw import ProblemSets, Sizes, draw_sets
from redink.progress import Advance
from redink.prompts import Prompt, load_prompt
from redink.recipe import Recipe, SamplingRecipe
from redink.run import Run
from redink.stages.attempts import attempt, no_attempts, quarantined
from redink.stages.chunks import Chunked
from redink.stages.reviews import correction_prompt, no_reviews, review
from redink.stages.styles import STAGE as STYLED
from redink.stages.styles import in_style, in_styles, style_prompt
from redink.stages.thoughts import write_thought
from redink.teaching.equations import find_numbers
from redink.teaching.missteps import with_misstep
from redink.teaching.recheck import results_only
from redink.training.cross_dpo import train_cross_dpo
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft
from redink.training.loop import TrainReport
from redink.training.settings import CrossDPOSettings
from redink.types import (
    Attempt,
    ChainRow,
    CorrectionRow,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    Review,
    Row,
    ThoughtRow,
    Tried,
    Verdict,
)

R = TypeVar("R", bound=Row)
BASE = "base"
SETS = ("thoughts", "errors", "evaluation")
REPLAY_TEMPERATURE = 0.7
NO_PROBLEMS_LEFT = "See the run directory's *.rejected.jsonl and *.quarantine.jsonl for the reasons."
Stages = Generator[str, None, Results]
"""A method under way: it yields the name of each stage that is done, and comes to its results."""


def follow(stages: Stages, until: str) -> Results | None:
    """Do the stages up to and including `until`; the results if they are reached, else None."""
    try:
        while next(stages) != until:
            pass
    except StopIteration as end:
        results: Results = end.value
        return results
    finally:
        stages.close()
    return None


class Workshop:
    """One run of one method: each stage reads what the ones before it wrote; `seeds` are named in the manifest."""

    def __init__(
        self,
        run: Run[Recipe],
        data_dir: Path | None,
        seeds: Sequence[str],
        asks: Mapping[str, str] | None = None,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        """`asks` names the prompt of each model that is asked neither as the base nor by `prompts.solve`.

        `weights` names the model whose weights another one has, such as one that is only asked otherwise.
        """
        self.run, self.recipe, self.seeds, self.weights = run, run.recipe, seeds, weights or {}
        wanted, prompts = self.recipe.problems, self.recipe.prompts
        self.checker = checker_of(wanted.checker, [*wanted.sources, *wanted.evaluation_sources])
        self.sets = self._problems(data_dir)
        self.solve = load_prompt(style_prompt(self.recipe.style, prompts.solve, prompts.style))
        self.correct = load_prompt(prompts.correct)
        self.asks = {BASE: load_prompt(prompts.base), **{name: load_prompt(it) for name, it in (asks or {}).items()}}
        self.staff: Staff = hire(self.recipe, journal_of(run.folder, self.recipe), self.checker, run.folder)
        self.shelf = Shelf()

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.staff.leave()
        fingerprints = {name: fingerprint(getattr(self.sets, name)) for name in SETS}
        self.run.write_manifest(fingerprints, {purpose: self.seed(purpose) for purpose in self.seeds})

    def _problems(self, data_dir: Path | None) -> ProblemSets:
        files = [self.run.path(f"problems.{name}.jsonl") for name in SETS]
        if all(file.exists() for file in files):
            return ProblemSets(*(self.run.rows(f"problems.{name}", Problem) for name in SETS))
        wanted = self.recipe.problems
        set_aside: list[Quarantined] = []
        sets = draw_sets(
            wanted.sources,
            wanted.evaluation_sources,
            Sizes(wanted.thoughts, wanted.errors, wanted.evaluation),
            held_out_only=wanted.held_out,
            seed=self.recipe.seed,
            data_dir=data_dir,
            set_aside=set_aside,
        )
        if set_aside:
            self.run.keep("problems.quarantine", lambda: set_aside, Quarantined)
        for name in SETS:
            self.run.keep(f"problems.{name}", lambda name=name: getattr(sets, name), Problem)  # type: ignore[misc]
        return sets

    # ------------------------------------------------------------------ the student

    def seed(self, purpose: str) -> int:
        """A seed of its own for each purpose, derived from the recipe's."""
        return derived_seed(self.recipe.seed, purpose)

    def sampling(self, purpose: str, temperature: float, stop: tuple[str, ...] = ("</Answer>",)) -> Sampling:
        """The recipe's sampling at this temperature (0: greedy)."""
        return sampling_by(self.recipe.sampling, self.seed(purpose), temperature, stop)

    def folder(self, model: str) -> str:
        """Where a model of this run lies; the base is the recipe's student."""
        return self.recipe.student if model == BASE else str(self.run.path(self.weights.get(model, model)))

    def student(self, model: str) -> Student:
        """A model of this run by name; the last one asked for stays in memory."""
        return self.shelf.student(self.placed(model))

    def placed(self, model: str) -> str:
        """A model of this run as the shelf, here or in a worker, is asked for it."""
        return placed(self.folder(model))

    def prompt_of(self, model: str) -> Prompt:
        """How a model is asked for a solution."""
        return self.asks.get(model, self.solve)

    # ------------------------------------------------------------------ what it writes

    def attempts(
        self,
        stage: str,
        model: str,
        problems: Sequence[Problem],
        sampling: Sampling,
        samples: int,
        *,
        whole: bool = True,
    ) -> list[Attempt]:
        """`samples` solutions of each problem by a model, grouped by problem: a stage.

        A problem of which none can be drawn has ungradable ones that say why; without `whole` it is quarantined.
        """
        shelf, name, prompt, checker = self.shelf, self.placed(model), self.prompt_of(model), self.checker

        def make(rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
            drawn = numbered(sampling, number, samples)
            return attempt(rows, shelf.student(name), prompt, drawn, advance, checker)

        chunked: Chunked[Problem, Attempt] = Chunked(
            stage, Attempt, make, spoiled=partial(no_attempts if whole else quarantined, samples=samples)
        )
        return self.run.stage(chunked, problems, per_input=samples, unit="solutions")

    def shown(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """The attempts as reviewers see them."""
        return [results_only(row) for row in attempts] if self.recipe.review.results_only else list(attempts)

    def reviews(
        self,
        stage: str,
        model: str,
        problems: Sequence[Problem],
        attempts: Sequence[Attempt],
        sampling: Sampling,
        samples: int,
    ) -> list[Review]:
        """`samples` reviews of each attempt (aligned with the problems) by a model: a stage."""
        longer = with_length(sampling, self.recipe.sampling.max_review_tokens)
        shelf, name, prompt, checker = self.shelf, self.placed(model), self.correct, self.checker

        def make(rows: Sequence[tuple[Problem, Attempt]], number: int, advance: Advance) -> Sequence[Row]:
            about, written = [row[0] for row in rows], [row[1] for row in rows]
            drawn = numbered(longer, number, samples)
            return review(about, written, shelf.student(name), prompt, drawn, advance, checker)

        inputs = list(zip(problems, attempts, strict=True))
        chunked: Chunked[tuple[Problem, Attempt], Review] = Chunked(
            stage, Review, make, spoiled=partial(no_reviews, samples=samples)
        )
        return self.run.stage(chunked, inputs, per_input=samples, unit="reviews")

    def settled(self, stage: str, kind: type[R], make: Callable[[], Sequence[Row]]) -> list[R]:
        """A stage whose outcomes are made in one go, without any model: read if it is done."""
        return self.run.settle(stage, kind, () if self.run.finished(stage) else make())

    # ------------------------------------------------------------------ what it is taught

    def thoughts(self, stage: str, problems: Sequence[Problem]) -> list[ThoughtRow]:
        """The teacher writes thoughts, the inspector checks them (SuperCorrect section 3.1): a stage."""
        staff = self.staff

        async def work(problem: Problem, before: Sequence[Tried]) -> Row:
            return await write_thought(problem, staff.teacher, staff.inspector, staff.patience, before, self.checker)

        return taught(self.run, staff, stage, ThoughtRow, problems, work)

    def corrections(
        self,
        stage: str,
        problems: Sequence[Problem],
        wrong: Sequence[Attempt],
        onward: Chunked[CorrectionRow, OwnCorrection] | None = None,
    ) -> list[CorrectionRow]:
        """T⁺: the teacher marks the first wrong step of each wrong attempt, inspected (section 3.2)."""
        return corrected(self.run, self.staff, stage, problems, wrong, self.checker, onward)

    def thought_lessons(self, thoughts: Sequence[ThoughtRow]) -> list[Lesson]:
        """What HSFT teaches: the thoughts in the recipe's style as replies to P_stu, and the replayed reviews."""
        return self.chain_lessons("hsft", self._styled(thoughts))

    def _styled(self, thoughts: Sequence[ThoughtRow]) -> list[ChainRow]:
        style = self.recipe.style
        if style == "xml":
            return [ChainRow(problem_id=row.problem_id, text=in_style(row.thought, style)) for row in thoughts]
        return self.settled(STYLED, ChainRow, lambda: in_styles(self.sets.thoughts, thoughts, style, self.checker))

    def chain_lessons(self, model: str, chains: Sequence[ChainRow]) -> list[Lesson]:
        """What SFT on chains of thought teaches: the chains as replies to the model's prompt, and replayed reviews."""
        asked, prompt = {problem.id: problem.question for problem in self.sets.thoughts}, self.prompt_of(model)
        lessons = [Lesson(prompt.render(question=asked[row.problem_id]), row.text) for row in chains]
        return lessons + self.replayed(len(lessons))

    def replayed(self, lessons: int) -> list[Lesson]:
        """The base student's own reviews of its own or gold solutions, `hsft.replay` of them for each lesson.

        So that a small student does not forget how to review; not in the papers. A review that is cut short, or that
        breaks a right solution, is left out.
        """
        count = round(self.recipe.hsft.replay * lessons)
        if not count:
            return []
        problems = self.sets.thoughts[:count]
        drawn = self.attempts("replay.attempts", BASE, problems, self.sampling("replay", REPLAY_TEMPERATURE), 1)
        settings = self.recipe.hsft
        dice = random.Random(self.seed("replay.missteps"))
        attempts = with_gold(problems, self.shown(drawn), settings.replay_gold, settings.replay_missteps, dice)
        sampling = self.sampling("replay", settings.replay_temperature)
        reviews = self.reviews("replay.reviews", BASE, problems, attempts, sampling, 1)
        return [
            Lesson(correction_prompt(self.correct, problem, written), row.text.strip())
            for problem, written, row in zip(problems, attempts, reviews, strict=True)
            if row.text and not row.truncated and not breaks(row, written)
        ]

    def supervised(self, model: str, lessons: Callable[[], Sequence[Lesson]]) -> None:
        """Fine-tune the base student on lessons, by `[hsft]` whatever the method; kept as `model`."""

        def train(out: Path) -> TrainReport:
            return train_hsft(self.student(BASE), lessons(), self.recipe.hsft, out, self.seed(model))

        self._trained(model, "rows", train)

    def preferred(
        self,
        model: str,
        reference: str,
        pairs: Sequence[PreferencePair],
        settings: CrossDPOSettings,
        lessons: Callable[[], Sequence[Lesson]] = list,
    ) -> None:
        """DPO of the model `reference`, which is also the frozen reference (eq. 8), on pairs; kept as `model`."""

        def train(out: Path) -> TrainReport:
            beside = lessons() if settings.replay else ()
            return train_cross_dpo(self.student(reference), pairs, settings, out, self.seed(model), lessons=beside)

        self._trained(model, "pairs", train)

    def _trained(self, model: str, rows: str, train: Callable[[Path], TrainReport]) -> None:
        out = self.run.path(model)
        if out.exists():
            return
        try:
            report = train(out)
        finally:
            self.shelf.clear()  # it was trained in place
        self.run.say(f"{model}: {report.rows} {rows} ({report.too_long} too long), {report.steps} steps")


def about(
    rows: Sequence[CorrectionRow], problems: Sequence[Problem], attempts: Sequence[Attempt]
) -> tuple[list[Problem], list[Attempt]]:
    """Problem and attempt of each correction, aligned with them."""
    by_id = {problem.id: problem for problem in problems}
    written = {(row.problem_id, row.sample): row for row in attempts}
    return [by_id[row.problem_id] for row in rows], [written[row.problem_id, row.sample] for row in rows]


def first_wrong(attempts: Sequence[Attempt], per_problem: int) -> list[Attempt]:
    """The error set: up to `per_problem` wrong attempts of each problem, no two with the same text."""
    kept: dict[str, list[Attempt]] = {}
    for row in attempts:
        held = kept.setdefault(row.problem_id, [])
        new = row.text not in {other.text for other in held}
        if row.verdict.outcome != "right" and new and len(held) < per_problem:
            held.append(row)
    return [row for held in kept.values() for row in held]


def breaks(review: Review, written: Attempt) -> bool:
    """Whether a review finds fault with a right solution, or gives up its answer."""
    return written.verdict.right and (review.error is not None or not review.verdict.right)


def with_gold(
    problems: Sequence[Problem], attempts: Sequence[Attempt], share: float, missteps: float, dice: random.Random
) -> list[Attempt]:
    """The attempts, a share of them, evenly spread, replaced by gold solutions, some of these with one wrong step."""
    return [
        gold_attempt(problem, dice if dice.random() < missteps else None) if is_gold(place, problem, share) else written
        for place, (problem, written) in enumerate(zip(problems, attempts, strict=True))
    ]


def is_gold(place: int, problem: Problem, share: float) -> bool:
    """Whether the replayed review in this place is of the gold solution, where a share of them are."""
    return int((place + 1) * share) > int(place * share) and bool(problem.solution)


def gold_attempt(problem: Problem, dice: random.Random | None = None) -> Attempt:
    """The gold solution as if it were a student's; with `dice`, with one wrong step where that can be made."""
    right = gold_lines(problem)
    wrong = with_misstep(right, dice) if dice else None
    answer = find_numbers(wrong[-1])[-1].text if wrong else problem.answer
    text = as_chain(wrong or right, answer)
    verdict = Verdict(outcome="wrong" if wrong else "right", reason="made from the gold solution")
    return Attempt(problem_id=problem.id, text=text, steps=parse_steps(text), answer=answer, verdict=verdict)


def sampling_by(wanted: SamplingRecipe, seed: int, temperature: float, stop: tuple[str, ...]) -> Sampling:
    """How replies are drawn by a recipe's `[sampling]`, at this temperature (0: greedy) and with this seed."""
    return Sampling(
        temperature=temperature,
        top_p=wanted.top_p,
        max_new_tokens=wanted.max_new_tokens,
        stop=stop,
        seed=seed,
        batch_rows=wanted.batch_rows,
        continuous=wanted.continuous,
    )


def numbered(sampling: Sampling, number: int, samples: int = 1) -> Sampling:
    """The same sampling with a seed for chunk `number`."""
    return Sampling(**{**vars(sampling), "seed": derived_seed(sampling.seed, number), "samples": samples})


def with_length(sampling: Sampling, max_new_tokens: int) -> Sampling:
    """The same sampling with another longest reply."""
    return Sampling(**{**vars(sampling), "max_new_tokens": max_new_tokens})
