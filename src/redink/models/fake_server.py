"""A fake OpenAI-compatible server: real HTTP on 127.0.0.1, scripted latency, limits and faults, and a bill of its own.

    python -m redink.models.fake_server --script '{"latency": {"median_s": 0.2}, "faults": {"server_error": 0.05}}'

prints `listening http://127.0.0.1:PORT/v1` and serves until it is ended. In the same process:

    with serving(lambda asked: Said("4"), Script()) as server:
        ...  # server.base_url, server.books

Served: /v1/chat/completions (no streaming), /v1/models, /v1/files and /v1/batches. Beside them, for tests and
benchmarks: GET /fake/books (totals), GET /fake/bill (every reply billed), POST /fake/script (a part of the script,
changed from now on, e.g. `{"limits": {"requests_per_minute": 300}}`).

What a reply says is a function of the request alone; how long it takes and how it fails, of (seed, body, try).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from redink.failures import Failure
from redink.models.fake_batches import BatchDesk
from redink.models.fake_books import Books
from redink.models.fake_http import Channel, Request, response
from redink.models.fake_limits import Gate
from redink.models.fake_model import Asked, Job, Refused, Respond, Said, as_json, work_out
from redink.models.fake_script import BatchScript, Fault, Script, chances, digest_of

__all__ = ["Asked", "FakeServer", "Refused", "Remote", "Respond", "Said", "Script", "launched", "serving"]

READY = "listening "
BACKLOG = 4096
START_S = 60.0
_BEFORE_WORK: frozenset[Fault | None] = frozenset({"too_many", "server_error", "hang_up", "silence"})
_GARBAGE = b"<html><body>upstream connect error or disconnect/reset before headers</body></html>"


class FakeServer:
    """The server; it belongs to the event loop that starts it."""

    def __init__(self, respond: Respond, script: Script | None = None) -> None:
        """`respond` is asked once for each try that gets so far; it must give the same for the same request."""
        self.respond = respond
        self.script = script or Script()
        self.books = Books(self.script.tariff)
        self.base_url = ""
        self._gate = Gate(self.script.limits, time.monotonic())
        self._channels: set[Channel] = set()
        self._desk = BatchDesk(self._work_out_batched, self.books, self._batch_script)

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0: any free one. `base_url` then says where."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", port, backlog=BACKLOG)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        for channel in tuple(self._channels):
            channel.hang_up()
        await asyncio.sleep(0)

    def change(self, script: Script) -> None:
        """Another script from now on; the tariff stays the first one's."""
        self.script = script
        self._gate.change(script.limits, time.monotonic())

    def _connect(self) -> Channel:
        channel = Channel(self._handle, self._leave)
        self._channels.add(channel)
        return channel

    def _leave(self, channel: Channel) -> None:
        self._channels.discard(channel)
        self._done(channel)

    def _work_out_batched(self, body: bytes) -> Job | Refused:
        digest = digest_of(body)
        return work_out(self.respond, self.script, body, digest, chances(self.script.seed, digest, 0))

    def _batch_script(self) -> tuple[int, BatchScript]:
        return self.script.seed, self.script.batch

    def _handle(self, request: Request, channel: Channel) -> None:
        if request.path == "/v1/chat/completions" and request.method == "POST":
            self._complete(request.body, channel)
        else:
            channel.answer(*self._beside(request))

    def _beside(self, request: Request) -> tuple[int, bytes]:
        """Everything but chat completions: answered at once."""
        match request.method, request.path:
            case "GET", "/v1/models":
                return 200, as_json(
                    {"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "redink"}]}
                )
            case "GET", "/fake/books":
                return 200, as_json(self.books.totals())
            case "GET", "/fake/bill":
                return 200, as_json([row.as_object() for row in self.books.billed()])
            case "POST", "/fake/script":
                return self._change(request.body)
        missing = Refused(404, f"there is no {request.method} {request.path}")
        return self._desk.answer(request) or (404, missing.body())

    def _change(self, body: bytes) -> tuple[int, bytes]:
        try:
            self.change(Script.model_validate(_merged(self.script.model_dump(mode="json"), json.loads(body))))
        except (ValueError, TypeError) as failure:
            return 400, Refused(400, f"this is no part of a script: {failure}").body()
        return 200, self.script.model_dump_json().encode()

    def _complete(self, body: bytes, channel: Channel) -> None:
        digest = digest_of(body)
        drawn = chances(self.script.seed, digest, self.books.next_try(digest))
        fault = self.script.faults.pick(drawn.fault)
        if fault in _BEFORE_WORK:
            self._fail(fault, channel)
            return
        job = work_out(self.respond, self.script, body, digest, drawn)
        if isinstance(job, Refused):
            self._answer(channel, job.status, job.body())
        else:
            self._admit(job, fault, channel)

    def _admit(self, job: Job, fault: Fault | None, channel: Channel) -> None:
        now = time.monotonic()
        wait = self._gate.wait(now, job.tokens.total)
        if wait:
            refusal = Refused(429, "Rate limit reached.", "rate_limit_exceeded")
            self._answer(channel, 429, refusal.body(), "limit", self._gate.headers(now, wait))
            return
        self.books.enter(+1)
        channel.working = True
        seconds = self.script.latency.seconds(job.chances.latency)
        if seconds:
            channel.later(seconds, lambda: self._finish(job, fault, channel))
        else:
            self._finish(job, fault, channel)

    def _finish(self, job: Job, fault: Fault | None, channel: Channel) -> None:
        self._done(channel)
        if not channel.open:
            return
        if fault:
            self.books.spoilt_tokens += job.tokens.total
            self._spoil(fault, as_json(job.completion("spoilt")), channel)
            return
        if job.spoilt:
            self.books.faults["malformed"] += 1
        reply = job.completion(self.books.bill(job.digest, job.tokens))
        self._answer(channel, 200, as_json(reply), extra=self._gate.headers(time.monotonic(), 0.0))

    def _done(self, channel: Channel) -> None:
        if channel.working:
            channel.working = False
            self.books.enter(-1)

    def _fail(self, fault: Fault | None, channel: Channel) -> None:
        if fault == "too_many":
            self._answer(channel, 429, Refused(429, "Slow down.", "rate_limit_exceeded").body(), fault)
        elif fault == "server_error":
            self._answer(channel, 500, Refused(500, "The server had an error.").body(), fault)
        else:
            self.books.faults[str(fault)] += 1
            if fault == "hang_up":
                channel.hang_up()

    def _spoil(self, fault: Fault, reply: bytes, channel: Channel) -> None:
        if fault == "garbage":
            self._answer(channel, 200, _GARBAGE, fault)
            return
        self.books.faults[fault] += 1
        channel.send_half(response(200, reply))
        if fault == "cut":
            channel.hang_up()

    def _answer(self, channel: Channel, status: int, body: bytes, reason: str = "", extra: str = "") -> None:
        self.books.count(status, reason)
        channel.answer(status, body, extra)


def _merged(before: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The table with the values of `part`, table by table."""
    inner = {key: _merged(before[key], value) for key, value in part.items() if isinstance(before.get(key), dict)}
    return before | part | inner


@contextlib.contextmanager
def serving(respond: Respond, script: Script | None = None) -> Iterator[FakeServer]:
    """Serve in a thread of this process until the block ends."""
    server = FakeServer(respond, script)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(START_S)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_S)
        loop.close()


class Remote:
    """A fake server in another process."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def books(self) -> dict[str, Any]:
        """What it did (`Books.totals`)."""
        totals: dict[str, Any] = self._call("books")
        return totals

    def bill(self) -> list[dict[str, Any]]:
        """Every reply that it billed."""
        rows: list[dict[str, Any]] = self._call("bill")
        return rows

    def change(self, **part: Any) -> None:
        """Change a part of its script, e.g. `limits={"requests_per_minute": 300}`."""
        self._call("script", json.dumps(part).encode())

    def _call(self, name: str, body: bytes | None = None) -> Any:
        address = self.base_url.removesuffix("/v1") + f"/fake/{name}"
        with urllib.request.urlopen(address, body, timeout=START_S) as answer:
            return json.load(answer)


@contextlib.contextmanager
def launched(script: Script, module: str = "redink.models.fake_server", *arguments: str) -> Iterator[Remote]:
    """A server of its own process until the block ends: `python -m module --script … arguments`."""
    command = [sys.executable, "-m", module, "--attached", "--script", script.model_dump_json(), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith(READY):
            raise Failure(f"{module} did not start.", "Start it by hand to see why.")
        yield Remote(line.removeprefix(READY).strip())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def options(description: str) -> argparse.ArgumentParser:
    """The options of every fake server's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--attached", action="store_true", help="end when standard input ends")
    parser.add_argument("--script", default="{}", help="latency, limits, faults, tariff, batch, seed as JSON")
    return parser


def read_script(text: str) -> Script:
    """A script from JSON; raises `Failure` naming the field that is wrong."""
    try:
        return Script.model_validate_json(text)
    except ValidationError as failure:
        first = failure.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Failure(
            f"--script: {field}: {first['msg']}.", "See redink/models/fake_script.py for its fields."
        ) from None


def serve_forever(respond: Respond, script: Script, port: int, attached: bool = False) -> None:
    """Serve until the process (if `attached`: its standard input) is ended; says on standard output where."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def serve() -> None:
        server = FakeServer(respond, script)
        await server.start(port)
        print(f"{READY}{server.base_url}", flush=True)
        over = asyncio.Event()
        if attached:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
        await over.wait()
        await server.stop()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one and the same reply."""
    parser = options("A fake OpenAI-compatible server on 127.0.0.1.")
    parser.add_argument("--reply", default="<Step1>2 + 2</Step1>\n<Answer>4</Answer>", help="what it always says")
    chosen = parser.parse_args(arguments)
    said = Said(chosen.reply)
    try:
        serve_forever(lambda asked: said, read_script(chosen.script), chosen.port, chosen.attached)
    except Failure as failure:
        parser.error(str(failure))


if __name__ == "__main__":
    main()
