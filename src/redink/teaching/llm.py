"""A teacher and an inspector that are chat models, spoken to through prompts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.failures import Unsound
from redink.markup import parse_thought, parse_trace, render_thought, render_trace
from redink.models.chat import ChatModel, ChatSettings, ask
from redink.prompts import Prompt, load_prompt
from redink.teaching.protocols import Inspection
from redink.teaching.validation import W, is_plainly_right, sound_chain, sound_thought, sound_trace
from redink.types import Attempt, CorrectionTrace, Problem, Row, Thought

_VERDICT = re.compile(r"<verdict>([^<]*)</verdict>", re.IGNORECASE)
_REMARK = re.compile(r"<remark>((?:(?!<remark>).)*?)</remark>", re.IGNORECASE | re.DOTALL)


class TeacherPrompts(Row):
    """What the teacher is asked; each may be a file of the user's with the same fields."""

    thought: Prompt = Field(default_factory=lambda: load_prompt("extract_thought"), description="question, solution")
    correction: Prompt = Field(
        default_factory=lambda: load_prompt("correct_with_solution"), description="question, reference, attempt"
    )
    chain: Prompt = Field(default_factory=lambda: load_prompt("write_long_chain"), description="question, solution")
    refinement: Prompt = Field(
        default_factory=lambda: load_prompt("refine_as_teacher"), description="question, chain, errors"
    )
    remarks: Prompt = Field(default_factory=lambda: load_prompt("remarks"), description="remarks; appended to any")


class InspectorPrompts(Row):
    """What the inspector is asked."""

    thought: Prompt = Field(
        default_factory=lambda: load_prompt("inspect_thought"), description="question, reference, work"
    )
    trace: Prompt = Field(
        default_factory=lambda: load_prompt("inspect_trace"), description="question, reference, attempt, work"
    )
    remarks: Prompt = Field(default_factory=lambda: load_prompt("remarks"), description="remarks; appended to either")


class LLMTeacher:
    """Writes thoughts (SuperCorrect, P_tea), corrections (grounded P_c) and long chains from the gold solution."""

    def __init__(
        self,
        model: ChatModel,
        prompts: TeacherPrompts | None = None,
        settings: ChatSettings | None = None,
        checker: Checker = MATH,
    ) -> None:
        """Bundled prompts and greedy sampling unless others are given; `checker` judges the answers."""
        self.model = model
        self.prompts = prompts or TeacherPrompts()
        self.settings = settings or ChatSettings()
        self.checker = checker

    async def thought(self, problem: Problem, remarks: Sequence[str] = ()) -> Thought:
        """Write a thought.

        Raises `ReplyFailure` if there is no reply, `MarkupFailure` if it cannot be read, `Unsound` if what it says
        cannot be right.
        """
        prompt = self.prompts.thought.render(question=problem.question, solution=gold(problem))
        text = await _reply(self.model, self.settings, prompt, self.prompts.remarks, remarks)
        thought = parse_thought(text)
        return await self._sound(problem, thought, partial(sound_thought, problem, thought, text, self.checker))

    async def correction(self, problem: Problem, attempt: Attempt, remarks: Sequence[str] = ()) -> CorrectionTrace:
        """Mark and mend an attempt; raises as `thought` does."""
        prompt = self.prompts.correction.render(
            question=problem.question, reference=gold(problem), attempt=attempt.text
        )
        text = await _reply(self.model, self.settings, prompt, self.prompts.remarks, remarks)
        trace = parse_trace(text)
        return await self._sound(problem, trace, partial(sound_trace, problem, attempt, trace, text, self.checker))

    async def _sound(self, problem: Problem, work: W, check: Callable[[], W]) -> W:
        """The work, checked; the event loop does not wait for a check that may be slow."""
        if is_plainly_right(work.answer, problem, self.checker):
            return check()
        return await asyncio.to_thread(check)

    async def chain(self, problem: Problem, remarks: Sequence[str] = ()) -> str:
        """Write a long chain of thought (ORION); raises `ReplyFailure`, or `Unsound` where its answer is not right."""
        prompt = self.prompts.chain.render(question=problem.question, solution=gold(problem))
        return await self._chain(problem, prompt, remarks)

    async def refinement(
        self, problem: Problem, chain: str, errors: Sequence[Attempt], remarks: Sequence[str] = ()
    ) -> str:
        """Rewrite a chain for a student that made these errors; raises as `chain` does."""
        listed = listed_errors([attempt.text for attempt in errors])
        prompt = self.prompts.refinement.render(question=problem.question, chain=chain, errors=listed)
        return await self._chain(problem, prompt, remarks)

    async def _chain(self, problem: Problem, prompt: str, remarks: Sequence[str]) -> str:
        text = await _reply(self.model, self.settings, prompt, self.prompts.remarks, remarks)
        return await asyncio.to_thread(sound_chain, problem, text, self.checker)


