"""The offline teacher, locator and inspector, against hand-made expectations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Unteachable
from redink.teaching.protocols import Inspection
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher, first_wrong_step, same_answer
from redink.types import Attempt, CorrectionTrace, LocatedError, Problem, Step, Thought, Verdict

GSM8K = Path(__file__).parents[2] / "../shared/data/gsm8k_test.jsonl"
TOM = Problem(
    id="tom",
    question="Tom has 14 coins and finds 27. Then he doubles them and gives 5 away. How many are left?",
    answer="77",
    solution="14 + 27 = <<14+27=41>>41\n41 * 2 = 82\n82 - 5 = 77\n#### 77",
)
PARTY = Problem(
    id="party",
    question="Ann and Bo bring 3 cakes of $4 each; Cy brings a cake of $6. What do the cakes cost in all?",
    answer="30",
    solution="They pay 3 * 4 = $<<3*4=12>>12 each.\nTogether they pay 12 * 2 = $<<12*2=24>>24.\nWith Cy's that is 30.",
)
Lines = Sequence[str | tuple[str, str]]


def make_problem(solution: str | None, answer: str, question: str = "How many?") -> Problem:
    return Problem(id="p", question=question, answer=answer, solution=solution)


def steps_of(lines: Lines) -> tuple[Step, ...]:
    pairs = [(line, None) if isinstance(line, str) else line for line in lines]
    return tuple(Step(number=n, text=text, key=key) for n, (text, key) in enumerate(pairs, start=1))


def attempt_at(problem: Problem, lines: Lines, answer: str | None = None) -> Attempt:
    outcome = "right" if answer == problem.answer else "wrong"
    steps = steps_of(lines)
    return Attempt(
        problem_id=problem.id,
        text="…",
        steps=steps,
        answer=answer,
        verdict=Verdict.model_validate({"outcome": outcome}),
    )


def think(problem: Problem, teacher: ReferenceTeacher | None = None, remarks: Sequence[str] = ()) -> Thought:
    return asyncio.run((teacher or ReferenceTeacher()).thought(problem, remarks))


def correct(problem: Problem, attempt: Attempt, teacher: ReferenceTeacher | None = None) -> CorrectionTrace:
    return asyncio.run((teacher or ReferenceTeacher()).correction(problem, attempt))


def inspect(problem: Problem, work: Thought | CorrectionTrace, attempt: Attempt | None = None) -> Inspection:
    return asyncio.run(ReferenceInspector().inspect(problem, work, attempt))


def reason(problem: Problem, attempt: Attempt | None = None) -> str:
    with pytest.raises(Unteachable) as caught:
        correct(problem, attempt) if attempt else think(problem)
    return caught.value.reason


# ---------------------------------------------------------------- thoughts


def test_a_compact_solution_becomes_a_compact_thought() -> None:
    assert think(TOM) == Thought(
        steps=(
            Step(number=1, text="14 + 27", key="14 + 20 = 34, 34 + 7 = 41"),
            Step(number=2, text="41 * 2", key="41 * 2 = 82"),
            Step(number=3, text="82 - 5", key="82 - 5 = 77"),
        ),
        generalized="Add, then multiply, then subtract.",
        answer="77",
    )


@pytest.mark.parametrize(
    ("line", "text", "key"),
    [
        ("She sold 48/2 = <<48/2=24>>24 clips in May.", "She sold 48/2 clips in May.", "48 / 2 = 24"),
        ("He pays 20 - 3 - 4 = $<<20-3-4=13>>13.", "He pays 20 - 3 - 4.", "20 - 3 = 17, 17 - 4 = 13"),
        ("She walks 0.2 x 50 = <<0.2*50=10>>10 km.", "She walks 0.2 x 50 km.", "0.2 * 50 = 10"),
        ("That is 6 pounds + 9 pounds = <<6+9=15>>15 pounds now.", "That is 6 pounds + 9 pounds now.", "6 + 9 = 15"),
        ("Total = <<4+5=9>>9 cakes", "Total = 4 + 5 cakes", "4 + 5 = 9"),
        ("He did <<5*3=15>>15 push-ups.", "He did 5 * 3 push-ups.", "5 * 3 = 15"),
        ("The sum is:\t41 = 14 + 27.", "The sum is: 14 + 27.", "14 + 20 = 34, 34 + 7 = 41"),
        ("So 2 + 3 = <<2+3=5>>5 and 5 * 4 = <<5*4=20>>20.", "So 2 + 3 = 5 and 5 * 4.", "5 * 4 = 20"),
        ("He has 4-2=2 hours=120 minutes, 2.", "He has 4-2=2 hours=120 minutes, 2.", "4 - 2 = 2"),
        ("x=<<16=16>>16", "x=16", None),
        ("So there are 9.", "So there are 9.", None),
    ],
)
def test_the_text_sets_up_and_the_key_comes_to_the_result(line: str, text: str, key: str | None) -> None:
    value = {"He has 4-2=2 hours=120 minutes, 2.": "120", "x=<<16=16>>16": "16", "So there are 9.": "9"}.get(line)
    (step,) = think(make_problem(line, value or (key or "").rpartition("= ")[2])).steps
    assert (step.text, step.key) == (text, key)


@pytest.mark.parametrize(
    ("solution", "template"),
    [
        ("6 / 2 = 3", "Divide."),
        ("1 + 2 = 3\n3 + 4 = 7\n7 * 2 = 14\n14 + 1 = 15", "Add, then multiply, then add."),
        ("2 ^ 3 * 2 - 4 = 12", "Raise to a power, then multiply, then subtract."),
        ("The answer is 5.", None),
    ],
)
def test_the_template_names_the_operations(solution: str, template: str | None) -> None:
    last = solution.rstrip(".").split()[-1]
    assert think(make_problem(solution, last)).generalized == template


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("40 / 8 = <<40/8=5>>5\nSo 5 of the 8 remain.", "5"),
        ("So he buys 7 of them in 3 shops.", "3"),
        ("He takes 50 because 50 < 52", "50"),
        ("11 * 120 = <<11*120=1320>>1,320", "1,320"),
        ("768 / 50 = <<768/50=15.36>>15.36 minutes, which rounds down to 15 minutes", "15"),
        ("The balance is 5 - 12 = -7 degrees", "-7"),
        ("4 * 10 = 40\nThat is all.", "40"),
        ("X * 5 = 30\nX = 6 years", "6"),
        ("1/4 + 1/4 = 1/2", "0.5"),
        ("7 / 20 * 100% = 35%", "35"),
    ],
)
def test_the_answer_is_the_value_that_the_steps_reach(solution: str, answer: str) -> None:
    assert think(make_problem(solution, answer)).answer == answer


def test_cents_and_percentages_get_their_last_step() -> None:
    asked = make_problem(
        "The can costs 2.5 / 10 = <<2.5/10=0.25>>0.25", "25", "It is $2.50 for 10. How many cents is one?"
    )
    assert think(asked).steps[-1] == Step(number=2, text="0.25 * 100", key="0.25 * 100 = 25")
    assert reason(asked.model_copy(update={"question": "What is one?"})) == "answer_mismatch"


@pytest.mark.parametrize(
    ("solution", "answer", "expected"),
    [
        (None, "5", "no_solution"),
        ("  \n#### 5", "5", "no_solution"),
        ("2 * 8 = 24\n24 + 1 = 25", "25", "false_equation"),
        ("2 * 8 = 16", "17", "answer_mismatch"),
        ("It is clear.", "17", "answer_mismatch"),
        ("2 * 8 = 16", "a red one", "answer_mismatch"),
    ],
)
def test_what_cannot_be_taught(solution: str | None, answer: str, expected: str) -> None:
    assert reason(make_problem(solution, answer)) == expected


# ---------------------------------------------------------------- locating


@pytest.mark.parametrize(
    ("problem", "lines", "step"),
    [
        (TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 77"], None),
        (TOM, ["14 + 27 = 42", "42 * 2 = 84", "84 - 5 = 79"], 1),
        (TOM, ["14 + 27 = 41", "41 - 5 = 36", "36 * 2 = 72"], 2),
        (TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 78"], 3),
        (TOM, [("14 + 27", "14 + 20 = 34, 34 + 7 = 41"), ("41 * 2", "41 * 2 = 82")], None),
        (TOM, [("14 + 27", "14 + 20 = 34, 34 + 7 = 42")], 1),
        (TOM, [("14 + 27", "14 + 20 = 34, 34 + 8 = 42")], 1),
        (TOM, [("14 + 27", "14 + 20 = 34, 34 + 7 = 41"), ("41 * 2", "41 * 3 = 123")], 2),
        (TOM, ["We double 14 and 27 first.", "14 * 2 = 28", "27 * 2 = 54", "28 + 54 = 82", "82 - 5 = 77"], None),
        (TOM, ["We double 14 and 27 first.", "14 * 2 = 28", "27 * 2 = 54", "28 + 54 = 82", "82 - 5 = 76"], 2),
        (TOM, ["Tom has 14 + 27 = 41 coins.", "There are 43 now.", "82 - 5 = 77, so 76."], 2),
        (TOM, ["14 + 27 = 41", "41 * 2 = 82", "The answer is 82."], 3),
        (TOM, [r"So it is \boxed{77}, by 2 steps."], None),
        (TOM, ["Let x = 43.", "2x = 82", "82 - 5 = 70"], 1),
        (TOM, [], None),
        (PARTY, ["3 * 4 = 12", "12 + 12 = 24", "24 + 6 = 30"], None),
        (PARTY, ["3 * 4 = 12", "12 + 6 = 18", "The cakes cost 18."], 2),
        (make_problem("43 - 4 - 8 = 31", "31"), ["43 - 4 = 39", "39 - 8 = 31", "31 + 1 = 32"], 3),
        (make_problem("2 * 3 * 5 = 30", "30"), ["3 * 5 = 15", "15 * 2 = 30", "30 * 2 = 60"], 3),
        (make_problem("100 / 3 = 33.33", "33.33"), ["100 / 3 = 33.3", "33.3 + 1 = 34.3"], 2),
        (
            make_problem("Twice the dozen makes 20 + 4 = 24", "24", "Twice a dozen?"),
            ["There are 12 x.", "24 - 1 = 20"],
            2,
        ),
        (make_problem("All of it.", "x > 2"), ["2 + 2 = 4", "4 + 4 = 9"], 2),
    ],
)
def test_first_wrong_step(problem: Problem, lines: Lines, step: int | None) -> None:
    assert first_wrong_step(problem, steps_of(lines)) == step


def test_locating_needs_a_gold_solution() -> None:
    with pytest.raises(Unteachable, match="no_solution"):
        first_wrong_step(make_problem(None, "5"), steps_of(["2 + 2 = 5"]))


# ---------------------------------------------------------------- corrections

KEYED_82 = ("41 * 2", "41 * 2 = 82")
KEYED_77 = ("82 - 5", "82 - 5 = 77")


@pytest.mark.parametrize(
    ("lines", "k", "cause", "correction", "rest"),
    [
        (
            [("14 + 27", "14 + 20 = 34, 34 + 7 = 42"), ("42 * 2", "42 * 2 = 84")],
            1,
            "34 + 7 = 41, not 42",
            "14 + 20 = 34, 34 + 7 = 41",
            [KEYED_82, KEYED_77],
        ),
        (
            [("14 + 27", "14 + 20 = 34, 34 + 8 = 42")],
            1,
            "14 + 27 = 41, not 42",
            "14 + 20 = 34, 34 + 7 = 41",
            [KEYED_82, KEYED_77],
        ),
        (
            [("27 + 14", "27 + 10 = 37, 37 + 4 = 41"), ("41 + 5", "41 + 5 = 46")],
            2,
            "wrong step, it should be 41 * 2",
            "41 * 2 = 82",
            [KEYED_77],
        ),
        (["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 78"], 3, "82 - 5 = 77, not 78", "82 - 5 = 77", []),
        (["14 - 27 = 41"], 1, "wrong step, it should be 14 + 27", "14 + 27 = 41", ["41 * 2 = 82", "82 - 5 = 77"]),
        (["(14 + 27) * 2 = 83"], 1, "(14 + 27) * 2 = 82, not 83", "(14 + 27) * 2 = 82", ["82 - 5 = 77"]),
    ],
)
def test_the_trace_mends_step_k_and_goes_on(lines: Lines, k: int, cause: str, correction: str, rest: Lines) -> None:
    attempt = attempt_at(TOM, lines, "79")
    trace = correct(TOM, attempt)
    assert trace == CorrectionTrace(
        steps=steps_of([*lines[:k], *rest]),
        error=LocatedError(step=k, cause=cause, correction=correction),
        answer="77",
    )
    assert inspect(TOM, trace, attempt) == Inspection(accepted=True)


def test_the_rest_keeps_the_words_of_the_gold_solution() -> None:
    attempt = attempt_at(PARTY, ["They pay 3 + 4 = 7.", "7 * 2 = 14"], "14")
    trace = correct(PARTY, attempt)
    assert trace.error == LocatedError(step=1, cause="wrong step, it should be 3 * 4", correction="3 * 4 = 12")
    assert [step.text for step in trace.steps[1:]] == ["Together they pay 12 * 2 = $24.", "With Cy's that is 30."]
    assert inspect(PARTY, trace, attempt).accepted


def test_when_every_gold_value_is_reached_the_last_gold_step_is_the_correction() -> None:
    attempt = attempt_at(TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 77", "77 + 5 = 84"], "84")
    trace = correct(TOM, attempt)
    assert trace.error is not None and (trace.error.step, trace.error.correction) == (4, "82 - 5 = 77")
    assert len(trace.steps) == 4


def test_a_right_attempt_is_confirmed_whatever_its_route() -> None:
    attempt = attempt_at(TOM, ["14 * 2 = 28", "27 * 2 = 54", "28 + 54 = 82", "82 - 5 = 77"], "77")
    trace = correct(TOM, attempt)
    assert trace == CorrectionTrace(steps=attempt.steps, error=None, answer="77")
    assert inspect(TOM, trace, attempt).accepted


@pytest.mark.parametrize(
    ("problem", "lines", "answer", "expected"),
    [
        (TOM, [], "3", "no_steps"),
        (TOM, ["14 + 27 = 41", "41 * 2 = 82"], "82", "unlocated"),
        (TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 77"], "78", "unlocated"),
        (TOM, ["14 + 27 = 42", "41 * 2 = 82", "82 - 5 = 77"], "77", "lucky_answer"),
        (make_problem("It is 5.", "5"), ["2 + 2 = 5"], "6", "no_equations"),
        (make_problem("2 * 8 = 24", "24"), ["2 + 2 = 5"], "6", "false_equation"),
        (make_problem(None, "24"), ["2 + 2 = 5"], "6", "no_solution"),
    ],
)
def test_what_cannot_be_corrected(problem: Problem, lines: Lines, answer: str, expected: str) -> None:
    assert reason(problem, attempt_at(problem, lines, answer)) == expected


@given(st.integers(1, 99), st.integers(1, 99), st.integers(2, 9), st.integers(1, 9), st.integers(1, 3))
def test_one_planted_slip_is_always_found(a: int, b: int, c: int, off: int, k: int) -> None:
    values = [a + b, (a + b) * c, (a + b) * c - a]
    lines = [f"{a} + {b} = {values[0]}", f"{values[0]} * {c} = {values[1]}", f"{values[1]} - {a} = {values[2]}"]
    problem = make_problem("\n".join(lines), str(values[2]))
    spoilt = [*lines[: k - 1], f"{lines[k - 1].rpartition(' ')[0]} {values[k - 1] + off}", *lines[k:]]
    attempt = attempt_at(problem, spoilt, "none")
    trace = correct(problem, attempt)
    assert trace.error is not None and trace.error.step == k
    assert trace.error.correction.endswith(f"= {values[k - 1]}")
    assert inspect(problem, trace, attempt).accepted


# ---------------------------------------------------------------- the inspector


@pytest.mark.parametrize(
    ("lines", "answer", "remarks"),
    [
        ([("14 + 27", "14 + 20 = 34, 34 + 7 = 41"), KEYED_82, KEYED_77], "77", ()),
        ([KEYED_82, KEYED_77], " $77.0 ", ()),
        (["82 - 5 = 77"], "78", ("The answer is 78, but the gold answer is 77.",)),
        (["41 * 2 = 83", "82 - 5 = 77"], "77", ("Step 1: 41 * 2 = 82, not 83.",)),
        ([("41 * 2", "41 + 1 = 42"), KEYED_77], "77", ("Step 1: the key does not end in the value of 41 * 2.",)),
        (["41 * 2 = 82"], "77", ("The steps do not reach the answer 77.",)),
        (["Think."], "77", ()),
    ],
)
def test_the_inspector_reads_thoughts(lines: Lines, answer: str, remarks: tuple[str, ...]) -> None:
    inspection = inspect(TOM, Thought(steps=steps_of(lines), answer=answer))
    assert inspection == Inspection(accepted=not remarks, remarks=remarks)


SLIP = ["14 + 27 = 42", "42 * 2 = 84"]


@pytest.mark.parametrize(
    ("lines", "error", "remark"),
    [
        (["14 + 27 = 41", "41 * 2 = 82"], (1, "14 + 27 = 41"), "The steps before the correction are not those"),
        ([*SLIP, "84 - 5 = 79"], (2, "42 * 2 = 84"), "Step 2 is marked as the first wrong step, but it is step 1."),
        (SLIP, None, "No step is marked as the first wrong step, but it is step 1."),
        ([SLIP[0], "41 * 2 = 82"], (1, "14 + 27 = 43"), "Step 1: 14 + 27 = 41, not 43."),
        ([SLIP[0], "41 * 2 = 82"], (1, "Add them."), "The correction of step 1 does not come to 41."),
        ([SLIP[0], "41 * 2 = 81"], (1, "14 + 27 = 41"), "Step 2: 41 * 2 = 82, not 81."),
    ],
)
def test_the_inspector_reads_traces(lines: Lines, error: tuple[int, str] | None, remark: str) -> None:
    located = LocatedError(step=error[0], cause="wrong", correction=error[1]) if error else None
    trace = CorrectionTrace(steps=steps_of(lines), error=located, answer="77")
    inspection = inspect(TOM, trace, attempt_at(TOM, SLIP, "84"))
    assert not inspection.accepted
    assert any(found.startswith(remark) for found in inspection.remarks)


@pytest.mark.parametrize("line", ["100 / 3 = 33.33", "7 / 20 * 100% = 35%", "5 / 8 = 0.62"])
def test_a_result_shown_rounded_is_accepted(line: str) -> None:
    problem = make_problem(line, line.rpartition("= ")[2])
    assert inspect(problem, think(problem)) == Inspection(accepted=True)


def test_without_attempt_or_solution_only_what_can_be_recomputed_counts() -> None:
    trace = CorrectionTrace(steps=steps_of(["2 + 2 = 4"]), error=None, answer="5")
    assert inspect(make_problem(None, "5"), trace).accepted
    assert inspect(make_problem(None, "5"), trace, attempt_at(TOM, ["2 + 2 = 4"], "5")).accepted
    wordy = make_problem("It is 5.", "5")
    marked = trace.model_copy(update={"error": LocatedError(step=1, cause="c", correction="2 + 3 = 5")})
    assert inspect(wordy, marked, attempt_at(wordy, ["2 + 2 = 5"], "6")).remarks == (
        "The steps before the correction are not those of the solution under review.",
    )


def test_a_right_attempt_must_not_be_called_wrong() -> None:
    attempt = attempt_at(TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 77"], "77")
    alarm = LocatedError(step=1, cause="wrong step", correction="14 + 27 = 41")
    trace = CorrectionTrace(steps=attempt.steps, error=alarm, answer="77")
    assert inspect(TOM, trace, attempt).remarks == ("Step 1 is marked as the first wrong step, but it is no step.",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1,000", "$1000.00", True),
        ("1/2", r"\frac{1}{2}", True),
        ("35%", "35", True),
        ("7 apples", "7", True),
        ("7", "8", False),
        ("Red  Ball", "red ball", True),
        ("red", "blue", False),
        ("7", "red", False),
    ],
)
def test_same_answer(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other) is same


# ---------------------------------------------------------------- errors made on purpose


@pytest.mark.parametrize("seed", range(25))
def test_every_error_made_on_purpose_is_found(seed: int) -> None:
    teacher = ReferenceTeacher(error_rate=1.0, seed=seed)
    right = attempt_at(TOM, ["14 + 27 = 41", "41 * 2 = 82", "82 - 5 = 77"], "77")
    single = attempt_at(TOM, ["82 - 5 = 76"], "76")
    wordy = make_problem("It is red.", "red")
    assert not inspect(TOM, think(TOM, teacher)).accepted
    for attempt in (right, single, attempt_at(TOM, SLIP, "84")):
        assert not inspect(TOM, correct(TOM, attempt, teacher), attempt).accepted
    assert reason(wordy) == "answer_mismatch"


def test_the_error_rate_is_kept_and_repeats() -> None:
    problems = [TOM.model_copy(update={"id": f"tom-{number}"}) for number in range(400)]
    teacher, again = ReferenceTeacher(0.25, seed=3), ReferenceTeacher(0.25, seed=3)
    spoilt = [think(problem, teacher) != think(problem) for problem in problems]
    assert 60 <= sum(spoilt) <= 140  # binomial(400, 1/4): mean 100, more than four standard deviations either way
    assert spoilt == [think(problem, again) != think(problem) for problem in problems]
    assert spoilt != [think(problem, ReferenceTeacher(0.25, seed=4)) != think(problem) for problem in problems]


def test_remarks_give_a_spoilt_thought_another_chance() -> None:
    teacher = ReferenceTeacher(error_rate=0.5)
    problems = [TOM.model_copy(update={"id": f"tom-{number}"}) for number in range(60)]
    spoilt = [problem for problem in problems if think(problem, teacher) != think(problem)]
    mended = [problem for problem in spoilt if think(problem, teacher, ["Step 1 is off."]) == think(problem)]
    assert spoilt and 0 < len(mended) < len(spoilt)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_an_error_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="error_rate"):
        ReferenceTeacher(error_rate=rate)


# ---------------------------------------------------------------- real data


@pytest.mark.skipif(not GSM8K.exists(), reason="../shared/data with gsm8k_test.jsonl is not here")
def test_on_gsm8k_nearly_every_thought_checks() -> None:
    rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()[:300]]
    kept = 0
    for row in rows:
        solution, _, answer = row["answer"].rpartition("####")
        problem = make_problem(solution, answer.strip(), row["question"])
        try:
            kept += inspect(problem, think(problem)).accepted
        except Unteachable:
            continue
    assert kept / len(rows) >= 0.98
