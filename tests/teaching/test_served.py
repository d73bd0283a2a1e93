"""The reference teacher behind the fake server says over HTTP what it says offline."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.answers import grade
from redink.failures import RowFailure, Unsound
from redink.markup import parse_steps, render_thought, render_trace
from redink.models.chat import ChatRequest, Reply, ask
from redink.models.fake_server import Asked, Refused, Said, serving
from redink.models.openai import OpenAIChat
from redink.prompts import Prompt
from redink.teaching.llm import InspectorPrompts, LLMInspector, LLMTeacher, TeacherPrompts
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.teaching.served import Classroom
from redink.types import Attempt, Problem, Verdict

PROBLEMS = [
    Problem(id="sum", question="What is 47 + 38 - 20?", answer="65",
            solution="47 + 38 = <<47+38=85>>85\n85 - 20 = <<85-20=65>>65"),
    Problem(id="groups", question="3 bags of 7 pens, 4 lost?\nHow many?", answer="17",
            solution="3 * 7 = <<3*7=21>>21\n21 - 4 = <<21-4=17>>17"),
    Problem(id="false", question="What is 1 + 1?", answer="3", solution="1 + 1 = <<1+1=3>>3"),
]  # fmt: skip
WRONG = {
    "sum": "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75</Step2>\n<Answer>75</Answer>",
    "groups": "<Step1>3 + 7 = 10</Step1>\n<Step2>10 - 4 = 6</Step2>\n<Answer>6</Answer>",
}


def attempt_at(problem: Problem) -> Attempt:
    text = WRONG[problem.id]
    answer, verdict = grade(text, problem.answer)
    return Attempt(problem_id=problem.id, text=text, steps=parse_steps(text), answer=answer, verdict=verdict)


class Direct:
    """A chat model that asks a classroom without HTTP."""

    name = "direct"

    def __init__(self, room: Classroom) -> None:
        self.room = room
        self.said: list[str] = []

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        said = self.room(Asked(request.model_dump(mode="json")))
        assert isinstance(said, Said), said
        self.said.append(said.text)
        return Reply(text=said.text)


@pytest.mark.parametrize("error_rate", [0.0, 1.0])
@pytest.mark.parametrize("problem", PROBLEMS[:2], ids=lambda problem: problem.id)
@pytest.mark.parametrize("remarks", [(), ("Step 1 is wrong.", "Two\nlines.\n and a - dash")])
def test_thoughts_and_corrections_are_those_of_the_reference_teacher(problem, remarks, error_rate):
    model, offline = Direct(Classroom(PROBLEMS, ReferenceTeacher(error_rate, 5))), ReferenceTeacher(error_rate, 5)
    over, written = LLMTeacher(model), attempt_at(problem)

    async def compare() -> None:
        with contextlib.suppress(Unsound):  # what was spoilt on purpose may be found out at once
            await over.thought(problem, remarks)
        with contextlib.suppress(Unsound):
            await over.correction(problem, written, remarks)
        thought, trace = (
            await offline.thought(problem, remarks),
            await offline.correction(problem, written, remarks),
        )
        assert model.said == [render_thought(thought), render_trace(trace)]

    asyncio.run(compare())


@pytest.mark.parametrize("problem", PROBLEMS[:2], ids=lambda problem: problem.id)
@pytest.mark.parametrize("remarks", [(), ("Two\nlines.\n and a - dash",)])
def test_chains_and_their_refinements_are_those_of_the_reference_teacher(problem, remarks):
    over, offline = LLMTeacher(Direct(Classroom(PROBLEMS))), ReferenceTeacher()

    async def compare() -> None:
        chain = await offline.chain(problem)
        assert await over.chain(problem, remarks) == chain
        for errors in ([attempt_at(problem)], [], [attempt_at(problem)] * 2):
            refined = await offline.refinement(problem, chain, errors)
            assert await over.refinement(problem, chain, errors, remarks) == refined

    asyncio.run(compare())


def test_a_chain_that_cannot_be_written_or_rewritten_is_said_in_plain_words():
    unmarked = Attempt(problem_id="sum", text="47 + 38", answer=None, verdict=Verdict(outcome="wrong"))
    for work in (
        LLMTeacher(Direct(Classroom(PROBLEMS))).chain(PROBLEMS[2]),
        LLMTeacher(Direct(Classroom(PROBLEMS))).refinement(PROBLEMS[0], "no tags", [unmarked]),
    ):
        with pytest.raises(RowFailure) as caught:
            asyncio.run(work)
        assert "I cannot" in caught.value.raw


@pytest.mark.parametrize("error_rate", [0.0, 1.0])
def test_inspections_are_those_of_the_reference_inspector(error_rate):
    offline, inspector = ReferenceInspector(), LLMInspector(Direct(Classroom(PROBLEMS)))
    teacher = ReferenceTeacher(error_rate, 1)

    async def compare() -> list[bool]:
        verdicts = []
        for problem in PROBLEMS[:2]:
            thought, trace = await teacher.thought(problem), await teacher.correction(problem, attempt_at(problem))
            for work, about in ((thought, None), (trace, attempt_at(problem))):
                expected = await offline.inspect(problem, work, about)
                assert await inspector.inspect(problem, work, about) == expected
                assert await inspector.inspect(problem, work, about, ("Once more.",)) == expected
                verdicts.append(expected.accepted)
        return verdicts

    assert set(asyncio.run(compare())) == {error_rate == 0}


def test_what_cannot_be_taught_is_said_in_plain_words():
    with pytest.raises(RowFailure) as caught:
        asyncio.run(LLMTeacher(Direct(Classroom(PROBLEMS))).thought(PROBLEMS[2]))
    assert "1 + 1 = 3" in caught.value.raw


def test_an_attempt_without_a_wrong_step_comes_back_unmarked():
    text = "<Step1>47 + 38 = 85</Step1>\n<Answer>85</Answer>"
    answer, verdict = grade(text, "65")
    stopped = Attempt(problem_id="sum", text=text, steps=parse_steps(text), answer=answer, verdict=verdict)
    with pytest.raises(RowFailure, match="unlocated"):
        asyncio.run(ReferenceTeacher().correction(PROBLEMS[0], stopped))
    trace = asyncio.run(LLMTeacher(Direct(Classroom(PROBLEMS))).correction(PROBLEMS[0], stopped))
    assert (trace.error, trace.answer, trace.steps) == (None, "65", stopped.steps)


@pytest.mark.parametrize(
    "prompt",
    ["Hello", TeacherPrompts().thought.render(question="What is 9 + 9?", solution="18")],
    ids=["other prompt", "other question"],
)
def test_what_is_not_known_is_refused(prompt):
    said = Classroom(PROBLEMS)(Asked(ask(prompt).model_dump()))
    assert isinstance(said, Refused)
    assert said.status == 400


@given(st.text(max_size=40), st.text(max_size=40))
def test_prompts_of_the_users_are_recognised(before, between):
    prompt = Prompt(name="own", text=f"x{before}x [{{{{question}}}}] x{between}x [{{{{solution}}}}] [{{{{question}}}}]")
    if prompt.fields != {"question", "solution"}:
        return
    room = Classroom(PROBLEMS, teacher_prompts=TeacherPrompts(thought=prompt))
    asked = prompt.render(question=PROBLEMS[1].question, solution=str(PROBLEMS[1].solution))
    said = room(Asked(ask(asked).model_dump()))
    assert isinstance(said, Said)
    assert "<Answer>17</Answer>" in said.text
    assert InspectorPrompts().thought.text not in said.text


def test_over_http():
    async def over(url: str) -> None:
        async with OpenAIChat("reference", url) as model:
            thought = await LLMTeacher(model).thought(PROBLEMS[0])
            assert thought == await ReferenceTeacher().thought(PROBLEMS[0])
            assert (await LLMInspector(model).inspect(PROBLEMS[0], thought)).accepted

    with serving(Classroom(PROBLEMS)) as server:
        asyncio.run(over(server.base_url))
        assert len(server.books) == 2
