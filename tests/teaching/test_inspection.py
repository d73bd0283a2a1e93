from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import pytest

from redink.failures import MarkupFailure, ReplyFailure, RowFailure
from redink.markup import render_thought, render_trace
from redink.teaching.inspection import Inspected, NoInspector, inspected
from redink.teaching.protocols import Inspection
from redink.types import CorrectionTrace, Problem, Step, Thought

GARBAGE = MarkupFailure("no_steps", 17, raw="blah")
Work = Thought | CorrectionTrace
T = TypeVar("T")
PROBLEM = Problem(id="p", question="1+1?", answer="2")


def thought(answer: str) -> Thought:
    return Thought(steps=(Step(number=1, text="Add."),), answer=answer)


TRACE = CorrectionTrace(steps=(Step(number=1, text="Add."),), error=None, answer="2")


class Desk:
    """A teacher and an inspector that do as listed, and what each was handed."""

    def __init__(self, works: Sequence[Work | RowFailure], inspections: Sequence[Inspection | RowFailure]) -> None:
        self.works, self.inspections = list(works), list(inspections)
        self.remarks: list[tuple[str, ...]] = []
        self.seen: list[Work] = []

    async def make(self, remarks: Sequence[str]) -> Work:
        self.remarks.append(tuple(remarks))
        return _done(self.works.pop(0))

    async def inspect(self, work: Work) -> Inspection:
        self.seen.append(work)
        return _done(self.inspections.pop(0))

    def run(self, rounds: int = 3) -> Inspected[Work]:
        return asyncio.run(inspected(self.make, self.inspect, rounds))


def _done(outcome: T | RowFailure) -> T:
    if isinstance(outcome, RowFailure):
        raise outcome
    return outcome


YES = Inspection(accepted=True)
A, B, C = thought("1"), thought("2"), thought("3")


def no(*remarks: str) -> Inspection:
    return Inspection(accepted=False, remarks=remarks)


def test_accepted_at_first_sight() -> None:
    desk = Desk([A], [YES])
    assert desk.run() == Inspected(A, rounds=1)
    assert desk.remarks == [()]


def test_remarks_go_back_and_the_mended_work_is_kept() -> None:
    desk = Desk([A, B, C], [no("x", "y"), no("z"), YES])
    assert desk.run() == Inspected(C, rounds=3)
    assert desk.remarks == [(), ("x", "y"), ("z",)]
    assert desk.seen == [A, B, C]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_not_accepted_after_the_last_round(rounds: int) -> None:
    works = [A, B, C][:rounds]
    desk = Desk(works, [no(f"remark {number}", "too") for number in range(1, rounds + 1)])
    with pytest.raises(RowFailure) as failure:
        desk.run(rounds)
    assert failure.value.reason == "not_accepted"
    assert failure.value.detail == f"remark {rounds}; too"
    assert failure.value.raw == render_thought(works[-1])
    assert (desk.works, desk.inspections) == ([], [])


def test_not_accepted_trace_is_kept_as_text() -> None:
    with pytest.raises(RowFailure) as failure:
        Desk([TRACE], [no("x")]).run(1)
    assert failure.value.raw == render_trace(TRACE)


def test_garbage_takes_a_round_and_can_be_mended() -> None:
    desk = Desk([GARBAGE, B], [YES])
    assert desk.run() == Inspected(B, rounds=2)
    assert desk.remarks[0] == ()
    (remark,) = desk.remarks[1]
    assert "could not be read (no_steps: at character 17)" in remark


def test_remarks_still_stand_after_garbage_and_garbage_is_forgotten_once_mended() -> None:
    desk = Desk([A, GARBAGE, B, C], [no("x"), no("y"), YES])
    assert desk.run(rounds=4) == Inspected(C, rounds=4)
    assert [len(remarks) for remarks in desk.remarks] == [0, 1, 2, 1]
    assert desk.remarks[2][0] == "x"
    assert desk.remarks[3] == ("y",)


def test_garbage_to_the_last_is_passed_on() -> None:
    last = MarkupFailure("no_answer", 3, raw="last")
    desk = Desk([GARBAGE, GARBAGE, last], [])
    with pytest.raises(MarkupFailure) as failure:
        desk.run()
    assert failure.value is last


def test_a_refusal_without_a_reason_still_says_something_to_the_teacher() -> None:
    desk = Desk([A, B], [no(), YES])
    assert desk.run().rounds == 2
    assert len(desk.remarks[1]) == 1


@pytest.mark.parametrize(
    ("work", "reason"), [(ReplyFailure("cut_by_length"), "cut_by_length"), (A, "unreadable_verdict")]
)
def test_other_failures_pass_at_once(work: Work | RowFailure, reason: str) -> None:
    desk = Desk([work], [RowFailure("unreadable_verdict")])
    with pytest.raises(RowFailure, match=reason):
        desk.run()
    assert len(desk.remarks) == 1


def test_an_unreadable_verdict_is_not_taken_for_garbage_of_the_teacher() -> None:
    desk = Desk([A, B], [MarkupFailure("odd", 0), YES])
    with pytest.raises(MarkupFailure):
        desk.run()


def test_no_rounds_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="rounds is 0"):
        Desk([], []).run(rounds=0)


def test_no_inspector_accepts_everything() -> None:
    assert asyncio.run(NoInspector().inspect(PROBLEM, A)) == Inspection(accepted=True, remarks=())
