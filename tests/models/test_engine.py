from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest
from loopback import Answer, Asked, Loopback, completion, hang_up, in_order, refusal, serving
from virtual_time import run_virtually

from redink.failures import Failure, ReplyFailure, StoppedByHand
from redink.models.chat import ChatSettings, Reply, Usage, ask
from redink.models.engine import EndpointChat, Engine, pause
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.limiter import Limits
from redink.models.wire import Completion, Endpoint, Outcome

T = TypeVar("T")
PRICES = {"m": Price(prompt=Decimal(1), completion=Decimal(2))}  # a loopback reply: 7 · 1 + 5 · 2 = 17 millionths


def model_of(engine: Engine, server: Loopback, **settings: float) -> EndpointChat:
    given = {"first_pause_s": 0.001, "timeout_s": 5.0} | settings
    return engine.chat(Endpoint("m", server.base_url, "REDINK_TEST_KEY"), **given)  # type: ignore[arg-type]


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def inside() -> T:
        return await work()

    return asyncio.run(inside())


def echo(asked: Asked) -> Answer:
    return completion(f"re: {asked.prompt}")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def test_a_reply_is_bought_once_and_replayed_ever_after(tmp_path: Path) -> None:
    with serving(echo) as server:
        for _ in range(2):
            with Journal(tmp_path / "j.sqlite") as journal:
                engine = Engine(journal, Ledger(journal, PRICES))
                model = model_of(engine, server)
                replies = [run(lambda: model.complete(ask("a"))) for _ in range(3)]  # noqa: B023
                assert {each.text for each in replies} == {"re: a"}
    assert len(server.asked) == 1
    assert (engine.bought, engine.replayed) == (0, 3)


def test_what_changes_the_request_is_bought_and_nothing_else(journal: Journal) -> None:
    with serving(echo) as server, journal:
        model = model_of(Engine(journal), server)

        async def work() -> list[int]:
            bought = []
            for request, sample in (
                (ask("a"), 0),
                (ask("a"), 0),
                (ask("a"), 1),
                (ask("b"), 0),
                (ask("a", ChatSettings(temperature=0.5)), 0),
            ):
                await model.complete(request, sample)
                bought.append(len(server.asked))
            return bought

        assert run(work) == [1, 1, 2, 3, 4]


def test_identical_calls_at_once_are_bought_once(journal: Journal) -> None:
    with serving(in_order(completion("2", delay_s=0.05))) as server, journal:
        model = model_of(Engine(journal), server)

        async def work() -> list[Reply]:
            return list(await asyncio.gather(*(model.complete(ask("q")) for _ in range(20))))

        assert [each.text for each in run(work)] == ["2"] * 20
        assert len(server.asked) == 1


def test_if_the_buyer_is_cancelled_another_buys(journal: Journal) -> None:
    with serving(in_order(completion("2", delay_s=0.2))) as server, journal:
        engine = Engine(journal)
        model = model_of(engine, server)

        async def work() -> list[str | BaseException]:
            calls = [asyncio.create_task(model.complete(ask("q"))) for _ in range(3)]
            await asyncio.sleep(0.05)
            calls[0].cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            return [each.text if isinstance(each, Reply) else each for each in done]

        first, *others = run(work)
        assert isinstance(first, asyncio.CancelledError) and others == ["2", "2"]
        assert (model.limiter.in_flight, engine.flights) == (0, {})


def test_a_failure_of_the_buyer_is_that_of_all_who_wait(journal: Journal) -> None:
    with serving(in_order(Answer(400, '{"error": "context length"}', delay_s=0.05))) as server, journal:
        model = model_of(Engine(journal), server)

        async def work() -> list[object]:
            return list(await asyncio.gather(*(model.complete(ask("q")) for _ in range(4)), return_exceptions=True))

        assert [getattr(each, "reason", each) for each in run(work)] == ["refused"] * 4
        assert len(server.asked) == 1


def test_without_a_journal_identical_calls_are_calls_of_their_own() -> None:
    with serving(echo) as server:
        model = model_of(Engine(), server)

        async def work() -> None:
            await asyncio.gather(*(model.complete(ask("q")) for _ in range(3)))

        run(work)
    assert len(server.asked) == 3


CUT = completion("half", finish_reason="length")


def test_a_cut_reply_is_asked_for_again_with_a_larger_limit(journal: Journal) -> None:
    """100 tokens, then 200; and both are replayed."""
    with serving(in_order(CUT, completion("whole"))) as server, journal:
        model = model_of(Engine(journal), server, larger_on_cut=2.0)
        request = ask("q", ChatSettings(max_tokens=100))
        assert [run(lambda: model.complete(request)).text for _ in range(2)] == ["whole", "whole"]
    assert [asked.body["max_tokens"] for asked in server.asked] == [100, 200]


