"""SuperCorrect (arXiv 2410.09008), top to bottom: thoughts → HSFT → mistakes → corrections → Cross-DPO → figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redink.answers.checkers import checker_of
from redink.evaluation.outcomes import Outcomes
from redink.evaluation.panel import Panel, panel
from redink.evaluation.perplexity import ChainScore, Perplexity, perplexity
from redink.evaluation.statistics import Estimate
from redink.evaluation.step_errors import UP_TO_STEP_END, given_location, mended_given_location
from redink.failures import Failure
from redink.markup import render_thought
from redink.models.student import Sampling, Student, derived_seed
from redink.pipelines.evaluation import gold_scores
from redink.pipelines.results import Results, write_results
from redink.pipelines.series import Series, Store, digest, weights_of
from redink.pipelines.staff import Staff, corrected, hire, journal_of, taught
from redink.problems import fingerprint
from redink.problems.draw import ProblemSets, Sizes, draw_sets
from redink.progress import Advance
from redink.prompts import Prompt, load_prompt
from redink.recipe import Recipe
from redink.run import Run
from redink.stages.attempts import attempt
from redink.stages.chunks import Chunked
from redink.stages.pairs import STEP_ENDS, confirmation_pair, error_pair, own_corrections
from redink.stages.reviews import correction_prompt, review
from redink.stages.thoughts import write_thought
from redink.teaching.recheck import checked, results_only, with_checks
from redink.training.cross_dpo import train_cross_dpo
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft
from redink.types import (
    Attempt,
    CorrectionRow,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    Review,
    Row,
    ThoughtRow,
    Tried,
)

STAGES = ("thoughts", "hsft", "attempts", "corrections", "pairs", "cross-dpo", "evaluate")
MODELS = ("base", "hsft", "cross_dpo")
REPLAY_TEMPERATURE = 0.7
_FROM_CORRECTIONS = (
    "own_corrections.*", "pairs.*", "alarms.*", "confirmations.*", "cross_dpo*", "evaluate.cross_dpo.*",
    "attempts/evaluation/cross_dpo", "results.json",
)  # fmt: skip
MADE_FROM = {
    "thoughts": (
        "replay.*",
        "hsft*",
        "attempts.*",
        "corrections.*",
        "evaluate.hsft.*",
        "attempts/evaluation/hsft",
        *_FROM_CORRECTIONS,
    ),
    "corrections": _FROM_CORRECTIONS,
    **{f"evaluate.{model}.corrections": (f"evaluate.{model}.given_location.*", "results.json") for model in MODELS},
}
"""What rests on the rows of each stage of teacher and inspector, as patterns of names in the run directory."""
NO_PROBLEMS_LEFT = "See the run directory's *.rejected.jsonl and *.quarantine.jsonl for the reasons."


def supercorrect(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
    """Do every stage up to `until` (one of `STAGES`), going on where the run directory left off.

    Returns the results once the evaluation is done, else None. Raises `Failure` for what the user can mend.
    """
    return _SuperCorrect(run, data_dir).until(until)


class _SuperCorrect:
    """The stages of one run; each reads what the ones before it wrote."""

    def __init__(self, run: Run[Recipe], data_dir: Path | None) -> None:
        self.run, self.recipe = run, run.recipe
        wanted = self.recipe.problems
        self.checker = checker_of(wanted.checker, [*wanted.sources, *wanted.evaluation_sources])
        self.sets = self._problems(data_dir)
        self.solve, self.correct = load_prompt(self.recipe.prompts.solve), load_prompt(self.recipe.prompts.correct)
        self.base_prompt = load_prompt(self.recipe.prompts.base)
        self.staff: Staff = hire(self.recipe, journal_of(run.folder, self.recipe), self.checker, run.folder)
        self._student: Student | None = None

    def until(self, last: str) -> Results | None:
        """The method, in the order of the paper."""
        done = STAGES.index(last)
        try:
            thoughts = self.thoughts()
            if done >= 1:
                self.hsft(thoughts)
            if done >= 2:
                attempts = self.attempts()
            if done >= 3:
                corrections = self.corrections(attempts, onward=done >= 4)
            if done >= 4:
                pairs = self.pairs(attempts, corrections)
            if done >= 5:
                self.cross_dpo(pairs, thoughts)
            return self.evaluate() if done >= 6 else None
        finally:
            self.staff.leave()
            self._books()

    # ------------------------------------------------------------------ data

    def _problems(self, data_dir: Path | None) -> ProblemSets:
        names = ("thoughts", "errors", "evaluation")
        files = [self.run.path(f"problems.{name}.jsonl") for name in names]
        if all(file.exists() for file in files):
            return ProblemSets(*(self.run.rows(f"problems.{name}", Problem) for name in names))
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
        for name in names:
            self.run.keep(f"problems.{name}", lambda name=name: getattr(sets, name), Problem)  # type: ignore[misc]
        return sets

    def thoughts(self) -> list[ThoughtRow]:
        """D_sft: the teacher writes thoughts, the inspector checks them (section 3.1)."""
        staff = self.staff

        async def work(problem: Problem, before: Sequence[Tried]) -> Row:
            return await write_thought(problem, staff.teacher, staff.inspector, staff.patience, before, self.checker)

        rows = taught(self.run, staff, "thoughts", ThoughtRow, self.sets.thoughts, work)
        if not rows:
            raise Failure("no thought was accepted.", NO_PROBLEMS_LEFT)
        return rows

    def hsft(self, thoughts: Sequence[ThoughtRow]) -> None:
        """Fine-tune the base student on the thoughts."""
        if self.run.path("hsft").exists():
            return
        lessons, out = self._lessons(thoughts), self.run.path("hsft")
        report = train_hsft(self.student("base"), lessons, self.recipe.hsft, out, self.seed("hsft"))
        self.run.say(f"hsft: {report.rows} rows ({report.too_long} too long), {report.steps} steps")

    def _lessons(self, thoughts: Sequence[ThoughtRow]) -> list[Lesson]:
        """What HSFT teaches: the thoughts, and with `hsft.replay` the base student's own reviews."""
        asked = {problem.id: problem.question for problem in self.sets.thoughts}
        lessons = [
            Lesson(self.solve.render(question=asked[row.problem_id]), render_thought(row.thought)) for row in thoughts
        ]
        return lessons + self._replayed(round(self.recipe.hsft.replay * len(thoughts)))

    def _replayed(self, count: int) -> list[Lesson]:
        """The base student's own greedy reviews of its own solutions, so that HSFT does not erase the skill."""
        if not count:
            return []
        problems = self.sets.thoughts[:count]
        drawn = self._attempts("replay.attempts", "base", problems, self.sampling("replay", REPLAY_TEMPERATURE), 1)
        attempts = self._shown(drawn)
        reviews = self._reviews("replay.reviews", "base", problems, attempts, self.sampling("replay", 0.0), 1)
        return [
            Lesson(correction_prompt(self.correct, problem, written), row.text.strip())
            for problem, written, row in zip(problems, attempts, reviews, strict=True)
            if not row.truncated
        ]

    def attempts(self) -> list[Attempt]:
        """The HSFT student solves problems held apart: wrong ones are the error set (section 3.2)."""
        wanted = self.recipe.sampling
        sampling = self.sampling("attempts", wanted.temperature)
        return self._shown(self._attempts("attempts", "hsft", self.sets.errors, sampling, wanted.samples))

    def _shown(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """The attempts as reviewers see them."""
        return [results_only(row) for row in attempts] if self.recipe.review.results_only else list(attempts)

    def corrections(self, attempts: Sequence[Attempt], onward: bool = False) -> list[CorrectionRow]:
        """T⁺: the teacher marks the first wrong step of each wrong attempt, inspected.

        With `onward` the student's own corrections are begun as soon as there are enough rows for a chunk of them.
        """
        chosen = first_wrong(attempts, self.recipe.pairs.per_problem)
        own = self._own_corrections(attempts) if onward else None
        rows = self._corrections("corrections", self.sets.errors, chosen, own)
        if not rows:
            raise Failure(f"none of {len(chosen)} wrong attempts could be corrected.", NO_PROBLEMS_LEFT)
        return rows

    def pairs(self, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> list[PreferencePair]:
        """D_corr: the student continues the teacher's prefix itself; its side is rejected."""
        problems, written = self._about(corrections, attempts)
        own = self.run.stage(self._own_corrections(attempts), corrections)
        rows = [
            error_pair(*row, self.correct)
            for row in zip(problems, written, self._as_shown(corrections), own, strict=True)
        ]
        pairs = self.run.settle("pairs", PreferencePair, rows)
        pairs += self._confirmations([row for row in attempts if row.verdict.right][: len(corrections)])
        if not pairs:
            raise Failure("no preference pair was made: the student's own corrections are all right.", NO_PROBLEMS_LEFT)
        return pairs

    def _own_corrections(self, attempts: Sequence[Attempt]) -> Chunked[CorrectionRow, OwnCorrection]:
        """The student's own side of each correction."""
        sampling = self.sampling("own_corrections", self.recipe.sampling.correction_temperature, STEP_ENDS)

        def make(rows: Sequence[CorrectionRow], number: int, advance: Advance) -> Sequence[Row]:
            problems, written = self._about(rows, attempts)
            student, drawn = self.student("hsft"), _numbered(sampling, number)
            return own_corrections(problems, written, self._as_shown(rows), student, self.correct, drawn, advance)

        return Chunked("own_corrections", OwnCorrection, make)

    def _as_shown(self, corrections: Sequence[CorrectionRow]) -> list[CorrectionRow]:
        """The corrections as the student learns them."""
        if not self.recipe.review.recheck:
            return list(corrections)
        return [row.model_copy(update={"trace": with_checks(row.trace)}) for row in corrections]

    def _confirmations(self, attempts: Sequence[Attempt]) -> list[PreferencePair]:
        """Pairs on right solutions: the plain step over the student's false alarm (a recipe switch)."""
        samples = self.recipe.pairs.confirmations
        if not samples or not attempts:
            return []
        by_id = {problem.id: problem for problem in self.sets.errors}
        problems = [by_id[row.problem_id] for row in attempts]
        steps = [checked(row.steps) if self.recipe.review.recheck else row.steps for row in attempts]
        sampling = self.sampling("alarms", self.recipe.sampling.correction_temperature)
        alarms = self._reviews("alarms", "hsft", problems, attempts, sampling, samples)

        rows = [
            confirmation_pair(problems[i // samples], attempts[i // samples], alarm, self.correct, steps[i // samples])
            for i, alarm in enumerate(alarms)
        ]
        return self.run.settle("confirmations", PreferencePair, rows)

    def cross_dpo(self, pairs: Sequence[PreferencePair], thoughts: Sequence[ThoughtRow]) -> None:
        """Cross-DPO from the HSFT student, which is also the frozen reference (eq. 8)."""
        out = self.run.path("cross_dpo")
        if out.exists():
            return
        settings, lessons = self.recipe.cross_dpo, self._lessons(thoughts) if self.recipe.cross_dpo.replay else ()
        report = train_cross_dpo(self.student("hsft"), pairs, settings, out, self.seed("cross_dpo"), lessons=lessons)
        self._student = None
        self.run.say(f"cross_dpo: {report.rows} pairs ({report.too_long} too long), {report.steps} steps")

    # ------------------------------------------------------------------ evaluation

    def evaluate(self) -> Results:
        """t1, self-correction at t2 and step errors of base, HSFT and Cross-DPO on problems no stage has seen."""
        results = Results(
            recipe=self.recipe.name,
            student=self.recipe.student,
            seed=self.recipe.seed,
            problems=len(self.sets.evaluation),
            panels=tuple(self._panel(model) for model in MODELS),
            counts=tuple(self.run.counts()),
        )
        write_results(self.run.path("results.json"), results)
        return results

    def _panel(self, model: str) -> Panel:
        problems, greedy = self.sets.evaluation, self.sampling("evaluate", 0.0)
        attempts = self._shown(self._attempts(f"evaluate.{model}.attempts", model, problems, greedy, 1))
        reviews = self._reviews(f"evaluate.{model}.reviews", model, problems, attempts, greedy, 1)
        wrong = [row for row in attempts if not row.verdict.right]
        corrections = self._corrections(f"evaluate.{model}.corrections", problems, wrong)
        return panel(
            model, problems, attempts, reviews, corrections, self._repeats(model), ks=self.recipe.evaluation.ks,
            seed=self.seed("evaluate"), checker=self.checker, given_location=self._mended(model, attempts, corrections),
            perplexity=self._perplexity(model),
        )  # fmt: skip

    def _mended(self, model: str, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> Estimate:
        """Of the errors that the teacher located, those that the student mends once shown where."""
        problems, written = self._about(corrections, attempts, self.sets.evaluation)
        greedy = _with_length(self.sampling("evaluate", 0.0, UP_TO_STEP_END), self.recipe.sampling.max_review_tokens)

        def make(places: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
            about, shown, traces = ([rows[place] for place in places] for rows in (problems, written, corrections))
            student, drawn = self.student(model), _numbered(greedy, number)
            return given_location(about, shown, traces, student, self.correct, drawn, advance)  # type: ignore[arg-type]

        chunked = Chunked(f"evaluate.{model}.given_location", OwnCorrection, make)
        own = self.run.stage(chunked, range(len(corrections)), unit="corrections")
        return mended_given_location(own, written, corrections)

    def _perplexity(self, model: str) -> Perplexity:
        """How likely the model finds the gold solutions, where there are any; every model is asked alike."""
        solved = [problem for problem in self.sets.evaluation if problem.solution]

        def make(rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
            return gold_scores(self.student(model), self.solve, rows, advance)

        chunked = Chunked(f"evaluate.{model}.perplexity", ChainScore, make)
        return perplexity(model, self.run.stage(chunked, solved, unit="solutions"))

    def _repeats(self, model: str) -> Outcomes | None:
        """Sampled solutions to some of the problems, several each, for stability, pass@k and maj@k."""
        wanted, sampling = self.recipe.evaluation, self.recipe.sampling
        if not wanted.repeats:
            return None
        problems, prompt = self.sets.evaluation[: wanted.repeat_problems], self._prompt_of(model)
        series = Series(
            model=model, weights=weights_of(self._folder(model)), benchmark="evaluation",
            problems=fingerprint(problems), prompt=prompt.name, prompt_text=digest(prompt.text),
            temperature=wanted.temperature, top_p=sampling.top_p, max_new_tokens=sampling.max_new_tokens,
            batch_rows=sampling.batch_rows, seed=self.seed("repeats"),
        )  # fmt: skip

        def draw(rows: Sequence[Problem], drawn: Sampling, advance: Advance) -> list[Attempt]:
            return attempt(rows, self.student(model), prompt, drawn, advance, self.checker)

        return Store(self.run.path(f"attempts/evaluation/{model}"), series, problems).repeats(
            draw, wanted.repeats, self.checker
        )

    # ------------------------------------------------------------------ what the stages share

    def seed(self, purpose: str) -> int:
        """A seed of its own for each purpose, derived from the recipe's."""
        return derived_seed(self.recipe.seed, purpose)

    def sampling(self, purpose: str, temperature: float, stop: tuple[str, ...] = ("</Answer>",)) -> Sampling:
        """The recipe's sampling at this temperature (0: greedy)."""
        wanted = self.recipe.sampling
        return Sampling(
            temperature=temperature,
            top_p=wanted.top_p,
            max_new_tokens=wanted.max_new_tokens,
            stop=stop,
            seed=self.seed(purpose),
            batch_rows=wanted.batch_rows,
        )

    def student(self, model: str) -> Student:
        """Base, HSFT or Cross-DPO student; the last one asked for stays in memory."""
        name = self._folder(model)
        if self._student is None or self._student.name != name:
            self._student = Student.load(name)
        return self._student

    def _folder(self, model: str) -> str:
        return self.recipe.student if model == "base" else str(self.run.path(model))

    def _prompt_of(self, model: str) -> Prompt:
        return self.base_prompt if model == "base" else self.solve

    def _attempts(
        self, stage: str, model: str, problems: Sequence[Problem], sampling: Sampling, samples: int
    ) -> list[Attempt]:
        def make(rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
            drawn = _numbered(sampling, number, samples)
            return attempt(rows, self.student(model), self._prompt_of(model), drawn, advance, self.checker)

        return self.run.stage(Chunked(stage, Attempt, make), problems, per_input=samples, unit="solutions")

    def _reviews(
        self,
        stage: str,
        model: str,
        problems: Sequence[Problem],
        attempts: Sequence[Attempt],
        sampling: Sampling,
        samples: int,
    ) -> list[Review]:
        longer = _with_length(sampling, self.recipe.sampling.max_review_tokens)

        def make(rows: Sequence[tuple[Problem, Attempt]], number: int, advance: Advance) -> Sequence[Row]:
            about, written = [row[0] for row in rows], [row[1] for row in rows]
            return review(
                about, written, self.student(model), self.correct, _numbered(longer, number, samples), advance,
                self.checker,
            )  # fmt: skip

        inputs = list(zip(problems, attempts, strict=True))
        return self.run.stage(Chunked(stage, Review, make), inputs, per_input=samples, unit="reviews")

    def _corrections(
        self,
        stage: str,
        problems: Sequence[Problem],
        wrong: Sequence[Attempt],
        onward: Chunked[CorrectionRow, OwnCorrection] | None = None,
    ) -> list[CorrectionRow]:
        return corrected(self.run, self.staff, stage, problems, wrong, self.checker, onward)

    def _about(
        self, corrections: Sequence[CorrectionRow], attempts: Sequence[Attempt], among: Sequence[Problem] = ()
    ) -> tuple[list[Problem], list[Attempt]]:
        """Problem (of the error set, if not `among` others) and attempt of each correction, aligned."""
        problems = {problem.id: problem for problem in among or self.sets.errors}
        written = {(row.problem_id, row.sample): row for row in attempts}
        return (
            [problems[row.problem_id] for row in corrections],
            [written[row.problem_id, row.sample] for row in corrections],
        )

    def _books(self) -> None:
        fingerprints = {name: fingerprint(getattr(self.sets, name)) for name in ("thoughts", "errors", "evaluation")}
        purposes = ("hsft", "attempts", "own_corrections", "alarms", "cross_dpo", "evaluate", "repeats")
        self.run.write_manifest(fingerprints, {purpose: self.seed(purpose) for purpose in purposes})


def taught_kind(stage: str) -> type[Row]:
    """The kind of rows of a stage of teacher and inspector."""
    return ThoughtRow if stage == "thoughts" else CorrectionRow


def first_wrong(attempts: Sequence[Attempt], per_problem: int) -> list[Attempt]:
    """The error set: up to `per_problem` wrong attempts of each problem, no two with the same text."""
    kept: dict[str, list[Attempt]] = {}
    for row in attempts:
        held = kept.setdefault(row.problem_id, [])
        new = row.text not in {other.text for other in held}
        if row.verdict.outcome != "right" and new and len(held) < per_problem:
            held.append(row)
    return [row for held in kept.values() for row in held]


def _numbered(sampling: Sampling, number: int, samples: int = 1) -> Sampling:
    """The same sampling with a seed for chunk `number`."""
    return Sampling(**{**vars(sampling), "seed": derived_seed(sampling.seed, number), "samples": samples})


def _with_length(sampling: Sampling, max_new_tokens: int) -> Sampling:
    return Sampling(**{**vars(sampling), "max_new_tokens": max_new_tokens})
