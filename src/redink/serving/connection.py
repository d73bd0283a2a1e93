"""One connection, guarded: time to send a request, a bound on how many, half-closed ones answered, clear last words.

aiohttp reads the requests; this adds what it leaves to a proxy in front.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from redink.serving.refusals import Refusal

PROBE_S = 0.5
_TURNS, _TURN_S = 5, 0.01
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_SLOW = Refusal(408, "The request did not come in time.", "request_timeout")
ENDED_EARLY = Refusal(400, "The connection ended before the request was whole.", "incomplete_request")
TOO_MANY = Refusal(503, "This server has as many connections as it takes; come again.", "too_many_connections")
UNREADABLE = "This is no HTTP request that can be read"


@dataclass(frozen=True)
class Bounds:
    """What one client may take."""

    head_s: float = 15.0
    """To send the head of a request, from the first byte or the opening of the connection."""
    body_s: float = 30.0
    """To send the body."""
    idle_s: float = 75.0
    """Between two requests."""
    linger_s: float = 2.0
    """In which what is left of a refused body is read, so that the client can read why."""
    body_bytes: int = 512_000
    connections: int = 1024


class Connection(RequestHandler):
    """aiohttp's handler of one connection, with the bounds kept.

    `phase`: 'head' until a request's head is whole, 'body' until its body is, 'working' until the reply begins,
    'replying' until it ends.
    """

    def __init__(self, server: Any, bounds: Bounds, refused: Callable[[str], object], **options: Any) -> None:
        super().__init__(
            server,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=bounds.idle_s,
            lingering_time=bounds.linger_s,
            auto_decompress=False,
            **options,
        )
        self.bounds, self.refused, self.server = bounds, refused, server
        self.phase, self.begun, self.half_closed = "head", False, False
        self._timer: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------- what the application tells

    def head_is_whole(self) -> None:
        """A request has been read up to its body."""
        self._stop_timer()
        self._enter("body")

    def body_is_whole(self) -> None:
        """It can be worked on."""
        self._enter("working")

    def _enter(self, phase: str) -> None:
        """The next phase; a client that sends no more is judged by it."""
        self.phase = phase
        if self.half_closed:
            self._judge(_TURNS)

    def reply_begins(self) -> None:
        """From here on every write tells whether the client is there."""
        self.phase = "replying"
        self._stop_timer()

    def reply_ends(self) -> None:
        """The next request may come, if the client sends any more."""
        self._stop_timer()
        self.phase, self.begun = "head", False
        if self.half_closed:
            self._judge(_TURNS)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the rest of a reply; a client that does not read it is given up."""
        try:
            async with asyncio.timeout(self.bounds.body_s):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.force_close()
            return resp, True
        finally:
            self.reply_ends()

    # ---------------------------------------------------------------- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, unless there are too many."""
        super().connection_made(transport)
        if len(self.server.connections) > self.bounds.connections:
            self._last_words(TOO_MANY)
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:
        """The clock runs from the first byte of a head."""
        if self.phase == "head" and not self.begun:
            self.begun = True
            self._stop_timer()
            self._start_timer()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: it may wait for its reply still, or may have gone; an interim reply finds out."""
        if self.phase == "head" and not self.begun:
            return False
        self.half_closed = True
        self._judge(_TURNS)
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing is timed any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What aiohttp cannot read, or a fault of ours, as one clear line; never a traceback."""
        self.refused("malformed" if status < 500 else "internal")
        if status < 500:
            detail = (message or "").splitlines()[0][:120] if message else ""
            refusal = Refusal(status, f"{UNREADABLE}{f': {detail}' if detail else ''}.", "malformed_request")
        else:
            self.log_exception("Error handling request", exc_info=exc)
            refusal = Refusal(500, "Something failed in the server; its log says what.", "internal")
        response = refusal.response()
        response.force_close()
        return response

    # ----------------------------------------------------------------

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.bounds.head_s, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self.begun:
            self._last_words(TOO_SLOW)
        else:
            self.force_close()

    def _last_words(self, refusal: Refusal) -> None:
        self.refused(refusal.code)
        if self.transport is not None:
            with suppress(OSError):
                self.transport.write(refusal.raw())
        self.force_close()

    def _judge(self, turns: int) -> None:
        """After a few turns of the loop, in which what has come is read: is the request whole?"""
        if self.transport is None or self.phase == "replying":
            return
        if self.phase == "working":
            self._probe()
        elif turns:
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(_TURN_S, self._judge, turns - 1)
        elif self.phase == "head" and not self.begun:
            self.force_close()
        else:
            self._last_words(ENDED_EARLY)

    def _probe(self) -> None:
        if self.phase == "working" and self.transport is not None:
            self.transport.write(_INTERIM)
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(PROBE_S, self._probe)
