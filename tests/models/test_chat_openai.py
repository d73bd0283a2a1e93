from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import time
import traceback
import warnings

import pytest
from loopback import Answer, Asked, completion, hang_up, in_order, refusal, serving

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatSettings, Reply, Usage, ask
from redink.models.openai import OpenAIChat

KEY_NAME = "REDINK_TEST_KEY"
KEY = "sk-a/secret/key"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_NAME, raising=False)


def chat(base_url: str, **settings: float) -> OpenAIChat:
    given = {"max_attempts": 3, "first_pause_s": 0.001, "timeout_s": 5} | settings
    return OpenAIChat("m", base_url, KEY_NAME, **given)  # type: ignore[arg-type]


def replies(model: OpenAIChat, *prompts: str) -> list[Reply]:
    async def run() -> list[Reply]:
        async with model:
            return list(await asyncio.gather(*(model.complete(ask(prompt)) for prompt in prompts)))

    return asyncio.run(run())


def reply(model: OpenAIChat) -> Reply:
    return replies(model, "1+1?")[0]


def test_a_reply_with_its_usage() -> None:
    with serving(in_order(completion("It is 2."))) as server:
        expected = Reply(text="It is 2.", usage=Usage(prompt_tokens=7, completion_tokens=5))
        assert reply(chat(server.base_url)) == expected
    assert server.asked[0].path == "/v1/chat/completions"
    assert "Authorization" not in server.asked[0].headers
    assert server.asked[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "1+1?"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 2048,
    }


def test_sampling_settings_are_sent() -> None:
    settings = ChatSettings(temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stop=("</Answer>",))

    async def run(base_url: str) -> None:
        async with chat(base_url + "/") as model:
            await model.complete(ask("q", settings))

    with serving(in_order(completion("x"))) as server:
        asyncio.run(run(server.base_url))
    assert server.asked[0].body["messages"] == [{"role": "user", "content": "q"}]
    sent = {name: value for name, value in server.asked[0].body.items() if name not in ("model", "messages")}
    assert sent == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 3, "stop": ["</Answer>"]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion("2", reasoning_content="1 and 1"), ("1 and 1", "2")),
        (completion("2", reasoning="1 and 1"), ("1 and 1", "2")),
        (completion("<think>1 and 1</think>\n2"), ("1 and 1", "2")),
        (completion("<think>b</think>2", reasoning_content="a"), ("a\n\nb", "2")),
    ],
)
def test_reasoning_is_kept_apart(answer: Answer, expected: tuple[str, str]) -> None:
    with serving(in_order(answer)) as server:
        said = reply(chat(server.base_url))
    assert (said.reasoning, said.text) == expected


@pytest.mark.parametrize(
    "fault",
    [
        refusal(408),
        refusal(409),
        refusal(429, retry_after="0"),
        refusal(500),
        refusal(502, retry_after="soon"),
        refusal(503),
        Answer(status=529, body="<html>busy</html>"),
        Answer(body="<html>not JSON</html>"),
        Answer(body='{"choices": []}'),
        Answer(body='{"error": {"message": "upstream"}}'),
        Answer(body='{"choices": [{"message": {"content": "cut in the mid'),
        hang_up(),
        hang_up(b"this is no HTTP\r\n\r\n"),
        hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"),
    ],
    ids=lambda fault: f"{fault.status} {fault.raw or fault.body}"[:40],
)
def test_a_passing_fault_is_tried_again(fault: Answer) -> None:
    with serving(in_order(fault, fault, completion("2"))) as server:
        assert reply(chat(server.base_url)).text == "2"
    assert len(server.asked) == 3
    assert server.asked[0].body == server.asked[2].body


