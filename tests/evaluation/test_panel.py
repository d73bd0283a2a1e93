"""The panel of one model, every figure worked out by hand on eight problems.

problem  subject  t1          t2          teacher's k  review marks          located  repaired  alarm
a        add      right       right       –            nothing                                  no
b        add      right       wrong       –            step 1                                   yes
c        add      wrong       right       2 → 65       step 2, 65            yes      yes
d        add      wrong       wrong       2 → 65       step 2, 60            yes      no
e        mul      wrong       wrong       1 → 65       step 2, 65            no       no
f        mul      wrong       ungradable  2 → 65       nothing (cut)         no       no
g        mul      wrong       wrong       unlocated    step 1                (not counted)
h        mul      ungradable  right       unlocated    nothing               (not counted)
"""

from __future__ import annotations

import pytest

from redink.evaluation.panel import Panel, by_subject, panel, self_correction, step_errors
from redink.evaluation.statistics import Estimate
from redink.types import (
    Attempt,
    CorrectionRow,
    CorrectionTrace,
    LocatedError,
    Problem,
    Review,
    Step,
    Verdict,
)

STEPS = (Step(number=1, text="one"), Step(number=2, text="two"))
CASES = [  # id, subject, t1, t2, teacher's step, marked (step, value), review cut
    ("a", "add", "right", "right", None, None, False),
    ("b", "add", "right", "wrong", None, (1, 60), False),
    ("c", "add", "wrong", "right", 2, (2, 65), False),
    ("d", "add", "wrong", "wrong", 2, (2, 60), False),
    ("e", "mul", "wrong", "wrong", 1, (2, 65), False),
    ("f", "mul", "wrong", "ungradable", 2, None, True),
    ("g", "mul", "wrong", "wrong", None, (1, 65), False),
    ("h", "mul", "ungradable", "right", None, None, False),
]


def located(step: int, value: int) -> LocatedError:
    return LocatedError(step=step, cause="c", correction=f"it is {value}")


PROBLEMS = [Problem(id=name, question=name, answer="1", subject=subject) for name, subject, *_ in CASES]
ATTEMPTS = [
    Attempt(problem_id=name, text="", verdict=Verdict(outcome=t1), truncated=name == "h")  # type: ignore[arg-type]
    for name, _, t1, *_ in CASES
]
REVIEWS = [
    Review(
        problem_id=name, text="", error=located(*marked) if marked else None,
        verdict=Verdict(outcome=t2), truncated=cut,  # type: ignore[arg-type]
    )
    for name, _, _, t2, _, marked, cut in CASES
]  # fmt: skip
CORRECTIONS = [
    CorrectionRow(problem_id=name, trace=CorrectionTrace(steps=STEPS, error=located(step, 65), answer="1"))
    for name, _, _, _, step, _, _ in CASES
    if step
]


@pytest.fixture(scope="module")
def figures() -> Panel:
    return panel("hsft", PROBLEMS, ATTEMPTS, REVIEWS, CORRECTIONS)


@pytest.mark.parametrize(
    ("name", "value", "n"),
    [
        ("accuracy_t1", 2 / 8, 8),  # a, b
        ("accuracy_t2", 3 / 8, 8),  # a, c, h
        ("delta", 1 / 8, 8),
        ("wrong_to_right", 2 / 8, 8),  # c, h
        ("right_to_wrong", 1 / 8, 8),  # b
        ("locate", 2 / 4, 4),  # c, d of c, d, e, f
        ("correct", 1 / 4, 4),  # c
        ("false_alarms", 1 / 2, 2),  # b of a, b
    ],
)
def test_every_figure_is_the_one_by_hand(figures: Panel, name: str, value: float, n: int) -> None:
    estimate: Estimate = getattr(figures, name)
    assert estimate.value == pytest.approx(value)
    assert estimate.n == n
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low < value < estimate.high


def test_what_has_no_place_in_a_share_is_counted_beside_it(figures: Panel) -> None:
    assert figures.model == "hsft"
    assert (figures.unlocated, figures.ungradable_t1, figures.ungradable_t2, figures.truncated) == (2, 1, 1, 2)


def test_delta_is_what_was_gained_less_what_was_lost(figures: Panel) -> None:
    gained, lost = figures.wrong_to_right.value, figures.right_to_wrong.value
    assert gained is not None and lost is not None
    assert figures.delta.value == pytest.approx(gained - lost)


@pytest.mark.parametrize(("subject", "t1", "t2"), [("add", 2 / 4, 2 / 4), ("mul", 0, 1 / 4)])
def test_each_subject_has_its_own_figures(figures: Panel, subject: str, t1: float, t2: float) -> None:
    own = figures.by_subject[subject]
    assert set(own) == {"accuracy_t1", "accuracy_t2", "delta"}
    assert [own[name].value for name in ("accuracy_t1", "accuracy_t2", "delta")] == pytest.approx([t1, t2, t2 - t1])
    assert own["delta"].n == 4


def test_subjects_are_in_alphabetical_order(figures: Panel) -> None:
    assert list(figures.by_subject) == ["add", "mul"]
    assert by_subject([], [], []) == {}


def test_no_wrong_solution_means_no_step_figures() -> None:
    figures = panel("hsft", PROBLEMS[:1], ATTEMPTS[:1], REVIEWS[:1], [])
    assert figures.locate == figures.correct == Estimate(value=None, low=None, high=None, n=0)
    assert figures.false_alarms.n == 1


def test_no_right_solution_means_no_false_alarms() -> None:
    figures = panel("hsft", PROBLEMS[2:], ATTEMPTS[2:], REVIEWS[2:], CORRECTIONS)
    assert figures.false_alarms.n == 0
    assert figures.false_alarms.value is None


def test_a_correction_row_without_an_error_is_not_counted() -> None:
    row = CorrectionRow(problem_id="c", trace=CorrectionTrace(steps=STEPS, answer="1"))
    assert step_errors([REVIEWS[2]], {"c": row}) == (0, 0, 0)


def test_verdicts_must_be_aligned() -> None:
    with pytest.raises(ValueError, match="zip"):
        self_correction([True], [True, False])


def test_a_panel_survives_json(figures: Panel) -> None:
    assert Panel.model_validate_json(figures.model_dump_json()) == figures
