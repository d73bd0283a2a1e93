"""The peers of `benchmarks.teacher_engine`, each in a process of its own, with whatever python can import them.

Reads one job a line from standard input, `{"url": …, "calls": …, "window": …, "first": …}`, buys the replies to prompts
number `first` to `first + calls` and writes `{"replies": …, "cpu_s": …, "wall_s": …}`, where `replies` counts those
that hold text. The first line written says what was imported, or why it was not. Imports nothing of redink, so that it
runs in any environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

Buy = Callable[[dict[str, Any]], dict[str, Any]]
_STORY = "Tom has {n} pens and finds {m} more. He gives half of them to Eva, who has three times as many by then. " * 12


def prompt(number: int) -> str:
    """About 1,300 characters, no two alike."""
    return (
        f"Problem {number}. " + _STORY.format(n=number, m=number + 1) + "How many pens does Eva have? Go step by step."
    )


def openai_buyer() -> tuple[str, Buy]:
    """AsyncOpenAI, one client, a semaphore of the window's size: what its documentation shows."""
    from openai import AsyncOpenAI

    async def buy(job: dict[str, Any]) -> int:
        free = asyncio.Semaphore(job["window"])
        async with AsyncOpenAI(base_url=job["url"], api_key="none") as client:

            async def one(number: int) -> bool:
                messages: Any = [{"role": "user", "content": prompt(number)}]
                async with free:
                    reply = await client.chat.completions.create(model="fake", messages=messages, temperature=0)
                return bool(reply.choices[0].message.content)

            numbers = range(job["first"], job["first"] + job["calls"])
            return sum(await asyncio.gather(*map(one, numbers)))

    return f"openai {version('openai')}", lambda job: {"replies": asyncio.run(buy(job))}


def curator_buyer() -> tuple[str, Buy]:
    """bespokelabs-curator with its own OpenAI backend and its own cache, its limits and displays out of the way."""
    quiet = {"TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_RICH_DISPLAY": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    os.environ.update(quiet | {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1"})
    import litellm.litellm_core_utils.default_encoding  # noqa: F401  (tiktoken then finds the encoding shipped with it)
    from bespokelabs import curator

    folder = tempfile.mkdtemp(prefix="curator-")

    def buy(job: dict[str, Any]) -> dict[str, Any]:
        unlimited = {"max_requests_per_minute": 10**9, "max_tokens_per_minute": 10**12}
        settings = {"base_url": job["url"], "max_concurrent_requests": job["window"], **unlimited}
        model = curator.LLM(
            model_name="fake", backend="openai", backend_params=settings, generation_params={"temperature": 0}
        )
        prompts = [prompt(number) for number in range(job["first"], job["first"] + job["calls"])]
        answer = model(prompts, working_dir=folder)
        rows = getattr(answer, "dataset", answer)
        return {"replies": sum(bool(row["response"]) for row in rows)}

    return f"bespokelabs-curator {version('bespokelabs-curator')}", buy


BUYERS = {"asyncopenai": openai_buyer, "curator": curator_buyer}


def cpu_seconds() -> float:
    """User and system time of this process, its threads and its ended children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measured(buy: Buy, job: dict[str, Any]) -> dict[str, Any]:
    """Do a job; what it took beside what it gave."""
    cpu, start = cpu_seconds(), time.perf_counter()
    gave = buy(job)
    return gave | {"cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - start}


@contextlib.contextmanager
def answers_only() -> Iterator[Callable[[object], None]]:
    """What the peers print goes to standard error; the answers alone to standard output."""
    kept = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        yield lambda answer: print(json.dumps(answer), file=kept)
    finally:
        kept.close()


def serve_jobs(start: Callable[[], tuple[str, Buy]]) -> None:
    """Say who is there, then do one job after the other."""
    with answers_only() as say:
        try:
            name, buy = start()
        except Exception as failure:
            say({"missing": f"{type(failure).__name__}: {failure}"})
            return
        say({"name": name})
        for line in sys.stdin:
            try:
                say(measured(buy, json.loads(line)))
            except Exception as failure:
                say({"missing": f"{type(failure).__name__}: {failure}"})


if __name__ == "__main__":
    serve_jobs(BUYERS[sys.argv[1]])
