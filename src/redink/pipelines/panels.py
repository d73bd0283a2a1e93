"""The evaluation at the end of a method: every figure of the models it made, on problems that no stage has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redink.evaluation.outcomes import Outcomes
from redink.evaluation.panel import Panel, panel
from redink.evaluation.perplexity import ChainScore, Perplexity, perplexity
from redink.evaluation.statistics import Estimate
from redink.evaluation.step_errors import UP_TO_STEP_END, given_location, mended_given_location
from redink.models.student import Sampling
from redink.pipelines.evaluation import gold_scores
from redink.pipelines.results import Results, write_results
from redink.pipelines.series import Series, Store, weights_of
from redink.pipelines.workshop import Workshop, about, numbered, with_length
from redink.problems import fingerprint
from redink.progress import Advance
from redink.rows import digest
from redink.stages.attempts import attempt
from redink.stages.chunks import Chunked
from redink.types import Attempt, CorrectionRow, OwnCorrection, Problem, Review, Row

Corrected = tuple[Problem, Attempt, CorrectionRow]
"""An attempt with its problem and the teacher's correction, as the student is shown it."""
Second = Callable[[Sequence[Attempt]], list[Review]]
"""How a model comes to its second answer (t2) from its first solutions."""


def results_of(shop: Workshop, models: Sequence[str], second: Second | None = None) -> Results:
    """t1, self-correction at t2 and step errors of some models, written as results.json.

    With `second` the last model is asked so for its second answer, else for a review, as all others are.
    """
    seconds = [None] * (len(models) - 1) + [second]
    results = Results(
        recipe=shop.recipe.name,
        student=shop.recipe.student,
        seed=shop.recipe.seed,
        problems=len(shop.sets.evaluation),
        panels=tuple(panel_of(shop, model, how) for model, how in zip(models, seconds, strict=True)),
        counts=tuple(shop.run.counts()),
    )
    write_results(shop.run.path("results.json"), results)
    return results


def panel_of(shop: Workshop, model: str, second: Second | None = None) -> Panel:
    """Every figure of one model."""
    problems, greedy = shop.sets.evaluation, shop.sampling("evaluate", 0.0)
    attempts = shop.shown(shop.attempts(f"evaluate.{model}.attempts", model, problems, greedy, 1))
    if second is None:
        reviews = shop.reviews(f"evaluate.{model}.reviews", model, problems, attempts, greedy, 1)
    else:
        reviews = second(attempts)
    wrong = [row for row in attempts if not row.verdict.right]
    corrections = shop.corrections(f"evaluate.{model}.corrections", problems, wrong)
    return panel(
        model, problems, attempts, reviews, corrections, _repeats(shop, model), ks=shop.recipe.evaluation.ks,
        seed=shop.seed("evaluate"), checker=shop.checker, given_location=_mended(shop, model, attempts, corrections),
        perplexity=_perplexity(shop, model),
    )  # fmt: skip


def _mended(shop: Workshop, model: str, attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]) -> Estimate:
    """Of the errors that the teacher located, those that the student mends once shown where."""
    problems, written = about(corrections, shop.sets.evaluation, attempts)
    greedy = with_length(shop.sampling("evaluate", 0.0, UP_TO_STEP_END), shop.recipe.sampling.max_review_tokens)

    shelf, name, prompt = shop.shelf, shop.placed(model), shop.correct

    def make(rows: Sequence[Corrected], number: int, advance: Advance) -> Sequence[Row]:
        asked, shown, traces = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        return given_location(asked, shown, traces, shelf.student(name), prompt, numbered(greedy, number), advance)

    chunked: Chunked[Corrected, OwnCorrection] = Chunked(f"evaluate.{model}.given_location", OwnCorrection, make)
    own = shop.run.stage(chunked, list(zip(problems, written, corrections, strict=True)), unit="corrections")
    return mended_given_location(own, written, corrections)


def _perplexity(shop: Workshop, model: str) -> Perplexity:
    """How likely the model finds the gold solutions, where there are any; every model is asked alike."""
    solved = [problem for problem in shop.sets.evaluation if problem.solution]
    shelf, name, prompt = shop.shelf, shop.placed(model), shop.solve

    def make(rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
        return gold_scores(shelf.student(name), prompt, rows, advance)

    chunked: Chunked[Problem, ChainScore] = Chunked(f"evaluate.{model}.perplexity", ChainScore, make)
    return perplexity(model, shop.run.stage(chunked, solved, unit="solutions"))


def _repeats(shop: Workshop, model: str) -> Outcomes | None:
    """Sampled solutions to some of the problems, several each, for stability, pass@k and maj@k."""
    wanted, sampling = shop.recipe.evaluation, shop.recipe.sampling
    if not wanted.repeats:
        return None
    problems, prompt = shop.sets.evaluation[: wanted.repeat_problems], shop.prompt_of(model)
    series = Series(
        model=model, weights=weights_of(shop.folder(model)), benchmark="evaluation",
        problems=fingerprint(problems), prompt=prompt.name, prompt_text=digest(prompt.text),
        temperature=wanted.temperature, top_p=sampling.top_p, max_new_tokens=sampling.max_new_tokens,
        batch_rows=sampling.batch_rows, seed=shop.seed("repeats"),
    )  # fmt: skip

    shelf, name, checker = shop.shelf, shop.placed(model), shop.checker

    def draw(rows: Sequence[Problem], drawn: Sampling, advance: Advance) -> list[Attempt]:
        return attempt(rows, shelf.student(name), prompt, drawn, advance, checker)

    return Store(shop.run.path(f"attempts/evaluation/{model}"), series, problems, shop.run.engine).repeats(
        draw, wanted.repeats, shop.checker
    )
