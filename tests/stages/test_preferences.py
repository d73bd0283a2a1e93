"""Pairs of the baselines: whole solutions and next steps, by hand."""

from __future__ import annotations

import pytest
from stand_ins import ATTEMPT, PROBLEM, SOLVE, TRACE

from redink.stages.preferences import right_step, solution_pairs, step_pair
from redink.types import Attempt, CorrectionRow, PreferencePair, Rejected, Step, Verdict

PROMPT = f"Q: {PROBLEM.question}"


def attempt(sample: int, outcome: str, truncated: bool = False) -> Attempt:
    verdict = Verdict.model_validate({"outcome": outcome})
    return Attempt(problem_id="p1", sample=sample, text=f"text {sample}", verdict=verdict, truncated=truncated)


W0, R1, W2, R3, W4 = (attempt(n, outcome) for n, outcome in enumerate(["wrong", "right", "wrong", "right", "wrong"]))
ALL = [W0, R1, W2, R3, W4]


def sides(rows: list[PreferencePair | Rejected]) -> list[tuple[str, str]]:
    return [(row.chosen, row.rejected) for row in rows if isinstance(row, PreferencePair)]


def test_the_students_own_right_solutions_are_chosen_in_turn() -> None:
    rows = solution_pairs([PROBLEM], [W0, W2, W4], ALL, {"p1": "taught"}, SOLVE)
    assert sides(rows) == [("text 1", "text 0"), ("text 3", "text 2"), ("text 1", "text 4")]
    assert rows[0] == PreferencePair(
        problem_id="p1", sample=0, prompt=PROMPT, prefix="", chosen="text 1", rejected="text 0", chosen_ends=True,
        rejected_ends=True, kind="solution",
    )  # fmt: skip


def test_the_teachers_solution_is_chosen_where_the_student_has_none() -> None:
    assert sides(solution_pairs([PROBLEM], [W0], [W0], {"p1": "taught"}, SOLVE)) == [("taught", "text 0")]


def test_without_any_right_solution_there_is_no_pair() -> None:
    assert solution_pairs([PROBLEM], [W0], [W0], {}, SOLVE) == [
        Rejected(problem_id="p1", sample=0, stage="pairs", reason="no_right_solution")
    ]


def test_a_solution_that_was_cut_does_not_end() -> None:
    (row,) = solution_pairs([PROBLEM], [attempt(0, "wrong", True)], [R1], {}, SOLVE)
    assert isinstance(row, PreferencePair)
    assert (row.chosen_ends, row.rejected_ends) == (True, False)


def test_the_exposure_model_prefers_the_error() -> None:
    (row,) = solution_pairs([PROBLEM], [W0], ALL, {}, SOLVE, prefer_errors=True)
    assert isinstance(row, PreferencePair)
    assert (row.chosen, row.rejected, row.kind) == ("text 0", "text 1", "exposure")


# ---------------------------------------------------------------- the next step

ROW = CorrectionRow(problem_id="p1", sample=4, trace=TRACE)


def test_a_step_pair_continues_the_solution_with_the_right_step_or_the_wrong_one() -> None:
    assert step_pair(PROBLEM, ATTEMPT, ROW, SOLVE) == PreferencePair(
        problem_id="p1", sample=4, prompt=PROMPT, prefix="<Step1>47 + 38 = 85</Step1>\n",
        chosen="<Step2>85 - 20 = 65</Step2>", rejected="<Step2>85 - 20 = 75</Step2>", kind="step",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"error": None}, "no_such_step"),
        ({"error": TRACE.error.model_copy(update={"step": 4})}, "no_such_step"),  # type: ignore[union-attr]
        ({"error": TRACE.error.model_copy(update={"correction": "85 - 20 = 75"})}, "sides_are_equal"),  # type: ignore[union-attr]
    ],
)
def test_what_is_no_step_pair_is_left_out_by_name(update: dict[str, object], reason: str) -> None:
    row = ROW.model_copy(update={"trace": TRACE.model_copy(update=update)})
    assert step_pair(PROBLEM, ATTEMPT, row, SOLVE) == Rejected(problem_id="p1", sample=4, stage="pairs", reason=reason)


@pytest.mark.parametrize(
    ("wrong", "correction", "text", "key"),
    [
        (Step(number=1, text="5 - 2 = 4"), "5 - 2 = 3", "5 - 2 = 3", None),
        (Step(number=1, text="47 - 38", key="47 - 38 = 9"), "47 + 38 = 85", "47 + 38", "47 + 30 = 77, 77 + 8 = 85"),
        (Step(number=1, text="47 + 38", key="x"), "47 + 30 = 77, 77 + 8 = 85", "47 + 38", "47 + 30 = 77, 77 + 8 = 85"),
        (Step(number=1, text="47 + 38", key="x"), "Add them.", "Add them.", None),
    ],
)
def test_the_right_step_has_the_form_of_the_wrong_one(wrong: Step, correction: str, text: str, key: str | None) -> None:
    assert right_step(wrong, correction) == Step(number=1, text=text, key=key)
