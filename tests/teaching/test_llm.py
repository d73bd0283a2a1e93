from __future__ import annotations

import asyncio

import pytest
from loopback import completion, in_order, refusal, serving

from redink.failures import MarkupFailure, ReplyFailure, RowFailure, Unsound
from redink.markup import render_thought, render_trace
from redink.models.chat import ChatRequest, ChatSettings
from redink.models.openai import OpenAIChat
from redink.models.scripted import ScriptedChat
from redink.prompts import Prompt, load_prompt
from redink.teaching.inspection import inspected
from redink.teaching.llm import InspectorPrompts, LLMInspector, LLMTeacher, TeacherPrompts, gold, read_inspection
from redink.teaching.protocols import Inspection, Inspector, Teacher
from redink.types import Attempt, CorrectionTrace, LocatedError, Problem, Step, Thought, Verdict

PROBLEM = Problem(id="p", question="What is 2 * 3 + 1?", answer="7", solution="2 * 3 = 6, and 6 + 1 = 7.")
ATTEMPT = Attempt(problem_id="p", text="<Step1>\n2 * 3 = 5\n</Step1>", answer="6", verdict=Verdict(outcome="wrong"))
THOUGHT_TEXT = """Here it is:
<Step1>
Multiply: 2 * 3 = 6
<Key>
twice three
</Key>
</Step1>
<Step2>
Add: 6 + 1 = 7
</Step2>
<Generalized>
Multiply before you add.
</Generalized>
<Answer>
7
</Answer>"""
THOUGHT = Thought(
    steps=(Step(number=1, text="Multiply: 2 * 3 = 6", key="twice three"), Step(number=2, text="Add: 6 + 1 = 7")),
    generalized="Multiply before you add.",
    answer="7",
)
TRACE_TEXT = """<Step1>
2 * 3 = 5
<Cause>
Three and three are six.
</Cause>
<Correction>
2 * 3 = 6
</Correction>
</Step1>
<Step2>
6 + 1 = 7
</Step2>
<Answer>
7
</Answer>"""
TRACE = CorrectionTrace(
    steps=(Step(number=1, text="2 * 3 = 5"), Step(number=2, text="6 + 1 = 7")),
    error=LocatedError(step=1, cause="Three and three are six.", correction="2 * 3 = 6"),
    answer="7",
)
ACCEPT, REVISE = "<Verdict>accept</Verdict>", "<Remark>Step 1 is false.</Remark>\n<Verdict>revise</Verdict>"


def prompt_of(request: ChatRequest) -> str:
    (message,) = request.messages
    assert message.role == "user"
    return message.content


def test_teacher_writes_a_thought_from_the_gold_solution() -> None:
    model = ScriptedChat([THOUGHT_TEXT])
    teacher: Teacher = LLMTeacher(model, settings=ChatSettings(temperature=0.3, max_tokens=99))
    assert asyncio.run(teacher.thought(PROBLEM)) == THOUGHT
    (request,) = model.requests
    assert (request.temperature, request.max_tokens) == (0.3, 99)
    assert "<Problem>\nWhat is 2 * 3 + 1?\n</Problem>" in prompt_of(request)
    assert prompt_of(request).endswith("<Reference>\n2 * 3 = 6, and 6 + 1 = 7.\n</Reference>")


def test_teacher_marks_an_attempt_beside_the_gold_solution() -> None:
    model = ScriptedChat([TRACE_TEXT])
    assert asyncio.run(LLMTeacher(model).correction(PROBLEM, ATTEMPT)) == TRACE
    asked = prompt_of(model.requests[0])
    assert "<Problem>\nWhat is 2 * 3 + 1?\n</Problem>" in asked
    assert "<Reference>\n2 * 3 = 6, and 6 + 1 = 7.\n</Reference>" in asked
    assert asked.endswith("<Attempt>\n<Step1>\n2 * 3 = 5\n</Step1>\n</Attempt>")


def test_remarks_are_appended_one_to_a_line() -> None:
    model = ScriptedChat([THOUGHT_TEXT, THOUGHT_TEXT, TRACE_TEXT])
    teacher = LLMTeacher(model)

    async def run() -> None:
        await teacher.thought(PROBLEM)
        await teacher.thought(PROBLEM, ["Step 1: {{solution}}", "no Key"])
        await teacher.correction(PROBLEM, ATTEMPT, ["no Cause"])

    asyncio.run(run())
    first, second, third = map(prompt_of, model.requests)
    remarks = load_prompt("remarks").text
    assert second == first + "\n\n" + remarks.replace("{{remarks}}", "- Step 1: {{solution}}\n- no Key")
    assert third.endswith("</Attempt>\n\n" + remarks.replace("{{remarks}}", "- no Cause"))


