"""`redink serve` under load on loopback: nothing lost, memory flat, the 99th percentile of the time of a request.

    python -m benchmarks.serve [--quick] [--clients 200] [--waves 10]

The server is a process of its own. Two arms: a scripted model that answers at once, which is what the server itself
costs; and the bundled student, greedy, one round of self-correction. A wave is `--clients` requests at the same time,
every other one streamed, each with a question of its own. Lost: a request without a whole reply, or with another text
than the first wave had. Memory: the server's resident set after the last wave, less that after the first. The median
and the 99th percentile are over all requests of all waves but the first. `--quick`: 4 waves, and 40 requests at once to
the student.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import numpy as np

from redink.models.chat import ChatRequest, Reply, Usage
from redink.serving.running import opened, serve
from redink.serving.setting_up import service_for
from redink.solving.backends import UNWATCHED, Watch, streamed
from redink.solving.presets import redink_preset
from redink.solving.solver import Solver


class Echo:
    """Answers at once with a solution that holds the question."""

    name, chat = "scripted", True

    async def generate(self, requests: Any, watch: Watch = UNWATCHED) -> list[Reply]:
        """The same answer to a question and to its review."""
        return [self._one(row, request, watch) for row, request in enumerate(requests)]

    def _one(self, row: int, request: ChatRequest, watch: Watch) -> Reply:
        text = f"<Step1>{hash(request.messages[0].content)}</Step1>\n<Answer>4</Answer>"
        watch.piece(row, text)
        return Reply(text=text, usage=Usage(prompt_tokens=1, completion_tokens=1))

    def stream(self, request: ChatRequest) -> Any:
        """By `generate`."""
        return streamed(self, request)  # type: ignore[arg-type]

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Load:
    """How much is asked."""

    arm: str
    clients: int
    waves: int
    max_tokens: int


def _serve(arm: str, tell: Connection) -> None:
    solver = Solver(Echo(), redink_preset(chat=True)) if arm == "scripted" else Solver.load("bundled")  # type: ignore[arg-type]
    serve(service_for(solver, queue=1024), opened("127.0.0.1", 0), ready=lambda now: tell.send(now.address))


@contextmanager
def served(arm: str) -> Iterator[str]:
    """The address of a server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe()
    process = context.Process(target=_serve, args=(arm, tell))
    process.start()
    try:
        if not told.poll(300):
            raise RuntimeError("the server did not start")
        yield told.recv()
    finally:
        process.terminate()
        process.join(60)


async def wave(session: aiohttp.ClientSession, address: str, load: Load) -> tuple[list[str], list[float]]:
    """One request of each client at the same time: texts ('' for what was lost) and seconds."""

    async def one(place: int) -> tuple[str, float]:
        question = f"Tom has {place} apples. Then buys 27 more. How many apples does Tom have now?"
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": load.max_tokens}
        started = time.perf_counter()
        try:
            async with session.post(f"{address}v1/chat/completions", json=body | {"stream": place % 2 == 1}) as reply:
                text = await reply.text()
                return (_text(text) if reply.status == 200 else ""), time.perf_counter() - started
        except aiohttp.ClientError:
            return "", time.perf_counter() - started

    done = await asyncio.gather(*map(one, range(load.clients)))
    return [text for text, _ in done], [seconds for _, seconds in done]


def _text(reply: str) -> str:
    if not reply.startswith("data: "):
        return str(json.loads(reply)["choices"][0]["message"]["content"])
    if not reply.endswith("data: [DONE]\n\n"):
        return ""
    rows = [json.loads(line[6:]) for line in reply.splitlines() if line.startswith("data: {")]
    return "".join(row["choices"][0]["delta"].get("content", "") for row in rows)


async def resident_mib(session: aiohttp.ClientSession, address: str) -> float:
    """The server's resident set, as its metrics tell."""
    async with session.get(f"{address}metrics") as reply:
        lines = (await reply.text()).splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("redink_resident_bytes "))) / 2**20


async def measure(address: str, load: Load) -> None:
    """All waves, and the figures."""
    timeout, connector = aiohttp.ClientTimeout(total=600), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        expected, _ = await wave(session, address, load)
        first = await resident_mib(session, address)
        lost, seconds = expected.count(""), list[float]()
        started = time.perf_counter()
        for _ in range(load.waves - 1):
            texts, took = await wave(session, address, load)
            lost += sum(text != wanted for text, wanted in zip(texts, expected, strict=True))
            seconds += took
        rate = len(seconds) / (time.perf_counter() - started)
        grown = await resident_mib(session, address) - first
    median, late = np.percentile(seconds, [50, 99])
    print(f"{load.arm}: {load.clients} at once, {load.waves} waves, {rate:.1f} requests a second")
    print(f"figure serve_{load.arm}_lost = {lost} requests (goal <= 0)")
    print(f"figure serve_{load.arm}_memory_growth = {grown:.1f} MiB (goal <= 32)")
    print(f"figure serve_{load.arm}_median = {1000 * median:.0f} ms")
    print(f"figure serve_{load.arm}_p99 = {1000 * late:.0f} ms")


def main() -> None:
    """Both arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--waves", type=int, default=10)
    chosen = parser.parse_args()
    waves = 4 if chosen.quick else chosen.waves
    students = 40 if chosen.quick else chosen.clients
    for load in (Load("scripted", chosen.clients, waves, 64), Load("student", students, min(waves, 3), 64)):
        with served(load.arm) as address:
            asyncio.run(measure(address, load))


if __name__ == "__main__":
    main()
