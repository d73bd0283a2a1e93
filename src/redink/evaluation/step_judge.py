"""A chat model that marks the first wrong step, and says whether a correction is right; read strictly.

As a reviewer under test its unreadable replies are misses (`evaluation/labelled.py`); as the one who knows the truth
(table 6 against a judge) they are never scored (`evaluation/step_errors.py:judged_step_errors`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from redink.evaluation.judge import METHOD, each_once, read_judgment
from redink.evaluation.labelled import Marking, shown
from redink.evaluation.step_errors import JudgedReview
from redink.failures import ReplyFailure
from redink.models.chat import ChatModel, ChatSettings, ask
from redink.progress import Advance, quiet
from redink.prompts import Prompt, load_prompt
from redink.types import Attempt, LabelledSolution, LocatedError, Problem, Review, Step, Verdict

LONGEST = 40_000
"""The longest text that is shown to a judge, in characters."""
NO_REFERENCE = "(none is known: work the problem out yourself)"
_STEP = re.compile(r"<verdict>([^<]*)</verdict>", re.IGNORECASE)
_FENCE = re.compile(r"</?\s*(?:problem|reference|solution|correction|verdict)\s*>", re.IGNORECASE)


class StepJudge:
    """Asks a chat model which step of a solution is the first wrong one, and whether a correction mends it."""

    def __init__(
        self,
        model: ChatModel,
        marking: Prompt | None = None,
        mending: Prompt | None = None,
        settings: ChatSettings | None = None,
    ) -> None:
        """Bundled prompts (`judge_steps`: question, reference, steps; `judge_correction`: those, step, correction).

        Greedy sampling unless `settings` say otherwise.
        """
        self.model = model
        self.marking = marking or load_prompt("judge_steps")
        self.mending = mending or load_prompt("judge_correction")
        self.settings = settings or ChatSettings()

    async def mark(self, solution: LabelledSolution, reference: str = "") -> Marking:
        """The first wrong step; unreadable where there is no judgment.

        Raises `Failure` for what the person at the keyboard can mend, such as a server that is not there.
        """
        text = shown(solution)
        if hostile(text):
            return Marking(id=solution.id, readable=False, text="the solution is too long, or imitates the markup")
        fields = {"question": solution.question, "reference": reference or NO_REFERENCE, "steps": text}
        reply = await self._asked(self.marking, fields)
        if isinstance(reply, ReplyFailure):
            return Marking(id=solution.id, readable=False, text=str(reply), truncated=reply.reason == "cut_by_length")
        step, readable = read_step_verdict(reply, len(solution.steps))
        return Marking(id=solution.id, step=step, readable=readable, text=reply)

    async def mends(self, solution: LabelledSolution, error: LocatedError, reference: str = "") -> Verdict:
        """Whether the correction of a step is right; ungradable where there is no judgment. Raises as `mark` does."""
        if hostile(shown(solution)) or hostile(error.correction):
            return Verdict(outcome="ungradable", reason="too long, or imitates the judge's markup", method=METHOD)
        reply = await self._asked(
            self.mending,
            {
                "question": solution.question,
                "reference": reference or NO_REFERENCE,
                "steps": shown(solution),
                "step": str(error.step),
                "correction": error.correction,
            },
        )
        if isinstance(reply, ReplyFailure):
            return Verdict(outcome="ungradable", reason=f"no judgment: {reply.reason}", method=METHOD)
        return read_judgment(reply)

    async def _asked(self, prompt: Prompt, fields: dict[str, str]) -> str | ReplyFailure:
        try:
            return (await self.model.complete(ask(prompt.render(**fields), self.settings))).text
        except ReplyFailure as failure:
            return failure


def hostile(text: str) -> bool:
    """Too long to be judged, or holding a tag of the judge's own."""
    return len(text) > LONGEST or _FENCE.search(text) is not None


def read_step_verdict(text: str, steps: int) -> tuple[int | None, bool]:
    """(step, readable) of a judgment: exactly one of `none` and the numbers 1 to `steps` in <Verdict>.

    >>> read_step_verdict("2 + 2 is not 5. <Verdict>3</Verdict>", steps=4)
    (3, True)
    >>> read_step_verdict("All is well. <Verdict>none</Verdict>", steps=4)
    (None, True)
    >>> read_step_verdict("<Verdict>9</Verdict>", steps=4)
    (None, False)
    """
    said = {re.sub(r"^step[ _]?", "", found.strip(" \t\r\n.*`'\"").lower()) for found in _STEP.findall(text)}
    if said == {"none"}:
        return None, True
    word = said.pop() if len(said) == 1 else ""
    number = int(word) if re.fullmatch(r"[0-9]{1,4}", word) else 0
    return (number, True) if 1 <= number <= steps else (None, False)


async def mark_solutions(
    judge: StepJudge, solutions: Sequence[LabelledSolution], references: dict[str, str], advance: Advance = quiet
) -> list[Marking]:
    """The judge's markings, in order, each distinct case asked once; `references` are gold solutions by solution id."""
    marked = await each_once(
        solutions,
        lambda solution: (solution.question, shown(solution), references.get(solution.id, "")),
        lambda solution: judge.mark(solution, references.get(solution.id, "")),
        advance,
    )
    return [marking.model_copy(update={"id": solution.id}) for solution, marking in zip(solutions, marked, strict=True)]


async def judge_reviews(
    judge: StepJudge,
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    reviews: Sequence[Review],
    advance: Advance = quiet,
) -> list[JudgedReview]:
    """What the judge says of the reviews of wrong solutions (all aligned), the gold solution before its eyes.

    The solution is marked first, without the review, so that the review cannot sway the judge; only a correction of
    the judge's own step is then judged. An attempt without readable steps is one step: its whole text.
    """
    rows = list(
        zip((as_labelled(*pair) for pair in zip(problems, attempts, strict=True)), problems, reviews, strict=True)
    )
    references = {solution.id: _reference(problem) for solution, problem, _ in rows}
    markings = await mark_solutions(judge, [solution for solution, _, _ in rows], references, advance)

    async def judged(row: tuple[LabelledSolution, Review, Marking]) -> JudgedReview:
        solution, review, marking = row
        found = review.error if review.error and marking.readable and review.error.step == marking.step else None
        return JudgedReview(
            problem_id=review.problem_id,
            sample=review.sample,
            step=marking.step,
            readable=marking.readable,
            marked=review.error.step if review.error else None,
            correction=await judge.mends(solution, found, references[solution.id]) if found else None,
            said=marking.text,
        )

    return list(
        await asyncio.gather(*(judged((row[0], row[2], marking)) for row, marking in zip(rows, markings, strict=True)))
    )


def as_labelled(problem: Problem, written: Attempt) -> LabelledSolution:
    """An attempt as a solution whose first wrong step is to be found."""
    whole = (Step(number=1, text=written.text.strip() or "(nothing was written)"),)
    return LabelledSolution(
        id=f"{written.problem_id}#{written.sample}",
        question=problem.question,
        steps=written.steps or whole,
        first_wrong=None,
        answer_right=written.verdict.right,
        answer=problem.answer,
        source=problem.source,
    )


def _reference(problem: Problem) -> str:
    return "\n".join(filter(None, (problem.solution, f"The answer is {problem.answer}.")))
