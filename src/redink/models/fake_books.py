"""What a fake server did and what it charges: kept apart from the client's ledger, so that each can check the other.

A reply is billed when it is written, whole, to a connection that is still open. Tokens of a reply that broke on the
way on purpose (cut, stalled, garbage) are counted beside the bill: no client can know them.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from operator import add
from typing import NamedTuple

from redink.models.fake_script import Tariff

ID_PREFIX = "chatcmpl-fake-"


class Tokens(NamedTuple):
    """What one reply cost, in tokens."""

    prompt_tokens: int
    cached_tokens: int  # part of the prompt
    completion_tokens: int
    reasoning_tokens: int  # part of the completion

    @property
    def total(self) -> int:
        """Sent and received."""
        return self.prompt_tokens + self.completion_tokens


class Billed(NamedTuple):
    """One reply on the bill."""

    id: str  # the `id` field of the reply
    digest: str  # of the request's body, 16 hexadecimal digits
    tokens: Tokens
    batched: bool
    usd: Decimal

    def as_object(self) -> dict[str, object]:
        """As `GET /fake/bill` tells it."""
        return self._asdict() | {"tokens": self.tokens._asdict(), "usd": str(self.usd)}


class Books:
    """Everything that is counted. 40 bytes a reply."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.spoilt_tokens = 0
        self.seconds: dict[int, list[int]] = {}  # second of the monotonic clock → [served, too many]
        self.in_flight = self.most_in_flight = 0
        self._in_flight_seconds = 0.0
        self._changed = time.monotonic()
        self._tries: dict[bytes, int] = {}
        self._digests = bytearray()
        self._tokens = array("Q")  # four for each reply
        self._sums = {False: Tokens(0, 0, 0, 0), True: Tokens(0, 0, 0, 0)}  # by the batch?
        self._batched = bytearray()

    def __len__(self) -> int:
        """Replies billed."""
        return len(self._batched)

    def next_try(self, digest: bytes) -> int:
        """How often this request was asked before."""
        number = self._tries.get(digest, 0)
        self._tries[digest] = number + 1
        return number

    def bill(self, digest: bytes, tokens: Tokens, batched: bool = False) -> str:
        """Put a reply on the bill; gives its id."""
        self._digests += digest
        self._tokens.extend(tokens)
        self._sums[batched] = Tokens(*map(add, self._sums[batched], tokens))
        self._batched.append(batched)
        return f"{ID_PREFIX}{len(self) - 1}"

    def count(self, status: int, reason: str = "") -> None:
        """A response of this status went out; `reason` tells limits from faults."""
        self.statuses[f"{status}"] += 1
        if reason:
            self.faults[reason] += 1
        second = self.seconds.setdefault(int(time.monotonic()), [0, 0])
        second[0] += status == 200
        second[1] += status == 429

    def enter(self, change: int) -> None:
        """So many more requests (fewer, if negative) are being worked on."""
        now = time.monotonic()
        self._in_flight_seconds += self.in_flight * (now - self._changed)
        self._changed = now
        self.in_flight += change
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def billed(self, start: int = 0) -> Iterator[Billed]:
        """The bill, line by line, from reply number `start`."""
        for number in range(start, len(self)):
            tokens, batched = Tokens(*self._tokens[4 * number : 4 * number + 4]), bool(self._batched[number])
            yield Billed(
                id=f"{ID_PREFIX}{number}",
                digest=self._digests[8 * number : 8 * number + 8].hex(),
                tokens=tokens,
                batched=batched,
                usd=self.tariff.usd(*tokens[:3], batched),
            )

    def usd(self) -> Decimal:
        """The whole bill, exact."""
        return sum((self.tariff.usd(*sums[:3], batched) for batched, sums in self._sums.items()), Decimal(0))

    def totals(self) -> dict[str, object]:
        """What `GET /fake/books` tells."""
        self.enter(0)
        return {
            "replies": len(self),
            "requests": sum(self._tries.values()),
            "distinct_requests": len(self._tries),
            "most_tries": max(self._tries.values(), default=0),
            **Tokens(*map(add, self._sums[False], self._sums[True]))._asdict(),
            "usd": str(self.usd()),
            "spoilt_tokens": self.spoilt_tokens,
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "in_flight_seconds": self._in_flight_seconds,
            "clock": self._changed,
            "cpu_seconds": time.process_time(),
            "seconds": self.seconds,
        }
