from __future__ import annotations

import asyncio
import json
import resource
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from loopback import Answer, completion, hang_up, in_order, refusal, serving

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, ChatSettings, Message, Reply, Usage, ask
from redink.models.wire import (
    Endpoint,
    Form,
    Outcome,
    RateHeaders,
    Wire,
    canonical_body,
    classify,
    duration,
    rate_headers,
    read_completion,
    read_reply,
    read_usage,
    retry_after,
    room_for_sockets,
)

NOON = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)


def post(base_url: str, timeout_s: float = 5.0, stalled_after_s: float = 5.0) -> Outcome:
    async def run() -> Outcome:
        wire = Wire(stalled_after_s)
        try:
            endpoint = Endpoint("m", base_url, "REDINK_TEST_KEY")
            return await wire.post(endpoint, BODY, aiohttp.ClientTimeout(total=timeout_s))
        finally:
            await wire.aclose()

    return asyncio.run(run())


BODY = canonical_body("m", ask("1+1?"))


def test_the_canonical_body_is_sorted_tight_and_readable() -> None:
    settings = ChatSettings(temperature=0.5, max_tokens=7, seed=3, stop=("</Answer>",))
    request = ChatRequest(
        messages=(Message(role="system", content="Solve √2."), Message(role="user", content='"q"')),
        **settings.model_dump(),
    )
    assert canonical_body("m", request).decode() == (
        '{"max_tokens":7,"messages":[{"content":"Solve √2.","role":"system"},{"content":"\\"q\\"","role":"user"}],'
        '"model":"m","seed":3,"stop":["</Answer>"],"temperature":0.5,"top_p":1.0}'
    )


def test_what_is_not_set_is_not_sent() -> None:
    assert set(json.loads(BODY)) == {"model", "messages", "max_tokens", "temperature", "top_p"}


def test_every_field_of_a_request_is_in_its_body() -> None:
    """What is not hashed would be replayed for another request; so each field must change the body."""
    other: dict[str, Any] = {"temperature": 0.1, "top_p": 0.5, "max_tokens": 9, "seed": 1, "stop": ("x",)}
    other["messages"] = (Message(role="assistant", content="1+1?"),)
    assert set(other) == set(ChatRequest.model_fields)
    bodies = {canonical_body("m", ask("1+1?").model_copy(update={name: value})) for name, value in other.items()}
    assert len(bodies | {BODY}) == len(other) + 1


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            Form("max_completion_tokens", ("temperature", "top_p"), {"reasoning_effort": "low"}),
            {"max_completion_tokens": 2048, "reasoning_effort": "low"},
        ),
        (
            Form(extra={"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}, "top_p": 0.8}),
            {"max_tokens": 2048, "temperature": 0.0, "top_p": 0.8, "top_k": 20,
             "chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)  # fmt: skip
def test_a_server_is_asked_in_the_form_it_wants(form: Form, expected: dict[str, Any]) -> None:
    endpoint = Endpoint("m", "http://127.0.0.1:1/v1", form=form)
    message = {"messages": [{"content": "1+1?", "role": "user"}], "model": "m"}
    assert json.loads(endpoint.body(ask("1+1?"))) == expected | message


def test_the_order_of_extra_fields_is_of_no_account_and_their_values_are() -> None:
    bodies = [
        canonical_body("m", ask("1+1?"), Form(extra=extra))
        for extra in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    ]
    assert bodies[0] == bodies[1] != bodies[2]


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"n": 2, "stream": True}, "may not hold n, stream"),
        ({"max_tokens": 5}, "may not hold max_tokens"),
        ({"bias": float("nan")}, "JSON has no word for"),
        ({"day": NOON}, "JSON has no word for"),
    ],
)
def test_extra_fields_that_cannot_be_sent_are_refused(extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Failure, match=complaint):
        Form(extra=extra)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        (completion("2"), "reply", ""),
        (completion("half", finish_reason="length"), "reply", ""),
        (refusal(408), "faulty", "HTTP 408: no"),
        (refusal(409), "faulty", "HTTP 409: no"),
        (refusal(429), "busy", "HTTP 429: no"),
        (refusal(429, code="insufficient_quota"), "fatal", "HTTP 429: no"),
        (refusal(500), "faulty", "HTTP 500: no"),
        (refusal(503), "faulty", "HTTP 503: no"),
        (refusal(503, retry_after="3"), "busy", "HTTP 503: no"),
        (refusal(529, retry_after="3"), "busy", "HTTP 529: no"),
        (refusal(400), "fatal", "HTTP 400: no"),
        (refusal(401), "fatal", "HTTP 401: no"),
        (refusal(402), "fatal", "HTTP 402: no"),
        (refusal(404), "fatal", "HTTP 404: no"),
        (refusal(422), "fatal", "HTTP 422: no"),
        (refusal(400, "no", code="context_length_exceeded"), "refused", "HTTP 400: no"),
        (refusal(413), "refused", "HTTP 413: no"),
        (Answer(body="<html>"), "faulty", "Invalid JSON: JSONDecodeError"),
        (Answer(body="[" * 100_000), "faulty", "Invalid JSON: RecursionError"),
        (Answer(body='{"choices": [{"message": "text"}]}'), "faulty", "choices.0.message: an object was expected"),
        (Answer(body='{"error": {"code": 429, "message": "slow down"}}'), "busy", "HTTP 429: slow down"),
        (Answer(body='{"error": {"code": 502, "message": "upstream"}}'), "faulty", "HTTP 502: upstream"),
        (Answer(body='{"error": {"code": "x"}}'), "faulty", "choices: a list of at least one was expected"),
        (hang_up(), "faulty", "the connection broke (ServerDisconnectedError)"),
        (hang_up(HEAD), "faulty", "the connection broke (ClientPayloadError)"),
        (completion("late", delay_s=1.0), "faulty", "no full reply within 0.3 s"),
    ],
    ids=lambda value: f"{value.status} {value.raw or value.body}"[:50] if isinstance(value, Answer) else None,
)
def test_each_outcome_is_of_its_kind(answer: Answer, kind: str, detail: str) -> None:
    with serving(in_order(answer)) as server:
        outcome = post(server.base_url, timeout_s=0.3 if "0.3 s" in detail else 5.0)
    assert (outcome.kind, outcome.detail) == (kind, detail)
    assert len(server.asked) == 1


