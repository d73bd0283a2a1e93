"""A server that is not ours: `transformers serve`, with a tiny local model and with SmolLM2, through the engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tiny import tiny_folder
from transformers.utils.import_utils import is_serve_available

from redink.failures import MissingModel, ReplyFailure
from redink.models.chat import ChatSettings, Reply, ask
from redink.models.engine import Engine
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.limiter import Limits
from redink.models.smollm2 import smollm2_folder
from redink.models.wire import Endpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_serve_available(),
        reason="`transformers serve` needs fastapi, uvicorn and openai: pip install -e '.[serve-test]'",
    ),
]
START_S = 180
PRICES = {"m": Price(prompt=Decimal(1), completion=Decimal(1))}


@contextlib.contextmanager
def transformers_serve(model: Path, log: Path) -> Iterator[str]:
    """The server's base URL, once it is healthy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1",
               "--port", str(port), "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait_until_healthy(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")


def _local(name: str, folder: Path) -> Path:
    if name == "tiny":
        return tiny_folder(folder / "tiny", chat=True)
    try:
        return smollm2_folder()
    except MissingModel as failure:
        pytest.skip(str(failure))


async def _asked(url: str, model: Path, books: Path) -> tuple[list[Reply], str, int]:
    """Two different questions, the first again, one that is cut; the failure of that, and what was bought."""
    settings = ChatSettings(max_tokens=40)
    with Journal(books) as journal:
        ledger = Ledger(journal, {str(model): PRICES["m"]})
        async with Engine(journal, ledger) as engine:
            chat = engine.chat(Endpoint(str(model), url), Limits(max_in_flight=2), timeout_s=120)
            questions = [ask("What is 2 + 2? Reply with the number alone.", settings), ask("Say hello.", settings)]
            replies = await asyncio.gather(*(_text(chat, question) for question in questions))
            replies.append(await _text(chat, questions[0]))
            with pytest.raises(ReplyFailure) as cut:
                await chat.complete(ask("Count from 1 to 1000, one number a line.", ChatSettings(max_tokens=3)))
        (total,) = ledger.totals()
        assert (total.calls, total.replayed) == (3, 1)
        assert total.usd == Decimal(total.prompt_tokens + total.completion_tokens) / 1_000_000
        return replies, cut.value.reason, total.prompt_tokens


async def _text(chat, question) -> Reply:
    """A tiny random model may well talk until it is cut: that too is an answer, with the text as it came."""
    try:
        return await chat.complete(question)
    except ReplyFailure as failure:
        assert failure.reason in ("cut_by_length", "empty_reply")
        return Reply(text=failure.raw, finish_reason=failure.reason)


@pytest.mark.parametrize("name", ["tiny", "smollm2"])
def test_transformers_serve_answers_through_the_engine(name, tmp_path):
    model = _local(name, tmp_path)
    with transformers_serve(model, tmp_path / "log") as url:
        replies, reason, prompt_tokens = asyncio.run(_asked(url, model, tmp_path / "journal.db"))
    assert replies[2] == replies[0]
    assert reason == "cut_by_length"
    assert prompt_tokens > 0
    if name == "smollm2":
        assert "4" in replies[0].text
        assert replies[1].finish_reason == "stop"