def test_gold_is_the_answer_where_there_is_no_solution() -> None:
    assert gold(PROBLEM) == "2 * 3 = 6, and 6 + 1 = 7."
    assert gold(Problem(id="p", question="q", answer="7")) == "7"


@pytest.mark.parametrize("text", ["", "I cannot do this.", "<Step1>\nonly\n</Step1>"])
def test_unreadable_work_is_a_markup_failure_with_the_text(text: str) -> None:
    with pytest.raises(MarkupFailure) as failure:
        asyncio.run(LLMTeacher(ScriptedChat([text])).thought(PROBLEM))
    assert failure.value.raw == text


def test_inspector_sees_the_thought_beside_the_gold_solution() -> None:
    model = ScriptedChat([ACCEPT])
    inspector: Inspector = LLMInspector(model)
    assert asyncio.run(inspector.inspect(PROBLEM, THOUGHT)) == Inspection(accepted=True)
    expected = load_prompt("inspect_thought").render(
        question=PROBLEM.question, reference="2 * 3 = 6, and 6 + 1 = 7.", work=render_thought(THOUGHT)
    )
    assert prompt_of(model.requests[0]) == expected


def test_inspector_sees_the_trace_beside_attempt_and_gold_solution() -> None:
    model = ScriptedChat([REVISE])
    inspection = asyncio.run(LLMInspector(model).inspect(PROBLEM, TRACE, ATTEMPT))
    assert inspection == Inspection(accepted=False, remarks=("Step 1 is false.",))
    expected = load_prompt("inspect_trace").render(
        question=PROBLEM.question,
        reference="2 * 3 = 6, and 6 + 1 = 7.",
        attempt=ATTEMPT.text,
        work=render_trace(TRACE),
    )
    assert prompt_of(model.requests[0]) == expected


def test_a_trace_is_never_inspected_without_its_attempt() -> None:
    with pytest.raises(ValueError, match="attempt"):
        asyncio.run(LLMInspector(ScriptedChat([ACCEPT])).inspect(PROBLEM, TRACE))


@pytest.mark.parametrize(
    ("text", "accepted", "remarks"),
    [
        (ACCEPT, True, ()),
        ("All is well.\n<verdict> Accept. </verdict>\nBye", True, ()),
        ("<Verdict>**accept**</Verdict>", True, ()),
        ("<Verdict>accept</Verdict> I repeat: <Verdict>accept</Verdict>", True, ()),
        (REVISE, False, ("Step 1 is false.",)),
        ("<VERDICT>REVISE</VERDICT><remark>a</remark><Remark> b\nc </Remark>", False, ("a", "b\nc")),
        ("<Remark>in <Step2>: $1 < 2$</Remark><Verdict>revise</Verdict>", False, ("in <Step2>: $1 < 2$",)),
        ("<Remark>open <Remark>closed</Remark><Verdict>revise</Verdict>", False, ("closed",)),
        ("Step 3 is wrong.\n<Verdict>revise</Verdict>", False, ("Step 3 is wrong.",)),
        ("<Remark> </Remark><Verdict>revise</Verdict>", False, ("<Remark> </Remark>",)),
        ("<Verdict>revise</Verdict>", False, ()),
    ],
)
def test_read_inspection(text: str, accepted: bool, remarks: tuple[str, ...]) -> None:
    assert read_inspection(text) == Inspection(accepted=accepted, remarks=remarks)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accept",
        "<Verdict>accept",
        "<Verdict></Verdict>",
        "<Verdict>accept or revise</Verdict>",
        "<Verdict>do not accept</Verdict>",
        "<Verdict>accepted, mostly</Verdict>",
        "<Verdict>accept</Verdict><Verdict>revise</Verdict>",
        "<Verdict>accept</Verdict><Verdict>hm</Verdict>",
    ],
)
def test_an_unreadable_verdict_is_neither_acceptance_nor_crash(text: str) -> None:
    with pytest.raises(RowFailure) as failure:
        asyncio.run(LLMInspector(ScriptedChat([text])).inspect(PROBLEM, THOUGHT))
    assert (failure.value.reason, failure.value.raw) == ("unreadable_verdict", text)


def test_reading_is_linear() -> None:
    """A reader that starts anew at every tag would take minutes on these."""
    with pytest.raises(RowFailure):
        read_inspection("<verdict>" * 100_000)
    assert read_inspection("<remark>" * 100_000 + REVISE).remarks == ("Step 1 is false.",)


