"""Long chains: an accepted one, one that is asked for again, one that never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stand_ins import PROBLEM

from redink.failures import Unsound, Unteachable
from redink.models.scripted import ScriptedChat
from redink.stages.chains import write_chain
from redink.teaching.llm import LLMTeacher, listed_errors, read_errors
from redink.types import Attempt, ChainRow, Problem, Quarantined, Rejected, Verdict

RIGHT = "<Step1>I try 47 + 38.</Step1>\n<Answer>66</Answer>"


class Saying:
    """Says the listed chains; a failure is raised."""

    def __init__(self, *works: str | Exception) -> None:
        self.works, self.remarks = list(works), list[tuple[str, ...]]()

    async def chain(self, problem: Problem, remarks: Sequence[str] = ()) -> str:
        self.remarks.append(tuple(remarks))
        work = self.works.pop(0)
        if isinstance(work, Exception):
            raise work
        return work


def row(teacher: object) -> ChainRow | Rejected | Quarantined:
    return asyncio.run(write_chain(PROBLEM, teacher))  # type: ignore[arg-type]


def test_a_chain_is_kept_and_a_wrong_one_left_out() -> None:
    assert row(Saying(f" {RIGHT}\n")) == ChainRow(problem_id="p1", text=RIGHT)
    assert row(Saying("<Answer>67</Answer>")) == Rejected(
        problem_id="p1", stage="long_chains", reason="answer_is_wrong"
    )


def test_a_chain_that_cannot_be_right_is_asked_for_again_with_the_reason() -> None:
    teacher = Saying(Unsound("answer_is_wrong", "It is 66."), RIGHT)
    assert isinstance(row(teacher), ChainRow)
    assert teacher.remarks == [(), ("It is 66.",)]


def test_a_chain_that_never_comes_is_quarantined() -> None:
    held = row(Saying(Unteachable("no_solution", "nothing to go by", "raw")))
    assert isinstance(held, Quarantined)
    assert (held.stage, held.reason, held.raw) == ("long_chains", "no_solution", "raw")


def test_an_llm_teacher_is_told_that_its_answer_is_wrong_or_missing() -> None:
    model = ScriptedChat(["<Step1>x</Step1>", "<Answer>67</Answer>", RIGHT])
    assert isinstance(row(LLMTeacher(model)), ChainRow)
    prompts = [request.messages[0].content for request in model.requests]
    assert "secret" in prompts[0]
    assert "No final answer can be read" in prompts[1]
    assert "The answer is 67, but the right answer is 66." in prompts[2]


def test_an_llm_teacher_sees_the_errors_it_rewrites_for() -> None:
    model = ScriptedChat([RIGHT])
    errors = [Attempt(problem_id="p1", text=text, verdict=Verdict(outcome="wrong")) for text in ("one", "two")]
    assert asyncio.run(LLMTeacher(model).refinement(PROBLEM, "the chain", errors)) == RIGHT
    asked = model.requests[0].messages[0].content
    assert "the chain" in asked and listed_errors(["one", "two"]) in asked


def test_listed_errors_are_read_back() -> None:
    assert read_errors(listed_errors(["a\n\nb", "c"])) == ["a\n\nb", "c"]
    assert read_errors(listed_errors([])) == []
