"""How many calls an endpoint is sent at a time, and how fast, so that it is busy and does not complain.

Two things are learned from its complaints (HTTP 429): a window, which is how many calls may be under way (additive
increase, multiplicative decrease), and a pace, which is how many may be sent in a second. A limit on the rate cannot be
met by a window alone: with latencies that vary, a window narrow enough for the fast calls starves the slow ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from math import inf

from pydantic import Field

from redink.models.wire import Outcome, RateHeaders
from redink.types import Row

ANNOUNCED = 0.99  # of a limit that is declared or in the headers is used
LONGEST_RETRY_AFTER_S = 600.0
SOON_S = 1e-6  # is now: a clock has its rounding


class Limits(Row):
    """What one endpoint may be asked at most; what a server refuses is found out and obeyed besides."""

    requests_per_minute: float | None = Field(None, gt=0, description="None: find out.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Prompt and reply together; None: find out.")
    max_in_flight: int = Field(256, ge=1, description="Calls under way at most.")
    start_in_flight: int = Field(32, ge=1, description="Calls under way at first; grows as the server keeps up.")


class Spacing:
    """Spreads amounts evenly over time (a leaky bucket as a meter: the generic cell rate algorithm)."""

    EARLY_S = 0.02  # a call may be sent, since timers cost time; of a tenth of the interval if that is less
    LATE_S = 0.3  # is caught up afterwards; a tenth of the interval where that is long, for servers without patience
    LONG_S = 0.02

    def __init__(self, per_s: float = inf) -> None:
        """`per_s` units in a second; infinite: as fast as they come."""
        self.next_at = -inf
        self.per_s = self._early_s = self._late_s = 0.0
        self.set_rate(per_s)

    def set_rate(self, per_s: float) -> None:
        """From now on, `per_s` units in a second."""
        if per_s == self.per_s:
            return
        self.per_s = per_s
        tenth = 0.1 / per_s
        self._early_s = min(self.EARLY_S, tenth)
        self._late_s = self.LATE_S if 10 * tenth < self.LONG_S else tenth

    def wait(self, now: float) -> float:
        """Seconds until the next amount may be sent; 0: now."""
        early = self.next_at - now
        return early if early > self._early_s else 0.0

    def charge(self, now: float, amount: float) -> None:
        """Count what is sent now."""
        if self.per_s < inf:
            self.next_at = max(self.next_at, now - self._late_s) + amount / self.per_s

    def refund(self, amount: float) -> None:
        """Give back what was charged too much (charge more if negative)."""
        if self.per_s < inf:
            self.next_at -= amount / self.per_s

    def binds(self, now: float) -> bool:
        """True if it is this spacing that keeps calls from being sent faster."""
        return self.per_s < inf and self.next_at > now - self._late_s / 2


class Pace:
    """The rate that a server allows, learned from its refusals; infinite until the first.

    Time is cut into rounds. A round ends with a refusal and a pause in which nothing is sent: the calls that were let
    through, divided by its length with the pause, is what the server allows, for it was asked for more. After a round
    in which nothing was let through, the next begins with a single call. Between refusals the rate creeps up, the
    slower the more often it was refused here; where it is well below the average of the last minute (a window of the
    server's was full, or a round was too short to measure), it goes back there first.

    Time in which nothing was sent though nothing was refused (this process stood still, or the window was full of slow
    calls) is left out of all measures: it would be taken for a limit.

    Some refusals have nothing to do with the rate (a gateway's, for other people's calls). They show in that half the
    rate is refused as often; from then on that share of refusals is taken as given, and the rate is what it was.
    """

    MARGIN = 0.98  # of what was let through is sent from then on
    MILD = 0.97  # a refusal costs at least this much
    DEEPEST = 0.25  # and at most this much
    SLOWEST, FASTEST = 0.02, 1e5  # calls per second; beyond, there is no limit
    SURE_AFTER = 16  # calls in a round: its measure is believed in full, unless it was so long that the rate has grown
    SHORTEST_PAUSE_S = 0.1
    LONGEST_PAUSE_S = 5.0
    FIRST_GAIN, LAST_GAIN, MOST_GAIN = 3e-3, 2e-4, 3e-2  # of the rate for each accepted call
    GAINS_PER_S = 3.0
    CALM_S = 30.0  # without a refusal, and the gain is doubled
    RETURN_S, SLOWEST_RETURN_S = 10.0, 90.0  # to go back to the average
    AVERAGE_S, MARK_S = 60.0, 10.0  # what is averaged, and how finely
    SHORT_ROUND = 200  # calls
    MOST_GIVEN = 0.3  # of all calls are taken to be refused anyway
    SHORT_ROUNDS = 8  # in a row, at ever lower rates, are suspicious; twice as many after each false alarm

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.rate = inf
        self.paused_until = -inf
        self.round = 0
        self.given_share: float | None = None
        self.pausing = self._acquitted = False
        self._began = self._sent_at = self._grew_at = self._barren_since = -inf
        self._sent = self._refused = self._barren = 0
        self._past: deque[tuple[float, int]] = deque()
        self._marked_at, self._marked = -inf, 0
        self._average = 0.0
        self._gain, self._return_s = self.FIRST_GAIN, self.RETURN_S
        self._notice_s = 0.05  # how long a refusal takes to arrive
        self._short_rounds = self._short_sent = self._short_refused = 0
        self._suspicious = self.SHORT_ROUNDS
        self._rate_before = self._rate_before_short = self._rate_before_barren = self._rate_at_first = inf
        self._measured_first = 0.0
        self._calm, self._calm_since = 0, -inf

    def wait(self, now: float) -> float:
        """Seconds until the pause is over; 0: none."""
        return max(0.0, self.paused_until - now)

    def sent(self, now: float, idle: bool) -> float:
        """Count a call, `idle` if none was under way; returns seconds to wait for its fate before the next is sent."""
        self._sent_at, last = now, self._sent_at
        if self.pausing:
            self._conclude(now)
            self._sent = 1
            return min(2 * self._notice_s, 1.0) if self._barren else 0.0
        if idle and now - last > max(1.0, 10 / self.rate):
            self._begin(now)
            self._past.clear()
        else:
            self._leave_out(now - last - 1 / self.rate - Spacing.LATE_S)
            if now - self._marked_at > self.MARK_S:
                self._mark(now)
        self._sent += 1
        return 0.0

    def _leave_out(self, lost_s: float) -> None:
        """Time in which nothing was asked of the server tells nothing of it: cut it out of what is measured."""
        if self._sent and lost_s > 0:
            self._began += lost_s
            self._marked_at += lost_s
            self._past = deque((began + lost_s, calls) for began, calls in self._past)

    def accepted(self, now: float, round_: int, bound: bool) -> None:
        """A call of that round went through; `bound` if this pace was what kept it waiting."""
        if not bound or round_ != self.round or self.pausing:
            return
        passed, self._grew_at = now - self._grew_at, now
        if self.rate < 0.95 * self._average:
            self.rate += (self._average - self.rate) * min(1.0, passed / self._return_s)
            return
        self._return_s = self.RETURN_S
        self.rate *= 1 + self._gain * min(1.0, self.GAINS_PER_S * passed)
        self._calm += 1
        if self._calm >= self.SHORT_ROUND and now - self._calm_since > self.CALM_S:
            self._gain, self._calm, self._calm_since = min(2 * self._gain, self.MOST_GAIN), 0, now

    def refused(self, now: float, round_: int, sent_at: float, retry_after_s: float | None) -> None:
        """A call of that round was refused: a pause begins, if it does not tell of one that has begun."""
        self._notice_s += 0.2 * (min(now - sent_at, 2.0) - self._notice_s)
        if retry_after_s:
            self.paused_until = max(self.paused_until, now + min(retry_after_s, LONGEST_RETRY_AFTER_S))
        if round_ != self.round:
            return
        self._refused += 1
        if self.pausing or (self.given_share is not None and self._as_given()):
            return
        self.pausing = True
        if retry_after_s != 0:
            self.paused_until = max(self.paused_until, now + self._own_pause())

    def acquit(self) -> None:
        """The refusals were not for the rate: it may be double what was thought."""
        self._acquitted = True

    def _as_given(self) -> bool:
        """True if refusals are no more frequent than they are at any rate."""
        if self._refused < 20:
            return True
        if self._refused > 2 * (self.given_share or 0.0) * self._sent:
            self.given_share = None
            return False
        self._sent = self._refused = self._marked = 0
        self._suspicious = self.SHORT_ROUNDS
        return True

    def _own_pause(self) -> float:
        usual = max(self.SHORTEST_PAUSE_S, 2 * self._notice_s, min(4 / self.rate, 2.0))
        return float(min(usual * 2**self._barren, self.LONGEST_PAUSE_S))

    def _conclude(self, now: float) -> None:
        """End a round and its pause."""
        end = self.paused_until if now - self.paused_until > 1.0 else now
        through = self._sent - self._refused
        self._mark(end)
        if self._acquitted:
            self.rate, self._barren = 2 * self.rate if self.rate < self.FASTEST else inf, 0
            self._begin(now)
            return
        self._rate_before = self.rate
        measured = through / max(end - self._began, 1e-3)
        if through > 0:
            self._barren = 0
            self._learn(measured, self._sent, end)
        else:
            self._endure(end)
        self._suspect(measured)
        self._begin(now)

    def _endure(self, end: float) -> None:
        """Nothing was let through: for a minute that tells of the rate (a full window), then of an outage."""
        if not self._barren:
            self._barren_since, self._rate_before_barren = self._began, self.rate
        self._barren = min(self._barren + 1, 10)
        if end - self._barren_since > self.AVERAGE_S:
            self.rate = self._rate_before_barren
        else:
            self._believe(self._average, sum(calls for _, calls in self._past))

    def _begin(self, now: float) -> None:
        self.round += 1
        self.pausing = self._acquitted = False
        self._began = self._grew_at = self._marked_at = now
        self._sent = self._refused = self._marked = 0
        self._rate_at_first, self._calm, self._calm_since = self.rate, 0, now

    def _mark(self, now: float) -> None:
        """Note what was let through since the last mark, and the average over the last minute."""
        past, through = self._past, self._sent - self._refused
        past.append((self._marked_at, through - self._marked))
        self._marked_at, self._marked = now, through
        while len(past) > 1 and past[1][0] <= now - self.AVERAGE_S:
            past.popleft()
        self._average = _average(past, now)

    def _learn(self, measured: float, calls: int, end: float) -> None:
        last, recently = self.rate, end - 2 * self.MARK_S
        if last == inf:
            latest = _average([piece for piece in self._past if piece[0] >= recently], end)
            self.rate = self.MARGIN * max(self._average, latest)
            return
        if calls < self.SHORT_ROUND:
            self._believe(measured, calls)
        self.rate = min(self.rate, self.MILD * last)
        if last < 0.95 * self._average:
            if last > 1.05 * self._rate_at_first:
                self._return_s = min(3 * self._return_s, self.SLOWEST_RETURN_S)
        else:
            self._gain = max(self._gain / 4, self.LAST_GAIN)

    def _believe(self, measured: float, calls: int) -> None:
        """Go down to what was measured on so many calls, the less far the fewer they were."""
        if self.rate < inf:
            trust = min(1.0, calls / self.SURE_AFTER)
            less = min(1.0, self.MARGIN * measured / self.rate) ** trust
            self.rate = max(self.rate * max(less, self.DEEPEST), self.SLOWEST)

    def _suspect(self, measured: float) -> None:
        """Count short rounds. After some, at half the rate and with as much less let through, accuse something else."""
        if self._sent >= self.SHORT_ROUND:
            self._short_rounds = 0
        if self._sent >= self.SHORT_ROUND or not measured:
            return
        self._short_rounds += 1
        if self._short_rounds == 1:
            self._short_sent = self._short_refused = 0
            self._rate_before_short, self._measured_first = self._rate_before, inf
            return
        self._short_sent += self._sent
        self._short_refused += self._refused
        if self._measured_first == inf:
            self._measured_first = measured
        if self._short_rounds < self._suspicious or self.rate > 0.5 * self._rate_before_short:
            return
        if measured < 0.6 * self._measured_first:
            self.given_share = min(self._short_refused / self._short_sent, self.MOST_GIVEN)
            self.rate, self._short_rounds = self._rate_before_short, 0
            self._suspicious *= 2


def _average(pieces: Collection[tuple[float, int]], end: float) -> float:
    """Calls per second over pieces (when it began, calls), the last of which ended at `end`."""
    began = min((began for began, _ in pieces), default=end)
    return sum(calls for _, calls in pieces) / max(end - began, 1e-3)


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
