"""First wrong steps that people have marked: who finds them.

ProcessBench: arXiv 2412.06559. BIG-Bench-Mistake: arXiv 2311.08516.

A reviewer says of each solution which step is the first wrong one, or that none is. ProcessBench's figure is the
harmonic mean of two shares of exact hits: on solutions with a wrong step and on solutions without. BIG-Bench-Mistake's
is the share of exact hits on all solutions (`exact`), "no mistake" being a hit where people found none.

A reply that cannot be read is a miss of the reviewer under test, as in ProcessBench's own scorer, and never an "every
step is right"; its share is a figure of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from redink.evaluation.statistics import NOTHING, Estimate, proportion
from redink.failures import MarkupFailure
from redink.markup import parse_trace, render_steps
from redink.problems.questions import question_key
from redink.stages.pairs import marked_error
from redink.types import LabelledSolution, Problem, Row, Step


class Marking(Row):
    """What a reviewer says of one solution."""

    id: str = Field(description="The `LabelledSolution.id`.")
    step: int | None = Field(None, description="k, from 1; None: every step is right, or `readable` is False.")
    readable: bool = Field(True, description="False: nothing can be read out of the reply, or none came.")
    text: str = Field("", description="The reply, as it came.")
    truncated: bool = Field(False, description="The reply was cut by the token limit.")
    tokens: int = Field(0, ge=0, description="Length of the reply in tokens; 0 where it is not known.")


class LabelledFigures(Row):
    """How well one reviewer finds the steps that people marked; shares of 1, each with n and a 95 % interval."""

    source: str = Field(description="The set, e.g. 'processbench/gsm8k'.")
    reviewer: str = Field(description="Who reviewed.")
    f1: Estimate = Field(description="ProcessBench F1: harmonic mean of `exact_wrong` and `exact_right`.")
    exact_wrong: Estimate = Field(description="Of solutions with a wrong step: exactly that step is marked.")
    exact_right: Estimate = Field(description="Of solutions without: no step is marked.")
    exact: Estimate = Field(description="Of all solutions: the marking is the label (BIG-Bench-Mistake's figure).")
    detected: Estimate = Field(description="Of solutions with a wrong step: some step is marked.")
    lucky: Estimate = Field(description="Exact hits where a step is wrong although the final answer is right.")
    early: int = Field(description="Solutions with a wrong step, marked before it.")
    late: int = Field(description="Solutions with a wrong step, marked after it.")
    missed: int = Field(description="Solutions with a wrong step of which the reviewer says that every step is right.")
    false_alarms: int = Field(description="Solutions without a wrong step in which one is marked.")
    unreadable: Estimate = Field(description="Of all solutions: the reply cannot be read; these are misses above.")
    truncated: int = Field(description="Replies cut by the token limit.")
    left_out: int = Field(0, description="Solutions that were not reviewed (no gold solution is known); in no figure.")


def labelled_figures(
    solutions: Sequence[LabelledSolution], markings: Sequence[Marking], reviewer: str, *, left_out: int = 0
) -> LabelledFigures:
    """The figures of one reviewer; solutions and markings are aligned (`ValueError` if they are not)."""
    rows = list(zip(solutions, markings, strict=True))
    if stray := next((marking.id for solution, marking in rows if solution.id != marking.id), None):
        raise ValueError(f"the marking of {stray!r} stands beside another solution")
    wrong = [row for row in rows if row[0].first_wrong is not None]
    right = [row for row in rows if row[0].first_wrong is None]
    lucky = [row for row in wrong if row[0].answer_right]
    on_wrong, on_right = _share(wrong), _share(right)
    sources = sorted({solution.source for solution in solutions})
    return LabelledFigures(
        source=", ".join(sources),
        reviewer=reviewer,
        f1=harmonic_mean(on_wrong, on_right),
        exact_wrong=on_wrong,
        exact_right=on_right,
        exact=_share(rows),
        detected=proportion(sum(marking.step is not None for _, marking in wrong), len(wrong)),
        lucky=_share(lucky),
        early=sum((marking.step or math.inf) < (solution.first_wrong or 0) for solution, marking in wrong),
        late=sum((marking.step or 0) > (solution.first_wrong or 0) for solution, marking in wrong),
        missed=sum(marking.readable and marking.step is None for _, marking in wrong),
        false_alarms=sum(marking.step is not None for _, marking in right),
        unreadable=proportion(sum(not marking.readable for marking in markings), len(rows)),
        truncated=sum(marking.truncated for marking in markings),
        left_out=left_out,
    )


def hits(solution: LabelledSolution, marking: Marking) -> bool:
    """True if the marking is readable and is the label."""
    return marking.readable and marking.step == solution.first_wrong


def _share(rows: Sequence[tuple[LabelledSolution, Marking]]) -> Estimate:
    return proportion(sum(hits(*row) for row in rows), len(rows))


def harmonic_mean(one: Estimate, other: Estimate) -> Estimate:
    """2ab / (a + b) of two independent shares, with a 95 % interval; 0 where either is 0, nothing without cases.

    1/F = 1/2a + 1/2b is a sum, so its limits follow from those of its parts (MOVER, Zou and Donner 2008):
    s − √((s₁ − l₁)² + (s₂ − l₂)²) and s + √((u₁ − s₁)² + (u₂ − s₂)²), with sᵢ = 1/2pᵢ and lᵢ, uᵢ from Wilson's limits.
    Where a share is 0 its sᵢ is infinite: the interval then runs from 0 to the harmonic mean of the upper limits.
    """
    if one.value is None or other.value is None:
        return NOTHING
    n = one.n + other.n
    value, highest = _harmonic(one.value, other.value), _harmonic(one.high or 0.0, other.high or 0.0)
    if value == 0:
        return Estimate(value=0.0, low=0.0, high=highest, n=n)
    parts = [(_half(share.high), _half(share.value), _half(share.low)) for share in (one, other)]
    whole = sum(middle for _, middle, _ in parts)
    below = math.hypot(*(middle - least for least, middle, _ in parts))
    above = math.hypot(*(most - middle for _, middle, most in parts))
    return Estimate(value=value, low=1 / (whole + above), high=min(highest, 1 / max(whole - below, 1.0)), n=n)


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one and other else 0.0


def _half(share: float | None) -> float:
    return 1 / (2 * share) if share else math.inf


def always_right(solutions: Sequence[LabelledSolution]) -> list[Marking]:
    """The reviewer who finds every step right: it hits every solution without a wrong step and no other, F1 = 0."""
    return [Marking(id=solution.id) for solution in solutions]


def always_first(solutions: Sequence[LabelledSolution]) -> list[Marking]:
    """The reviewer who marks step 1 each time: it hits where the label is 1, and none without a wrong step, F1 = 0."""
    return [Marking(id=solution.id, step=1) for solution in solutions]


DUMMIES = {"always_right": always_right, "always_first": always_first}
"""Reviewers who read nothing, by name: what a figure is worth is what it is above theirs."""


def read_mark(text: str) -> tuple[int | None, bool]:
    """(step, readable) of a review in tags; without an `<Answer>` only a marked step can be read, no "all is right".

    >>> read_mark("<Step1>1 + 1 = 3<Cause>it is 2</Cause><Correction>1 + 1 = 2</Correction></Step1>")
    (1, True)
    >>> read_mark("<Step1>1 + 1 = 2</Step1>")
    (None, False)
    >>> read_mark("<Step1>1 + 1 = 2</Step1><Answer>2</Answer>")
    (None, True)
    """
    try:
        error = parse_trace(text).error
    except MarkupFailure:
        marked = marked_error("", text)
        return (marked.step, True) if marked else (None, False)
    return (error.step if error else None), True


def clean_steps(solution: LabelledSolution) -> tuple[Step, ...]:
    """The steps as they can stand in tags: without space around them, a step without text as an ellipsis."""
    return tuple(
        Step(number=step.number, text=_encodable(step.text) or "…", key=_encodable(step.key) or None)
        for step in solution.steps
    )


def _encodable(text: str | None) -> str:
    return (text or "").encode(errors="replace").decode().strip()


def shown(solution: LabelledSolution) -> str:
    """The solution as a student's attempt stands in P_c: its steps in tags, one a line."""
    return render_steps(clean_steps(solution)).rstrip("\n")


def golds_for(solutions: Sequence[LabelledSolution], problems: Sequence[Problem]) -> dict[str, Problem]:
    """The problem with a gold solution that asks the same question (normalised), by solution id, where there is one."""
    known = {question_key(problem.question): problem for problem in problems if problem.solution}
    keys = {solution.id: question_key(solution.question) for solution in solutions}
    return {name: known[key] for name, key in keys.items() if key in known}


def with_golds(
    solutions: Sequence[LabelledSolution], golds: Mapping[str, Problem]
) -> tuple[list[LabelledSolution], int]:
    """The solutions whose gold is known, and how many are left out."""
    kept = [solution for solution in solutions if solution.id in golds]
    return kept, len(solutions) - len(kept)
