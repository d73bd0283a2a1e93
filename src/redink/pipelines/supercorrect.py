"""SuperCorrect (arXiv 2410.09008), top to bottom: thoughts → HSFT → mistakes → corrections → Cross-DPO → figures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import Failure
from redink.models.student import Sampling
from redink.pipelines.panels import Corrected, results_of
from redink.pipelines.results import Results
from redink.pipelines.workshop import (
    BASE,
    NO_PROBLEMS_LEFT,
    Stages,
    Workshop,
    about,
    first_wrong,
    follow,
    numbered,
)
from redink.progress import Advance
from redink.recipe import Recipe
from redink.run import Run
from redink.stages.chunks import Chunked
from redink.stages.pairs import (
    STEP_ENDS,
    Place,
    confirmation_pair,
    counterpart_pair,
    error_pair,
    made_alarms,
    no_made_alarm,
    no_own_correction,
    own_corrections,
    some_place,
)
from redink.stages.redraw import redraw
from redink.teaching.recheck import checked, with_checks
from redink.training.encoding import Lesson
from redink.types import Attempt, CorrectionRow, OwnCorrection, PreferencePair, Problem, Rejected, Row, Step

STAGES = ("thoughts", "hsft", "attempts", "corrections", "pairs", "cross-dpo", "evaluate")
SEEDS = ("hsft", "attempts", "own_corrections", "alarms", "made_alarms", "cross_dpo", "evaluate", "repeats")
Lessons = Callable[[], Sequence[Lesson]]


def supercorrect(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
    """Do every stage up to `until` (one of `STAGES`), going on where the run directory left off.

    `until` stops in the first round. Returns the results once the evaluation is done, else None. Raises `Failure` for
    what the user can mend.
    """
    with Workshop(run, data_dir, (*SEEDS, *round_seeds(run.recipe))) as shop:
        return follow(_stages(shop, until), until)


def _stages(shop: Workshop, until: str) -> Stages:
    """The method, in the order of the paper."""
    lessons = yield from hsft(shop)
    models = yield from cross_dpo_rounds(shop, "hsft", lessons, until)
    return results_of(shop, models)


def hsft(shop: Workshop) -> Generator[str, None, Lessons]:
    """D_sft, and the base student fine-tuned on it (section 3.1); comes to what was taught."""
    thoughts = shop.thoughts("thoughts", shop.sets.thoughts)
    if not thoughts:
        raise Failure("no thought was accepted.", NO_PROBLEMS_LEFT)
    yield "thoughts"

    def lessons() -> list[Lesson]:
        return shop.thought_lessons(thoughts)

    shop.supervised("hsft", lessons)
    yield "hsft"
    return lessons


def cross_dpo_rounds(
    shop: Workshop, taught: str, lessons: Lessons, until: str = "evaluate"
) -> Generator[str, None, list[str]]:
    """Mistakes → corrections → pairs → Cross-DPO, `rounds` times over, beginning with the model `taught` on `lessons`.

    Comes to the models to be evaluated: base, `taught`, and the student of each round.
    """
    models = [BASE, taught]
    for number in range(1, shop.recipe.rounds + 1):
        this = Round(shop, number, models[-1])
        attempts = shop.shown(this.attempts())
        yield "attempts"
        corrections = this.corrections(attempts, onward=until != "corrections")
        yield "corrections"
        pairs = this.pairs(attempts, corrections)
        yield "pairs"
        if number > 1 and not pairs:
            shop.run.say(f"round {number}: there is nothing left to correct; the rounds end here.")
            break
        shop.preferred(this.model, this.last, pairs, shop.recipe.cross_dpo, lessons)
        models.append(this.model)
        yield "cross-dpo"
    return models


def in_round(stage: str, number: int) -> str:
    """A stage of a round, counted from 1, as files and seeds are named."""
    return stage if number == 1 else f"round{number}.{stage}"


def round_seeds(recipe: Recipe) -> list[str]:
    """What the later rounds derive seeds from."""
    purposes = ("attempts", "scout", "redraw", "own_corrections", "alarms", "made_alarms")
    later = range(2, recipe.rounds + 1)
    return [name for n in later for name in (*(in_round(purpose, n) for purpose in purposes), round_model(n))]


def round_model(number: int) -> str:
    """What the student of a round is called, counted from 1."""
    return "cross_dpo" if number == 1 else f"cross_dpo_{number}"


def round_models(recipe: Recipe) -> list[str]:
    """The student of every round."""
    return [round_model(number) for number in range(1, recipe.rounds + 1)]


@dataclass(frozen=True)
class Round:
    """One round (section 3.2): the student after it prefers the corrections of mistakes that `last` made."""

    shop: Workshop
    number: int
    last: str

    @property
    def model(self) -> str:
        """The student of this round."""
        return round_model(self.number)

    def name(self, stage: str) -> str:
        """A stage of this round, as files and seeds are named."""
        return in_round(stage, self.number)

    def attempts(self) -> list[Attempt]:
        """The last student solves problems held apart: wrong ones are the error set."""
        wanted, stage = self.shop.recipe.sampling, self.name("attempts")
        sampling = self.shop.sampling(stage, wanted.temperature)
        return self.shop.attempts(stage, self.last, self._problems(), sampling, wanted.samples, whole=False)

    def _problems(self) -> list[Problem]:
        """The error set; after the first round a part of it, drawn by where the last student still fails."""
        problems, stage = self.shop.sets.errors, self.name("scout")
        if self.number == 1:
            return problems
        tried = self.shop.attempts(stage, self.last, problems, self.shop.sampling(stage, 0.0), 1)
        count = round(self.shop.recipe.redraw * len(problems))
        return redraw(problems, tried, count, self.shop.seed(self.name("redraw")))

    def corrections(self, attempts: Sequence[Attempt], onward: bool = False) -> list[CorrectionRow]:
        """T⁺: the teacher marks the first wrong step of each wrong attempt, inspected.

        With `onward` the student's own corrections are begun as soon as there are enough rows for a chunk of them.
        """
        chosen = first_wrong(attempts, self.shop.recipe.pairs.per_problem)
        own = self._own_corrections(attempts) if onward else None
        rows = self.shop.corrections(self.name("corrections"), self.shop.sets.errors, chosen, own)
        if not rows and self.number == 1:
            raise Failure(f"none of {len(chosen)} wrong attempts could be corrected.", NO_PROBLEMS_LEFT)
        return rows

    def pairs(self, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> list[PreferencePair]:
        """D_corr: the student continues the teacher's prefix itself; its side is rejected."""
        problems, written = about(corrections, self.shop.sets.errors, attempts)
        own = {(row.problem_id, row.sample): row for row in self._own(attempts, corrections)}
        rows = [
            self._pair(*row, own.get((row[2].problem_id, row[2].sample)))
            for row in zip(problems, written, self._as_shown(corrections), strict=True)
        ]
        pairs = self.shop.run.settle(self.name("pairs"), PreferencePair, rows)
        right = [row for row in attempts if row.verdict.right][: len(corrections)]
        pairs += [*self._confirmations(right), *self._counterparts(right)]
        if not pairs and self.number == 1:
            raise Failure("no preference pair was made: the student's own corrections are all right.", NO_PROBLEMS_LEFT)
        return pairs

    def _own(self, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> list[OwnCorrection]:
        return self.shop.run.stage(self._own_corrections(attempts), corrections)

    def _pair(
        self, problem: Problem, written: Attempt, row: CorrectionRow, own: OwnCorrection | None
    ) -> PreferencePair | Rejected:
        if own is None:
            return Rejected(problem_id=row.problem_id, sample=row.sample, stage="pairs", reason="no_student_side")
        return error_pair(problem, written, row, own, self.shop.correct)

    def _own_corrections(self, attempts: Sequence[Attempt]) -> Chunked[CorrectionRow, OwnCorrection]:
        """The student's own side of each correction."""
        shop, sampling = self.shop, self._correcting("own_corrections", STEP_ENDS)
        shelf, name, prompt = shop.shelf, shop.placed(self.last), shop.correct
        by_id = {problem.id: problem for problem in shop.sets.errors}
        by_key = {(row.problem_id, row.sample): row for row in attempts}

        def given(row: CorrectionRow) -> Corrected:
            return by_id[row.problem_id], by_key[row.problem_id, row.sample], self._as_shown([row])[0]

        def make(rows: Sequence[Corrected], number: int, advance: Advance) -> Sequence[Row]:
            problems, written, shown = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
            drawn = numbered(sampling, number)
            return own_corrections(problems, written, shown, shelf.student(name), prompt, drawn, advance)

        return Chunked(self.name("own_corrections"), OwnCorrection, make, given=given, spoiled=no_own_correction)

    def _as_shown(self, corrections: Sequence[CorrectionRow]) -> list[CorrectionRow]:
        """The corrections as the student learns them."""
        if not self.shop.recipe.review.recheck:
            return list(corrections)
        return [row.model_copy(update={"trace": with_checks(row.trace)}) for row in corrections]

    def _confirmations(self, attempts: Sequence[Attempt]) -> list[PreferencePair]:
        """Pairs on right solutions: the plain step over the student's false alarm (a recipe switch)."""
        shop, samples = self.shop, self.shop.recipe.pairs.confirmations
        if not samples or not attempts:
            return []
        problems, steps = self._problems_of(attempts), [self._as_traced(row) for row in attempts]
        alarms = shop.reviews(self.name("alarms"), self.last, problems, attempts, self._correcting("alarms"), samples)
        rows = [
            confirmation_pair(problems[i // samples], attempts[i // samples], alarm, shop.correct, steps[i // samples])
            for i, alarm in enumerate(alarms)
        ]
        return shop.run.settle(self.name("confirmations"), PreferencePair, rows)

    def _counterparts(self, attempts: Sequence[Attempt]) -> list[PreferencePair]:
        """Pairs at right steps: the plain step over an alarm that the student is made to write (a recipe switch)."""
        shop, seed = self.shop, self.shop.seed(self.name("made_alarms"))
        if not shop.recipe.pairs.counterparts:
            return []
        rows = zip(self._problems_of(attempts), attempts, strict=True)
        found = (some_place(problem, row, self._as_traced(row), seed) for problem, row in rows)
        places, sampling = [place for place in found if place], self._correcting("made_alarms", STEP_ENDS)

        shelf, name, prompt = shop.shelf, shop.placed(self.last), shop.correct

        def make(some: Sequence[Place], number: int, advance: Advance) -> Sequence[Row]:
            return made_alarms(some, shelf.student(name), prompt, numbered(sampling, number), advance)

        chunked: Chunked[Place, OwnCorrection] = Chunked(
            self.name("made_alarms"), OwnCorrection, make, spoiled=no_made_alarm
        )
        made = {(row.problem_id, row.sample): row for row in shop.run.stage(chunked, places)}
        both = ((place, made.get((place.written.problem_id, place.written.sample))) for place in places)
        pairs = [counterpart_pair(place, alarm, prompt) for place, alarm in both if alarm]
        return shop.run.settle(self.name("counterparts"), PreferencePair, pairs)

    def _problems_of(self, attempts: Sequence[Attempt]) -> list[Problem]:
        by_id = {problem.id: problem for problem in self.shop.sets.errors}
        return [by_id[row.problem_id] for row in attempts]

    def _as_traced(self, attempt: Attempt) -> tuple[Step, ...]:
        """The steps of a right attempt as a trace holds them."""
        return checked(attempt.steps) if self.shop.recipe.review.recheck else attempt.steps

    def _correcting(self, stage: str, stop: tuple[str, ...] = ("</Answer>",)) -> Sampling:
        return self.shop.sampling(self.name(stage), self.shop.recipe.sampling.correction_temperature, stop)
