"""The figures for one model: accuracy at t1 and t2, what self-correction changes, and step errors (table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from redink.evaluation.statistics import Estimate, paired_difference, proportion
from redink.stages.pairs import repairs
from redink.types import Attempt, CorrectionRow, Problem, Review, Row


class Panel(Row):
    """All figures of one model on one set of problems; shares of 1, each with n and a 95 % interval."""

    model: str = Field(description="base, hsft or cross_dpo.")
    accuracy_t1: Estimate = Field(description="Acc@t1: the first solution is right.")
    accuracy_t2: Estimate = Field(description="Acc@t2: the answer after the student's own review is right.")
    delta: Estimate = Field(description="Δ(t1→t2) = Acc@t2 − Acc@t1.")
    wrong_to_right: Estimate = Field(description="Δ(wrong→right): share of all problems that the review repaired.")
    right_to_wrong: Estimate = Field(description="Δ(right→wrong): share of all problems that the review broke.")
    locate: Estimate = Field(description="Locate correctness: of wrong solutions, the teacher's step k was marked.")
    correct: Estimate = Field(description="Correction accuracy: step k was marked and repaired.")
    false_alarms: Estimate = Field(description="Of right solutions, those in which the review marks a step.")
    unlocated: int = Field(description="Wrong solutions in which the teacher finds no wrong step (not in `locate`).")
    ungradable_t1: int = Field(description="Solutions without a gradable answer; they count as not right.")
    ungradable_t2: int = Field(description="Reviews without a gradable answer; they count as not right.")
    truncated: int = Field(description="Solutions and reviews cut by the token limit.")
    by_subject: dict[str, dict[str, Estimate]] = Field(description="t1, t2 and Δ per subject.")


def panel(
    model: str,
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    reviews: Sequence[Review],
    corrections: Sequence[CorrectionRow],
) -> Panel:
    """Compute the panel; problems, attempts and reviews are aligned, one attempt per problem.

    `corrections` holds the teacher's traces for those wrong attempts in which it located the error.
    """
    first = [attempt.verdict.right for attempt in attempts]
    second = [review.verdict.right for review in reviews]
    truth = {row.problem_id: row for row in corrections}
    wrong = [review for review, right in zip(reviews, first, strict=True) if not right]
    right = [review for review, was_right in zip(reviews, first, strict=True) if was_right]
    located, repaired, n_located = step_errors(wrong, truth)
    return Panel(
        model=model,
        **self_correction(first, second),
        locate=proportion(located, n_located),
        correct=proportion(repaired, n_located),
        false_alarms=proportion(sum(review.error is not None for review in right), len(right)),
        unlocated=len(wrong) - n_located,
        ungradable_t1=sum(attempt.verdict.outcome == "ungradable" for attempt in attempts),
        ungradable_t2=sum(review.verdict.outcome == "ungradable" for review in reviews),
        truncated=sum(row.truncated for row in attempts) + sum(row.truncated for row in reviews),
        by_subject=by_subject(problems, first, second),
    )


def self_correction(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Estimate]:
    """Acc@t1, Acc@t2, Δ, Δ(wrong→right), Δ(right→wrong) as SCoRe defines them, from aligned verdicts."""
    n = len(first)
    gained = sum(after and not before for before, after in zip(first, second, strict=True))
    lost = sum(before and not after for before, after in zip(first, second, strict=True))
    return {
        "accuracy_t1": proportion(sum(first), n),
        "accuracy_t2": proportion(sum(second), n),
        "delta": paired_difference(gained, lost, n),
        "wrong_to_right": proportion(gained, n),
        "right_to_wrong": proportion(lost, n),
    }


def step_errors(wrong: Sequence[Review], truth: Mapping[str, CorrectionRow]) -> tuple[int, int, int]:
    """(located, repaired, n) over the reviews of wrong solutions in which the teacher located the error."""
    located = repaired = n = 0
    for review in wrong:
        row = truth.get(review.problem_id)
        if row is None or row.trace.error is None:
            continue
        n += 1
        located += review.error is not None and review.error.step == row.trace.error.step
        repaired += repairs(review.error, row.trace.error)
    return located, repaired, n


def by_subject(
    problems: Sequence[Problem], first: Sequence[bool], second: Sequence[bool]
) -> dict[str, dict[str, Estimate]]:
    """t1, t2 and Δ for each subject."""
    result = {}
    for subject in sorted({problem.subject for problem in problems}):
        chosen = [index for index, problem in enumerate(problems) if problem.subject == subject]
        figures = self_correction([first[i] for i in chosen], [second[i] for i in chosen])
        result[subject] = {name: figures[name] for name in ("accuracy_t1", "accuracy_t2", "delta")}
    return result
