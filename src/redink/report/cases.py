"""A case: one problem with all that teacher, student and inspector wrote about it, and how it is filed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from redink.failures import MarkupFailure
from redink.markup import parse_steps, parse_trace, render_steps
from redink.stages.outcomes import all_tries
from redink.types import (
    Attempt,
    ChainRow,
    CorrectionRow,
    ExposedError,
    LocatedError,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    RefinedChain,
    Rejected,
    Review,
    Row,
    Step,
    ThoughtRow,
    Tried,
)

OUTCOMES = {
    "right": "right at first",
    "wrong": "wrong at first",
    "ungradable": "no answer to grade",
    "repaired": "wrong, then right",
    "broken": "right, then wrong",
    "kept": "right, and kept",
    "unmended": "wrong, and stayed wrong",
    "located": "found the wrong step",
    "missed": "missed the wrong step",
    "alarm": "false alarm",
    "unlocated": "teacher found no wrong step",
    "taught": "became a training pair",
    "left_out": "left out, with a reason",
    "held": "quarantined",
    "rounds": "took several rounds",
    "exposed": "an exposed error",
    "truncated": "cut by the token limit",
}
"""What can be filtered by: a short name for links, and what people read. Order matters: it gives each its bit."""
_BIT = {name: 1 << place for place, name in enumerate(OUTCOMES)}


class Work(Row):
    """One solution of a student, and what was written about it."""

    group: str = Field(description="Which stage drew it: 'evaluate.base', 'attempts', 'replay', …")
    model: str = Field(description="Who wrote it: base, hsft, cross_dpo, …; '' where only the teacher wrote.")
    sample: int = Field(0, description="Which of several.")
    attempt: Attempt | None = Field(None, description="The solution.")
    review: Review | None = Field(None, description="The student's own review of it (t2).")
    correction: CorrectionRow | None = Field(None, description="The teacher's trace.")
    own: OwnCorrection | None = Field(None, description="The student's continuation of the teacher's prefix.")
    pair: PreferencePair | None = Field(None, description="The training pair made of the two.")
    exposed: ExposedError | None = Field(None, description="The distinct error that it stands for (ORION).")
    left_out: tuple[Rejected, ...] = Field((), description="Where it was left out, and why.")
    held: tuple[Quarantined, ...] = Field((), description="What could not be made of it, with every try.")


class Case(Row):
    """One problem and everything about it."""

    problem: Problem = Field(description="The problem.")
    set: str = Field(description="thoughts, errors or evaluation; or a benchmark's name.")
    thought: ThoughtRow | None = Field(None, description="The teacher's accepted thought.")
    chain: ChainRow | None = Field(None, description="The teacher's long chain of thought, or the plain one.")
    tried_chains: tuple[RefinedChain, ...] = Field((), description="Accepted rewritings of the chain (ORION).")
    refined: RefinedChain | None = Field(None, description="The rewriting that is learned; None: the chain stands.")
    works: tuple[Work, ...] = Field((), description="Solutions, in the order of the method.")


class Filed(Row):
    """What filters know of one work."""

    group: str = Field("", description="Which stage drew it; draws of one group are draws from one distribution.")
    model: str = Field(description="The student; '' for the teacher's thoughts.")
    outcomes: int = Field(description="Bits of OUTCOMES.")
    step: int = Field(0, description="The first wrong step as the teacher marked it; 0: none is marked.")


def bits(names: Sequence[str]) -> int:
    """The names of OUTCOMES as one number."""
    return sum(_BIT[name] for name in names)


def filed(work: Work) -> Filed:
    """How a work is filed."""
    error = work.correction.trace.error if work.correction else None
    names = [*_answers(work), *_marks(work, error), *_books(work)]
    return Filed(
        group=work.group.partition(".r")[0], model=work.model, outcomes=bits(names), step=error.step if error else 0
    )


def _answers(work: Work) -> Iterator[str]:
    if work.attempt is None:
        return
    first = work.attempt.verdict
    yield first.outcome if first.outcome != "ungradable" else "wrong"
    if first.outcome == "ungradable":
        yield "ungradable"
    if work.review is not None:
        yield _CHANGE[first.right, work.review.verdict.right]
    if work.attempt.truncated or (work.review and work.review.truncated):
        yield "truncated"


_CHANGE = {(True, True): "kept", (True, False): "broken", (False, True): "repaired", (False, False): "unmended"}


def _marks(work: Work, truth: LocatedError | None) -> Iterator[str]:
    found = work.review.error if work.review else own_error(work)
    if truth is not None and (work.review or work.own):
        yield "located" if found is not None and found.step == truth.step else "missed"
    if work.attempt is not None and work.attempt.verdict.right and found is not None:
        yield "alarm"


def _books(work: Work) -> Iterator[str]:
    if any(row.reason == "unlocated" for row in work.left_out):
        yield "unlocated"
    if work.pair is not None:
        yield "taught"
    if work.left_out:
        yield "left_out"
    if work.held:
        yield "held"
    if work.exposed is not None:
        yield "exposed"
    if work.correction is not None and work.correction.rounds > 1:
        yield "rounds"


def own_error(work: Work) -> LocatedError | None:
    """The error that the student marks when it continues the teacher's prefix; None if none can be read."""
    trace = work.correction.trace if work.correction else None
    if work.own is None or trace is None or trace.error is None:
        return None
    try:
        return parse_trace(
            f"{render_steps(trace.steps[: trace.error.step - 1])}{work.own.text}\n<Answer>?</Answer>"
        ).error
    except (MarkupFailure, ValueError):
        return None


