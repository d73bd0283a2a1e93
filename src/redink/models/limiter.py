"""How many calls an endpoint is sent at a time, and how fast, so that it is busy and does not complain.

Two things are learned from its complaints (HTTP 429): a window, which is how many calls may be under way (additive
increase, multiplicative decrease), and a pace (`pace.py`), which is how many may be sent in a second. A limit on the
rate cannot be met by a window alone: with latencies that vary, a window narrow enough for the fast calls starves the
slow ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from math import inf

from pydantic import Field

from redink.models.pace import Pace, Spacing
from redink.models.wire import Outcome, RateHeaders
from redink.types import Row

ANNOUNCED = 0.99  # of a limit that is declared or in the headers is used
SOON_S = 1e-6  # is now: a clock has its rounding


class Limits(Row):
    """What one endpoint may be asked at most; what a server refuses is found out and obeyed besides."""

    requests_per_minute: float | None = Field(None, gt=0, description="None: find out.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Prompt and reply together; None: find out.")
    max_in_flight: int = Field(256, ge=1, description="Calls under way at most.")
    start_in_flight: int = Field(32, ge=1, description="Calls under way at first; grows as the server keeps up.")


class Window:
    """How many calls may be under way: up by one for each reply until the server refuses for their number.

    That sets a ceiling at the highest level that was let through, and the window a tenth below. It grows back to the
    ceiling with each reply, and beyond only after a while without refusals.
    """

    DECREASE = 0.9
    PATIENCE = 300  # replies at the ceiling, at least, before more is tried
    EVIDENCE = 20  # replies, at least, between refusals that are compared
    ABOUT = 0.95  # since calls whose refusal is on its way are counted as under way
    FEW = 4  # calls in flight or fewer are no sign of anything

    def __init__(self, start: int, most: int) -> None:
        """From `start` calls to `most`."""
        self.most = most
        self.size = float(min(start, most))
        self._ceiling = float(most)
        self._calm = self._needed = 0.0
        self._step = 1.0
        self._replies = self._peak = self._peak_before = 0
        self._refused, self._refused_before = inf, 0.0

    def accepted(self, level: int, now_under_way: int) -> None:
        """A reply came to a call that was the `level`-th under way when it was sent."""
        self._replies += 1
        self._peak = max(self._peak, level)
        if self.size >= self.most or max(level, now_under_way) < 0.8 * int(self.size):
            return
        if self.size < self._ceiling:
            self.size = min(self.size + 1, self._ceiling)
            return
        self._calm += 1
        if self._calm >= self._needed:
            self._ceiling = self.size = min(self.size + self._step, self.most)
            self._step = max(1.0, min(2 * self._step, self.size / 4))
            self._calm, self._needed = 0.0, self.size

    def refused(self, level: int) -> None:
        """A call was refused that was the `level`-th under way when it was sent."""
        self._refused = min(self._refused, level)

    def judge(self) -> bool:
        """Say whether the refusals since the last judgement were for the number of calls under way.

        They were if, twice running, (about) no call had been let through that stood as high as the lowest refused one.
        A limit on the rate refuses at any level.
        """
        level, self._refused = self._refused, inf
        if self._replies < self.EVIDENCE:
            return False
        peak, suspected = max(self._peak, self._peak_before), self._refused_before
        self._replies, self._peak, self._peak_before = 0, 0, self._peak
        about = self.ABOUT * peak - 1
        self._refused_before = level if max(about, self.FEW) < level < inf else 0.0
        if not self._refused_before or about >= suspected:
            return False
        self._ceiling = max(1.0, level - 1.0)
        self.size = max(1.0, self.DECREASE * self._ceiling)
        self._step, self._calm, self._needed = 1.0, 0.0, max(4 * self.size, self.PATIENCE)
        return True


@dataclass(slots=True, eq=False)
class Permit:
    """The right to make one call. `settle` it with what came of it; `release` it if nothing did. Either is final."""

    limiter: Limiter
    tokens: float
    sent_at: float
    level: int
    round: int
    bound: bool
    held: bool = True

    def settle(self, outcome: Outcome, tokens_used: float) -> None:
        """Give it back, charge `tokens_used` instead of the estimate, and let the limiter learn from the outcome."""
        if self.held:
            self.held = False
            self.limiter.settled(self, outcome, tokens_used)

    def release(self) -> None:
        """Give it back unless that is done; nothing was learned."""
        if self.held:
            self.held = False
            self.limiter.released(self)


class Limiter:
    """Lets calls to one endpoint pass, first come first served.

    One timer serves all that wait. It may serve one event loop after another, not two at a time.
    """

    def __init__(self, limits: Limits) -> None:
        """Within `limits`, and within what the server turns out to allow."""
        self.limits = limits
        self.in_flight = 0
        self.pace = Pace()
        self.window = Window(limits.start_in_flight, limits.max_in_flight)
        self._requests = Spacing()
        self._tokens = Spacing()
        self._waiting: deque[tuple[asyncio.Future[Permit], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timers_loop: asyncio.AbstractEventLoop | None = None
        self._obey(RateHeaders())

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return sum(not future.done() for future, _ in self._waiting)

    @property
    def rate(self) -> float:
        """Calls per second at most, as things stand; infinite if no limit is known."""
        return min(self.pace.rate, self._declared)

    async def acquire(self, tokens_estimate: float = 0) -> Permit:
        """Wait for a place in the window, for the pace and for the end of any pause the server asked for."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._waiting and not self._wait(now):
            return self._granted(now, tokens_estimate)
        future: asyncio.Future[Permit] = loop.create_future()
        self._waiting.append((future, tokens_estimate))
        self._pump(loop)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and not future.exception():
                future.result().release()
            raise

    def turn_away(self, failure: Exception) -> None:
        """All that wait are refused with `failure`; calls under way go on."""
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(failure)

    def settled(self, permit: Permit, outcome: Outcome, tokens_used: float) -> None:
        """See `Permit.settle`."""
        self.in_flight -= 1
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._tokens.refund(permit.tokens - tokens_used)
        if outcome.rates:
            self._obey(outcome.rates)
        if outcome.kind == "busy":
            self.window.refused(permit.level)
            self.pace.refused(now, permit.round, permit.sent_at, _pause_asked_for(outcome))
        elif outcome.kind == "reply":
            self.pace.accepted(now, permit.round, permit.bound)
            self.window.accepted(permit.level, self.in_flight + 1)
            self._requests.set_rate(self.rate)
        self._pump(loop)

    def released(self, permit: Permit) -> None:
        """See `Permit.release`."""
        self.in_flight -= 1
        self._tokens.refund(permit.tokens)
        self._pump(asyncio.get_running_loop())

    def _obey(self, said: RateHeaders) -> None:
        self._declared = _per_second(self.limits.requests_per_minute, said.limit_requests)
        self._tokens.set_rate(_per_second(self.limits.tokens_per_minute, said.limit_tokens))
        self._requests.set_rate(self.rate)

    def _wait(self, now: float) -> float:
        """Seconds until the next call may be sent; 0: now; infinite: when another ends."""
        if self.in_flight >= int(self.window.size):
            return inf
        wait = max(self.pace.wait(now), self._requests.wait(now), self._tokens.wait(now))
        return wait if wait > SOON_S else 0.0

    def _granted(self, now: float, tokens: float) -> Permit:
        if self.pace.pausing and self.window.judge():
            self.pace.acquit()
        probe_s = self.pace.sent(now, idle=not self.in_flight)
        self._requests.set_rate(self.rate)
        bound = self._requests.binds(now)
        self._requests.charge(now, 1)
        if probe_s:
            self._requests.next_at = max(self._requests.next_at, now + probe_s)
        self._tokens.charge(now, tokens)
        self.in_flight += 1
        return Permit(self, tokens, now, self.in_flight, self.pace.round, bound)

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let pass who may pass, and set the timer for the next."""
        waiting = self._waiting
        while waiting:
            future, tokens = waiting[0]
            if future.done():
                waiting.popleft()
                continue
            now = loop.time()
            wait = self._wait(now)
            if wait:
                if wait < inf:
                    self._wake(loop, now + wait)
                return
            waiting.popleft()
            future.set_result(self._granted(now, tokens))

    def _wake(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        timer = self._timer
        if timer and self._timers_loop is loop and not timer.cancelled() and timer.when() <= when:
            return
        if timer and self._timers_loop is loop:
            timer.cancel()
        self._timers_loop = loop
        self._timer = loop.call_at(when, self._awake, loop)

    def _awake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._pump(loop)


def _per_second(declared: float | None, announced: float | None) -> float:
    """The lesser of two limits per minute, as used per second; infinite if there is neither."""
    return ANNOUNCED * min(declared or inf, announced or inf) / 60


def _pause_asked_for(outcome: Outcome) -> float | None:
    """What a refusal asks for: Retry-After; where it has none, the reset of what is used up, if that is soon.

    A far reset is no request to wait: OpenAI's says when the whole limit is free again, not when the next call is.
    """
    said = outcome.rates
    if outcome.retry_after_s is not None or said is None:
        return outcome.retry_after_s
    used_up = (
        (said.remaining_requests, said.reset_requests_s),
        (said.remaining_tokens, said.reset_tokens_s),
    )
    resets = [reset for left, reset in used_up if left == 0 and reset is not None]
    return max((reset for reset in resets if reset <= Pace.LONGEST_PAUSE_S), default=None)
