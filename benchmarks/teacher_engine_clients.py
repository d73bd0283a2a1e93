"""redink's side of `benchmarks.teacher_engine`: each client in a process of its own, so that its CPU time is its own.

Same talk as teacher_engine_peers.py: one job a line on standard input, one answer a line on standard output.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.story_attempts import story_problems, wrong_attempts
from benchmarks.teacher_engine_peers import Buy, prompt, serve_jobs
from redink.failures import ReplyFailure, RowFailure
from redink.models.chat import ChatModel, ChatRequest, Reply, ask
from redink.models.engine import Engine
from redink.models.fake_script import Latency, chances, digest_of
from redink.models.fake_server import Remote
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.limiter import Limits
from redink.models.wire import Endpoint, canonical_body
from redink.stages.corrections import write_correction
from redink.stages.flow import flow
from redink.teaching.inspection import Patience
from redink.teaching.llm import LLMInspector, LLMTeacher
from redink.teaching.protocols import Inspection
from redink.types import Attempt, CorrectionTrace, Problem, Row

PRICES = {"fake": Price(prompt=Decimal("1.1"), completion=Decimal("4.4"))}
_chain_s: ContextVar[list[float]] = ContextVar("chain_s")


@contextmanager
def engine_with_books() -> Iterator[Engine]:
    """An engine with a journal and a priced ledger, as a run has them."""
    with tempfile.TemporaryDirectory(prefix="teacher-engine-") as folder, Journal(Path(folder) / "journal.db") as kept:
        yield Engine(kept, Ledger(kept, PRICES))


@asynccontextmanager
async def chatting(engine: Engine, url: str, window: int) -> AsyncIterator[ChatModel]:
    """A chat model of a server, with that many calls in flight from the start."""
    async with engine:
        yield engine.chat(Endpoint("fake", url), Limits(max_in_flight=window, start_in_flight=window))


# calls without latency: CPU time


async def _buy_all(engine: Engine, job: dict[str, Any]) -> int:
    replies = 0

    async with chatting(engine, job["url"], job["window"]) as model:

        async def work(number: int) -> Reply:
            return await model.complete(ask(prompt(number)))

        def settle(number: int, reply: Reply) -> None:
            nonlocal replies
            replies += bool(reply.text)

        await flow(range(job["first"], job["first"] + job["calls"]), work, settle, job["window"])
    return replies


def engine_buyer() -> tuple[str, Buy]:
    """The engine as a run uses it: journal, ledger, limiter."""

    def buy(job: dict[str, Any]) -> dict[str, Any]:
        with engine_with_books() as engine:
            return {"replies": asyncio.run(_buy_all(engine, job))}

    return "redink", buy


def bare_buyer() -> tuple[str, Buy]:
    """The engine without journal and ledger: nothing is kept, as with AsyncOpenAI."""
    return "redink without journal", lambda job: {"replies": asyncio.run(_buy_all(Engine(), job))}


# many in flight: occupancy and memory


def resident_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def _fill(engine: Engine, job: dict[str, Any]) -> dict[str, Any]:
    """The server's integral of calls in flight while rows wait: from the first reply to the last row handed out."""
    window, rows, remote = job["window"], job["rows"], Remote(job["url"])
    looks: dict[str, Any] = {}
    memory: dict[int, float] = {}
    settled = 0

    async def look(name: str) -> None:
        looks[name] = await asyncio.to_thread(remote.books)

    async with chatting(engine, job["url"], window) as model, asyncio.TaskGroup() as group:

        def numbers() -> Iterable[int]:
            for number in range(rows):
                if number == window:
                    group.create_task(look("begin"))
                yield number
            group.create_task(look("end"))

        async def work(number: int) -> Reply:
            return await model.complete(ask(prompt(number)))

        def settle(number: int, reply: Reply) -> None:
            nonlocal settled
            settled += bool(reply.text)
            if settled in (job["early_rows"], rows):
                memory[settled] = resident_mb()

        await flow(numbers(), work, settle, window)
    full_s = looks["end"]["in_flight_seconds"] - looks["begin"]["in_flight_seconds"]
    spanned_s = looks["end"]["clock"] - looks["begin"]["clock"]
    return {
        "replies": settled,
        "occupancy": full_s / spanned_s / window,
        "spanned_s": spanned_s,
        "early_mb": memory[job["early_rows"]],
        "late_mb": memory[rows],
    }


def window_buyer() -> tuple[str, Buy]:
    """Thousands of calls in flight."""

    def buy(job: dict[str, Any]) -> dict[str, Any]:
        with engine_with_books() as engine:
            return asyncio.run(_fill(engine, job))

    return "redink", buy


# a hidden limit


async def _press(engine: Engine, job: dict[str, Any]) -> dict[str, Any]:
    """Rows without end against a limit that is halved on the way; what was begun is brought to its end."""
    remote, start = Remote(job["url"]), time.monotonic()
    marks: dict[str, float] = {}
    begun = lost = 0

    async def halve() -> None:
        await asyncio.sleep(job["halve_after_s"])
        await asyncio.to_thread(lambda: remote.change(limits={"requests_per_minute": job["then_per_minute"]}))
        marks["halved"] = time.monotonic()

    async with engine, asyncio.TaskGroup() as group:
        model = engine.chat(Endpoint("fake", job["url"]), Limits(max_in_flight=job["window"]), timeout_s=60)
        group.create_task(halve())

        def numbers() -> Iterable[int]:
            nonlocal begun
            for number in count():
                if time.monotonic() - start > job["seconds"]:
                    return
                begun += 1
                yield number

        async def work(number: int) -> bool:
            try:
                return bool((await model.complete(ask(prompt(number)))).text)
            except ReplyFailure:
                return False

        def settle(number: int, came: bool) -> None:
            nonlocal lost
            lost += not came

        await flow(numbers(), work, settle, job["window"])
    return {"begun": begun, "lost": lost, "start": start, "stop": start + job["seconds"], **marks}


