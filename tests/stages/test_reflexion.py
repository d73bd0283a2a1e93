"""Reflexion: what is asked, and what is graded."""

from __future__ import annotations

from stand_ins import ATTEMPT, GREEDY, PROBLEM, WRITTEN, SayingStudent

from redink.models.student import Completion, Request
from redink.prompts import Prompt
from redink.stages.reflexion import reflect, retry
from redink.types import Reflection

REFLECT = Prompt(name="reflect", text="{{question}}|{{attempt}}")
RETRY = Prompt(name="retry", text="{{question}}|{{attempt}}|{{reflections}}")


def test_every_solution_is_reflected_upon() -> None:
    student = SayingStudent(Completion(" step 2 is off\n", "length", 4))
    rows = reflect([PROBLEM], [ATTEMPT], student, REFLECT, GREEDY, 1)  # type: ignore[arg-type]
    assert student.requests == [Request(f"{PROBLEM.question}|{WRITTEN}")]
    assert rows == [Reflection(problem_id="p1", sample=4, trial=1, text="step 2 is off", truncated=True)]


def test_the_retry_sees_all_reflections_and_is_the_second_answer() -> None:
    said = [Reflection(problem_id="p1", trial=n, text=text) for n, text in enumerate(["first", "second"])]
    student = SayingStudent("<Answer>66</Answer>")
    (row,) = retry([PROBLEM], [ATTEMPT], [said], student, RETRY, GREEDY)  # type: ignore[arg-type]
    assert student.requests == [Request(f"{PROBLEM.question}|{WRITTEN}|first\nsecond")]
    assert (row.sample, row.answer, row.error, row.verdict.right) == (4, "66", None, True)