def texts(case: Case) -> Iterator[str]:
    """What search looks through: all that is written about the problem. The page's script has the same list."""
    problem = case.problem
    yield from (problem.id, problem.question, problem.answer, problem.solution or "", problem.subject)
    yield from (problem.level or "", problem.source)
    if case.thought:
        yield from _step_texts(case.thought.thought.steps)
        yield from (case.thought.thought.generalized or "", case.thought.thought.answer)
        yield from _try_texts(case.thought.tries)
    yield from (row.text for row in (case.chain, case.refined, *case.tried_chains) if row)
    for work in case.works:
        yield from _work_texts(work)


def _work_texts(work: Work) -> Iterator[str]:
    for row in (work.attempt, work.review, work.own):
        if row is not None:
            yield row.text
    if work.correction:
        trace = work.correction.trace
        yield from _step_texts(trace.steps)
        yield from (trace.error.cause, trace.error.correction) if trace.error else ()
        yield trace.answer
        yield from _try_texts(work.correction.tries)
    yield from (row.reason for row in work.left_out)
    for held in work.held:
        yield from _try_texts(all_tries(held))


def _step_texts(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield from (step.text, step.key or "")


def _try_texts(tries: Sequence[Tried]) -> Iterator[str]:
    for row in tries:
        yield from (row.reason, row.detail, row.raw)


def as_shown(case: Case) -> dict[str, Any]:
    """A case as the page takes it: plain JSON, with what can be read of each text taken apart into steps."""
    return {
        **case.problem.model_dump(exclude={"entry"}, exclude_none=True),
        "set": case.set,
        "thought": _thought(case.thought),
        **_chains(case),
        "works": [_work(work) for work in case.works],
    }


def _chains(case: Case) -> dict[str, Any]:
    """The teacher's chain, what it was rewritten as, and the tries, as they were written."""
    if case.chain is None:
        return {}
    others = [row for row in case.tried_chains if case.refined is None or row.sample != case.refined.sample]
    return {
        "chain": _readable(case.chain.text),
        "refined": case.refined and _rewriting(case.refined),
        "otherChains": [_rewriting(row) for row in others],
    }


def _rewriting(row: RefinedChain) -> dict[str, Any]:
    return {"similarity": row.similarity, "text": _readable(row.text)}


def _readable(chain: str) -> str:
    """A chain without its tags, a step per line; as it was written where it has none."""
    steps = parse_steps(chain)
    if not steps:
        return chain
    _, _, answer = chain.rpartition("<Answer>")
    lines = [f"{step.text}  ·  {step.key}" if step.key else step.text for step in steps]
    return "\n".join([*lines, f"Answer: {answer.removesuffix('</Answer>').strip()}"])


def _thought(row: ThoughtRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    thought = row.thought
    return {
        "steps": _steps(thought.steps),
        "generalized": thought.generalized,
        "answer": thought.answer,
        "rounds": row.rounds,
        "tries": _tries(row.tries),
    }


def _work(work: Work) -> dict[str, Any]:
    label = filed(work)
    shown = {
        "group": work.group,
        "model": work.model,
        "sample": work.sample,
        "outcomes": label.outcomes,
        "step": label.step,
        "attempt": _attempt(work.attempt),
        "review": _review(work.review),
        "teacher": _correction(work.correction),
        "own": _own(work),
        "exposed": work.exposed and work.exposed.model_dump(include={"count", "step", "nll"}),
        "pair": work.pair and work.pair.model_dump(include={"prefix", "chosen", "rejected", "kind"}),
        "leftOut": [{"stage": row.stage, "reason": row.reason} for row in work.left_out],
        "held": [{"stage": row.stage, "tries": _tries(all_tries(row))} for row in work.held],
    }
    return {key: value for key, value in shown.items() if value or key in ("outcomes", "step", "sample")}


def _attempt(row: Attempt | None) -> dict[str, Any] | None:
    return (
        None
        if row is None
        else {
            "steps": _steps(row.steps),
            "answer": row.answer,
            "outcome": row.verdict.outcome,
            "why": row.verdict.reason,
            "truncated": row.truncated,
            "text": row.text,
        }
    )


def _review(row: Review | None) -> dict[str, Any] | None:
    return (
        None
        if row is None
        else {
            "steps": _steps(parse_steps(row.text)),
            "error": _error(row.error),
            "answer": row.answer,
            "outcome": row.verdict.outcome,
            "why": row.verdict.reason,
            "truncated": row.truncated,
            "text": row.text,
        }
    )


def _correction(row: CorrectionRow | None) -> dict[str, Any] | None:
    return (
        None
        if row is None
        else {
            "steps": _steps(row.trace.steps),
            "error": _error(row.trace.error),
            "answer": row.trace.answer,
            "rounds": row.rounds,
            "tries": _tries(row.tries),
        }
    )


def _own(work: Work) -> dict[str, Any] | None:
    return None if work.own is None else {"error": _error(own_error(work)), "text": work.own.text}


def _steps(steps: Sequence[Step]) -> list[list[str]]:
    return [[step.text, step.key] if step.key else [step.text] for step in steps]


def _error(error: LocatedError | None) -> dict[str, Any] | None:
    return None if error is None else error.model_dump()


def _tries(tries: Sequence[Tried]) -> list[dict[str, str]]:
    return [row.model_dump(exclude_defaults=True) for row in tries]