class LLMInspector:
    """Checks thoughts and correction traces against problem and gold solution (SuperCorrect, the inspector LLM)."""

    def __init__(
        self, model: ChatModel, prompts: InspectorPrompts | None = None, settings: ChatSettings | None = None
    ) -> None:
        """Bundled prompts and greedy sampling unless others are given."""
        self.model = model
        self.prompts = prompts or InspectorPrompts()
        self.settings = settings or ChatSettings()

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        """Accept the work or say what is wrong with it; a correction trace needs the attempt that it is about.

        Raises `Unsound` 'unreadable_verdict' if the reply holds no verdict or two that differ.
        """
        prompt = self._prompt(problem, work, attempt)
        return read_inspection(await _reply(self.model, self.settings, prompt, self.prompts.remarks, remarks))

    def _prompt(self, problem: Problem, work: Thought | CorrectionTrace, attempt: Attempt | None) -> str:
        given = {"question": problem.question, "reference": gold(problem)}
        if isinstance(work, Thought):
            return self.prompts.thought.render(**given, work=render_thought(work))
        if attempt is None:
            raise ValueError("A correction trace is inspected beside the attempt that it is about.")
        return self.prompts.trace.render(**given, attempt=attempt.text, work=render_trace(work))


async def _reply(
    model: ChatModel, settings: ChatSettings, prompt: str, remarks_prompt: Prompt, remarks: Sequence[str]
) -> str:
    if remarks:
        prompt += "\n\n" + remarks_prompt.render(remarks="\n".join(f"- {remark}" for remark in remarks))
    return (await model.complete(ask(prompt, settings))).text


def listed_errors(texts: Sequence[str]) -> str:
    """Wrong solutions as a prompt lists them, numbered from 1; says so where there is none.

    >>> listed_errors(["1 + 1 = 3"])
    'Wrong solution 1:\\n1 + 1 = 3'
    """
    return "\n\n".join(f"Wrong solution {n}:\n{text}" for n, text in enumerate(texts, start=1)) or "(none)"


def read_errors(listed: str) -> list[str]:
    """The wrong solutions out of `listed_errors`.

    >>> read_errors(listed_errors(["a", "b\\n\\nc"]))
    ['a', 'b\\n\\nc']
    """
    return [text.strip() for text in re.split(r"^Wrong solution [0-9]+:\n", listed, flags=re.MULTILINE)[1:]]


def gold(problem: Problem) -> str:
    """What a teacher may look at: the gold solution, or the gold answer where there is none."""
    return problem.solution or problem.answer


def read_inspection(text: str) -> Inspection:
    """Read <Verdict> and <Remark>; a refusal without remarks gives the reply itself as the remark.

    Raises `Unsound` 'unreadable_verdict' unless exactly one verdict, accept or revise, is given.
    """
    verdicts = {verdict.strip(" \t\r\n.*`'\"").lower() for verdict in _VERDICT.findall(text)}
    if verdicts not in ({"accept"}, {"revise"}):
        found = ", ".join(sorted(map(repr, verdicts))) or "no <Verdict>"
        detail = f"'accept' or 'revise' was expected in one <Verdict>...</Verdict>, found {found}"
        raise Unsound("unreadable_verdict", detail, text)
    remarks = [remark.strip() for remark in _REMARK.findall(text)]
    if verdicts == {"revise"} and not any(remarks):
        remarks = [_VERDICT.sub("", text).strip()]
    return Inspection(accepted=verdicts == {"accept"}, remarks=tuple(filter(None, remarks)))
