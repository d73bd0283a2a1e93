"""The server as others use it: the official client, schemathesis, our own fuzzing of the description, many at once."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import MENDED, QUESTION, WRONG, Scripted, body, call, running, scripted_service

from redink.serving.schema import ChatBody, Completion, ProblemReply
from redink.serving.service import resident_bytes


@pytest.fixture(scope="module")
def address() -> str:
    with running(scripted_service()) as now:
        yield now.address


# -------------------------------------------------------------------- the official client


@pytest.fixture
def client(address):
    openai = pytest.importorskip("openai", reason="the openai client is not installed (extra serve-test)")
    with openai.OpenAI(base_url=f"{address}v1", api_key="none", max_retries=0) as made:
        yield made


ASKED = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION}]}


def test_the_official_client_whole(client) -> None:
    made = client.chat.completions.create(**ASKED, max_tokens=64, extra_body={"redink": {"return_trace": True}})
    assert made.choices[0].message.content == f"{WRONG}\n\n{MENDED}"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage.total_tokens == 24
    assert made.redink["rounds"][0]["error"]["step"] == 1


def test_the_official_client_streaming(client) -> None:
    chunks = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told == f"{WRONG}\n\n{MENDED}"
    assert chunks[-1].usage.total_tokens == 24


def test_the_official_client_sees_models_and_refusals(client) -> None:
    import openai

    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").id == "scripted"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.chat.completions.create(model="other", messages=ASKED["messages"])
    with pytest.raises(openai.BadRequestError, match="not supported"):
        client.chat.completions.create(**ASKED, extra_body={"colour": "red"})


# -------------------------------------------------------------------- true to the description

KINDS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(sorted(ChatBody.model_fields))
GOOD = {
    "temperature": st.floats(0, 2), "top_p": st.floats(0.01, 1), "max_tokens": st.integers(1, 100),
    "seed": st.integers(0, 2**63 - 1), "stop": st.text(max_size=3) | st.lists(st.text(min_size=1, max_size=3), max_size=4),
    "stream": st.booleans(), "user": st.text(max_size=5), "n": st.just(1),
    "redink": st.fixed_dictionaries(
        {}, optional={"rounds": st.integers(0, 8), "return_trace": st.booleans(), "reply": st.sampled_from(["all", "last"])}
    ),
}  # fmt: skip
QUICKLY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICKLY
@given(st.fixed_dictionaries({}, optional=GOOD))
def test_whatever_the_description_allows_is_answered(address, fields) -> None:
    status, _, text = call(address, sent=body(**fields))
    assert status == 200, text
    if not fields.get("stream"):
        Completion.model_validate_json(text)


@QUICKLY
@given(st.dictionaries(FIELDS | st.text(max_size=8), KINDS, max_size=3), st.booleans())
def test_whatever_is_sent_is_answered_or_refused_and_never_a_fault(address, fields, with_messages) -> None:
    sent = json.dumps((body() if with_messages else {}) | fields).encode()
    status, headers, text = call(address, sent=sent)
    assert status == 200 or 400 <= status < 500, text
    if status != 200:
        ProblemReply.model_validate_json(text)
        assert headers["Content-Type"] == "application/json; charset=utf-8"


@QUICKLY
@given(st.binary(max_size=60))
def test_bytes_are_refused(address, sent) -> None:
    assert call(address, sent=sent)[0] == 400


@pytest.mark.slow
def test_schemathesis_finds_the_server_as_described(address) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    # what a schema cannot say: the last message is the user's, the model is the one that is served
    beyond = [positive_data_acceptance]
    for found in schemathesis.openapi.from_url(f"{address}openapi.json").get_all_operations():

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(found.ok().as_strategy())
        def check(case) -> None:
            case.call_and_validate(timeout=30, excluded_checks=beyond)

        check()


# -------------------------------------------------------------------- many at once


async def _many(address: str, number: int) -> list[str]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(place: int) -> str:
            stream = bool(place % 2)
            async with session.post(f"{address}v1/chat/completions", json=body(f"{place}?", stream=stream)) as reply:
                assert reply.status == 200, await reply.text()
                text = await reply.text()
            if not stream:
                return json.loads(text)["choices"][0]["message"]["content"]
            rows = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            return "".join(row["choices"][0]["delta"].get("content", "") for row in rows)

        return await asyncio.gather(*map(one, range(number)))


@pytest.mark.slow
def test_two_hundred_at_once_lose_nothing() -> None:
    with running(scripted_service(Scripted(lambda request: request.messages[-1].content), rounds=0)) as now:
        first = asyncio.run(_many(now.address, 200))
        before = resident_bytes()
        assert asyncio.run(_many(now.address, 200)) == first
        grown = resident_bytes() - before
        assert all(f"{place}?" in text for place, text in enumerate(first))
        assert now.service.queue.inside == 0
    assert grown < 30e6, f"{grown / 1e6:.0f} MB more after 200 more requests"
