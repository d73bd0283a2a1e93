"""A chat model's opinion on answers that no checker could grade: marked as such, and never "wrong" by accident.

A judge sees ungradable rows only. What it says carries the method 'judge'; a judgment that cannot be read, a reply
that did not come and "unsure" all leave the row ungradable.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from redink.failures import ReplyFailure
from redink.models.chat import ChatModel, ChatSettings, ask
from redink.progress import Advance, quiet
from redink.prompts import Prompt, load_prompt
from redink.types import Outcome, Problem, Verdict

T = TypeVar("T")
R = TypeVar("R")
METHOD = "judge"
LONGEST = 2_000
_VERDICT = re.compile(r"<verdict>([^<]*)</verdict>", re.IGNORECASE)
_FENCE = re.compile(r"</?\s*(?:given|known|problem|verdict)\s*>", re.IGNORECASE)
_OUTCOMES: dict[str, Outcome] = {"right": "right", "wrong": "wrong", "unsure": "ungradable"}


class AnswerJudge:
    """Asks a chat model whether an answer means the same as the gold answer."""

    def __init__(self, model: ChatModel, prompt: Prompt | None = None, settings: ChatSettings | None = None) -> None:
        """The bundled prompt `judge_answer` (fields question, reference, answer) and greedy sampling unless given."""
        self.model = model
        self.prompt = prompt or load_prompt("judge_answer")
        self.settings = settings or ChatSettings()

    async def judge(self, answer: str, problem: Problem) -> Verdict:
        """The judge's verdict; ungradable where there is none.

        Raises `Failure` for what the person at the keyboard can mend, such as a server that is not there.
        """
        if len(answer) > LONGEST or _FENCE.search(answer):
            return _left("the answer is too long to be judged, or imitates the judge's markup")
        asked = self.prompt.render(question=problem.question, reference=problem.answer, answer=answer)
        try:
            reply = await self.model.complete(ask(asked, self.settings))
        except ReplyFailure as failure:
            return _left(f"no judgment: {failure.reason}")
        return read_judgment(reply.text)


def read_judgment(text: str) -> Verdict:
    """Read <Verdict>; ungradable unless exactly one of right, wrong and unsure is given.

    >>> read_judgment("Same value. <Verdict>right</Verdict>").outcome
    'right'
    >>> read_judgment("It is wrong.").outcome
    'ungradable'
    """
    said = {verdict.strip(" \t\r\n.*`'\"").lower() for verdict in _VERDICT.findall(text)}
    if len(said) != 1 or not said <= _OUTCOMES.keys():
        return _left("unreadable judgment")
    word = said.pop()
    reason = " ".join(_VERDICT.sub("", text).split())[:200]
    return Verdict(outcome=_OUTCOMES[word], reason=reason or word, method=METHOD)


async def judge_ungradable(
    judge: AnswerJudge,
    answers: Sequence[str | None],
    problems: Sequence[Problem],
    verdicts: Sequence[Verdict],
    advance: Advance = quiet,
) -> list[Verdict]:
    """The verdicts (all four aligned), the ungradable ones that have an answer judged; each distinct case once."""
    rows = zip(answers, problems, verdicts, strict=True)
    asked = [
        (place, answer, problem)
        for place, (answer, problem, verdict) in enumerate(rows)
        if answer is not None and verdict.outcome == "ungradable"
    ]
    judged = await each_once(
        asked,
        lambda row: (row[1], row[2].question, row[2].answer),
        lambda row: judge.judge(row[1], row[2]),
        advance,
    )
    by_place = {row[0]: verdict for row, verdict in zip(asked, judged, strict=True)}
    return [by_place.get(place, verdict) for place, verdict in enumerate(verdicts)]


async def each_once(
    items: Sequence[T],
    key: Callable[[T], Hashable],
    work: Callable[[T], Coroutine[Any, Any, R]],
    advance: Advance = quiet,
) -> list[R]:
    """`work` on each distinct item (by `key`), once; the results in the order of the items."""
    places: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(key(item), []).append(place)

    async def one(same: Sequence[int]) -> R:
        result = await work(items[same[0]])
        advance(len(same))
        return result

    done = await asyncio.gather(*(one(same) for same in places.values()))
    by_place = {place: result for same, result in zip(places.values(), done, strict=True) for place in same}
    return [by_place[place] for place in range(len(items))]


def _left(reason: str) -> Verdict:
    return Verdict(outcome="ungradable", reason=reason, method=METHOD)
