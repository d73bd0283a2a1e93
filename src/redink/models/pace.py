"""The pace of calls that a server allows, learned from its refusals, and the even spreading of calls at a pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import inf
from typing import Literal

LONGEST_RETRY_AFTER_S = 600.0
SHORT_ROUND = 200  # calls


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
    """

    MARGIN = 0.98  # of what was let through is sent from then on
    MILD = 0.97  # a refusal costs at least this much
    DEEPEST = 0.25  # and at most this much
    SLOWEST, FASTEST = 0.02, 1e5  # calls per second; beyond, there is no limit
    SURE_AFTER = 16  # calls in a round: its measure is believed in full, unless it was so long that the rate has grown
    SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
    PAUSE_CALLS, FAST_PAUSE_S = 35, 0.5  # the longest pause at a fast pace: what might be sent in it, and its least
    OUTAGE_S = 75.0  # of nothing but refusals: no full window of a minute lasts so long, pauses included
    FIRST_GAIN, LAST_GAIN, MOST_GAIN = 3e-3, 2e-4, 3e-2  # of the rate for each accepted call
    GAINS_PER_S = 3.0
    CALM_S = 30.0  # without a refusal, and the gain is doubled
    RETURN_S, SLOWEST_RETURN_S = 10.0, 90.0  # to go back to the average

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.rate = inf
        self.paused_until = -inf
        self.round = 0
        self.pausing = self._acquitted = False
        self._began = self._sent_at = self._grew_at = self._barren_since = -inf
        self._sent = self._refused = self._barren = 0
        self._past = Past()
        self._suspicion = Suspicion()
        self._gain, self._return_s = self.FIRST_GAIN, self.RETURN_S
        self._notice_s = 0.05  # how long a refusal takes to arrive
        self._rate_before_barren = self._rate_at_first = inf
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
            self._past.forget()
        else:
            self._leave_out(now - last - 1 / self.rate - Spacing.LATE_S)
            self._past.keep_up(now, self._sent - self._refused)
        self._sent += 1
        return 0.0

    def _leave_out(self, lost_s: float) -> None:
        """Time in which nothing was asked of the server tells nothing of it: cut it out of what is measured."""
        if self._sent and lost_s > 0:
            self._began += lost_s
            self._past.leave_out(lost_s)

    def accepted(self, now: float, round_: int, bound: bool) -> None:
        """A call of that round went through; `bound` if this pace was what kept it waiting."""
        if not bound or round_ != self.round or self.pausing:
            return
        passed, self._grew_at = now - self._grew_at, now
        if self.rate < 0.95 * self._past.average:
            self.rate += (self._past.average - self.rate) * min(1.0, passed / self._return_s)
            return
        self._return_s = self.RETURN_S
        self.rate *= 1 + self._gain * min(1.0, self.GAINS_PER_S * passed)
        self._calm += 1
        if self._calm >= SHORT_ROUND and now - self._calm_since > self.CALM_S:
            self._gain, self._calm, self._calm_since = min(2 * self._gain, self.MOST_GAIN), 0, now

    def refused(self, now: float, round_: int, sent_at: float, retry_after_s: float | None) -> None:
        """A call of that round was refused: a pause begins, if it does not tell of one that has begun."""
        self._notice_s += 0.2 * (min(now - sent_at, 2.0) - self._notice_s)
        if retry_after_s:
            self.paused_until = max(self.paused_until, now + min(retry_after_s, LONGEST_RETRY_AFTER_S))
        if round_ != self.round:
            return
        self._refused += 1
        if self.pausing or self._as_given():
            return
        self.pausing = True
        if retry_after_s != 0:
            self.paused_until = max(self.paused_until, now + self._own_pause(now))

    def acquit(self) -> None:
        """The refusals were not for the rate: it may be double what was thought."""
        self._acquitted = True

    def _as_given(self) -> bool:
        """True if refusals are no more frequent than they are at any rate."""
        verdict = self._suspicion.as_given(self._sent, self._refused)
        if verdict == "again":
            self._sent = self._refused = 0
            self._past.recount()
        return verdict != "no"

    def _own_pause(self, now: float) -> float:
        usual = max(self.SHORTEST_PAUSE_S, 2 * self._notice_s, min(4 / self.rate, 2.0))
        fast = max(usual, self.FAST_PAUSE_S, self.PAUSE_CALLS / self.rate)
        longest = self.LONGEST_PAUSE_S if self._is_outage(now) else min(fast, self.LONGEST_PAUSE_S)
        return float(min(usual * 2**self._barren, longest))

    def _is_outage(self, now: float) -> bool:
        return self._barren > 0 and now - self._barren_since > self.OUTAGE_S

    def _conclude(self, now: float) -> None:
        """End a round and its pause."""
        end = self.paused_until if now - self.paused_until > 1.0 else now
        through = self._sent - self._refused
        self._past.mark(end, through)
        if self._acquitted:
            self.rate, self._barren = 2 * self.rate if self.rate < self.FASTEST else inf, 0
            self._begin(now)
            return
        before, measured = self.rate, through / max(end - self._began, 1e-3)
        if through > 0:
            self._barren = 0
            self._learn(measured, self._sent, end)
        else:
            self._endure(end)
        self.rate = self._suspicion.round(self._sent, self._refused, measured, before, self.rate)
        self._begin(now)

    def _endure(self, end: float) -> None:
        """Nothing was let through: for a minute that tells of the rate (a full window), then of an outage."""
        if not self._barren:
            self._barren_since, self._rate_before_barren = self._began, self.rate
        self._barren = min(self._barren + 1, 10)
        if self._is_outage(end):
            self.rate = self._rate_before_barren
        else:
            self._believe(self._past.average, self._past.calls)

    def _begin(self, now: float) -> None:
        self.round += 1
        self.pausing = self._acquitted = False
        self._began = self._grew_at = now
        self._sent = self._refused = 0
        self._past.begin(now)
        self._rate_at_first, self._calm, self._calm_since = self.rate, 0, now

    def _learn(self, measured: float, calls: int, end: float) -> None:
        last, average = self.rate, self._past.average
        if last == inf:
            self.rate = self.MARGIN * max(average, self._past.latest(end))
            return
        if calls < SHORT_ROUND:
            self._believe(measured, calls)
        self.rate = min(self.rate, self.MILD * last)
        if last < 0.95 * average:
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


