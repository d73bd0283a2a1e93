"""An OpenAI-compatible chat-completions server on 127.0.0.1, for tests: real HTTP, scripted answers and faults.

It runs in a thread of its own, so synchronous tests, asyncio tests and subprocesses can all use it:

    with serving(in_order(refusal(429, retry_after="0"), completion("<Step1>..."))) as server:
        ...  # server.base_url, server.asked
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The last message."""
        return self.body["messages"][-1]["content"]


@dataclass(frozen=True)
class Answer:
    """One response; with `raw`, those bytes go onto the socket as they are and the connection is closed."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    raw: bytes | None = None


Respond = Callable[[Asked], Answer]


def completion(text: str | None, *, finish_reason: str = "stop", delay_s: float = 0.0, **message: Any) -> Answer:
    """A whole reply: 7 prompt tokens and 5 completion tokens; `message` adds fields such as reasoning_content."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return Answer(body=json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}), delay_s=delay_s)


def refusal(status: int, message: str = "no", *, code: str | None = None, retry_after: str | None = None) -> Answer:
    """An error in OpenAI's form."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status, json.dumps({"error": {"message": message, "code": code, "type": "x"}}), headers)


def hang_up(raw: bytes = b"") -> Answer:
    """Put `raw` on the socket, nothing if empty, and close it."""
    return Answer(raw=raw)


def in_order(*answers: Answer) -> Respond:
    """Give the answers one by one, the last one for ever."""
    left = list(answers)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


class Loopback:
    """The running server: where it is, what it was asked, and from which ports (one for each connection)."""

    def __init__(self, respond: Respond) -> None:
        self.base_url = ""
        self.asked: list[Asked] = []
        self.ports: list[int] = []
        self.most_at_once = 0
        self._at_once = 0
        self._respond = respond

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            asked = Asked(request.path, dict(request.headers), await request.json())
            self.asked.append(asked)
            self.ports.append(_port_of_client(request))
            return await self._send(request, self._respond(asked))
        finally:
            self._at_once -= 1

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        await asyncio.sleep(answer.delay_s)
        if answer.raw is not None:
            assert request.transport is not None
            request.transport.write(answer.raw)
            request.transport.close()
        return web.Response(
            status=answer.status, text=answer.body, headers=answer.headers, content_type="application/json"
        )

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner


def _port_of_client(request: web.Request) -> int:
    assert request.transport is not None
    return int(request.transport.get_extra_info("peername")[1])


async def _shut(runner: web.AppRunner) -> None:
    await runner.cleanup()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def serving(respond: Respond) -> Iterator[Loopback]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    server = Loopback(respond)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_shut(runner), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