def limit_buyer() -> tuple[str, Buy]:
    """A server that allows less than is wanted, and says nothing or little of it."""

    def buy(job: dict[str, Any]) -> dict[str, Any]:
        with engine_with_books() as engine:
            return asyncio.run(_press(engine, job))

    return "redink", buy


# the correction chain


class Timed:
    """A chat model that adds up, row by row, how long the server is going to take (it draws that from the body)."""

    def __init__(self, model: ChatModel, latency: Latency, seed: int) -> None:
        self.model, self.latency, self.seed, self.name = model, latency, seed, model.name

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Pass the request on."""
        drawn = chances(self.seed, digest_of(canonical_body(self.name, request)), 0)
        _chain_s.get().append(self.latency.seconds(drawn.latency))
        return await self.model.complete(request, sample)


Pair = tuple[Problem, Attempt]


async def _streamed(model: ChatModel, rows: Sequence[Pair], window: int) -> tuple[int, list[float]]:
    """Each row on its own way: corrected, inspected, corrected anew, while others are elsewhere."""
    teacher, inspector = LLMTeacher(model), LLMInspector(model)
    chains: list[float] = []
    accepted = 0

    async def work(row: Pair) -> tuple[Row, float]:
        spent: list[float] = []
        _chain_s.set(spent)
        outcome = await write_correction(*row, teacher, inspector, Patience())
        return outcome, sum(spent)

    def settle(row: Pair, result: tuple[Row, float]) -> None:
        nonlocal accepted
        accepted += type(result[0]).__name__ == "CorrectionRow"
        chains.append(result[1])

    await flow(rows, work, settle, window)
    return accepted, chains


async def _barred(model: ChatModel, rows: Sequence[Pair], window: int) -> int:
    """The same work stage by stage: all are corrected, then all are inspected, then those sent back, …"""
    todo, remarks, accepted = list(rows), dict[str, tuple[str, ...]](), 0
    for _ in range(Patience().rounds):
        verdicts = await _round(model, todo, remarks, window)
        accepted += sum(verdict.accepted for verdict in verdicts.values())
        todo = [row for row in todo if not verdicts[row[0].id].accepted]
        remarks = {name: verdict.remarks for name, verdict in verdicts.items()}
    return accepted


async def _round(
    model: ChatModel, rows: Sequence[Pair], remarks: Mapping[str, Sequence[str]], window: int
) -> dict[str, Inspection]:
    """Correct all, then inspect all: the verdicts by problem."""
    teacher, inspector = LLMTeacher(model), LLMInspector(model)
    _chain_s.set([])

    async def correct(row: Pair) -> CorrectionTrace | RowFailure:
        try:
            return await teacher.correction(*row, remarks.get(row[0].id, ()))
        except RowFailure as failure:
            return failure

    async def inspect(row: Pair) -> Inspection:
        work = traces[row[0].id]
        if isinstance(work, RowFailure):
            return Inspection(accepted=False, remarks=(work.remark or str(work),))
        return await inspector.inspect(row[0], work, row[1])

    traces: dict[str, CorrectionTrace | RowFailure] = {}
    verdicts: dict[str, Inspection] = {}
    await flow(rows, correct, lambda row, work: traces.update({row[0].id: work}), window)
    await flow(rows, inspect, lambda row, verdict: verdicts.update({row[0].id: verdict}), window)
    return verdicts


async def _chain(engine: Engine, job: dict[str, Any]) -> dict[str, Any]:
    problems = story_problems(job["rows"], job["seed"])
    rows = list(zip(problems, wrong_attempts(problems, job["seed"]), strict=True))
    window = job["window"]
    async with chatting(engine, job["url"], window) as plain:
        model, start = Timed(plain, Latency.model_validate(job["latency"]), job["server_seed"]), time.perf_counter()
        if job["barriers"]:
            return {"accepted": await _barred(model, rows, window), "makespan_s": time.perf_counter() - start}
        accepted, chains = await _streamed(model, rows, window)
        took = time.perf_counter() - start
    bound = max(sum(chains) / window, *chains)
    return {"accepted": accepted, "makespan_s": took, "bound_s": bound, "longest_s": max(chains)}


def chain_buyer() -> tuple[str, Buy]:
    """Corrections and their inspections, rows flowing or stage by stage."""

    def buy(job: dict[str, Any]) -> dict[str, Any]:
        with engine_with_books() as engine:
            return asyncio.run(_chain(engine, job))

    return "redink", buy


BUYERS = {
    "engine": engine_buyer,
    "bare": bare_buyer,
    "window": window_buyer,
    "limit": limit_buyer,
    "chain": chain_buyer,
}

if __name__ == "__main__":
    serve_jobs(BUYERS[sys.argv[1]])