def test_a_verdict_that_could_not_be_read_is_asked_for_with_the_reason() -> None:
    model = ScriptedChat([ACCEPT])
    asyncio.run(LLMInspector(model).inspect(PROBLEM, THOUGHT, remarks=["no verdict"]))
    assert prompt_of(model.requests[0]).endswith(load_prompt("remarks").text.replace("{{remarks}}", "- no verdict"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (THOUGHT_TEXT.replace("<Answer>\n7", "<Answer>\n8"), "answer_is_wrong"),
        (THOUGHT_TEXT.replace("<Answer>\n7", "<Answer>\n14/2"), None),
    ],
)
def test_a_thought_is_held_against_the_gold_answer(text: str, reason: str | None) -> None:
    teacher = LLMTeacher(ScriptedChat([f"Sure! {text}"]))
    if reason is None:
        assert asyncio.run(teacher.thought(PROBLEM)).answer == "14/2"
        return
    with pytest.raises(Unsound) as failure:
        asyncio.run(teacher.thought(PROBLEM))
    assert (failure.value.reason, failure.value.raw) == (reason, f"Sure! {text}")


def test_a_trace_that_is_no_correction_of_the_attempt_is_unsound_with_the_text_as_it_came() -> None:
    attempt = ATTEMPT.model_copy(update={"steps": (Step(number=1, text="2 * 3 = 5"),)})
    text = TRACE_TEXT.replace("2 * 3 = 6\n</Corr", "2 * 3 = 5\n</Corr")
    with pytest.raises(Unsound) as failure:
        asyncio.run(LLMTeacher(ScriptedChat([text])).correction(PROBLEM, attempt))
    assert (failure.value.reason, failure.value.raw) == ("unchanged_step", text)


def test_prompts_can_be_the_users_own() -> None:
    mine = Prompt(name="mine.md", text="Q {{question}} S {{solution}}")
    model = ScriptedChat([THOUGHT_TEXT, "<Verdict>accept</Verdict>"])
    inspecting = Prompt(name="mine.md", text="{{question}} {{reference}} {{work}}?")

    async def run() -> None:
        await LLMTeacher(model, TeacherPrompts(thought=mine)).thought(PROBLEM)
        await LLMInspector(model, InspectorPrompts(thought=inspecting)).inspect(PROBLEM, THOUGHT)

    asyncio.run(run())
    assert prompt_of(model.requests[0]) == "Q What is 2 * 3 + 1? S 2 * 3 = 6, and 6 + 1 = 7."
    assert prompt_of(model.requests[1]) == f"{PROBLEM.question} {PROBLEM.solution} {render_thought(THOUGHT)}?"


def test_teacher_and_inspector_over_http_until_accepted() -> None:
    """Garbage, a mended thought, a remark, a last thought: two rounds over a server that also stumbles."""
    answers = [
        refusal(429, retry_after="0"),
        completion("I will think about it."),
        completion(THOUGHT_TEXT.replace("6 + 1 = 7", "6 + 1 = 8")),
        refusal(500),
        completion("<think>hm</think><Remark>Step 2: 6 + 1 is 7.</Remark><Verdict>revise</Verdict>"),
        completion(THOUGHT_TEXT, reasoning_content="they want 7"),
        completion(ACCEPT),
    ]

    async def run(base_url: str) -> tuple[Thought, int]:
        async with OpenAIChat("m", base_url, "REDINK_TEST_KEY", first_pause_s=0.001) as model:
            teacher, inspector = LLMTeacher(model), LLMInspector(model)
            done = await inspected(
                lambda remarks: teacher.thought(PROBLEM, remarks),
                lambda work, remarks: inspector.inspect(PROBLEM, work, remarks=remarks),
            )
            return done.work, done.rounds

    with serving(in_order(*answers)) as server:
        assert asyncio.run(run(server.base_url)) == (THOUGHT, 2)
    prompts = [asked.prompt for asked in server.asked]
    assert len(prompts) == 7
    assert "could not be read" in prompts[2] and "Step 2: 6 + 1 is 7." in prompts[5]
    assert "Step 2: 6 + 1 is 7." not in prompts[6]


def test_a_cut_reply_is_passed_on_as_such() -> None:
    async def run(base_url: str) -> Thought:
        async with OpenAIChat("m", base_url, "REDINK_TEST_KEY") as model:
            return await LLMTeacher(model).thought(PROBLEM)

    cut = completion("<Step1>half", finish_reason="length")
    with serving(in_order(cut)) as server, pytest.raises(ReplyFailure) as failure:
        asyncio.run(run(server.base_url))
    assert failure.value.reason == "cut_by_length"
