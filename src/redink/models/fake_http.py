"""The least of HTTP/1.1 that OpenAI clients speak, on asyncio's own protocol: keep-alive, pipelining, chunked bodies.

Lean on purpose: in a benchmark the fake server shares two cores with the client that is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

MOST_HEAD_BYTES = 65_536
MOST_BODY_BYTES = 1 << 29
_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 405: b"Method Not Allowed",
    413: b"Content Too Large", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
}  # fmt: skip


class Request(NamedTuple):
    """One request, whole."""

    method: str
    path: str  # without the query
    head: bytes  # request line and header fields, without the blank line
    body: bytes

    def field(self, name: str) -> str:
        """The value of a header field, '' if there is none; `name` in lower case."""
        return _field(self.head, self.head.lower(), name.encode()).decode("latin-1")


class Unreadable(Exception):
    """The bytes are no request that this server takes."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Channel(asyncio.Protocol):
    """One connection: requests are handed out one at a time, the next once the last is answered."""

    def __init__(self, handle: Callable[[Request, Channel], None], gone: Callable[[Channel], None]) -> None:
        self._handle, self._gone = handle, gone
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._promised = self._reading = False
        self.busy = False  # a request is not answered yet
        self.working = False  # and the server counts it as being worked on

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was still to be sent."""
        if self._timer:
            self._timer.cancel()
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; hand out a request if it is whole."""
        self._buffer += data
        self._next()

    @property
    def open(self) -> bool:
        """Nobody has closed it yet, as far as is known."""
        return not self._transport.is_closing()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do it in so many seconds, unless the connection is lost before."""
        self._timer = asyncio.get_running_loop().call_later(seconds, do)

    def answer(self, status: int, body: bytes, extra: str = "", kind: str = "application/json") -> None:
        """Send a whole response; `extra` are header lines, each with its line end."""
        self._transport.write(response(status, body, extra, kind))
        self.busy = False
        if self._buffer:
            self._next()

    def send_half(self, response: bytes) -> None:
        """Send a response without its last bytes."""
        self._transport.write(response[: len(response) - max(1, len(response) // 3)])

    def hang_up(self) -> None:
        """Close the connection; what was written still goes out."""
        self._transport.close()

    def _next(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            self._read()
        except Unreadable as failure:
            self._transport.write(response(failure.status, b"{}", "Connection: close\r\n"))
            self.hang_up()
        finally:
            self._reading = False

    def _read(self) -> None:
        while self.open and not self.busy and (found := _take(self._buffer)):
            self.busy, self._promised = True, False
            self._handle(found, self)
        if not self.busy and not self._promised and b"100-continue" in self._buffer[:MOST_HEAD_BYTES]:
            self._promised = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def response(status: int, body: bytes, extra: str = "", kind: str = "application/json") -> bytes:
    """The bytes of a whole response."""
    head = f"HTTP/1.1 {status} {_REASONS[status].decode()}\r\nContent-Type: {kind}\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def _take(buffer: bytearray) -> Request | None:
    """Take the first request off the buffer; None if it is not whole yet. Raises `Unreadable`."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0 or end > MOST_HEAD_BYTES:
        if len(buffer) > MOST_HEAD_BYTES:
            raise Unreadable(431)
        return None
    head = bytes(buffer[:end])
    line = head.partition(b"\r\n")[0].split(b" ")
    if len(line) != 3 or not line[2].startswith(b"HTTP/1."):
        raise Unreadable(400)
    body, after = _body(head, buffer, end + 4)
    if body is None:
        return None
    del buffer[:after]
    return Request(line[0].decode("latin-1"), line[1].partition(b"?")[0].decode("latin-1"), head, body)


def _body(head: bytes, buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    """The body and where it ends; (None, 0) if it is not whole yet."""
    lower = head.lower()
    if b"chunked" in _field(head, lower, b"transfer-encoding"):
        return _chunks(buffer, start)
    length = _field(head, lower, b"content-length") or b"0"
    if not length.isdigit():
        raise Unreadable(400)
    end = start + int(length)
    if end - start > MOST_BODY_BYTES:
        raise Unreadable(413)
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else (None, 0)


def _chunks(buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    """A chunked body (RFC 9112, 7.1); trailers are not taken."""
    parts: list[bytes] = []
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        try:
            size = int(bytes(buffer[start:line_end]).partition(b";")[0], 16)
        except ValueError:
            raise Unreadable(400) from None
        start, end = line_end + 2, line_end + 2 + size
        if len(buffer) < end + 2:
            break
        if size == 0:
            return b"".join(parts), end + 2
        parts.append(bytes(buffer[start:end]))
        start = end + 2
    return None, 0


def _field(head: bytes, lower: bytes, name: bytes) -> bytes:
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()