@pytest.mark.parametrize(
    ("settings", "limits"),
    [({}, [100]), ({"larger_on_cut": 3.0, "max_tokens_limit": 500}, [100, 300, 500]), ({"larger_on_cut": 1.0}, [100])],
)
def test_a_reply_that_stays_cut_fails_as_such(settings: dict[str, float], limits: list[int]) -> None:
    with serving(in_order(CUT)) as server, pytest.raises(ReplyFailure) as failure:
        model = model_of(Engine(), server, **settings)
        run(lambda: model.complete(ask("q", ChatSettings(max_tokens=100))))
    assert (failure.value.reason, failure.value.raw) == ("cut_by_length", "half")
    assert [asked.body["max_tokens"] for asked in server.asked] == limits


@pytest.mark.parametrize("fault", [refusal(500), hang_up(), Answer(body="garbage")], ids=["500", "hang up", "garbage"])
def test_tries_are_bounded_and_only_whole_replies_are_kept(fault: Answer, journal: Journal) -> None:
    with serving(in_order(fault)) as server, journal:
        engine = Engine(journal, Ledger(journal, PRICES))
        model = model_of(engine, server, tries=3)
        for tries in (3, 6):
            with pytest.raises(ReplyFailure):
                run(lambda: model.complete(ask("q")))
            assert (len(server.asked), engine.failed_tries, engine.bought) == (tries, tries, 0)
        assert model.limiter.in_flight == 0


def test_a_storm_of_refusals_costs_no_row() -> None:
    """More refusals than tries: they count apart."""
    left = [12]

    def respond(asked: Asked) -> Answer:
        left[0] -= 1
        return refusal(429, retry_after="0") if left[0] > 0 else echo(asked)

    with serving(respond) as server:
        model = model_of(Engine(), server, tries=2)
        assert run(lambda: model.complete(ask("q"))).text == "re: q"
    assert len(server.asked) == 12


def test_refusals_are_bounded_too() -> None:
    with serving(in_order(refusal(429, "no", retry_after="0"))) as server, pytest.raises(ReplyFailure) as failure:
        run(lambda: model_of(Engine(), server, busy_tries=4).complete(ask("q")))
    assert (failure.value.reason, failure.value.detail) == ("server_failed", "HTTP 429: no (4 tries)")
    assert len(server.asked) == 4


def test_a_slow_row_keeps_nobody_waiting() -> None:
    """One row fails and pauses; the others pass through a window of one meanwhile."""
    order = []

    def respond(asked: Asked) -> Answer:
        order.append(asked.prompt)
        return refusal(500) if order == ["bad"] else echo(asked)

    with serving(respond) as server:
        engine = Engine()
        model = engine.chat(
            Endpoint("m", server.base_url), Limits(max_in_flight=1, start_in_flight=1), first_pause_s=0.4
        )

        async def work() -> None:
            await asyncio.gather(*(model.complete(ask(prompt)) for prompt in ("bad", "a", "b", "c")))

        run(work)
    assert order == ["bad", "a", "b", "c", "bad"]


def test_the_ledger_counts_by_stage_what_was_paid_failed_and_replayed(journal: Journal) -> None:
    with serving(in_order(refusal(500), completion("2"))) as server, journal:
        ledger = Ledger(journal, PRICES)
        engine = Engine(journal, ledger)
        model = model_of(engine, server)

        async def work() -> None:
            with engine.stage("thoughts"):
                await asyncio.create_task(model.complete(ask("a")))
            with engine.stage("corrections"):
                await model.complete(ask("a"))
                await model.complete(ask("b"))

        run(work)
        totals = {row.stage: (row.calls, row.failed_tries, row.replayed, row.usd) for row in ledger.totals()}
    assert totals == {
        "thoughts": (1, 1, 0, Decimal("0.000017")),
        "corrections": (1, 0, 1, Decimal("0.000017")),
    }


def test_a_spent_budget_stops_before_the_next_call(journal: Journal) -> None:
    """Two replies cost 34 millionths; the limit of 20 is passed by the second, which was allowed at 17."""
    with serving(echo) as server, journal:
        engine = Engine(journal, Ledger(journal, PRICES, max_usd=Decimal("0.000020")))
        model = model_of(engine, server)
        run(lambda: model.complete(ask("a")))
        run(lambda: model.complete(ask("b")))
        with pytest.raises(Failure):
            run(lambda: model.complete(ask("c")))
        assert run(lambda: model.complete(ask("a"))).text == "re: a"  # what is paid for may be used
        assert model.limiter.in_flight == 0
    assert len(server.asked) == 2


