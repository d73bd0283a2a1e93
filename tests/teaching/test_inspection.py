"""Rounds of inspection, tries within them: reasons go back, no request is made twice, every failed try is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import pytest

from redink.failures import MarkupFailure, ReplyFailure, RowFailure, Unsound
from redink.markup import render_thought, render_trace
from redink.teaching.inspection import Inspected, NoInspector, Patience, inspected
from redink.teaching.protocols import Inspection
from redink.types import CorrectionTrace, Problem, Step, Thought, Tried

GARBAGE = MarkupFailure("no_steps", 17, raw="blah")
NO_VERDICT = Unsound("unreadable_verdict", "say accept or revise", "hm")
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
        self.asked_again: list[tuple[str, ...]] = []

    async def make(self, remarks: Sequence[str]) -> Work:
        self.remarks.append(tuple(remarks))
        return _done(self.works.pop(0))

    async def inspect(self, work: Work, remarks: Sequence[str]) -> Inspection:
        self.seen.append(work)
        self.asked_again.append(tuple(remarks))
        return _done(self.inspections.pop(0))

    def run(self, rounds: int = 3, tries: int = 3, before: Sequence[Tried] = ()) -> Inspected[Work]:
        return asyncio.run(inspected(self.make, self.inspect, Patience(rounds, tries, tries), before))

    def fails(self, rounds: int = 3, tries: int = 3, before: Sequence[Tried] = ()) -> RowFailure:
        with pytest.raises(RowFailure) as caught:
            self.run(rounds, tries, before)
        return caught.value


def _done(outcome: T | RowFailure) -> T:
    if isinstance(outcome, RowFailure):
        raise outcome
    return outcome


YES = Inspection(accepted=True)
A, B, C = thought("1"), thought("2"), thought("3")


def no(*remarks: str) -> Inspection:
    return Inspection(accepted=False, remarks=remarks)


# ---------------------------------------------------------------- rounds


def test_accepted_at_first_sight() -> None:
    desk = Desk([A], [YES])
    assert desk.run() == Inspected(A, rounds=1)
    assert desk.remarks == [()]


def test_remarks_go_back_and_the_mended_work_is_kept() -> None:
    desk = Desk([A, B, C], [no("x", "y"), no("z"), YES])
    tries = tuple(Tried(reason="not_accepted", detail=d, raw=render_thought(w)) for d, w in [("x; y", A), ("z", B)])
    assert desk.run() == Inspected(C, rounds=3, tries=tries)
    assert desk.remarks == [(), ("x", "y"), ("z",)]
    assert desk.seen == [A, B, C]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_not_accepted_after_the_last_round(rounds: int) -> None:
    works = [A, B, C][:rounds]
    desk = Desk(works, [no(f"remark {number}", "too") for number in range(1, rounds + 1)])
    failure = desk.fails(rounds)
    assert failure.reason == "not_accepted"
    assert failure.detail == f"remark {rounds}; too"
    assert failure.raw == render_thought(works[-1])
    assert failure.tries == tuple(
        Tried(reason="not_accepted", detail=f"remark {n}; too", raw=render_thought(works[n - 1]))
        for n in range(1, rounds)
    )
    assert (desk.works, desk.inspections) == ([], [])


def test_not_accepted_trace_is_kept_as_text() -> None:
    assert Desk([TRACE], [no("x")]).fails(1).raw == render_trace(TRACE)


def test_a_refusal_without_a_reason_still_says_something_to_the_teacher() -> None:
    desk = Desk([A, B], [no(), YES])
    assert desk.run().rounds == 2
    assert len(desk.remarks[1]) == 1


# ---------------------------------------------------------------- tries


@pytest.mark.parametrize(
    ("failure", "remark"),
    [
        (GARBAGE, "could not be read (no_steps: at character 17)"),
        (Unsound("answer_is_wrong", "The answer is 3."), "The answer is 3."),
        (ReplyFailure("empty_reply"), "was empty"),
    ],
)
def test_a_reply_of_no_use_is_asked_for_again_with_the_reason_in_the_same_round(
    failure: RowFailure, remark: str
) -> None:
    desk = Desk([failure, B], [YES])
    assert desk.run() == Inspected(B, rounds=1, tries=(failure.as_tried(),))
    assert desk.remarks[0] == ()
    (said,) = desk.remarks[1]
    assert remark in said


def test_remarks_still_stand_after_garbage_and_garbage_is_forgotten_once_mended() -> None:
    desk = Desk([A, GARBAGE, B, C], [no("x"), no("y"), YES])
    done = desk.run()
    assert (done.work, done.rounds) == (C, 3)
    assert [tried.reason for tried in done.tries] == ["not_accepted", "no_steps", "not_accepted"]
    assert [len(remarks) for remarks in desk.remarks] == [0, 1, 2, 1]
    assert desk.remarks[2][0] == "x"
    assert desk.remarks[3] == ("y",)


def test_garbage_to_the_last_try_is_passed_on_with_the_tries_before_it() -> None:
    last = MarkupFailure("no_answer", 3, raw="last")
    failure = Desk([GARBAGE, GARBAGE, last], []).fails()
    assert failure is last
    assert failure.tries == (Tried(reason="no_steps", detail="at character 17", raw="blah"),) * 2


def test_every_try_of_every_round_is_kept() -> None:
    desk = Desk([GARBAGE, A, B], [no("x"), NO_VERDICT, NO_VERDICT])
    failure = desk.fails(tries=2)
    assert failure.reason == "unreadable_verdict"
    assert [tried.reason for tried in failure.tries] == ["no_steps", "not_accepted", "unreadable_verdict"]


def test_no_request_is_made_twice_though_the_failures_are_the_same() -> None:
    """Else a greedy model, or the journal, would give the same reply again."""
    desk = Desk([GARBAGE, GARBAGE, A, GARBAGE, GARBAGE, B, C], [no("x"), no("x"), YES])
    assert desk.run().rounds == 3
    assert len(set(desk.remarks)) == len(desk.remarks) == 7


def test_a_verdict_of_no_use_is_asked_for_again_with_the_reason() -> None:
    desk = Desk([A], [NO_VERDICT, NO_VERDICT, YES])
    assert desk.run() == Inspected(A, rounds=1, tries=(NO_VERDICT.as_tried(),) * 2)
    assert len(desk.remarks) == 1
    first, second, third = desk.asked_again
    assert (first, second) == ((), ("say accept or revise",))
    assert third[0] == "say accept or revise" and third != second


@pytest.mark.parametrize("reason", ["cut_by_length", "refused", "server_failed", "unreadable_reply"])
def test_what_asking_again_cannot_mend_passes_at_once(reason: str) -> None:
    desk = Desk([GARBAGE, ReplyFailure(reason)], [])
    failure = desk.fails()
    assert (failure.reason, len(failure.tries), len(desk.remarks)) == (reason, 1, 2)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_no_rounds_or_no_tries_is_a_mistake(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        Patience(*numbers)


# ---------------------------------------------------------------- requeued rows


def test_an_earlier_runs_tries_are_remembered_and_said() -> None:
    before = (Tried(reason="not_accepted", detail="step 2 is false", raw="…"), Tried(reason="server_failed"))
    desk = Desk([GARBAGE], [])
    failure = desk.fails(tries=1, before=before)
    assert failure.tries == before
    ((said,),) = desk.remarks
    assert said == "Earlier replies that could not be used: 1; the last because of not_accepted: step 2 is false"


def test_where_only_the_server_failed_the_request_is_the_same_so_that_bought_replies_are_used() -> None:
    desk = Desk([A], [YES])
    desk.run(before=(Tried(reason="server_failed", detail="HTTP 500"),))
    assert desk.remarks == [()]


def test_no_inspector_accepts_everything() -> None:
    assert asyncio.run(NoInspector().inspect(PROBLEM, A)) == Inspection(accepted=True, remarks=())
