"""Table 5 end to end, offline: a reference teacher that errs on purpose, with its inspector and without."""

from __future__ import annotations

import random

import pytest
from stand_ins import ATTEMPT

from redink.failures import Failure
from redink.models.student import Completion
from redink.pipelines.staff import Staff
from redink.pipelines.teacher_quality import (
    TeacherQuality,
    evaluate_teacher,
    strict_check,
    teacher_table,
    thought_cases,
    trace_cases,
)
from redink.problems.stories import generate
from redink.stages.attempts import as_attempt
from redink.teaching.inspection import NoInspector, Patience
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import Attempt, Problem, Verdict

RATE, SEED = 0.25, 2


def staff(rate: float = RATE) -> Staff:
    return Staff(ReferenceTeacher(rate, SEED), ReferenceInspector(), Patience(3, 3, 3))


def wrong_attempts(problems: list[Problem]) -> list[Attempt]:
    """The first line of the gold solution with another result, which is the answer too: step 1 is wrong."""
    attempts = []
    for problem in problems:
        left = (problem.solution or "").split("=")[0].split("<<")[0].strip()
        text = f"<Step1>{left} = 399</Step1>\n<Answer>399</Answer>"
        attempts.append(as_attempt(problem, 0, Completion(text, "stop", 1)))
    return attempts


def by_arm(quality: TeacherQuality, kind: str) -> dict[str, object]:
    return {row.arm: row for row in quality.arms if row.kind == kind}


def test_thoughts_with_and_without_the_inspector() -> None:
    """Spoilt first tries are known from the teacher's dice; the inspector sends each back until one is sound."""
    problems = generate("groups", 120, seed=8)
    spoilt = sum(random.Random(f"{SEED}\n{p.id}\nthought\n0").random() < RATE for p in problems)
    found = evaluate_teacher(staff(), thought_cases(problems), names=("reference", "reference"))
    arms = by_arm(found, "thoughts")
    assert found.strict == "the faultless reference teacher"
    assert [(arms[name].strict.value, arms[name].delivered.value) for name in ("bare", "checked")] == [  # type: ignore[attr-defined]
        (pytest.approx(1 - spoilt / 120), 1.0)
    ] * 2
    inspected = arms["inspected"]
    assert inspected.strict.value == 1.0 and inspected.by_answer.value == 1.0  # type: ignore[attr-defined]
    assert inspected.rounds.value > 1  # type: ignore[attr-defined]
    assert 10 < spoilt < 50
    table = teacher_table(found)
    assert [row[0] for row in table.rows] == [
        "thoughts, first reply", "thoughts, + our checks", "thoughts, + inspector reference",
    ]  # fmt: skip
    assert "of faulty thoughts the inspector sends back 100.0 [" in table.note


def test_traces_of_wrong_attempts_only() -> None:
    problems = generate("compare", 60, seed=1)
    attempts = wrong_attempts(problems)
    right = attempts[0].model_copy(update={"verdict": Verdict(outcome="right")})
    cases = trace_cases(problems, [right, *attempts[1:]])
    assert len(cases) == 59
    found = evaluate_teacher(staff(), cases)
    arms = by_arm(found, "traces")
    assert arms["bare"].strict.value < 1.0 == arms["inspected"].strict.value  # type: ignore[attr-defined]
    assert {row.kind for row in found.inspections} == {"traces"}


def test_who_checks_strictly() -> None:
    assert strict_check(staff(0.0))[1] == "the reference inspector"
    faultless = evaluate_teacher(staff(0.0), thought_cases(generate("ledger", 5)))
    assert {row.strict.value for row in faultless.arms} == {1.0}


def test_what_the_user_can_mend_is_said() -> None:
    with pytest.raises(Failure, match="nothing to ask the teacher for"):
        evaluate_teacher(staff(), [])
    alone = Staff(ReferenceTeacher(), NoInspector(), Patience())
    with pytest.raises(Failure, match="no inspector to compare with"):
        evaluate_teacher(alone, trace_cases([Problem(id="p1", question="?", answer="1")], [ATTEMPT]))


def test_a_problem_without_gold_solution_is_counted_with_its_reason() -> None:
    bare = Problem(id="x", question="?", answer="1")
    found = evaluate_teacher(staff(0.0), thought_cases([bare, *generate("ledger", 3)]))
    assert {tuple(row.reasons.items()) for row in found.arms} == {(("no_solution", 1),)}
    assert {row.delivered.value for row in found.arms} == {0.75}