class ScriptedWire:
    """In the place of `Wire`: replies take 30 s; prompts of one word get the failure of that name at once."""

    def __init__(self, **failures: Outcome) -> None:
        self.failures, self.posted = failures, list[str]()

    async def post(self, endpoint: Endpoint, body: bytes, timeout: object) -> Outcome:
        prompt = json.loads(body)["messages"][-1]["content"]
        self.posted.append(prompt)
        if prompt in self.failures:
            return self.failures[prompt]
        await asyncio.sleep(30)
        choice = {"message": {"content": "paid for"}, "finish_reason": "stop"}
        return Outcome("reply", 200, b"{}", Completion(choice, Usage(prompt_tokens=7, completion_tokens=5)))

    async def aclose(self) -> None:
        """Nothing is open."""


def test_told_to_stop_pausing_rows_end_at_once_and_calls_in_flight_come_to_their_end() -> None:
    """Times in virtual seconds: stopped after 5, while two rows pause for 45 s and more and one is 25 s from its reply.

    The 429 holds the whole endpoint for 300 s besides, so the last row has not been sent at all.
    """
    wire = ScriptedWire(
        backoff=Outcome("faulty", 500),
        told=Outcome("faulty", 503, retry_after_s=300),
        slow=Outcome("busy", 429, retry_after_s=300),
    )
    why = StoppedByHand()

    async def work() -> dict[str, tuple[object, float]]:
        loop, ledger = asyncio.get_running_loop(), Ledger(None, PRICES)
        engine = Engine(None, ledger)
        engine.wire = wire  # type: ignore[assignment]
        model = engine.chat(Endpoint("m", "http://127.0.0.1:9/v1"), first_pause_s=90.0)
        ended = {}

        async def row(prompt: str) -> None:
            try:
                ended[prompt] = ((await model.complete(ask(prompt))).text, loop.time() - 1000)
            except Failure as failure:
                ended[prompt] = (failure, loop.time() - 1000)

        loop.call_later(5, engine.stop, why)
        await asyncio.gather(*map(row, ("in flight", "backoff", "told", "slow", "last")))
        assert ledger.spent == Decimal("0.000017")
        return ended

    ended = run_virtually(work())
    assert ended.pop("in flight") == ("paid for", 30.0)
    assert ended == dict.fromkeys(("backoff", "told", "slow", "last"), (why, 5.0))
    assert sorted(wire.posted) == ["backoff", "in flight", "slow", "told"]


def test_once_stopped_nobody_pauses() -> None:
    async def work() -> float:
        engine, began = Engine(), asyncio.get_running_loop().time()
        engine.stop(StoppedByHand())
        with pytest.raises(StoppedByHand):
            await engine.pause(60)
        return asyncio.get_running_loop().time() - began

    assert run_virtually(work()) == 0.0


def test_an_endpoint_has_one_limiter_and_one_set_of_limits() -> None:
    engine, endpoint = Engine(), Endpoint("m", "http://127.0.0.1:9/v1")
    assert engine.chat(endpoint).limiter is engine.chat(endpoint, Limits()).limiter
    with pytest.raises(Failure, match="used twice with different limits"):
        engine.chat(endpoint, Limits(max_in_flight=7))


def test_cancelled_calls_give_back_their_places() -> None:
    with serving(in_order(completion("late", delay_s=5.0))) as server:
        engine = Engine()
        model = engine.chat(Endpoint("m", server.base_url), Limits(max_in_flight=2, start_in_flight=2))

        async def work() -> None:
            calls = [asyncio.create_task(model.complete(ask(str(number)))) for number in range(6)]
            await asyncio.sleep(0.1)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

        run(work)
    assert (model.limiter.in_flight, model.limiter.waiting, engine.wire.is_open) == (0, 0, False)


@pytest.mark.parametrize(
    ("number", "retry_after", "jitter", "expected"),
    [
        (1, None, 0.0, 1.0),  # 2 s · (0.5 + 0.5 · 0)
        (1, None, 0.5, 1.5),  # 2 s · 0.75
        (3, None, 0.5, 6.0),  # 2 s · 2² · 0.75
        (50, None, 0.5, 45.0),  # 60 s · 0.75
        (1, 7.0, 0.0, 7.0),
        (3, 7.0, 0.5, 8.0),  # 7 s + 2 s · 0.5
        (1, 0.0, 0.0, 0.0),
        (1, 1e9, 0.0, 600.0),
    ],
)
def test_pause(number: int, retry_after: float | None, jitter: float, expected: float) -> None:
    assert pause(number, retry_after, 2.0, jitter) == expected
