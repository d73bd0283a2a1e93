"""The fake server, asked by plain clients: what it says, how it breaks, what it allows, what it charges."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from decimal import Decimal

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from redink.failures import Failure, MarkupFailure
from redink.markup import parse_thought
from redink.models.fake_http import response
from redink.models.fake_limits import Bucket, Gate, Sliding
from redink.models.fake_script import (
    FAULTS,
    Faults,
    HiddenLimits,
    Latency,
    Script,
    Tariff,
    chances,
    digest_of,
    malformed,
)
from redink.models.fake_server import Asked, Refused, Said, launched, read_script, serving

THOUGHT = "<Step1>2 + 2</Step1>\n<Step2>4 + 1</Step2>\n<Answer>5</Answer>"


def four(asked: Asked) -> Said:
    return Said("4")


def body(content: str = "2 + 2 = ?", **more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more}).encode()


@contextlib.contextmanager
def connected(server, timeout: float = 5):
    client = http.client.HTTPConnection(server.base_url.split("/")[2], timeout=timeout)
    try:
        yield client
    finally:
        client.close()


def ask(client: http.client.HTTPConnection, sent: bytes) -> tuple[int, dict, http.client.HTTPMessage]:
    client.request("POST", "/v1/chat/completions", sent, {"Content-Type": "application/json"})
    answer = client.getresponse()
    return answer.status, json.loads(answer.read()), answer.headers


def statuses(script: Script, requests: list[bytes]) -> list[int]:
    with serving(four, script) as server, connected(server) as client:
        return [ask(client, sent)[0] for sent in requests]


def test_a_reply_is_openais_and_its_tokens_are_a_quarter_of_its_characters():
    with (
        serving(lambda asked: Said(f"said: {asked.prompt}", "12345678"), Script(cached_share=0.5)) as server,
        connected(server) as client,
    ):
        status, reply, _ = ask(client, body("abcdefgh"))
    assert status == 200
    assert reply["object"] == "chat.completion"
    assert reply["choices"][0]["message"]["content"] == "said: abcdefgh"
    assert reply["choices"][0]["message"]["reasoning_content"] == "12345678"
    assert reply["choices"][0]["finish_reason"] == "stop"
    # 8 characters in, half of them cached; 14 + 8 out: ceil(14 / 4) + 8 / 4.
    usage = reply["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (2, 6, 8)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


def test_the_bill_is_the_sum_of_the_replies_sent():
    tariff = Tariff(prompt=Decimal(3), cached_prompt=Decimal(1), completion=Decimal(15))
    with (
        serving(lambda asked: Said("x" * 40), Script(tariff=tariff, cached_share=0.25)) as server,
        connected(server) as client,
    ):
        names = [ask(client, body("y" * 80))[1]["id"] for _ in range(3)]
        bill, totals = list(server.books.billed()), server.books.totals()
    # One reply: 20 prompt tokens, 5 of them cached, 10 completion tokens: 15·3 + 5·1 + 10·15 = 200 millionths.
    assert [row.usd for row in bill] == [Decimal("0.0002")] * 3
    assert [row.id for row in bill] == names
    assert Decimal(str(totals["usd"])) == Decimal("0.0006")
    assert (totals["replies"], totals["requests"], totals["distinct_requests"], totals["most_tries"]) == (3, 3, 1, 3)
    assert (totals["prompt_tokens"], totals["cached_tokens"], totals["completion_tokens"]) == (60, 15, 30)


def test_a_reply_longer_than_asked_for_is_cut():
    with serving(lambda asked: Said("abcdefghij", "rrrr")) as server, connected(server) as client:
        _, cut, _ = ask(client, body(max_tokens=2))
        _, whole, _ = ask(client, body(max_tokens=4))
    assert (cut["choices"][0]["finish_reason"], cut["choices"][0]["message"]["content"]) == ("length", "abcd")
    assert cut["usage"]["completion_tokens"] == 2
    assert (whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]) == ("stop", 4)


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'{"messages": 3}', body(""), body(stream=True)])
def test_what_is_no_request_is_refused(sent):
    with serving(four) as server, connected(server) as client:
        assert ask(client, sent)[0] == 400
        assert ask(client, body())[0] == 200
        assert len(server.books) == 1


def test_a_refusal_can_be_scripted():
    with serving(lambda asked: Refused(401, "no", "invalid_api_key")) as server, connected(server) as client:
        status, said, _ = ask(client, body())
    assert (status, said["error"]["code"]) == (401, "invalid_api_key")


def test_an_unknown_address_is_404_and_models_are_listed():
    with serving(four) as server, connected(server) as client:
        for path, status in (("/v1/nothing", 404), ("/v1/models", 200), ("/v1/files/x", 404), ("/v1/batches/x", 404)):
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            assert answer.status == status, path


# HTTP


def raw(server, sent: bytes, until: bytes) -> bytes:
    host, port = server.base_url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(sent)
        came = b""
        while came.count(b"chatcmpl-") < until.count(b"x") and (part := client.recv(65536)):
            came += part
    return came


def post(content: bytes, head: bytes = b"") -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: %d\r\n%s\r\n%s" % (
        len(content), head, content,
    )  # fmt: skip


def test_requests_sent_at_once_are_answered_in_their_order():
    with serving(lambda asked: Said(asked.prompt)) as server:
        came = raw(server, b"".join(post(body(f"number {n}")) for n in range(50)), b"x" * 50)
    replies = [json.loads(part[: part.rindex(b"}") + 1]) for part in came.split(b"\r\n\r\n")[1:]]
    assert [reply["choices"][0]["message"]["content"] for reply in replies] == [f"number {n}" for n in range(50)]


def test_a_chunked_body_is_read():
    content = body("in parts")
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (content[:5], content[5:])) + b"0\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(lambda asked: Said(asked.prompt)) as server:
        assert b"in parts" in raw(server, head + chunks, b"x")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /" + b"x" * 70_000, b"431"),
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(sent, status):
    with serving(four) as server:
        assert raw(server, sent, b"x").startswith(b"HTTP/1.1 " + status)


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked():
    content = body()
    host_port = ("127.0.0.1", 0)
    with serving(four) as server:
        host_port = ("127.0.0.1", int(server.base_url.split(":")[2].split("/")[0]))
        with socket.create_connection(host_port, timeout=5) as client:
            client.sendall(post(content, b"Expect: 100-continue\r\n").removesuffix(content))
            assert client.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(content)
            assert client.recv(1024).startswith(b"HTTP/1.1 200")


def test_a_response_states_its_length():
    assert response(200, b"abc").endswith(b"Content-Length: 3\r\n\r\nabc")


# faults


@pytest.mark.parametrize(("fault", "status"), [("too_many", 429), ("server_error", 500)])
def test_a_fault_with_a_status(fault, status):
    assert statuses(Script(faults=Faults(**{fault: 1})), [body()]) == [status]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("hang_up", http.client.RemoteDisconnected),
        ("cut", http.client.IncompleteRead),
        ("garbage", json.JSONDecodeError),
        ("stall", TimeoutError),
        ("silence", TimeoutError),
    ],
)
def test_a_fault_of_the_wire(fault, expected):
    script = Script(faults=Faults(**{fault: 1}))
    with serving(four, script) as server, connected(server, timeout=0.2) as client:
        with pytest.raises(expected):
            ask(client, body())
        assert server.books.faults[fault] == 1
        assert len(server.books) == 0
        works = fault in ("cut", "garbage", "stall")
        assert (server.books.spoilt_tokens > 0) == works


def test_a_stalled_reply_begins():
    with serving(four, Script(faults=Faults(stall=1))) as server, connected(server, timeout=0.2) as client:
        client.request("POST", "/v1/chat/completions", body())
        answer = client.getresponse()
        assert answer.status == 200
        with pytest.raises(TimeoutError):
            answer.read()


def test_chance_is_that_of_seed_body_and_try():
    requests = [body(f"{n}") for n in range(40)] * 3
    storm = Faults(too_many=0.3, server_error=0.3)
    first = statuses(Script(seed=1, faults=storm), requests)
    assert statuses(Script(seed=1, faults=storm), requests) == first
    assert statuses(Script(seed=2, faults=storm), requests) != first
    assert first[:40] != first[40:80]
    assert statuses(Script(seed=1, faults=storm), list(reversed(requests)))[:40] == list(reversed(first[:40]))


def test_faults_come_as_often_as_they_are_asked_for():
    faults = Faults(too_many=0.1, server_error=0.2, cut=0.05, malformed=0.4)
    drawn = [chances(7, digest_of(f"{n}".encode()), 0) for n in range(20_000)]
    picked = [faults.pick(row.fault) for row in drawn]
    for name in FAULTS:
        expected = getattr(faults, name)
        assert stats.binomtest(picked.count(name), len(picked), expected).pvalue > 0.001
    assert abs(stats.pearsonr([row.fault for row in drawn], [row.latency for row in drawn]).statistic) < 0.05
    assert abs(stats.pearsonr([row.markup for row in drawn], [row.kind for row in drawn]).statistic) < 0.05


def test_faults_that_add_up_to_more_than_everything_are_refused():
    with pytest.raises(ValidationError, match="more than 1"):
        Faults(cut=0.6, stall=0.5)


@given(st.floats(0, 1, exclude_max=True))
def test_broken_markup_cannot_be_read(share):
    with pytest.raises(MarkupFailure):
        parse_thought(malformed(THOUGHT, share))
    assert "<Verdict>" not in malformed("<Remark>no</Remark>\n<Verdict>revise</Verdict>", share)


def test_there_are_three_ways_to_break_markup():
    assert len({malformed(THOUGHT, share) for share in (0.1, 0.5, 0.9)}) == 3


def test_the_same_request_gets_the_same_broken_text():
    with (
        serving(lambda asked: Said(THOUGHT), Script(faults=Faults(malformed=0.5))) as server,
        connected(server) as client,
    ):
        texts = [
            [ask(client, body(f"{n}"))[1]["choices"][0]["message"]["content"] for _ in range(3)] for n in range(20)
        ]
    assert all(len(set(tries)) == 1 for tries in texts)
    assert 0 < sum(tries[0] != THOUGHT for tries in texts) < 20


# latency


def test_lognormal_latency_has_the_quantiles_of_its_law():
    latency = Latency(kind="lognormal", median_s=2.0, sigma=0.7)
    for share in (0.01, 0.25, 0.5, 0.9, 0.999):
        assert latency.seconds(share) == pytest.approx(stats.lognorm.ppf(share, 0.7, scale=2.0))
    assert 0 < latency.seconds(0.0) < latency.seconds(1.0) < float("inf")


def test_a_reply_takes_its_time_and_is_counted_as_in_flight():
    script = Script(latency=Latency(median_s=0.2))

    async def both(url: str) -> float:
        async with aiohttp.ClientSession() as session:
            start = time.monotonic()
            await asyncio.gather(*(_read(session, url, body(f"{n}")) for n in range(2)))
            return time.monotonic() - start

    with serving(four, script) as server:
        took = asyncio.run(both(server.base_url))
        totals = server.books.totals()
    assert 0.2 <= took < 0.4  # not one after the other
    assert totals["most_in_flight"] == 2
    assert totals["in_flight"] == 0
    assert 0.39 < totals["in_flight_seconds"] < 0.6


async def _read(session: aiohttp.ClientSession, url: str, sent: bytes) -> bytes:
    async with session.post(f"{url}/chat/completions", data=sent) as answer:
        return await answer.read()


def test_a_client_that_leaves_is_not_billed():
    with serving(four, Script(latency=Latency(median_s=0.2))) as server:
        with connected(server, timeout=0.05) as client, pytest.raises(TimeoutError):
            ask(client, body())
        time.sleep(0.3)
        totals = server.books.totals()
    assert (totals["replies"], totals["in_flight"]) == (0, 0)


# limits


SIXTY_FOURTHS = st.integers(0, 128).map(lambda n: n / 64)  # exact in binary, so that sums are


@given(st.lists(st.tuples(SIXTY_FOURTHS, st.sampled_from([0.5, 1.0, 3.0])), max_size=60))
def test_no_window_of_a_sliding_limit_holds_more_than_is_allowed(asked):
    quota, now, passed = Sliding(per_minute=120, window_s=5), 0.0, []
    for pause, cost in asked:
        now += pause
        wait = quota.wait(now, cost)
        spent = sum(much for when, much in passed if when > now - 5)
        assert (wait == 0) == (spent + cost <= 10)  # 120 a minute are 10 in 5 s
        if wait:
            assert quota.wait(now + wait - 1 / 128, cost) > 0
            now += wait
            assert quota.wait(now, cost) == 0
        quota.take(now, cost)
        passed.append((now, cost))


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.5, 3)), max_size=60))
def test_a_bucket_gives_what_has_run_in(asked):
    quota, level, now = Bucket(per_minute=60, capacity=4, level=4, at=0.0), 4.0, 0.0
    for pause, cost in asked:
        now += pause
        level = min(4.0, level + pause)  # one a second
        wait = quota.wait(now, cost)
        assert wait == pytest.approx(max(0.0, cost - level), abs=1e-5)
        if not wait:
            quota.take(now, cost)
            level -= cost


def test_a_request_dearer_than_the_bucket_passes_when_it_is_full():
    gate = Gate(HiddenLimits(tokens_per_minute=60, burst_s=2), 0.0)
    assert gate.wait(0.0, 1000) == 0
    assert gate.wait(0.0, 1) == pytest.approx(1.0)


def test_a_request_passes_both_limits_or_none():
    gate = Gate(HiddenLimits(requests_per_minute=60, tokens_per_minute=600, burst_s=1), 0.0)
    assert gate.wait(0.0, 10) == 0
    assert gate.wait(0.5, 1) == pytest.approx(0.5)  # refused for its number: no tokens are taken
    assert gate.tokens.left(1.0) == pytest.approx(10)


@pytest.mark.parametrize("kind", ["bucket", "sliding"])
def test_a_changed_limit_does_not_forget_what_was_used(kind):
    limits = HiddenLimits(requests_per_minute=600, kind=kind, burst_s=1, window_s=1)
    gate = Gate(limits, 0.0)
    assert [gate.wait(0.0, 0) for _ in range(10)] == [0] * 10
    gate.change(limits.model_copy(update={"requests_per_minute": 300}), 0.0)
    assert gate.wait(0.0, 0) > 0


def test_what_a_limit_says():
    open_limits = HiddenLimits(requests_per_minute=60, tokens_per_minute=6000, headers=True, burst_s=1)
    with serving(four, Script(limits=open_limits)) as server, connected(server) as client:
        _, _, first = ask(client, body())
        status, said, second = ask(client, body())
    assert (first["x-ratelimit-limit-requests"], first["x-ratelimit-remaining-requests"]) == ("60", "0")
    assert first["x-ratelimit-limit-tokens"] == "6000"
    assert (status, said["error"]["code"]) == (429, "rate_limit_exceeded")
    assert second["Retry-After"] == "1"
    assert 0 < int(second["retry-after-ms"]) <= 1000


def test_a_hidden_limit_says_nothing():
    hidden = HiddenLimits(requests_per_minute=60, retry_after=False)
    with serving(four, Script(limits=hidden)) as server, connected(server) as client:
        ask(client, body())
        status, _, headers = ask(client, body())
        assert server.books.faults["limit"] == 1
    assert status == 429
    assert not [name for name in headers if "ratelimit" in name.lower() or "retry" in name.lower()]


# the Batch API


async def batch_of(url: str, lines: list[object]) -> tuple[dict, list[dict], list[dict]]:
    """Upload, create, poll to the end: the batch, its output lines, its error lines."""
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    async with aiohttp.ClientSession() as session:
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", content.encode(), filename="rows.jsonl", content_type="application/jsonl")
        async with session.post(f"{url}/files", data=form) as answer:
            file = await answer.json()
        wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        async with session.post(f"{url}/batches", json=wanted) as answer:
            batch = await answer.json()
        while batch["status"] == "in_progress":
            await asyncio.sleep(0.02)
            async with session.get(f"{url}/batches/{batch['id']}") as answer:
                batch = await answer.json()
        files = [await lines_of(session, url, batch[name]) for name in ("output_file_id", "error_file_id")]
        return batch, files[0], files[1]


async def lines_of(session: aiohttp.ClientSession, url: str, name: str | None) -> list[dict]:
    if name is None:
        return []
    async with session.get(f"{url}/files/{name}/content") as answer:
        return [json.loads(line) for line in (await answer.text()).splitlines()]


def row(number: int) -> dict:
    return {
        "custom_id": f"r{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": json.loads(body(f"question {number}")),
    }


def test_a_batch_comes_back_whole_and_at_a_discount():
    script = Script(batch={"latency_s": 0.1}, tariff=Tariff(prompt=Decimal(1), completion=Decimal(2)))
    with serving(lambda asked: Said(asked.prompt), script) as server:
        batch, good, bad = asyncio.run(batch_of(server.base_url, [row(n) for n in range(5)]))
        usd = server.books.usd()
    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 5, "completed": 5, "failed": 0})
    assert bad == []
    said = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in good}
    assert said == {f"r{n}": f"question {n}" for n in range(5)}
    # 5 rows of 3 prompt tokens at 1 and 3 completion tokens at 2 millionths, half price.
    assert usd == Decimal(5 * (3 + 6)) / 2 / 1_000_000


def test_rows_of_a_batch_fail_and_expire_alone():
    with serving(four, Script(batch={"failed": 0.3, "expired": 0.3})) as server:
        batch, good, bad = asyncio.run(batch_of(server.base_url, [row(n) for n in range(60)]))
        billed = len(server.books)
    assert batch["status"] == "expired"
    assert len(good) == billed == batch["request_counts"]["completed"]
    assert len(bad) == batch["request_counts"]["failed"] == 60 - len(good)
    kinds = {(line["error"] or {}).get("code") or line["response"]["status_code"] for line in bad}
    assert kinds == {"batch_expired", 500}
    assert {line["custom_id"] for line in good + bad} == {f"r{n}" for n in range(60)}


@pytest.mark.parametrize("lines", [["{"], [row(1), row(1)], [{**row(1), "url": "/v1/other"}], [""]])
def test_an_input_file_with_a_bad_line_fails(lines):
    with serving(four) as server:
        batch, good, bad = asyncio.run(batch_of(server.base_url, lines))
    assert (batch["status"], good, bad) == ("failed", [], [])
    assert batch["errors"]["data"]


def test_a_batch_can_be_cancelled_and_a_file_deleted():
    async def talk(url: str) -> tuple[str, int]:
        async with aiohttp.ClientSession() as session:
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", json.dumps(row(1)).encode(), filename="x")
            async with session.post(f"{url}/files", data=form) as answer:
                file = (await answer.json())["id"]
            async with session.post(f"{url}/batches", json={"input_file_id": file}) as answer:
                batch = (await answer.json())["id"]
            async with session.post(f"{url}/batches/{batch}/cancel") as answer:
                status = (await answer.json())["status"]
            await session.delete(f"{url}/files/{file}")
            async with session.get(f"{url}/files/{file}") as answer:
                return status, answer.status

    with serving(four, Script(batch={"latency_s": 60})) as server:
        assert asyncio.run(talk(server.base_url)) == ("cancelled", 404)


# a process of its own


@pytest.mark.slow
def test_a_server_of_its_own_process_tells_its_books_and_can_be_changed():
    with launched(Script(seed=3), "redink.models.fake_server", "--reply", "Hello") as server:
        with connected(server) as client:
            assert ask(client, body())[1]["choices"][0]["message"]["content"] == "Hello"
            server.change(faults={"server_error": 1.0})
            assert ask(client, body())[0] == 500
        books, bill = server.books(), server.bill()
        with pytest.raises(OSError, match="400"):
            server.change(faults={"gremlins": 1.0})
    assert (books["replies"], books["statuses"]) == (1, {"200": 1, "500": 1})
    assert bill[0]["tokens"]["completion_tokens"] == 2
    assert bill[0]["digest"] == digest_of(body()).hex()


@pytest.mark.slow
def test_a_server_ends_with_the_process_that_started_it():
    command = [sys.executable, "-m", "redink.models.fake_server", "--attached"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin and server.stdout
    assert server.stdout.readline().startswith("listening http://127.0.0.1:")
    server.stdin.close()
    assert server.wait(10) == 0
    server.stdout.close()


def test_a_script_that_cannot_be_read_names_its_field():
    assert read_script('{"latency": {"median_s": 2}}').latency.median_s == 2
    with pytest.raises(Failure, match=r"--script: faults\.cut"):
        read_script('{"faults": {"cut": 3}}')