@pytest.mark.parametrize(
    ("fault", "reason", "said", "raw"),
    [
        (refusal(500, "out of\nmemory"), "server_failed", "HTTP 500: out of memory (3 tries)", ""),
        (Answer(status=503), "server_failed", "HTTP 503: (no message) (3 tries)", ""),
        (Answer(body="<html>"), "unreadable_reply", "Invalid JSON", "<html>"),
        (
            Answer(body='{"choices": []}'),
            "unreadable_reply",
            "choices: a list of at least one was expected",
            '{"choices": []}',
        ),
        (hang_up(), "server_failed", "the connection broke", ""),
        (hang_up(b"nonsense\r\n\r\n"), "server_failed", "the connection broke", ""),
    ],
)
def test_a_lasting_fault_fails_this_row_after_all_tries(fault: Answer, reason: str, said: str, raw: str) -> None:
    with serving(in_order(fault)) as server, pytest.raises(ReplyFailure) as failure:
        reply(chat(server.base_url))
    assert (failure.value.reason, failure.value.raw) == (reason, raw)
    assert said in failure.value.detail
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "reason", "raw"),
    [
        (completion("<Step1>half", finish_reason="length"), "cut_by_length", "<Step1>half"),
        (completion("bad", finish_reason="content_filter"), "refused", "bad"),
        (completion(None, refusal="I will not."), "refused", ""),
        (completion(None, reasoning_content="a"), "empty_reply", "a"),
        (completion(" \n"), "empty_reply", ""),
        (refusal(400, "maximum context length is 4096 tokens"), "refused", ""),
        (refusal(400, "no", code="context_length_exceeded"), "refused", ""),
        (refusal(413, "too large"), "refused", ""),
    ],
)
def test_this_row_alone_fails_at_once(answer: Answer, reason: str, raw: str) -> None:
    with serving(in_order(answer, completion("never asked for"))) as server, pytest.raises(ReplyFailure) as failure:
        reply(chat(server.base_url))
    assert (failure.value.reason, failure.value.raw) == (reason, raw)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            refusal(400, "temperature\nmust be 1"),
            "HTTP 400: temperature must be 1 Check base_url, model, token_limit_key",
        ),
        (refusal(401, "wrong key"), f"HTTP 401: wrong key Check the key in the environment variable {KEY_NAME}."),
        (refusal(403, "not yours"), f"HTTP 403: not yours Check what the key in the environment variable {KEY_NAME}"),
        (refusal(404, "no such model"), "HTTP 404: no such model Check base_url (it usually ends in /v1)"),
        (refusal(429, "quota", code="insufficient_quota"), "HTTP 429: quota Add credit"),
        (Answer(status=400, body='{"error": "in a string"}'), "HTTP 400: in a string"),
        (Answer(status=422, body="plain text"), "HTTP 422: plain text"),
        (Answer(status=307, headers={"Location": "http://127.0.0.1:9/"}), "HTTP 307: (no message)"),
    ],
)
def test_what_no_row_can_pass_stops_at_once_in_one_line(answer: Answer, said: str) -> None:
    with serving(in_order(answer, completion("never asked for"))) as server, pytest.raises(Failure) as failure:
        reply(chat(server.base_url))
    assert f"refused the request to 'm': {said}" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert len(server.asked) == 1


def test_retry_after_is_obeyed() -> None:
    with serving(in_order(refusal(429, retry_after="1"), completion("2"))) as server:
        began = time.monotonic()
        assert reply(chat(server.base_url)).text == "2"
    assert 1.0 <= time.monotonic() - began < 3.0


def test_a_server_that_never_answers_is_given_up() -> None:
    with serving(in_order(completion("late", delay_s=1.0))) as server, pytest.raises(ReplyFailure) as failure:
        reply(chat(server.base_url, timeout_s=0.1, max_attempts=2))
    assert failure.value.detail == "no full reply within 0.1 s (2 tries)"


def test_no_server_there_is_one_line_with_a_remedy() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(Failure, match=r"cannot be reached .*; 3 tries\)\. Check that the server runs") as failure:
        reply(chat(base_url))
    assert "\n" not in str(failure.value)


def test_the_window_is_bounded_and_filled() -> None:
    def respond(asked: Asked) -> Answer:
        return completion(asked.prompt, delay_s=0.05)

    with serving(respond) as server:
        said = replies(chat(server.base_url, in_flight=3), *map(str, range(9)))
    assert [each.text for each in said] == [str(number) for number in range(9)]
    assert server.most_at_once == 3


def test_waiting_for_a_free_place_does_not_count_as_waiting_for_the_server() -> None:
    """Four calls of 0.2 s through a window of one take 0.8 s, twice what each is allowed."""
    with serving(in_order(completion("2", delay_s=0.2))) as server:
        said = replies(chat(server.base_url, in_flight=1, timeout_s=0.4, max_attempts=1), *"abcd")
    assert [each.text for each in said] == ["2"] * 4


def test_one_model_serves_one_event_loop_after_another_and_leaves_nothing_open() -> None:
    """Each stage runs a loop of its own; an unclosed session would be a ResourceWarning."""
    with serving(in_order(completion("2"))) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = chat(server.base_url)
        said = [asyncio.run(model.complete(ask("q"))).text for _ in range(3)]
        assert (said, model._engine.wire.is_open) == (["2", "2", "2"], False)
        del model
        gc.collect()
    assert [str(each.message) for each in warned if issubclass(each.category, ResourceWarning)] == []


