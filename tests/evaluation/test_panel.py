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
from made import outcomes

from redink.evaluation.accuracy import accuracy, at_k
from redink.evaluation.panel import Panel, by_subject, panel
from redink.evaluation.self_correction import majority_baseline
from redink.evaluation.stability import stability
from redink.evaluation.statistics import Estimate, macro, proportion
from redink.evaluation.step_errors import step_errors
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
        ("fixed", 2 / 6, 6),  # c, h of c to h
        ("broken", 1 / 2, 2),  # b of a, b
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


def test_a_panel_survives_json(figures: Panel) -> None:
    assert Panel.model_validate_json(figures.model_dump_json()) == figures


def test_macro_averages_and_levels(figures: Panel) -> None:
    """t1: (2/4 + 0)/2; t2: (2/4 + 1/4)/2; no problem states a level."""
    assert (figures.macro_t1.value, figures.macro_t2.value) == (pytest.approx(1 / 4), pytest.approx(3 / 8))
    assert figures.macro_t1 == macro([proportion(2, 4), proportion(0, 4)])
    assert figures.by_level == {}
    levels = [
        problem.model_copy(update={"level": "2" if place < 3 else None}) for place, problem in enumerate(PROBLEMS)
    ]
    by_level = panel("hsft", levels, ATTEMPTS, REVIEWS, CORRECTIONS).by_level
    assert list(by_level) == ["2", "not stated"]
    assert [by_level["2"][name].value for name in ("accuracy_t1", "accuracy_t2")] == [2 / 3, 2 / 3]


def test_rates_at_t1_and_t2(figures: Panel) -> None:
    """t1: h ungradable and cut; t2: f. No reply of these has an answer that was kept."""
    for turn in ("t1", "t2"):
        assert figures.rates[turn].ungradable == figures.rates[turn].truncated == proportion(1, 8)
        assert figures.rates[turn].no_answer == proportion(8, 8)


def test_a_review_edits_where_right_becomes_wrong_or_wrong_right(figures: Panel) -> None:
    """b, c and h; the others have the same answer, namely none."""
    assert figures.edited == proportion(3, 8)


def test_repeats_bring_their_own_figures() -> None:
    """On problems a to c only, named so: t1 and t2 cost 5 + 15 tokens, two attempts of ten."""
    made = outcomes("RRRa", "Raaa", "abR-")
    ids = {"a": "p0", "b": "p1", "c": "p2"}

    def named(row: Attempt | Review, tokens: int) -> dict[str, object]:
        name = ids.get(row.problem_id, row.problem_id)
        return {"problem_id": name, "tokens": tokens if name in ids.values() else 900, "text": "x"}

    rows = [row.model_copy(update=named(row, 5)) for row in ATTEMPTS]
    reviews = [row.model_copy(update=named(row, 15)) for row in REVIEWS]
    found = panel("hsft", PROBLEMS, rows, reviews, [], made, ks=[1, 2], seed=3)
    assert found.repeated == accuracy(made, 3)
    assert found.at_k == at_k(made, [1, 2], 3)
    assert found.stability == stability(made, 3)
    assert found.majority == majority_baseline(made, 20, [True, False, True], 3)
    assert Panel.model_validate_json(found.model_dump_json()) == found


def test_a_length_that_was_not_counted_leaves_no_baseline() -> None:
    made = outcomes("RRRa").of([0])
    rows = [ATTEMPTS[0].model_copy(update={"problem_id": "p0", "tokens": 5, "text": "x"})]
    reviews = [REVIEWS[0].model_copy(update={"problem_id": "p0", "text": "x"})]
    assert panel("hsft", PROBLEMS[:1], rows, reviews, [], made).majority is None


def test_results_of_before_there_were_these_figures_still_load(figures: Panel) -> None:
    new = {
        "fixed", "broken", "edited", "given_location", "rates", "macro_t1", "macro_t2", "by_level", "repeated", "at_k",
        "stability", "majority", "perplexity",
    }  # fmt: skip
    old = figures.model_dump(mode="json", exclude=new)
    loaded = Panel.model_validate(old)
    assert loaded.accuracy_t1 == figures.accuracy_t1
    assert (loaded.at_k, loaded.fixed.n, loaded.rates) == (None, 0, {})
    assert new <= set(Panel.model_fields)
