"""The teacher engine: chat models over HTTP whose replies are bought once, kept, counted and never lost.

A call is looked up in the journal; if it is not there, it waits for its endpoint's limiter, goes over the wire, and is
tried again by the class of what went wrong. Identical calls under way at the same time are bought once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import NoReturn, Self

import aiohttp

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply, Usage
from redink.models.collector import COLLECTOR
from redink.models.journal import Entry, Journal, call_key
from redink.models.ledger import Ledger
from redink.models.limiter import Limiter, Limits
from redink.models.pace import LONGEST_RETRY_AFTER_S
from redink.models.wire import (
    CONNECTED_WITHIN_S,
    Completion,
    Endpoint,
    Outcome,
    Wire,
    read_completion,
    room_for_sockets,
    usable,
)

LONGEST_PAUSE_S = 60.0
BUSY_TRIES_PER_TRY = 8
_stage: ContextVar[str] = ContextVar("redink_stage", default="")


def current_stage() -> str:
    """The stage that the running task books under (`Engine.stage`)."""
    return _stage.get()


class Engine:
    """Journal, ledger and connections that all chat models of a run share.

    Connections are kept while calls are under way, and closed with the last: nothing is left over when an event loop
    ends. `async with engine:` keeps them between calls too.
    """

    def __init__(self, journal: Journal | None = None, ledger: Ledger | None = None) -> None:
        """Without a journal nothing is kept; without a ledger nothing is counted or refused."""
        self.journal = journal
        self.ledger = ledger
        self.wire = Wire()
        self.bought = self.replayed = self.failed_tries = 0
        self.stopped: Failure | None = None
        self.when_stopped: list[Callable[[Failure], None]] = []
        self.flights: dict[bytes, asyncio.Future[ReplyFailure | None]] = {}
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._pausing: set[asyncio.Future[None]] = set()
        self._users = 0

    async def __aenter__(self) -> Self:
        """Keep connections until the block ends."""
        self._users += 1
        if self._users == 1:
            COLLECTOR.relax()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them, if nobody else is using them."""
        self._users -= 1
        if not self._users:
            COLLECTOR.resume()
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections now; a later call opens new ones."""
        await self.wire.aclose()

    def stop(self, why: Failure) -> None:
        """Begin no further call, for good: all that ask are told `why`, calls in flight come to their end.

        Those that pause before their next try are told at once. Batches under way are no longer waited for; another
        process finds them again. Call it in the event loop.
        """
        self.stopped = why
        for limiter in self._limiters.values():
            limiter.turn_away(why)
        for over in self._pausing:
            over.set_result(None)
        self._pausing.clear()
        for told in self.when_stopped:
            told(why)

    def refuse_if_stopped(self) -> None:
        """Raise what `stop` was given, if it was called."""
        if self.stopped is not None:
            raise self.stopped

    async def pause(self, seconds: float) -> None:
        """Wait so long, unless `stop` is called: what it was given is raised at once."""
        self.refuse_if_stopped()
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pausing.add(over)
        try:
            await asyncio.wait((over,), timeout=seconds)
        finally:
            self._pausing.discard(over)
        self.refuse_if_stopped()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is bought inside the block, by tasks started there too, is booked under this stage."""
        before = _stage.set(name)
        try:
            yield
        finally:
            _stage.reset(before)

    def chat(
        self,
        endpoint: Endpoint,
        limits: Limits | None = None,
        *,
        tries: int = 8,
        busy_tries: int | None = None,
        timeout_s: float = 600.0,
        first_pause_s: float = 0.5,
        larger_on_cut: float | None = None,
        max_tokens_limit: int = 32_768,
    ) -> EndpointChat:
        """A chat model of this endpoint; those of one model of one server share a limiter, hence their limits.

        A row is tried at most `tries` times for `timeout_s` seconds each, with pauses that begin at `first_pause_s` and
        double; refusals for want of capacity count apart (`busy_tries`, `BUSY_TRIES_PER_TRY` times as many by default),
        since the limiter waits for those. A reply cut by its limit is asked for again with `larger_on_cut` times as
        many tokens, up to `max_tokens_limit`.
        """
        return EndpointChat(
            self,
            endpoint,
            self.limiter(endpoint, limits or Limits()),
            tries=tries,
            busy_tries=tries * BUSY_TRIES_PER_TRY if busy_tries is None else busy_tries,
            timeout_s=timeout_s,
            first_pause_s=first_pause_s,
            larger_on_cut=larger_on_cut,
            max_tokens_limit=max_tokens_limit,
        )

    def limiter(self, endpoint: Endpoint, limits: Limits) -> Limiter:
        """The endpoint's limiter; raises `Failure` if it has other limits already."""
        limiter = self._limiters.setdefault((endpoint.url, endpoint.model), Limiter(limits))
        if limiter.limits != limits:
            raise Failure(
                f"{endpoint.model!r} at {endpoint.url} is used twice with different limits.",
                "Give both the same requests_per_minute, tokens_per_minute, max_in_flight and start_in_flight.",
            )
        room_for_sockets(sum(each.limits.max_in_flight for each in self._limiters.values()))
        return limiter


