"""ProcessBench's F1 and BIG-Bench-Mistake's accuracy: worked by hand, by dummies, and on the real sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.evaluation.labelled import (
    DUMMIES,
    LabelledFigures,
    Marking,
    always_first,
    always_right,
    clean_steps,
    golds_for,
    harmonic_mean,
    labelled_figures,
    read_mark,
    shown,
)
from redink.evaluation.statistics import NOTHING, Estimate, proportion
from redink.markup import parse_steps
from redink.types import LabelledSolution, Problem, Step

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def solution(name: str, first_wrong: int | None, steps: int = 4, right: bool | None = None) -> LabelledSolution:
    made = tuple(Step(number=n, text=f"step {n}") for n in range(1, steps + 1))
    return LabelledSolution(
        id=name, question="Q?", steps=made, first_wrong=first_wrong, answer_right=right, source="made"
    )


def figures(labels: Sequence[int | None], marks: Sequence[int | str | None]) -> LabelledFigures:
    """Figures of marks, '?' being a reply that cannot be read."""
    solutions = [solution(str(place), label, right=place == 0) for place, label in enumerate(labels)]
    markings = [
        Marking(id=str(place), step=None if mark == "?" else mark, readable=mark != "?")  # type: ignore[arg-type]
        for place, mark in enumerate(marks)
    ]
    return labelled_figures(solutions, markings, "me")


def test_the_worked_example() -> None:
    """Five solutions with a wrong step, four without.

    With: labels 1 2 3 2 4 are marked 1 (hit), 3 (late), 1 (early), none (missed), unreadable: 1/5, marked at all 3/5.
    Without: none, none, 2 (a false alarm), unreadable: 2/4. F1 = 2 · 1/5 · 1/2 / (1/5 + 1/2) = 0.2 / 0.7 = 2/7.
    All: 3/9. Unreadable 2/9. The first has a right final answer in spite of its wrong step: 1/1.
    """
    found = figures([1, 2, 3, 2, 4, None, None, None, None], [1, 3, 1, None, "?", None, None, 2, "?"])
    shares = {
        name: (getattr(found, name).value, getattr(found, name).n)
        for name in ("f1", "exact_wrong", "exact_right", "exact", "detected", "lucky", "unreadable")
    }
    assert shares == {
        "f1": (pytest.approx(2 / 7), 9), "exact_wrong": (0.2, 5), "exact_right": (0.5, 4),
        "exact": (pytest.approx(1 / 3), 9), "detected": (0.6, 5), "lucky": (1.0, 1),
        "unreadable": (pytest.approx(2 / 9), 9),
    }  # fmt: skip
    assert (found.early, found.late, found.missed, found.false_alarms) == (1, 1, 1, 1)
    assert (found.source, found.reviewer, found.truncated, found.left_out) == ("made", "me", 0, 0)


def test_markings_of_other_solutions_are_refused() -> None:
    with pytest.raises(ValueError, match="the marking of 'b' stands beside another solution"):
        labelled_figures([solution("a", 1)], [Marking(id="b")], "me")


@given(st.lists(st.none() | st.integers(1, 4), min_size=1, max_size=12))
def test_dummies_get_what_arithmetic_predicts(labels: list[int | None]) -> None:
    """Always right: hits are the Nones, F1 is 0. Always first: hits are the ones, F1 is 0 (undefined without both)."""
    solutions = [solution(str(place), label) for place, label in enumerate(labels)]
    wrong, right = len(labels) - labels.count(None), labels.count(None)
    for dummy, on_wrong, on_right in ((always_right, 0, right), (always_first, labels.count(1), 0)):
        found = labelled_figures(solutions, dummy(solutions), "dummy")
        assert found.exact.value == pytest.approx((on_wrong + on_right) / len(labels))
        assert found.exact_wrong.value == (pytest.approx(on_wrong / wrong) if wrong else None)
        assert found.exact_right.value == (pytest.approx(on_right / right) if right else None)
        assert found.f1.value == (0.0 if wrong and right else None)
        assert found.unreadable.value == 0.0


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=10)


def test_harmonic_mean_and_its_limits_by_hand() -> None:
    """a = 0.5 in [0.4, 0.625], b = 0.25 in [0.2, 0.5]: F = 2 · 0.125 / 0.75 = 1/3, so 1/F = 1/2a + 1/2b = 1 + 2.

    1/2a runs from 0.8 to 1.25, 1/2b from 1 to 2.5. Below: √(0.2² + 1²) = √1.04, above: √(0.25² + 0.5²) = √0.3125.
    The interval of F is 1/(3 + √0.3125) to 1/(3 − √1.04).
    """
    found = harmonic_mean(estimate(0.5, 0.4, 0.625), estimate(0.25, 0.2, 0.5))
    assert found.value == pytest.approx(1 / 3)
    assert (found.low, found.high) == (pytest.approx(1 / (3 + 0.3125**0.5)), pytest.approx(1 / (3 - 1.04**0.5)))
    assert found.n == 20


def test_harmonic_mean_at_its_ends() -> None:
    nothing = harmonic_mean(estimate(0.0, 0.0, 0.3), estimate(0.5, 0.4, 0.6))
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, pytest.approx(2 * 0.3 * 0.6 / 0.9))
    whole = harmonic_mean(estimate(1.0, 0.7, 1.0), estimate(1.0, 0.8, 1.0))
    assert (whole.value, whole.high) == (1.0, 1.0)
    assert whole.low == pytest.approx(1 / (1 + ((1 / 1.4 - 0.5) ** 2 + (1 / 1.6 - 0.5) ** 2) ** 0.5))
    assert harmonic_mean(NOTHING, estimate(0.5, 0.4, 0.6)) == NOTHING


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_the_interval_holds_the_value_within_0_and_1(n: int, m: int, data: st.DataObject) -> None:
    found = harmonic_mean(proportion(data.draw(st.integers(0, n)), n), proportion(data.draw(st.integers(0, m)), m))
    assert found.value is not None and found.low is not None and found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("a", "b", "n", "m"), [(0.5, 0.8, 207, 193), (0.1, 0.9, 50, 50), (0.92, 0.95, 100, 80), (0.3, 0.3, 25, 25)]
)
def test_the_interval_covers(a: float, b: float, n: int, m: int) -> None:
    """4,000 simulated sets: the 95 % interval holds 2ab/(a+b) in at least 93 % of them."""
    share = cache(proportion)
    dice = np.random.default_rng(6)
    truth, covered = 2 * a * b / (a + b), 0
    for x, y in zip(dice.binomial(n, a, 4000), dice.binomial(m, b, 4000), strict=True):
        found = harmonic_mean(share(int(x), n), share(int(y), m))
        covered += (found.low or 0.0) <= truth <= (found.high or 0.0)
    assert covered / 4000 >= 0.93


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("<Step1>a</Step1><Step2>b<Cause>c</Cause><Correction>d</Correction></Step2><Answer>5</Answer>", (2, True)),
        ("<Step1>a</Step1><Step2>b<Cause>c</Cause><Correction>d</Correction></Step2><Step3>e", (2, True)),
        ("<Step1>a</Step1><Step2>b</Step2><Answer>5</Answer>", (None, True)),
        ("<Step1>a</Step1><Step2>b</Step2>", (None, False)),
        ("<Step1>a</Step1><Step2>b<Cause>c</Cause></Step2><Answer>5</Answer>", (None, False)),
        ("All steps are right.", (None, False)),
        ("", (None, False)),
    ],
)
def test_a_review_is_read_strictly(text: str, mark: tuple[int | None, bool]) -> None:
    """Cut before the end, a marked step stands; "every step is right" was never said."""
    assert read_mark(text) == mark


def test_a_solution_is_shown_as_an_attempt() -> None:
    steps = (
        Step(number=1, text="  two lines\nhere \n"),
        Step(number=2, text=" "),
        Step(number=3, text="a <Step9>b \ud800"),
    )
    made = LabelledSolution(id="x", question="Q?", steps=steps, first_wrong=None)
    assert shown(made) == "<Step1>two lines\nhere</Step1>\n<Step2>…</Step2>\n<Step3>a &lt;Step9>b ?</Step3>"
    assert parse_steps(shown(made)) == clean_steps(made)


def test_golds_are_found_by_their_question() -> None:
    problem = Problem(id="p", question="How  many apples?", answer="3", solution="1 + 2 = 3")
    unsolved = Problem(id="q", question="Where?", answer="here")
    solutions = [
        solution("a", None).model_copy(update={"question": "how many apples?"}),
        solution("b", None).model_copy(update={"question": "Where?"}),
        solution("c", None),
    ]
    assert golds_for(solutions, [problem, unsolved]) == {"a": problem}


def real(name: str) -> tuple[list[LabelledSolution], list[int | None]]:
    """A published set, and its labels counted from 1 as its own JSON has them."""
    file = DATA / f"{name.replace('/', '_')}.jsonl"
    if not file.exists():
        pytest.skip(f"{file.name} is not here")
    from redink.problems.labelled import load_labelled

    rows = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    raw = [row["label"] if "label" in row else row["mistake_index"] for row in rows]
    return load_labelled(name, data_dir=DATA), [None if label in (-1, None) else label + 1 for label in raw]


@pytest.mark.parametrize("name", ["processbench/gsm8k", "processbench/math", "bigbench_mistake/multistep_arithmetic"])
def test_dummies_on_real_labels(name: str) -> None:
    """E.g. ProcessBench-GSM8K: 207 with a wrong step, 193 without; in 37 it is the first."""
    solutions, labels = real(name)
    right, first = labels.count(None), labels.count(1)
    found = {dummy: labelled_figures(solutions, mark(solutions), dummy) for dummy, mark in DUMMIES.items()}
    assert found["always_right"].exact.value == pytest.approx(right / len(labels))
    assert found["always_right"].exact_right.value == 1.0
    assert found["always_first"].exact.value == pytest.approx(first / len(labels))
    assert found["always_first"].exact_wrong.value == pytest.approx(first / (len(labels) - right))
    assert {figures.f1.value for figures in found.values()} == {0.0}
    if name == "processbench/gsm8k":
        assert (len(labels), right, first) == (400, 193, 37)


@pytest.mark.parametrize("name", ["processbench/gsm8k", "processbench/math", "bigbench_mistake/multistep_arithmetic"])
def test_every_real_solution_can_be_shown_and_marked(name: str) -> None:
    solutions, _ = real(name)
    for row in solutions:
        assert parse_steps(shown(row)) == clean_steps(row)
        assert len(clean_steps(row)) == len(row.steps)
