"""Running the server: the socket, the bounds, and a stop that ends what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from redink.failures import Failure
from redink.serving.connection import Connection
from redink.serving.endpoints import application
from redink.serving.gate import is_loopback
from redink.serving.service import Service

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_S = 0.02


@dataclass
class Running:
    """A server that runs in this event loop; `stop` ends it from inside the loop."""

    address: str
    service: Service
    stopping: asyncio.Event

    def stop(self) -> None:
        """Take no more; end what is under way. A second time: end it all at once."""
        if self.stopping.is_set():
            self.service.queue.most = -1
        self.stopping.set()


def opened(host: str, port: int) -> socket.socket:
    """A listening socket; raises `Failure` if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=512)
    except (OSError, OverflowError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise Failure(f"{host}:{port} cannot be used ({reason}).", "Choose others with --host and --port.") from None


def serve(
    service: Service, listening: socket.socket, grace_s: float = 30.0, ready: Callable[[Running], Any] = print
) -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way then has `grace_s` to end. `ready` is told when it runs."""
    with listening:
        asyncio.run(_serve(service, listening, grace_s, ready))


async def _serve(service: Service, listening: socket.socket, grace_s: float, ready: Callable[[Running], Any]) -> None:
    runner = web.AppRunner(application(service), handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        return Connection(runner.server, service.bounds, lambda why: service.books.refused.add(reason=why), loop=loop)

    running = Running(address_of(listening), service, asyncio.Event())
    with _signals(running):
        server = await loop.create_server(connection, sock=listening)
        try:
            ready(running)
            await running.stopping.wait()
            service.queue.draining = True
            server.close()
            await _drained(service, grace_s)
        finally:
            await runner.cleanup()
            await service.desk.backend.aclose()


async def _drained(service: Service, grace_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            while service.queue.inside and service.queue.most >= 0:
                await asyncio.sleep(_POLL_S)


@contextmanager
def _signals(running: Running) -> Iterator[None]:
    """Signals stop the server, where this is the main thread."""
    loop = asyncio.get_running_loop()
    taken = []
    for number in SIGNALS:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, running.stop)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def address_of(listening: socket.socket) -> str:
    """The address as a browser takes it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def check_exposure(host: str, token: str | None, variable: str) -> None:
    """Refuse to serve other machines without a token."""
    if token is None and not is_loopback(host):
        raise Failure(
            f"--host {host} lets other machines in, and there is no token.",
            f"Set {variable} to a long random secret, or leave --host at 127.0.0.1.",
        )
    if token is not None and len(token) < 16:
        raise Failure(f"the token in {variable} is shorter than 16 characters.", "Take a long random one.")