class Past:
    """What was let through in the last minute, in pieces of some seconds: (when it began, calls)."""

    AVERAGE_S, MARK_S = 60.0, 10.0  # what is averaged, and how finely

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self.average = 0.0
        """Calls per second, as of the last mark."""
        self._pieces: deque[tuple[float, int]] = deque()
        self._marked_at, self._marked = -inf, 0

    @property
    def calls(self) -> int:
        """All that is remembered."""
        return sum(calls for _, calls in self._pieces)

    def begin(self, now: float) -> None:
        """A round begins; its calls are counted from 0."""
        self._marked_at, self._marked = now, 0

    def recount(self) -> None:
        """The round's calls are counted from 0 again."""
        self._marked = 0

    def keep_up(self, now: float, through: int) -> None:
        """Mark, if the last one is some seconds old."""
        if now - self._marked_at > self.MARK_S:
            self.mark(now, through)

    def mark(self, now: float, through: int) -> None:
        """Note that `through` calls were let through in this round so far."""
        self._pieces.append((self._marked_at, through - self._marked))
        self._marked_at, self._marked = now, through
        while len(self._pieces) > 1 and self._pieces[1][0] <= now - self.AVERAGE_S:
            self._pieces.popleft()
        self.average = _average(self._pieces, now)

    def latest(self, end: float) -> float:
        """Calls per second in the last pieces."""
        return _average([piece for piece in self._pieces if piece[0] >= end - 2 * self.MARK_S], end)

    def leave_out(self, lost_s: float) -> None:
        """So many seconds up to now do not count."""
        self._marked_at += lost_s
        self._pieces = deque((began + lost_s, calls) for began, calls in self._pieces)

    def forget(self) -> None:
        """What was is of no use any more."""
        self._pieces.clear()


class Suspicion:
    """Some refusals have nothing to do with the rate: a gateway's, for other people's calls.

    They show in that half the rate is refused as often; from then on that share of refusals is taken as given, and the
    rate is what it was.
    """

    MOST_GIVEN = 0.3  # of all calls are taken to be refused anyway
    SHORT_ROUNDS = 8  # in a row, at ever lower rates, are suspicious; twice as many after each false alarm
    EVIDENCE = 20  # refusals, at least, before what was taken as given is judged anew

    def __init__(self) -> None:
        """All refusals are for the rate."""
        self.given_share: float | None = None
        self._enough = self.SHORT_ROUNDS
        self._rounds = self._sent = self._refused = 0
        self._rate_at_first, self._measured_first = inf, inf

    def as_given(self, sent: int, refused: int) -> Literal["no", "yes", "again"]:
        """Say whether so many refusals of calls sent are as usual; 'again': they are, and are to be counted anew."""
        if self.given_share is None:
            return "no"
        if refused < self.EVIDENCE:
            return "yes"
        if refused > 2 * self.given_share * sent:
            self.given_share = None
            return "no"
        self._enough = self.SHORT_ROUNDS
        return "again"

    def round(self, sent: int, refused: int, measured: float, before: float, rate: float) -> float:
        """Take in a round that was sent at rate `before`; `rate` is what was learned of it, the result what to believe.

        Counts short rounds. After some, at half the rate and with as much less let through, something else is accused.
        """
        if sent >= SHORT_ROUND:
            self._rounds = 0
        if sent >= SHORT_ROUND or not measured:
            return rate
        self._rounds += 1
        if self._rounds == 1:
            self._sent = self._refused = 0
            self._rate_at_first, self._measured_first = before, inf
            return rate
        self._sent += sent
        self._refused += refused
        if self._measured_first == inf:
            self._measured_first = measured
        is_slow = self._rounds >= self._enough and rate <= 0.5 * self._rate_at_first
        if not is_slow or measured >= 0.6 * self._measured_first:
            return rate
        self.given_share = min(self._refused / self._sent, self.MOST_GIVEN)
        self._rounds = 0
        self._enough *= 2
        return self._rate_at_first


def _average(pieces: Collection[tuple[float, int]], end: float) -> float:
    """Calls per second over pieces (when it began, calls), the last of which ended at `end`."""
    began = min((began for began, _ in pieces), default=end)
    return sum(calls for _, calls in pieces) / max(end - began, 1e-3)
