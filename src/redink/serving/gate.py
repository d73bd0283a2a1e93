"""Who may ask, and how many at once: the token, the host, the queue."""

from __future__ import annotations

import hmac
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from time import monotonic

from aiohttp import web

from redink.serving.refusals import Refusal

LOOPBACK_NAME = "localhost"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, and reached by nobody else."""
    try:
        return host == LOOPBACK_NAME or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Token:
    """The secret that clients send; compared in constant time, shown nowhere."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def __repr__(self) -> str:
        return "Token(…)"

    def admits(self, header: str) -> bool:
        """Whether an Authorization header carries it."""
        scheme, _, given = header.partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(sent, self._secret) and scheme.lower() == "bearer"


def check_origin(request: web.Request, open_to_all: bool) -> None:
    """Refuse pages of other sites: those that point their name here, and those that send from elsewhere.

    A browser names the page that sends in `Origin`; other clients send none.
    """
    if not open_to_all and not is_loopback(request.url.host or ""):
        raise Refusal(403, "This server answers to this machine alone, by its own name.", "wrong_host")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise Refusal(403, "Pages of other sites may not ask this server.", "wrong_origin")


def check_token(request: web.Request, token: Token | None) -> None:
    """Refuse whoever does not send the token, where there is one."""
    if token is not None and not token.admits(request.headers.get("Authorization", "")):
        raise Refusal(401, "A token is needed: send it as 'Authorization: Bearer …'.", "invalid_api_key")


class Queue:
    """Requests that are taken and not answered yet, bounded; closed once the server drains."""

    def __init__(self, most: int) -> None:
        self.most, self.inside, self.draining = most, 0, False
        self._took: deque[float] = deque(maxlen=64)

    @property
    def room(self) -> int:
        """Requests that would still be taken."""
        return 0 if self.draining else max(0, self.most - self.inside)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue; raises `Refusal` where there is none."""
        if self.draining:
            raise Refusal(503, "The server is being stopped; come again.", "draining", retry_after_s=5)
        if self.inside >= self.most:
            words = f"The queue is full ({self.most} requests); come again."
            raise Refusal(429, words, "queue_full", retry_after_s=self.retry_after_s())
        self.inside += 1
        started = monotonic()
        try:
            yield
        finally:
            self.inside -= 1
            self._took.append(monotonic() - started)

    def retry_after_s(self) -> int:
        """When a place is likely free: half of the usual time of a request, 1 to 60 seconds."""
        usual = sorted(self._took)[len(self._took) // 2] if self._took else 1.0
        return min(60, max(1, math.ceil(usual / 2)))
