"""The quality of chains of thought (ORION, arXiv 2505.22131): length, coherence, logical consistency.

A chat model marks each chain by a published rubric (`prompts/rubric_chain.md`, or a file of the user's): two marks
from 1 to 5. A judgment that cannot be read, or did not come, is counted and never scored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Literal

from pydantic import Field
from scipy.stats import t as student_t

from redink.evaluation.judge import each_once
from redink.evaluation.statistics import NOTHING, Estimate, proportion
from redink.evaluation.step_judge import LONGEST
from redink.failures import ReplyFailure
from redink.markup import parse_steps
from redink.models.chat import ChatModel, ChatSettings, ask
from redink.progress import Advance, quiet
from redink.prompts import Prompt, load_prompt
from redink.types import Row

Aspect = Literal["coherence", "consistency"]
ASPECTS: tuple[Aspect, ...] = ("coherence", "consistency")
MARKS = range(1, 6)
_MARK = {name: re.compile(rf"<{name}>([^<]*)</{name}>", re.IGNORECASE) for name in ASPECTS}
_FENCE = re.compile(r"</?\s*(?:problem|chain|rubric|coherence|consistency)\s*>", re.IGNORECASE)


class Judged(Row):
    """What the judge says of one chain; a mark is None where none can be read."""

    coherence: int | None = Field(None, ge=1, le=5, description="How well each sentence follows from the last, 1 to 5.")
    consistency: int | None = Field(None, ge=1, le=5, description="How sound the chain is logically, 1 to 5.")
    reason: str = Field("", description="The judge's reason, or why there is no mark.")


class AspectFigures(Row):
    """One aspect over all chains."""

    mean: Estimate = Field(description="Mean mark, 1 to 5, with Student's 95 % interval.")
    marks: dict[int, int] = Field(description="How many chains got each mark.")
    unscored: Estimate = Field(description="Share of chains without a readable mark; in no other figure.")


class Lengths(Row):
    """How long chains are."""

    mean: Estimate = Field(description="Mean with Student's 95 % interval.")
    median: float | None = Field(description="Half are shorter.")
    least: int | None = Field(description="The shortest.")
    most: int | None = Field(description="The longest.")


class ChainQuality(Row):
    """The quality of a set of chains."""

    name: str = Field(description="Whose chains they are.")
    chains: int = Field(description="How many.")
    words: Lengths = Field(description="Length in words (what white space parts).")
    tokens: Lengths | None = Field(None, description="Length in the student's tokens, where a student is given.")
    steps: Lengths = Field(description="Steps, of the chains that have tagged steps.")
    empty: int = Field(description="Chains without any text; not judged.")
    judge: str | None = Field(None, description="Who marked them.")
    rubric: str | None = Field(None, description="The rubric: a bundled name or the user's file.")
    coherence: AspectFigures | None = Field(None, description="How well it hangs together.")
    consistency: AspectFigures | None = Field(None, description="How sound it is logically.")


class ChainJudge:
    """Asks a chat model for two marks of a chain, by a rubric."""

    def __init__(
        self,
        model: ChatModel,
        prompt: Prompt | None = None,
        rubric: Prompt | None = None,
        settings: ChatSettings | None = None,
    ) -> None:
        """Bundled `judge_chain` (fields rubric, question, chain), `rubric_chain` (no field), greedy, unless given."""
        self.model = model
        self.prompt = prompt or load_prompt("judge_chain")
        self.rubric = rubric or load_prompt("rubric_chain")
        self.settings = settings or ChatSettings()

    async def judge(self, question: str, chain: str) -> Judged:
        """The marks of one chain; none where there is no judgment.

        Raises `Failure` for what the person at the keyboard can mend, such as a server that is not there.
        """
        if not chain.strip():
            return Judged(reason="the chain is empty")
        if len(chain) > LONGEST or _FENCE.search(chain):
            return Judged(reason="the chain is too long to be judged, or imitates the judge's markup")
        asked = self.prompt.render(rubric=self.rubric.text, question=question, chain=chain)
        try:
            reply = await self.model.complete(ask(asked, self.settings))
        except ReplyFailure as failure:
            return Judged(reason=f"no judgment: {failure.reason}")
        return read_marks(reply.text)


def read_marks(text: str) -> Judged:
    """Read <Coherence> and <Consistency>: each a whole number from 1 to 5, one value of it, else it is unscored.

    >>> read_marks("Clear. <Coherence>4</Coherence><Consistency>2/5</Consistency>").coherence
    4
    >>> read_marks("<Coherence>4</Coherence><Coherence>5</Coherence>").coherence is None
    True
    """
    marks = {name: _mark(_MARK[name].findall(text)) for name in ASPECTS}
    reason = " ".join(re.sub(r"<[^<>]*>[^<]*</[^<>]*>", " ", text).split())[:200]
    unread = [name for name in ASPECTS if marks[name] is None]
    return Judged(**marks, reason=f"no readable mark for {' and '.join(unread)}" if unread else reason)


def _mark(found: Sequence[str]) -> int | None:
    said = {re.sub(r"\s*/\s*5$", "", mark.strip(" \t\r\n.*`'\"")) for mark in found}
    word = said.pop() if len(said) == 1 else ""
    return int(word) if word in {str(mark) for mark in MARKS} else None


async def judge_chains(
    judge: ChainJudge, questions: Sequence[str], chains: Sequence[str], advance: Advance = quiet
) -> list[Judged]:
    """The marks of the chains (aligned with their questions), each distinct case asked once."""
    pairs = list(zip(questions, chains, strict=True))
    return await each_once(pairs, lambda pair: pair, lambda pair: judge.judge(*pair), advance)


def chain_quality(
    name: str,
    chains: Sequence[str],
    *,
    tokens: Sequence[int] | None = None,
    judged: Sequence[Judged] | None = None,
    judge: ChainJudge | None = None,
) -> ChainQuality:
    """Lengths, and where `judged` is given (aligned with the chains) the marks; `tokens` are lengths, aligned too."""
    steps = [count for count in (len(parse_steps(chain)) for chain in chains) if count]
    marks = judged if judged is not None else ()
    return ChainQuality(
        name=name,
        chains=len(chains),
        words=lengths([len(chain.split()) for chain in chains]),
        tokens=lengths(tokens) if tokens is not None else None,
        steps=lengths(steps),
        empty=sum(not chain.strip() for chain in chains),
        judge=judge.model.name if judge else None,
        rubric=judge.rubric.name if judge else None,
        coherence=aspect([row.coherence for row in marks]) if judged is not None else None,
        consistency=aspect([row.consistency for row in marks]) if judged is not None else None,
    )


def aspect(marks: Sequence[int | None]) -> AspectFigures:
    """Mean, distribution and unscored share of one aspect."""
    known = [mark for mark in marks if mark is not None]
    counts = Counter(known)
    return AspectFigures(
        mean=mean_estimate(known, low=MARKS[0], high=MARKS[-1]),
        marks={mark: counts[mark] for mark in MARKS},
        unscored=proportion(len(marks) - len(known), len(marks)),
    )


def lengths(values: Sequence[int]) -> Lengths:
    """Mean, median and extremes."""
    return Lengths(
        mean=mean_estimate(values, low=0.0),
        median=float(median(values)) if values else None,
        least=min(values, default=None),
        most=max(values, default=None),
    )


def mean_estimate(values: Sequence[float], low: float | None = None, high: float | None = None) -> Estimate:
    """x̄ ± t(0.975, n−1) · s/√n, kept between `low` and `high`; one value alone has no interval."""
    n = len(values)
    if n == 0:
        return NOTHING
    centre = float(mean(values))
    if n == 1:
        return Estimate(value=centre, low=None, high=None, n=1)
    half = float(student_t.ppf(0.975, n - 1)) * stdev(values) / n**0.5
    least, most = centre - half, centre + half
    return Estimate(
        value=centre,
        low=least if low is None else max(low, least),
        high=most if high is None else min(high, most),
        n=n,
    )