class EndpointChat:
    """A `ChatModel` that calls one endpoint through an `Engine`; made by `Engine.chat`."""

    def __init__(
        self,
        engine: Engine,
        endpoint: Endpoint,
        limiter: Limiter,
        *,
        tries: int,
        busy_tries: int,
        timeout_s: float,
        first_pause_s: float,
        larger_on_cut: float | None,
        max_tokens_limit: int,
    ) -> None:
        """See `Engine.chat`."""
        self.engine, self.endpoint, self.limiter = engine, endpoint, limiter
        self.tries, self.busy_tries, self.first_pause_s = tries, busy_tries, first_pause_s
        self.larger_on_cut, self.max_tokens_limit = larger_on_cut, max_tokens_limit
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECTED_WITHIN_S)
        self._url = endpoint.url
        self._guess = _Guess()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.endpoint.model

    def __repr__(self) -> str:
        """Model and address; never the key."""
        return f"EndpointChat({self.name!r}, {self._url!r})"

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Continue the conversation; `sample` counts repeated draws of one request.

        Raises `ReplyFailure` where this request has no usable reply ('cut_by_length', 'empty_reply', 'refused',
        'unreadable_reply', 'server_failed'), `Failure` where no request would (key, address, model name, credit,
        budget).
        """
        async with self.engine:
            while True:
                try:
                    return usable(await self._completion(self.endpoint.body(request), sample))
                except ReplyFailure as failure:
                    larger = self._larger(request.max_tokens)
                    if failure.reason != "cut_by_length" or larger is None:
                        raise
                request = request.model_copy(update={"max_tokens": larger})

    def _larger(self, max_tokens: int) -> int | None:
        """The limit to try after this one was too small; None: no more."""
        if self.larger_on_cut is None:
            return None
        larger = min(int(max_tokens * self.larger_on_cut), self.max_tokens_limit)
        return larger if larger > max_tokens else None

    async def _completion(self, body: bytes, sample: int) -> Completion:
        """From the journal, from an identical call under way, or bought."""
        if self.engine.journal is None and self.engine.ledger is None:
            return (await self._persist(body))[0].completed
        key = call_key(self._url, body, sample)
        if self.engine.journal is None:
            return await self._buy(key, body)
        while True:
            entry = self.engine.journal.get(key)
            if entry is not None:
                return self._replay(entry)
            flight = self.engine.flights.get(key)
            if flight is None:
                return await self._lead(key, body)
            await asyncio.wait((flight,))
            failure = flight.result()
            if failure is not None:
                raise ReplyFailure(failure.reason, failure.detail, failure.raw)

    def _replay(self, entry: Entry) -> Completion:
        self.engine.replayed += 1
        if self.engine.ledger is not None:
            self.engine.ledger.replayed(_stage.get(), self.name)
        return read_completion(entry.body, entry.usage)

    async def _lead(self, key: bytes, body: bytes) -> Completion:
        """Buy for all who ask for the same meanwhile; if this call is cancelled, one of them buys."""
        flight = self.engine.flights[key] = asyncio.get_running_loop().create_future()
        failed = None
        try:
            return await self._buy(key, body)
        except ReplyFailure as failure:
            failed = failure
            raise
        finally:
            del self.engine.flights[key]
            flight.set_result(failed)

    async def _buy(self, key: bytes, body: bytes) -> Completion:
        outcome, tries = await self._persist(body)
        completion = outcome.completed
        entry = Entry(outcome.body, completion.usage, tries, time.time(), "online")
        if self.engine.ledger is not None:
            self.engine.ledger.buy(key, entry, _stage.get(), self.name)
        elif self.engine.journal is not None:
            self.engine.journal.put(key, entry)
        return completion

    async def _persist(self, body: bytes) -> tuple[Outcome, int]:
        """Try until there is a completion; returns its outcome and the number of tries."""
        faults = refusals = 0
        while True:
            outcome = await self._try(body)
            if outcome.kind == "reply":
                self.engine.bought += 1
                return outcome, faults + refusals + 1
            self._note(outcome)
            faults, refusals = faults + (outcome.kind != "busy"), refusals + (outcome.kind == "busy")
            if faults >= self.tries or refusals >= self.busy_tries:
                self._give_up(outcome, faults + refusals)
            if outcome.kind != "busy":
                await self.engine.pause(pause(faults, outcome.retry_after_s, self.first_pause_s, random.random()))

    async def _try(self, body: bytes) -> Outcome:
        self.engine.refuse_if_stopped()
        permit = await self.limiter.acquire(self._guess.tokens(body))
        try:
            self.engine.refuse_if_stopped()
            if self.engine.ledger is not None:
                self.engine.ledger.refuse_over_budget(self.name)
            outcome = await self.engine.wire.post(self.endpoint, body, self._timeout)
            permit.settle(outcome, self._guess.learn(body, outcome.usage))
            return outcome
        finally:
            permit.release()

    def _note(self, outcome: Outcome) -> None:
        """Count a failed try; raises where no further one can help."""
        self.engine.failed_tries += 1
        if self.engine.ledger is not None:
            self.engine.ledger.charge(_stage.get(), self.name, outcome.usage or Usage(), failed=True)
        if outcome.kind == "refused":
            raise ReplyFailure("refused", outcome.detail)
        if outcome.kind == "fatal":
            raise Failure(
                f"{self._url} refused the request to {self.name!r}: {outcome.detail}", self._remedy(outcome.status)
            )

    def _give_up(self, outcome: Outcome, tries: int) -> NoReturn:
        if outcome.kind == "unreachable":
            raise Failure(
                f"{self._url} cannot be reached ({outcome.detail}; {tries} tries).",
                "Check that the server runs and that base_url is its address.",
            )
        raw = outcome.body.decode("utf-8", errors="replace")
        raise ReplyFailure(outcome.reason, f"{outcome.detail} ({tries} tries)", raw)

    def _remedy(self, status: int) -> str:
        remedies = {
            401: f"Check the key in the environment variable {self.endpoint.key_name}.",
            402: "Add credit to the account, then type the same command again.",
            403: f"Check what the key in the environment variable {self.endpoint.key_name} may use.",
            404: "Check base_url (it usually ends in /v1) and the model's name.",
            429: "Add credit or raise the limit of the account, then type the same command again.",
        }
        return remedies.get(status, "Check base_url, model, token_limit_key, leave_out and extra_body in the recipe.")


class _Guess:
    """Guesses what a call will use, from what earlier ones did."""

    WEIGHT = 0.05

    def __init__(self) -> None:
        self._per_byte, self._reply = 0.25, 400.0

    def tokens(self, body: bytes) -> float:
        """Tokens of prompt and reply together."""
        return self._per_byte * len(body) + self._reply

    def learn(self, body: bytes, usage: Usage | None) -> float:
        """Take in what a call used, and return it; 0 if it used nothing that is known of."""
        if usage is None:
            return 0.0
        self._per_byte += self.WEIGHT * (usage.prompt_tokens / len(body) - self._per_byte)
        self._reply += self.WEIGHT * (usage.completion_tokens - self._reply)
        return float(usage.prompt_tokens + usage.completion_tokens)


def pause(number: int, retry_after_s: float | None, first_s: float, jitter: float) -> float:
    """Seconds to wait after the `number`-th failed try (from 1); `jitter` in [0, 1) spreads callers apart."""
    if retry_after_s is not None:
        return min(retry_after_s, LONGEST_RETRY_AFTER_S) + first_s * jitter
    return min(first_s * 2.0 ** (number - 1), LONGEST_PAUSE_S) * (0.5 + 0.5 * jitter)
