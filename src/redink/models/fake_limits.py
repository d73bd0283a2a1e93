"""The rate limits of a fake server: token buckets or sliding windows, for requests and for tokens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from redink.models.fake_script import HiddenLimits

_ROUNDING = 1e-6


class Quota(Protocol):
    """One limit."""

    per_minute: float

    def wait(self, now: float, cost: float) -> float:
        """Seconds until so much would be allowed; 0: it is."""

    def take(self, now: float, cost: float) -> None:
        """Use so much."""

    def left(self, now: float) -> float:
        """How much is allowed now."""


@dataclass
class Bucket:
    """Refills all the time at `per_minute`, and holds at most `capacity`; a dearer request needs it full."""

    per_minute: float
    capacity: float
    level: float
    at: float

    def wait(self, now: float, cost: float) -> float:
        """Seconds until so much would be allowed; 0: it is."""
        lacking = min(cost, self.capacity) - self.left(now)
        return lacking * 60 / self.per_minute if lacking > _ROUNDING else 0.0

    def take(self, now: float, cost: float) -> None:
        """Use so much."""
        self.level, self.at = self.left(now) - min(cost, self.capacity), now

    def left(self, now: float) -> float:
        """How much is allowed now."""
        return min(self.capacity, self.level + (now - self.at) * self.per_minute / 60)


@dataclass
class Sliding:
    """Allows so much within any `window_s` seconds; a dearer request needs an empty window."""

    per_minute: float
    window_s: float
    used: deque[tuple[float, float]] = field(default_factory=deque)  # (when, how much), oldest first
    total: float = 0.0  # of `used`

    @property
    def allowed(self) -> float:
        """How much a window holds."""
        return self.per_minute * self.window_s / 60

    def wait(self, now: float, cost: float) -> float:
        """Seconds until so much would be allowed; 0: it is."""
        excess = min(cost, self.allowed) - self.left(now)
        if excess <= _ROUNDING:
            return 0.0
        for when, much in self.used:
            excess -= much
            if excess <= _ROUNDING:
                return when + self.window_s - now
        return self.window_s

    def take(self, now: float, cost: float) -> None:
        """Use so much."""
        much = min(cost, self.allowed)
        self.used.append((now, much))
        self.total += much

    def left(self, now: float) -> float:
        """How much is allowed now."""
        while self.used and self.used[0][0] <= now - self.window_s:
            self.total -= self.used.popleft()[1]
        return self.allowed - self.total


class Gate:
    """Both limits of a server together: a request passes both or none."""

    def __init__(self, limits: HiddenLimits, now: float) -> None:
        self.limits = limits
        self.requests = _quota(limits, limits.requests_per_minute, now)
        self.tokens = _quota(limits, limits.tokens_per_minute, now)

    def change(self, limits: HiddenLimits, now: float) -> None:
        """Other limits from now on; what a window has seen stays seen."""
        self.limits = limits
        self.requests = _carried(self.requests, _quota(limits, limits.requests_per_minute, now), now)
        self.tokens = _carried(self.tokens, _quota(limits, limits.tokens_per_minute, now), now)

    def wait(self, now: float, tokens: int) -> float:
        """Let a request of so many tokens pass (0), or say in how many seconds it might."""
        costs = [(quota, cost) for quota, cost in ((self.requests, 1), (self.tokens, tokens)) if quota]
        wait = max((quota.wait(now, cost) for quota, cost in costs), default=0.0)
        if not wait:
            for quota, cost in costs:
                quota.take(now, cost)
        return wait

    def headers(self, now: float, wait: float) -> str:
        """What a reply says of them: x-ratelimit-* and, where `wait` is not 0, Retry-After."""
        lines = [_come_back(wait)] if wait and self.limits.retry_after else []
        if self.limits.headers:
            lines += [_says(name, quota, now) for name, quota in self._named() if quota]
        return "".join(lines)

    def _named(self) -> tuple[tuple[str, Quota | None], ...]:
        return ("requests", self.requests), ("tokens", self.tokens)


def _quota(limits: HiddenLimits, per_minute: float | None, now: float) -> Quota | None:
    if per_minute is None:
        return None
    if limits.kind == "sliding":
        return Sliding(per_minute, limits.window_s)
    capacity = max(1.0, per_minute / 60 * limits.burst_s)
    return Bucket(per_minute, capacity, capacity, now)


def _carried(old: Quota | None, new: Quota | None, now: float) -> Quota | None:
    if isinstance(old, Sliding) and isinstance(new, Sliding):
        new.used, new.total = old.used, old.total
    if isinstance(old, Bucket) and isinstance(new, Bucket):
        new.level = min(new.capacity, old.left(now))
    return new


def _come_back(wait: float) -> str:
    """Whole seconds, as HTTP has them, and milliseconds, as OpenAI adds them."""
    return f"Retry-After: {ceil(wait)}\r\nretry-after-ms: {ceil(wait * 1000)}\r\n"


def _says(name: str, quota: Quota, now: float) -> str:
    left = quota.left(now)
    return (
        f"x-ratelimit-limit-{name}: {quota.per_minute:.0f}\r\nx-ratelimit-remaining-{name}: {max(0, int(left))}\r\n"
        f"x-ratelimit-reset-{name}: {quota.wait(now, max(1.0, left + 1)):.3f}s\r\n"
    )
