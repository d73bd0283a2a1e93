"""Error exposure: which of eight solutions stand for distinct errors, worked out by hand."""

from __future__ import annotations

import pytest

from redink.answers.checkers import checker_of
from redink.stages.exposure import expose, first_wrong
from redink.types import Attempt, ExposedError, Problem, Rejected, Step, Verdict

PROBLEM = Problem(id="p", question="47 + 38 - 20?", answer="65", solution="47 + 38 = 85\n85 - 20 = 65")


def attempt(sample: int, answer: str | None, *texts: str) -> Attempt:
    outcome = "ungradable" if answer is None else "right" if answer == "65" else "wrong"
    steps = tuple(Step(number=n, text=text) for n, text in enumerate(texts, start=1))
    return Attempt(
        problem_id="p", sample=sample, text=f"{sample}", steps=steps, answer=answer, verdict=Verdict(outcome=outcome)
    )


ATTEMPTS = [
    attempt(0, "75", "47 + 38 = 85", "85 - 20 = 75"),
    attempt(1, "65", "47 + 38 = 85", "85 - 20 = 65"),
    attempt(2, "55", "47 + 38 = 75", "75 - 20 = 55"),
    attempt(3, "56", "47 + 38 = 75", "75 - 20 = 56"),  # the first wrong step of 2, another answer
    attempt(4, None, "47 + 38 = 85"),
    attempt(5, "55.0", "47 + 28 = 75", "75 - 20 = 55"),  # the answer of 2, another first wrong step
    attempt(6, "9", "47 - 38 = 9"),
    attempt(7, "75", "95 - 20 = 75"),  # the answer of 0
]


def reasons(outcomes: list[ExposedError | Rejected]) -> list[str]:
    return [row.reason if isinstance(row, Rejected) else f"kept {row.count}" for row in outcomes]


def test_the_most_frequent_error_stands_for_all_that_err_alike() -> None:
    outcomes = expose(PROBLEM, ATTEMPTS)
    assert reasons(outcomes) == [
        "not_chosen", "right", "kept 3", "same_first_step", "ungradable", "same_first_step", "not_chosen", "not_chosen",
    ]  # fmt: skip
    assert outcomes[2] == ExposedError(problem_id="p", sample=2, text="2", answer="55", step=1, count=3)


@pytest.mark.parametrize(("keep", "samples"), [(1, [2]), (2, [0, 2]), (3, [0, 2, 6]), (9, [0, 2, 6])])
def test_so_many_errors_are_kept(keep: int, samples: list[int]) -> None:
    kept = [row.sample for row in expose(PROBLEM, ATTEMPTS, keep=keep) if isinstance(row, ExposedError)]
    assert kept == samples


def test_all_keeps_every_distinct_error() -> None:
    kept = [row for row in expose(PROBLEM, ATTEMPTS, "all") if isinstance(row, ExposedError)]
    assert [(row.sample, row.count, row.step) for row in kept] == [(0, 2, 2), (2, 3, 1), (6, 1, 1)]


def test_the_most_probable_error_is_that_of_the_least_surprise_which_also_stands_for_its_like() -> None:
    nll = {("p", 0): 9.0, ("p", 2): 8.0, ("p", 3): 7.5, ("p", 5): None, ("p", 6): 7.0, ("p", 7): 6.5}
    (kept,) = [row for row in expose(PROBLEM, ATTEMPTS, "probable", 1, nll) if isinstance(row, ExposedError)]
    assert (kept.sample, kept.nll, kept.count) == (7, 6.5, 2)
    second = [row.sample for row in expose(PROBLEM, ATTEMPTS, "probable", 2, nll) if isinstance(row, ExposedError)]
    assert second == [6, 7]


def test_errors_that_only_a_third_links_are_alike() -> None:
    linked = [attempt(0, "1", "47 + 38 = 75"), attempt(1, "2", "47 - 38 = 9"), attempt(2, "1", "47 - 38 = 9")]
    assert reasons(expose(PROBLEM, linked)) == ["kept 3", "same_first_step", "same_answer"]


def test_the_checker_says_which_answers_are_the_same() -> None:
    rows = [attempt(0, "55", "x"), attempt(1, "55.0", "y")]
    unsolved = PROBLEM.model_copy(update={"solution": None})
    assert reasons(expose(unsolved, rows)) == ["kept 2", "same_first_step"]
    assert reasons(expose(unsolved, rows, checker=checker_of("exact"))) == ["kept 1", "not_chosen"]


def test_without_a_gold_solution_there_is_no_first_wrong_step() -> None:
    assert first_wrong(PROBLEM.model_copy(update={"solution": None}), ATTEMPTS[0]) is None
    assert first_wrong(PROBLEM, ATTEMPTS[0]) == 2


def test_no_attempts_are_no_outcomes() -> None:
    assert expose(PROBLEM, []) == []
