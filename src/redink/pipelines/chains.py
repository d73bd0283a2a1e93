"""The quality of chains of thought (ORION): length, marks by a judge, perplexity by a student."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from pydantic import Field

from redink.evaluation.chain_quality import ChainJudge, ChainQuality, Judged, Lengths, chain_quality, judge_chains
from redink.evaluation.perplexity import Perplexity, perplexity, score_chains
from redink.failures import Failure
from redink.models.student import Student
from redink.pipelines.staff import Open
from redink.pipelines.tables import NO_VALUE, Table, number, percent
from redink.progress import Advance, progress
from redink.prompts import Prompt
from redink.types import Row


class ChainsReport(Row):
    """Chains of thought, judged and read by a student."""

    quality: tuple[ChainQuality, ...] = Field(description="One per set of chains.")
    perplexity: dict[str, Perplexity] = Field(default_factory=dict, description="By set, where a student reads them.")


def evaluate_chains(
    name: str,
    questions: Sequence[str],
    chains: Sequence[str],
    *,
    judge: ChainJudge | None = None,
    student: Student | None = None,
    prompt: Prompt | None = None,
    within: Callable[[], Open] = nullcontext,
) -> tuple[ChainQuality, Perplexity | None, list[Judged] | None]:
    """Length always, marks by a judge and perplexity by a student where they are given; shows progress.

    Questions and chains are aligned; the student reads each chain as its reply to `prompt` with the question filled in
    (field `question`), or to the bare question. Raises `Failure` where there is no chain, and as the judge does.
    """
    if not chains:
        raise Failure(f"{name}: there is no chain of thought.", "Name a file that holds some.")
    judged, read, tokens = None, None, None
    if student is not None:
        asked = [prompt.render(question=question) if prompt else question for question in questions]
        with progress(f"{student.name} reading", len(chains), "chains") as advance:
            scores = score_chains(student, asked, chains, advance=advance)
        read, tokens = perplexity(student.name, scores), [score.tokens for score in scores]
    if judge is not None:
        with progress(f"{judge.model.name} judging", len(chains), "chains") as advance:
            judged = asyncio.run(_judged(judge, questions, chains, advance, within))
    return chain_quality(name, chains, tokens=tokens, judged=judged, judge=judge), read, judged


async def _judged(
    judge: ChainJudge,
    questions: Sequence[str],
    chains: Sequence[str],
    advance: Advance,
    within: Callable[[], Open],
) -> list[Judged]:
    async with within():
        return await judge_chains(judge, questions, chains, advance)


def chains_table(report: ChainsReport) -> Table:
    """One row per set of chains."""
    rows = tuple(
        (
            row.name,
            str(row.chains),
            *(_mean(lengths) for lengths in (row.words, row.tokens, row.steps)),
            *(number(aspect.mean) if aspect else NO_VALUE for aspect in (row.coherence, row.consistency)),
            percent(row.coherence.unscored) if row.coherence else NO_VALUE,
            number(read.per_token) if (read := report.perplexity.get(row.name)) else NO_VALUE,
        )
        for row in report.quality
    )
    judges = ", ".join(sorted({f"{row.judge} by {row.rubric}" for row in report.quality if row.judge})) or "nobody"
    readers = ", ".join(sorted({row.student for row in report.perplexity.values()})) or "nobody"
    return Table(
        title="Quality of chains of thought",
        columns=("chains", "n", "words", "tokens", "steps", "coherence", "consistency", "unscored", "perplexity"),
        rows=rows,
        note=f"Means, [95 %]. Marks 1 to 5 by {judges}; unreadable judgments are unscored. Perplexity by {readers}.",
    )


def _mean(lengths: Lengths | None) -> str:
    return number(lengths.mean) if lengths else NO_VALUE