def test_connections_are_kept_between_calls_in_a_block_and_while_others_call() -> None:
    async def run(base_url: str) -> list[int]:
        model = chat(base_url)
        async with model:
            for _ in range(3):
                await model.complete(ask("one after the other"))
            in_block = len(set(server.ports))
        await asyncio.gather(*(model.complete(ask("at once")) for _ in range(3)))
        return [in_block, model._engine._users]

    with serving(in_order(completion("2", delay_s=0.02))) as server:
        assert asyncio.run(run(server.base_url)) == [1, 0]


def test_closing_at_any_moment_only_costs_a_new_connection() -> None:
    async def run(base_url: str) -> list[Reply]:
        async with chat(base_url) as model:
            first = await model.complete(ask("q"))
            await model.aclose()
            return [first, await model.complete(ask("q"))]

    with serving(in_order(completion("2"))) as server:
        assert [each.text for each in asyncio.run(run(server.base_url))] == ["2", "2"]


def test_closing_an_unused_model_is_nothing() -> None:
    asyncio.run(chat("http://127.0.0.1:9/v1").aclose())


def test_the_key_is_read_when_a_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(in_order(completion("2"))) as server:
        model = chat(server.base_url)
        for key in ("first", "second\n"):
            monkeypatch.setenv(KEY_NAME, key)
            reply(model)
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("base_url", "host"),
    [("http://example.invalid/v1", "example.invalid"), ("https://192.0.2.1:8000/v1", "192.0.2.1")],
)
def test_no_key_is_a_failure_that_names_the_variable(base_url: str, host: str) -> None:
    with pytest.raises(Failure, match=f"variable {KEY_NAME} holds no key for {host}"):
        reply(chat(base_url))


@pytest.mark.parametrize("base_url", ["http://localhost:1/v1", "http://127.0.0.2:1/v1", "http://[::1]:1/v1"])
def test_loopback_needs_no_key(base_url: str) -> None:
    with pytest.raises(Failure, match="cannot be reached"):
        reply(chat(base_url, max_attempts=1))


@pytest.mark.parametrize("key", ["“quoted”", "two\nlines", "nul\x7f"])
def test_a_key_that_cannot_be_one_is_refused_unsaid(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, key)
    with pytest.raises(Failure, match=f"variable {KEY_NAME} holds characters that no key has") as failure:
        reply(chat("http://127.0.0.1:9/v1"))
    assert key not in str(failure.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.openai.com/v1",
        "ftp://host/v1",
        "http://",
        "http://host:port/v1",
        f"https://user:{KEY}@host/v1",
        f"https://host/v1?key={KEY}",
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(base_url: str) -> None:
    with pytest.raises(Failure, match=r"base_url is no plain http\(s\) address") as failure:
        chat(base_url)
    assert KEY not in everything_said_by(failure.value)


FAULTS = [
    refusal(401, f"Incorrect API key provided: {KEY}"),
    Answer(status=401, body=json.dumps({"error": {"message": f"bad key {KEY}"}}).replace("/", "\\/")),
    Answer(status=403, body=f"no entry for {KEY}"),
    refusal(400, f"context length, says {KEY}"),
    refusal(500, KEY),
    refusal(429, KEY, retry_after="0"),
    Answer(body=f"<html>{KEY}"),
    Answer(body=json.dumps({"error": KEY})),
    hang_up(),
    hang_up(b"no HTTP\r\n\r\n"),
    hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"),
    completion("half", finish_reason="length"),
    completion("late", delay_s=0.5),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.status} {fault.raw or fault.body}"[:40])
def test_the_key_is_sent_and_never_said(
    fault: Answer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    caplog.set_level(logging.DEBUG)
    with serving(in_order(fault)) as server:
        model = chat(server.base_url, max_attempts=2, timeout_s=0.3)
        with pytest.raises((Failure, ReplyFailure)) as failure:
            asyncio.run(_closed_after(model), debug=True)
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    said = everything_said_by(failure.value) + repr(model) + str(vars(model)) + caplog.text
    assert KEY not in said
    assert "secret" not in said


async def _closed_after(model: OpenAIChat) -> None:
    async with model:
        await model.complete(ask("q"))


def everything_said_by(failure: BaseException) -> str:
    """All that a log or a debugger's summary could show of an exception and of those behind it."""
    said = "".join(traceback.format_exception(failure)) + repr(failure) + str(vars(failure))
    behind = [each for each in (failure.__cause__, failure.__context__) if each is not None]
    return said + "".join(everything_said_by(each) for each in behind)


def test_repr_names_model_and_address() -> None:
    model = OpenAIChat("gpt", "https://api.example.com/v1")
    assert repr(model) == "OpenAIChat('gpt', 'https://api.example.com/v1/chat/completions')"
    assert model.name == "gpt"
    assert os.environ.get(KEY_NAME) is None
