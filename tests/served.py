"""`redink serve` for tests: in a thread, on loopback, with a scripted model that can be held, slowed and broken."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError

from redink.failures import ReplyFailure
from redink.models.chat import ChatRequest, Reply, Usage
from redink.serving.connection import Bounds
from redink.serving.running import Running, opened, serve
from redink.serving.service import Service
from redink.serving.setting_up import service_for
from redink.solving.backends import UNWATCHED, Watch, streamed
from redink.solving.presets import redink_preset
from redink.solving.solver import Solver

WRONG = "<Step1>14 + 27 = 40</Step1>\n<Step2>40 + 1 = 41</Step2>\n<Answer>41</Answer>"
MENDED = (
    "<Step1>14 + 27 = 40<Cause>4 + 7 is 11, one is carried.</Cause><Correction>14 + 27 = 41</Correction></Step1>\n"
    "<Step2>41 + 1 = 42</Step2>\n<Answer>42</Answer>"
)
RIGHT = "<Step1>14 + 27 = 41</Step1>\n<Step2>41 + 1 = 42</Step2>\n<Answer>42</Answer>"
QUESTION = "Tom has 14 apples, buys 27 and finds one. How many?"


def one_mistake(request: ChatRequest) -> str:
    """The solution is wrong, its review mends it, the review of that confirms it."""
    said = request.messages[-1].content
    if "14 + 27 = 40" in said:
        return MENDED
    return RIGHT if "14 + 27 = 41" in said else WRONG


class Scripted:
    """A model that says what it is told to, word by word; while `held` it waits, unless the client leaves."""

    chat = True
    name = "scripted"

    def __init__(self, says: Callable[[ChatRequest], str] = one_mistake, piece_s: float = 0.0) -> None:
        self.says, self.piece_s = says, piece_s
        self.held = threading.Event()
        self.held.set()
        self.asked: list[ChatRequest] = []
        self.batches: list[int] = []
        self.cut = 0

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        self.batches.append(len(requests))
        return await asyncio.to_thread(lambda: [self._one(*pair, watch) for pair in enumerate(requests)])

    def _one(self, row: int, request: ChatRequest, watch: Watch) -> Reply | ReplyFailure:
        self.asked.append(request)
        while not self.held.wait(0.005):
            if watch.gone(row):
                self.cut += 1
                return ReplyFailure("left", "nobody waits")
        text = self.says(request)
        if text.startswith("!"):
            return ReplyFailure(text[1:], "as scripted")
        for piece in re.findall(r"\S+\s*", text):
            time.sleep(self.piece_s)
            watch.piece(row, piece)
        return Reply(text=text, usage=Usage(prompt_tokens=7, completion_tokens=5))

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        return streamed(self, request)

    async def aclose(self) -> None:
        pass


def scripted_service(model: Any = None, rounds: int = 1, bounds: Bounds | None = None, **options: Any) -> Service:
    return service_for(Solver(model or Scripted(), redink_preset(chat=True), rounds), bounds=bounds, **options)


@contextmanager
def running(service: Service, grace_s: float = 5.0) -> Iterator[Running]:
    """The server in a thread of its own; it is stopped at the end, and must then end."""
    told: list[tuple[Running, asyncio.AbstractEventLoop]] = []
    ready = threading.Event()

    def tell(now: Running) -> None:
        told.append((now, asyncio.get_running_loop()))
        ready.set()

    thread = threading.Thread(target=serve, args=(service, opened("127.0.0.1", 0), grace_s, tell))
    thread.start()
    assert ready.wait(30)
    now, loop = told[0]
    try:
        yield now
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(now.stop)
        thread.join(20)
        assert not thread.is_alive()


def body(question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}], **fields}


def call(
    address: str, path: str = "v1/chat/completions", sent: Any = None, headers: dict[str, str] | None = None,
    method: str | None = None,
) -> tuple[int, dict[str, str], str]:  # fmt: skip
    """Status, headers and text of one request; a `sent` that is no bytes goes as JSON."""
    data = sent if sent is None or isinstance(sent, bytes) else json.dumps(sent).encode()
    request = urllib.request.Request(
        address + path, data, {"Content-Type": "application/json"} | (headers or {}), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, dict(reply.headers), reply.read().decode()
    except HTTPError as refusal:
        return refusal.code, dict(refusal.headers), refusal.read().decode()


def asked(address: str, sent: Any, **headers: str) -> dict[str, Any]:
    """A chat completion that succeeds."""
    status, _, text = call(address, sent=sent, headers=headers)
    assert status == 200, text
    return json.loads(text)


def content(completion: dict[str, Any]) -> str:
    return completion["choices"][0]["message"]["content"]


def events(text: str) -> list[Any]:
    """What a stream of server-sent events holds; its end is no JSON."""
    lines = text.split("\n\n")
    assert lines[-1] == "" and all(line.startswith("data: ") for line in lines[:-1])
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines[:-1]]


def raw(address: str, *parts: bytes, pause_s: float = 0.0, half_close: bool = False) -> bytes:
    """What comes back on a socket of our own until the server closes it."""
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        for part in parts:
            line.sendall(part)
            time.sleep(pause_s)
        if half_close:
            line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: _received(line), b""))


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionResetError:
        return b""


def posted(sent: Any, *lines: str) -> bytes:
    """A request as bytes."""
    data = json.dumps(sent).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(data)}", "", ""]).encode() + data


def until(condition: Callable[[], object], patience_s: float = 10.0) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
