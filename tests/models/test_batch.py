"""The Batch API: bought once, whatever expires, fails, breaks or is killed; against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from redink.failures import Failure, Interrupted, ReplyFailure, StoppedByHand
from redink.models.batch import BatchChat
from redink.models.chat import ChatSettings, Reply, ask
from redink.models.engine import Engine
from redink.models.fake_script import BatchScript, Tariff
from redink.models.fake_server import FakeServer, Refused, Said, Script, serving
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.wire import Endpoint

TARIFF = Tariff(prompt=Decimal("2.5"), cached_prompt=Decimal("1.25"), completion=Decimal(10))
PRICE = Price(
    prompt=Decimal("2.5"), cached_prompt=Decimal("1.25"), completion=Decimal(10), batch_discount=Decimal("0.5")
)


def say(asked: Any) -> Said | Refused:
    """Twice the prompt; a refusal and a long reply where the prompt asks for them."""
    prompt = asked.body["messages"][-1]["content"]
    if prompt == "too long":
        return Refused(400, "too many tokens", "context_length_exceeded")
    return Said("x" * 400 if prompt == "long" else f"{prompt}, {prompt}")


def script(**batch: float) -> Script:
    return Script(seed=3, tariff=TARIFF, batch=BatchScript(**batch), cached_share=0.3)


class Desk:
    """Journal, ledger, engine and a batch chat on them."""

    def __init__(self, path: Path, base_url: str, max_usd: Decimal | None = None, **settings: Any) -> None:
        self.journal = Journal(path)
        self.ledger = Ledger(self.journal, {"m": PRICE}, max_usd)
        self.engine = Engine(self.journal, self.ledger)
        self.endpoint = Endpoint("m", base_url)
        settings = {"size": 10, "wait_s": 0.05, "poll_s": 0.02, "first_pause_s": 0.01, "server_tries": 4} | settings
        self.chat = BatchChat(self.engine, self.endpoint, **settings)

    async def all(self, prompts: list[str], **settings: Any) -> list[Reply | BaseException]:
        asked = [self.chat.complete(ask(prompt, ChatSettings(**settings))) for prompt in prompts]
        with self.engine.stage("thoughts"):
            return await asyncio.gather(*asked, return_exceptions=True)

    def __call__(self, prompts: list[str], **settings: Any) -> list[Reply | BaseException]:
        try:
            return asyncio.run(self.all(prompts, **settings))
        finally:
            self.journal.close()


def texts(replies: list[Reply | BaseException]) -> list[str]:
    return [reply.text if isinstance(reply, Reply) else repr(reply) for reply in replies]


def doubled(count: int) -> tuple[list[str], list[str]]:
    prompts = [f"p{number}" for number in range(count)]
    return prompts, [f"{prompt}, {prompt}" for prompt in prompts]


def server_usd(server: FakeServer) -> Decimal:
    return Decimal(server.books.totals()["usd"])


def test_a_batch_brings_replies_into_journal_and_ledger_at_the_discount(tmp_path: Path) -> None:
    prompts, said = doubled(25)
    with serving(say, script(latency_s=0.1)) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        assert texts(desk(prompts)) == said
        assert desk.ledger.spent == server_usd(server) > 0
        (total,) = desk.ledger.totals()
        assert (total.stage, total.calls, total.failed_tries) == ("thoughts", 25, 0)
        assert len(server._desk._batches) == 3
    with Journal(tmp_path / "j.sqlite") as journal:
        assert Ledger(journal).spent == desk.ledger.spent
        assert journal.notes(desk.chat._topic) == {}


def test_what_came_by_batch_is_not_bought_online_nor_the_other_way_round(tmp_path: Path) -> None:
    prompts, said = doubled(6)
    with serving(say, script()) as server:
        Desk(tmp_path / "j.sqlite", server.base_url)(prompts[:3])
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        online = desk.engine.chat(desk.endpoint)

        async def both() -> list[Reply]:
            return [await online.complete(ask(prompt)) for prompt in prompts]

        assert texts(asyncio.run(both())) == said
        desk.journal.close()
        assert texts(Desk(tmp_path / "j.sqlite", server.base_url)(prompts)) == said
        assert server.books.totals()["replies"] == 6


def test_what_expired_or_failed_is_submitted_again_and_only_that(tmp_path: Path) -> None:
    prompts, said = doubled(40)
    with serving(say, script(expired=0.2, failed=0.2)) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url, size=40, tries=12)
        assert texts(desk(prompts)) == said
        assert server.books.totals()["replies"] == 40
        assert desk.ledger.spent == server_usd(server)
        assert desk.ledger.totals()[0].failed_tries == sum(batch.failed for batch in server._desk._batches.values())


def test_a_row_that_never_succeeds_is_given_up_and_the_others_are_not(tmp_path: Path) -> None:
    with serving(say, script(failed=1.0)) as server:
        (reply,) = Desk(tmp_path / "j.sqlite", server.base_url, tries=2)(["p"])
    assert isinstance(reply, ReplyFailure)
    assert (reply.reason, reply.detail) == ("server_failed", "HTTP 500: The server had an error. (2 batches)")
    with serving(say, script()) as server:
        replies = Desk(tmp_path / "k.sqlite", server.base_url)(["p", "too long", "q"])
        assert len(server._desk._batches) == 1
    assert texts([replies[0], replies[2]]) == ["p, p", "q, q"]
    assert isinstance(replies[1], ReplyFailure)
    assert replies[1].reason == "refused"


def test_a_reply_cut_by_length_travels_again_with_more_room(tmp_path: Path) -> None:
    with serving(say, script()) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url, larger_on_cut=4)
        assert texts(desk(["long"], max_tokens=50)) == ["x" * 400]
        assert desk.ledger.totals()[0].calls == 2


def test_the_budget_stops_the_next_batch(tmp_path: Path) -> None:
    with serving(say, script()) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url, max_usd=Decimal("0.00001"))

        async def twice() -> list[Reply | BaseException]:
            return [*(await desk.all(["p" * 40])), *(await desk.all(["q"]))]

        first, second = asyncio.run(twice())
        desk.journal.close()
    assert isinstance(first, Reply)
    assert isinstance(second, Interrupted)


def test_when_told_to_stop_nobody_waits_for_a_batch_and_it_is_found_again(tmp_path: Path) -> None:
    """The server takes a second for a batch; told to stop after 0.3 s, three rows end there, and none is paid twice."""

    async def stopped(desk: Desk) -> tuple[list[Reply | BaseException], float]:
        asyncio.get_running_loop().call_later(0.3, desk.engine.stop, StoppedByHand())
        began = time.monotonic()
        return await desk.all(["a", "b", "c"]), time.monotonic() - began

    with serving(say, script(latency_s=1.0)) as server:
        first = Desk(tmp_path / "journal.db", server.base_url)
        outcomes, took_s = asyncio.run(stopped(first))
        assert all(isinstance(outcome, StoppedByHand) for outcome in outcomes) and took_s < 0.9
        first.journal.close()
        second = Desk(tmp_path / "journal.db", server.base_url)
        replies = asyncio.run(second.all(["a", "b", "c"]))
        second.journal.close()
        assert [reply.text for reply in replies if isinstance(reply, Reply)] == ["a, a", "b, b", "c, c"]
        assert second.ledger.spent == server_usd(server) > 0


def test_without_a_journal_it_says_so() -> None:
    with pytest.raises(Failure, match="needs a journal"):
        BatchChat(Engine(), Endpoint("m", "http://127.0.0.1:1/v1"))


def test_no_server_is_a_failure_of_one_line(tmp_path: Path) -> None:
    (reply,) = Desk(tmp_path / "j.sqlite", "http://127.0.0.1:1/v1", server_tries=2)(["p"])
    assert isinstance(reply, Failure)
    assert "does not answer" in str(reply)
    assert "\n" not in str(reply)


def test_a_cancelled_row_leaves_nothing_in_the_event_loop(tmp_path: Path) -> None:
    async def cancelled(desk: Desk) -> set[asyncio.Task[Any]]:
        task = asyncio.create_task(desk.chat.complete(ask("p")))
        while not desk.journal.notes(desk.chat._topic):
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    with serving(say, script(latency_s=60)) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        assert asyncio.run(cancelled(desk)) == set()
        assert len(desk.journal.notes(desk.chat._topic)) == 1
        desk.journal.close()


def test_an_input_file_is_deleted_once_its_batch_is_booked_and_not_before(tmp_path: Path) -> None:
    """What expires travels again: whenever a file goes, its batch's replies are on disk, and its note still is."""
    seen: list[tuple[str, set[str], int]] = []

    def look(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if path.startswith("DELETE"):
            with closing(sqlite3.connect(tmp_path / "j.sqlite")) as file:
                noted = {name for (name,) in file.execute("SELECT name FROM notes")}
                ((kept,),) = file.execute("SELECT count(*) FROM entries")
            seen.append((path.rpartition("/")[2], noted, kept))
        return status, body

    prompts, said = doubled(20)
    with serving(say, script(expired=0.3)) as server:
        tampered(server, look)
        desk = Desk(tmp_path / "j.sqlite", server.base_url, size=20, tries=9)
        assert texts(desk(prompts)) == said
        batches = list(server._desk._batches.values())
        assert [name for name, _, _ in seen] == [batch.input_file_id for batch in batches]
        assert all(name in noted for name, noted, _ in seen)
        assert [kept for _, _, kept in seen] == list(accumulate(batch.done for batch in batches))
        results = {name for batch in batches for name in (batch.output_file_id, batch.error_file_id) if name}
        assert server._desk._files.keys() == results
    assert len(batches) > 1


def test_while_a_batch_is_under_way_its_input_stays_and_whoever_books_it_deletes_it(tmp_path: Path) -> None:
    """Killed after half a second of a batch of one; the next process reads it, deletes the file and takes the note."""

    async def cancelled(desk: Desk) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await desk.all(["p"])

    with serving(say, script(latency_s=0.8)) as server:
        first = Desk(tmp_path / "j.sqlite", server.base_url)
        asyncio.run(cancelled(first))
        first.journal.close()
        (batch,) = server._desk._batches.values()
        assert server._desk._files.keys() == {batch.input_file_id}
        second = Desk(tmp_path / "j.sqlite", server.base_url)
        assert texts(second(["p"])) == ["p, p"]
        assert server._desk._files.keys() == {batch.output_file_id}


@pytest.mark.parametrize("then", [(404, b"{}"), (405, b"<html>"), (401, b'{"error": "no"}'), (500, b""), (200, b"ok")])
def test_a_server_that_deletes_nothing_is_no_failure(tmp_path: Path, then: tuple[int, bytes]) -> None:
    with serving(say, script()) as server:
        tampered(server, first_times(99, "DELETE", then))
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        assert texts(desk(["p"])) == ["p, p"]
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.notes(desk.chat._topic) == {}


# what goes wrong on the way: a server whose files and batches are tampered with


def tampered(server: FakeServer, change: Callable[[str, int, bytes], tuple[int, bytes]]) -> None:
    """Let `change` have a look at every response of the Batch API: (path, status, body)."""
    answer = server._desk.answer

    def wrapped(request: Any) -> Any:
        result = answer(request)
        return result if result is None else change(f"{request.method} {request.path}", *result)

    server._desk.answer = wrapped  # type: ignore[method-assign]


def first_times(count: int, marks: str, then: tuple[int, bytes]) -> Callable[[str, int, bytes], tuple[int, bytes]]:
    """The first `count` responses to what contains `marks` are `then`."""
    left = [count]

    def change(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if marks in path and left[0]:
            left[0] -= 1
            return then
        return status, body

    return change


@pytest.mark.parametrize("marks", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/", "/content"])
@pytest.mark.parametrize("then", [(500, b"{}"), (429, b'{"error": {"message": "slow down"}}'), (503, b"<html>")])
def test_a_server_that_stumbles_is_asked_again_and_makes_one_batch(
    tmp_path: Path, marks: str, then: tuple[int, bytes]
) -> None:
    prompts, said = doubled(3)
    with serving(say, script()) as server:
        tampered(server, first_times(2, marks, then))
        assert texts(Desk(tmp_path / "j.sqlite", server.base_url)(prompts)) == said
        assert len(server._desk._batches) == 1
        assert server.books.totals()["replies"] == 3


def test_a_wrong_key_is_a_failure_at_once(tmp_path: Path) -> None:
    with serving(say, script()) as server:
        tampered(server, first_times(99, "files", (401, b'{"error": {"message": "bad key"}}')))
        (reply,) = Desk(tmp_path / "j.sqlite", server.base_url)(["p"])
    assert isinstance(reply, Failure)
    assert "bad key" in str(reply)


def test_garbage_in_an_output_file_costs_only_its_lines(tmp_path: Path) -> None:
    """Two of three lines are unreadable or of nobody: those rows are submitted again."""
    prompts, said = doubled(3)

    def spoil(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "/content" not in path or len(body.splitlines()) < 3:
            return status, body
        first, second, third = body.splitlines()
        other = json.loads(second) | {"custom_id": "nobody"}
        return status, b"\n".join([first, json.dumps(other).encode(), third[:-30], b"", b"[]", first])

    with serving(say, script()) as server:
        tampered(server, spoil)
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        assert texts(desk(prompts)) == said
        assert sorted(len(batch.rows) for batch in server._desk._batches.values()) == [2, 3]
        assert desk.ledger.totals()[0].calls == 3


def test_a_batch_refused_as_a_whole_is_a_failure_with_its_line(tmp_path: Path) -> None:
    def refuse(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "batches" not in path:
            return status, body
        errors = {"data": [{"code": "invalid_model", "message": "no such model", "line": 1}]}
        return status, json.dumps(
            json.loads(body) | {"status": "failed", "errors": errors, "output_file_id": None}
        ).encode()

    with serving(say, script()) as server:
        tampered(server, refuse)
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        (reply,) = desk(["p"])
    assert isinstance(reply, Failure)
    assert "no such model (line 1)" in str(reply)
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.notes(desk.chat._topic) == {}


def test_too_many_tokens_at_once_are_sent_in_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redink.models.batch.LONGEST_POLL_S", 0.05)
    prompts, said = doubled(4)

    def refuse(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        told = json.loads(body) if "batches/" in path else {}
        if told.get("request_counts", {}).get("total", 0) < 3:
            return status, body
        errors = {"data": [{"code": "token_limit_exceeded", "message": "enqueued token limit", "line": None}]}
        told |= {"status": "failed", "errors": errors, "output_file_id": None}
        return status, json.dumps(told).encode()

    with serving(say, script()) as server:
        tampered(server, refuse)
        assert texts(Desk(tmp_path / "j.sqlite", server.base_url)(prompts)) == said
        assert [len(batch.rows) for batch in server._desk._batches.values()] == [4, 2, 2]


def test_a_batch_that_the_server_forgot_is_made_again(tmp_path: Path) -> None:
    with serving(say, script()) as server:
        tampered(server, first_times(1, "GET /v1/batches/", (404, b"{}")))
        assert texts(Desk(tmp_path / "j.sqlite", server.base_url)(["p"])) == ["p, p"]


# kills

CLIENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_batch import Desk, doubled, texts
prompts, said = doubled(30)
assert texts(Desk(Path(sys.argv[1]), sys.argv[2])(prompts)) == said
"""


@pytest.mark.slow
def test_a_killed_run_finds_its_batches_again_and_pays_for_each_row_once(tmp_path: Path) -> None:
    """Killed at moments that lie before, in and after upload, creation, polling and download."""
    with serving(say, script(latency_s=0.4, expired=0.1)) as server:
        arguments = [
            sys.executable,
            "-c",
            CLIENT,
            str(tmp_path / "j.sqlite"),
            server.base_url,
            str(Path(__file__).parent),
        ]
        for number in range(200):
            client = subprocess.Popen(arguments)
            with suppress(subprocess.TimeoutExpired):
                while client.poll() is None and not server._desk._files:
                    time.sleep(0.005)
                client.wait(0.07 * number if number < 12 else 60)
            if client.poll() == 0:
                break
            client.send_signal(signal.SIGKILL)
            client.wait()
        assert client.returncode == 0
        assert number > 0
        assert server.books.totals()["replies"] == 30
        with Journal(tmp_path / "j.sqlite") as journal:
            assert Ledger(journal).spent == server_usd(server)


def test_a_kill_after_the_download_pays_nothing_twice(tmp_path: Path) -> None:
    """The replies are in the journal, the note of their batch is still there: it is read again, and charged no more."""
    with serving(say, script()) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url)
        file_id, kept = "", b""
        write_down = desk.chat._write_down

        async def remember(flight: Any) -> None:
            nonlocal file_id, kept
            await write_down(flight)
            file_id, kept = flight.file_id, flight.to_note()

        desk.chat._write_down = remember  # type: ignore[method-assign]
        assert texts(asyncio.run(desk.all(["p"]))) == ["p, p"]
        desk.journal.note(desk.chat._topic, file_id, kept)
        server.change(script(latency_s=0.5))
        assert texts(asyncio.run(desk.all(["q"]))) == ["q, q"]
        assert desk.journal.notes(desk.chat._topic) == {}, "the old batch has not been read again"
        assert desk.ledger.spent == server_usd(server)
        assert desk.ledger.totals()[0].calls == 2
        desk.journal.close()


@pytest.mark.parametrize("noted", [True, False])
def test_a_batch_made_just_before_a_kill_is_found_by_its_file(tmp_path: Path, noted: bool) -> None:
    """The note holds the file's id; the batch's id had not been written down, or no batch had been made."""
    with serving(say, script(latency_s=0.2)) as server:
        desk = Desk(tmp_path / "j.sqlite", server.base_url)

        async def half() -> None:
            task = asyncio.create_task(desk.chat.complete(ask("p")))
            while not server._desk._batches:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            task.cancel()

        asyncio.run(half())
        ((file_id, note),) = desk.journal.notes(desk.chat._topic).items()
        desk.journal.note(desk.chat._topic, file_id, json.dumps(json.loads(note) | {"batch_id": ""}).encode())
        if not noted:
            server._desk._batches.clear()
        assert texts(desk(["p"])) == ["p, p"]
        assert (len(server._desk._batches), len(server._desk._files)) == (1, 1), "the batch's output alone is left"
        assert server.books.totals()["replies"] == 1