def test_no_server_is_unreachable() -> None:
    assert post("http://127.0.0.1:9/v1").kind == "unreachable"


async def _stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half a body, then nothing for as long as the client stays."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD)
    await reader.read()
    writer.close()


async def _trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """White space now and then, as DeepSeek sends to keep a slow reply alive, and at last the reply."""
    body = completion("2").body.encode()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (6 + len(body)))
    for _ in range(6):
        writer.write(b"\n")
        await asyncio.sleep(0.1)
    writer.write(body)
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("behave", "kind", "detail"), [(_stalling, "faulty", "the reply stalled for 0.3 s"), (_trickling, "reply", "")]
)
def test_silence_within_a_reply_is_a_stall_and_keeping_alive_is_not(behave: Any, kind: str, detail: str) -> None:
    async def run() -> Outcome:
        server, wire = await asyncio.start_server(behave, "127.0.0.1", 0), Wire(stalled_after_s=0.3)
        endpoint = Endpoint("m", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        async with server:
            outcome = await wire.post(endpoint, BODY, aiohttp.ClientTimeout(total=10))
            await wire.aclose()
        return outcome

    outcome = asyncio.run(run())
    assert (outcome.kind, outcome.detail) == (kind, detail)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5}, Usage(prompt_tokens=7, completion_tokens=5)),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(prompt_tokens=7, cached_tokens=4, completion_tokens=5, reasoning_tokens=3),
        ),
        (
            {"prompt_tokens": 7, "completion_tokens": 5, "prompt_cache_hit_tokens": 6},
            Usage(prompt_tokens=7, cached_tokens=6, completion_tokens=5),
        ),
        (
            {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": None},
            Usage(prompt_tokens=7, completion_tokens=5),
        ),
        ({"prompt_tokens": -1, "completion_tokens": "5"}, Usage()),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(prompt_tokens=3, cached_tokens=3)),
        ({"prompt_tokens": True}, Usage()),
        (None, Usage()),
        ([], Usage()),
    ],
)
def test_usage_is_read_as_servers_write_it(usage: Any, expected: Usage) -> None:
    assert read_usage(usage) == expected


def body_of(message: dict[str, Any], finish: Any = "stop") -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (body_of({"content": "2"}), Reply(text="2")),
        (body_of({"content": "2"}, None), Reply(text="2")),
        (body_of({"content": "2"}, 7), Reply(text="2")),
        (body_of({"content": "2", "reasoning_content": None, "reasoning": "r"}), Reply(text="2", reasoning="r")),
        (body_of({"content": [{"type": "text", "text": "a"}, {"type": "x"}, "b"]}), Reply(text="ab")),
        (body_of({"content": "a\ud800b √"}), Reply(text="a?b √")),
    ],
)
def test_replies_are_read_as_servers_write_them(body: bytes, expected: Reply) -> None:
    assert read_reply(body) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "unreadable_reply"),
        (b"[]", "unreadable_reply"),
        (b'{"choices": [7]}', "unreadable_reply"),
        (body_of({"content": "x"}, "length"), "cut_by_length"),
        (body_of({"content": "x"}, "content_filter"), "refused"),
        (body_of({"content": 7}), "empty_reply"),
    ],
)
def test_what_is_no_whole_reply_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(ReplyFailure) as failure:
        read_reply(body)
    assert failure.value.reason == reason


def test_usage_that_is_known_is_not_read_again() -> None:
    assert read_completion(body_of({"content": "2"}), Usage(prompt_tokens=3)).usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("59.7", 59.7),
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("2d", 172800.0),
        ("soon", None),
        ("6m and more", None),
    ],
)
def test_durations(text: str | None, expected: float | None) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": " 3 "}, 3.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-4"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "1", "retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "Wed, 01 May 2024 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "Wed, 01 May 2024 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 01 May 2024 12:01:30"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers, NOON) == expected


def test_rate_headers() -> None:
    """As in OpenAI's guide to rate limits."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert rate_headers(headers) == RateHeaders(60, 150000, 59, 149984, 1.0, 360.0)
    assert rate_headers({"x-ratelimit-limit-requests": "many"}) == RateHeaders()
    assert rate_headers({}) is None


def test_the_key_is_struck_out_of_complaints_however_they_are_written() -> None:
    body = json.dumps({"error": {"message": "bad a/b"}}).replace("/", "\\/").encode()
    assert classify(401, body, {}, key="a/b").detail == "HTTP 401: bad [key]"


def test_an_endpoint_says_where_it_is_and_no_more() -> None:
    endpoint = Endpoint("gpt", "https://api.example.com/v1/", "SECRET_NAME")
    assert endpoint.url == "https://api.example.com/v1/chat/completions"
    assert endpoint == Endpoint("gpt", "https://api.example.com/v1/", "SECRET_NAME")


def test_room_for_sockets_says_what_the_system_allows() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit on open files")
    with pytest.raises(Failure, match=rf"allows {hard} to a process.*Lower max_in_flight to {hard - 256} in all"):
        room_for_sockets(hard)
    room_for_sockets(1)
