"""Clients that misbehave, on sockets of their own: each gets a clear word, none harms another."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from served import WRONG, Scripted, asked, body, call, content, posted, raw, running, scripted_service, until

from redink.serving.connection import Bounds
from redink.serving.schema import ProblemReply

QUICK = Bounds(head_s=0.25, body_s=0.25, idle_s=0.5, linger_s=0.2, body_bytes=4096, connections=8)


@pytest.fixture(scope="module")
def server():
    with running(scripted_service(rounds=0, bounds=QUICK)) as now:
        yield now


@pytest.fixture(scope="module")
def address(server):
    yield server.address
    assert content(asked(server.address, body())) == WRONG  # whatever they did, the next one is served
    assert server.service.queue.inside == 0


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


def problem(reply: bytes) -> str | None:
    return ProblemReply.model_validate_json(reply.partition(b"\r\n\r\n")[2]).error.code


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS on a plain port
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"b" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n",
]


@pytest.mark.parametrize("sent", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_request_is_told_so(address, sent) -> None:
    reply = raw(address, sent)
    assert status_of(reply) == 400
    assert problem(reply) == "malformed_request"
    assert b"Traceback" not in reply


def test_a_head_that_trickles_in_is_given_up(address) -> None:
    started = time.monotonic()
    reply = raw(address, *[b"GET / HT", b"TP/1.1\r\n", *[b"X: y\r\n"] * 3], pause_s=0.08)
    assert (status_of(reply), problem(reply)) == (408, "request_timeout")
    assert time.monotonic() - started < 5


def test_a_head_that_trickles_in_as_a_second_request_is_given_up(address) -> None:
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    reply = raw(address, first, b"GET / HT", pause_s=0.15)
    assert status_of(reply) == 200
    assert b"HTTP/1.1 408" in reply


def test_a_body_that_trickles_in_is_given_up(address) -> None:
    reply = raw(address, *[posted(body())[:-20], b" ", b" ", b" "], pause_s=0.1)
    assert (status_of(reply), problem(reply)) == (408, "request_timeout")


def test_a_connection_that_says_nothing_is_closed(address) -> None:
    assert raw(address) == b""


def test_a_huge_body_is_refused_by_its_announcement(address) -> None:
    head = posted(body()).partition(b"Content-Length")[0]
    reply = raw(address, head + b"Content-Length: 10000000000\r\n\r\n")
    assert (status_of(reply), problem(reply)) == (413, "body_too_large")


def test_a_huge_body_in_chunks_is_refused_once_it_is_too_large(address) -> None:
    head = posted(body()).partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    reply = raw(address, head, *[b"400\r\n" + b" " * 1024 + b"\r\n"] * 6)
    assert (status_of(reply), problem(reply)) == (413, "body_too_large")


@pytest.mark.parametrize("cut", [10, 100, -5])
def test_a_request_that_ends_early_is_told_so(address, cut) -> None:
    reply = raw(address, posted(body())[:cut], half_close=True)
    assert (status_of(reply), problem(reply)) == (400, "incomplete_request")


def test_who_sends_no_more_still_gets_its_reply() -> None:
    model = Scripted()
    model.held.clear()
    with running(scripted_service(model, rounds=0)) as now:
        threading.Timer(0.8, model.held.set).start()  # longer than a probe takes
        reply = raw(now.address, posted(body()), half_close=True)
    assert reply.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    final = reply.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert content(json.loads(final.partition(b"\r\n\r\n")[2])) == WRONG


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_is_generated_for_no_more(stream) -> None:
    model = Scripted()
    model.held.clear()
    with running(scripted_service(model, rounds=0)) as now:
        host, port = now.address.removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as line:
            line.sendall(posted(body(stream=stream)))
            until(lambda: model.asked)
        until(lambda: model.cut == 1 and now.service.queue.inside == 0)
        model.held.set()
        assert "redink_gone_total 1.0" in call(now.address, "metrics")[2]


def test_who_leaves_while_waiting_is_never_generated_for() -> None:
    model = Scripted()
    model.held.clear()
    with running(scripted_service(model, rounds=0)) as now:
        first = threading.Thread(target=asked, args=(now.address, body("first")))
        first.start()
        until(lambda: model.asked)
        host, port = now.address.removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as line:
            line.sendall(posted(body("second")))
            until(lambda: now.service.queue.inside == 2)
        until(lambda: now.service.queue.inside == 1)
        model.held.set()
        first.join()
        asked(now.address, body("third"))
    assert [word in str(request.messages) for request in model.asked for word in ("first", "third")] == [
        True, False, False, True,
    ]  # fmt: skip


def test_too_many_connections_are_sent_away(address) -> None:
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(8)]
    time.sleep(0.05)
    reply = raw(address)
    for line in held:
        line.close()
    assert (status_of(reply), problem(reply)) == (503, "too_many_connections")
    time.sleep(0.05)


def test_pipelined_requests_are_answered_in_order(address) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reply = raw(address, one + one + last)
    assert reply.count(b"HTTP/1.1 200 OK") == 3
    assert reply.index(b'"status"') < reply.index(b'"object":"list"')
