"""The figures for one model: accuracy at t1 and t2, what self-correction changes, step errors, and its repeats."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.accuracy import Accuracy, AtK, Rates, accuracy, at_k, named_levels, places_by, rates_of
from redink.evaluation.outcomes import Outcomes
from redink.evaluation.perplexity import Perplexity
from redink.evaluation.self_correction import (
    MajorityBaseline,
    edits,
    majority_baseline,
    self_correction,
)
from redink.evaluation.stability import Stability, stability
from redink.evaluation.statistics import NOTHING, Estimate, macro, proportion
from redink.evaluation.step_errors import step_errors
from redink.types import Attempt, CorrectionRow, Problem, Review, Row

Grouped = dict[str, dict[str, Estimate]]


class Panel(Row):
    """All figures of one model on one set of problems; shares of 1, each with n and a 95 % interval.

    What has a default is missing from the results of older runs.
    """

    model: str = Field(description="base, hsft, cross_dpo, orion, …: a model of the run, by name.")
    accuracy_t1: Estimate = Field(description="Acc@t1: the first solution is right.")
    accuracy_t2: Estimate = Field(description="Acc@t2: the answer after the student's own review is right.")
    delta: Estimate = Field(description="Δ(t1→t2) = Acc@t2 − Acc@t1.")
    wrong_to_right: Estimate = Field(description="Δ(wrong→right): share of all problems that the review repaired.")
    right_to_wrong: Estimate = Field(description="Δ(right→wrong): share of all problems that the review broke.")
    fixed: Estimate = Field(NOTHING, description="fixed|wrong: of those not right at t1, those right at t2.")
    broken: Estimate = Field(NOTHING, description="broken|right: of those right at t1, those not right at t2.")
    edited: Estimate | None = Field(None, description="Share whose answer at t2 is not the one at t1.")
    locate: Estimate = Field(description="Locate correctness: of wrong solutions, the teacher's step k was marked.")
    correct: Estimate = Field(description="Correction accuracy: step k was marked and repaired.")
    given_location: Estimate | None = Field(None, description="Correction accuracy where the student is shown step k.")
    false_alarms: Estimate = Field(description="Of right solutions, those in which the review marks a step.")
    unlocated: int = Field(description="Wrong solutions in which the teacher finds no wrong step (not in `locate`).")
    ungradable_t1: int = Field(description="Solutions without a gradable answer; they count as not right.")
    ungradable_t2: int = Field(description="Reviews without a gradable answer; they count as not right.")
    truncated: int = Field(description="Solutions and reviews cut by the token limit.")
    rates: dict[str, Rates] = Field(default_factory=dict, description="Ungradable, unparsed and cut, at 't1' and 't2'.")
    macro_t1: Estimate = Field(NOTHING, description="Mean over subjects of Acc@t1.")
    macro_t2: Estimate = Field(NOTHING, description="Mean over subjects of Acc@t2.")
    by_subject: Grouped = Field(description="t1, t2 and Δ per subject.")
    by_level: Grouped = Field(default_factory=dict, description="t1, t2 and Δ per level; empty where none is stated.")
    repeated: Accuracy | None = Field(None, description="Accuracy over the repeats.")
    at_k: AtK | None = Field(None, description="pass@k and maj@k over the repeats.")
    stability: Stability | None = Field(None, description="How steady the repeats are.")
    majority: MajorityBaseline | None = Field(None, description="A vote for the tokens of t1 and t2.")
    perplexity: Perplexity | None = Field(None, description="How likely the model finds given chains of thought.")


def panel(
    model: str,
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    reviews: Sequence[Review],
    corrections: Sequence[CorrectionRow],
    repeats: Outcomes | None = None,
    *,
    ks: Sequence[int] = (),
    seed: int = 0,
    checker: Checker = MATH,
    given_location: Estimate | None = None,
    perplexity: Perplexity | None = None,
) -> Panel:
    """Compute the panel; problems, attempts and reviews are aligned, one attempt per problem.

    `corrections` holds the teacher's traces for those wrong attempts in which it located the error. `repeats` are
    sampled attempts at all or some of the problems; pass@k and maj@k are given for `ks`, by default powers of two.
    `checker` says whether a review changed the answer; `seed` is that of bootstraps and of the subsets of maj@k.
    """
    first = [attempt.verdict.right for attempt in attempts]
    second = [review.verdict.right for review in reviews]
    truth = {row.problem_id: row for row in corrections}
    wrong = [review for review, right in zip(reviews, first, strict=True) if not right]
    right = [review for review, was_right in zip(reviews, first, strict=True) if was_right]
    located, repaired, n_located = step_errors(wrong, truth)
    subjects = by_subject(problems, first, second)
    return Panel(
        model=model,
        **dict(self_correction(first, second, edits(problems, attempts, reviews, checker))),
        locate=proportion(located, n_located),
        correct=proportion(repaired, n_located),
        given_location=given_location,
        false_alarms=proportion(sum(review.error is not None for review in right), len(right)),
        unlocated=len(wrong) - n_located,
        ungradable_t1=sum(attempt.verdict.outcome == "ungradable" for attempt in attempts),
        ungradable_t2=sum(review.verdict.outcome == "ungradable" for review in reviews),
        truncated=sum(row.truncated for row in attempts) + sum(row.truncated for row in reviews),
        rates={"t1": rates_of(attempts), "t2": rates_of(reviews)},
        macro_t1=macro(figures["accuracy_t1"] for figures in subjects.values()),
        macro_t2=macro(figures["accuracy_t2"] for figures in subjects.values()),
        by_subject=subjects,
        by_level=_grouped(named_levels([problem.level for problem in problems]), first, second),
        repeated=accuracy(repeats, seed) if repeats else None,
        at_k=at_k(repeats, ks, seed) if repeats else None,
        stability=stability(repeats, seed) if repeats else None,
        majority=_majority(repeats, attempts, reviews, seed) if repeats else None,
        perplexity=perplexity,
    )


def by_subject(problems: Sequence[Problem], first: Sequence[bool], second: Sequence[bool]) -> Grouped:
    """t1, t2 and Δ for each subject."""
    return _grouped([problem.subject for problem in problems], first, second)


def _grouped(labels: Sequence[str], first: Sequence[bool], second: Sequence[bool]) -> Grouped:
    def figures(places: Sequence[int]) -> dict[str, Estimate]:
        found = self_correction([first[place] for place in places], [second[place] for place in places])
        return {"accuracy_t1": found.accuracy_t1, "accuracy_t2": found.accuracy_t2, "delta": found.delta}

    return {label: figures(places) for label, places in places_by(labels).items()}


def _majority(
    repeats: Outcomes, attempts: Sequence[Attempt], reviews: Sequence[Review], seed: int
) -> MajorityBaseline | None:
    """The vote for the tokens of t1 and t2 on the problems of the repeats; None where a length is not known."""
    among = set(repeats.problem_ids)
    rows = [(attempt, review) for attempt, review in zip(attempts, reviews, strict=True) if attempt.problem_id in among]
    if any(row.text and not row.tokens for pair in rows for row in pair):
        return None
    cost = sum(row.tokens for pair in rows for row in pair) / len(rows)
    right = {review.problem_id: review.verdict.right for _, review in rows}
    return majority_baseline(repeats, cost, [right[name] for name in repeats.problem_ids], seed)
