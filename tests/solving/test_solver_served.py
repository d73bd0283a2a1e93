"""A served model: streams over real HTTP on loopback, and what goes wrong there."""

from __future__ import annotations

import asyncio
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from loopback import Answer, Asked, completion, in_order, refusal, serving
from tiny import tiny_folder

from redink.failures import Failure, MissingModel, ReplyFailure
from redink.models.chat import ChatRequest, Message, Reply
from redink.models.student import Student
from redink.solving.presets import redink_preset
from redink.solving.served import OpenAIBackend
from redink.solving.solver import Solver
from redink.solving.vllm_engine import VllmBackend

SECRET = "sk-very-secret"
REQUEST = ChatRequest(messages=(Message(role="user", content="2 + 3?"),), stop=("</Answer>",), seed=5)


def events(*values: object, end: str = "data: [DONE]\n\n", status: str = "200 OK") -> Answer:
    """A stream of server-sent events, as bytes on the socket."""
    body = "".join(f"data: {json.dumps(value)}\n\n" for value in values) + end
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
    return Answer(raw=(head + body).encode())


def said(text: str | None = None, finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def streamed(answer: Answer) -> tuple[list[str], Reply, Asked]:
    async def collect(url: str) -> list[str | Reply]:
        return [piece async for piece in OpenAIBackend("m", url).stream(REQUEST)]

    with serving(in_order(answer)) as server:
        *pieces, reply = asyncio.run(collect(server.base_url))
        assert isinstance(reply, Reply)
        return [str(piece) for piece in pieces], reply, server.asked[0]


def test_pieces_come_as_the_server_sends_them() -> None:
    pieces, reply, asked = streamed(events(said("<Ans"), said("wer>5"), said("", "stop"), USAGE))
    assert pieces == ["<Ans", "wer>5", "</Answer>"]
    assert (reply.text, reply.finish_reason) == ("<Answer>5</Answer>", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 3)
    assert (asked.body["stream"], asked.body["seed"], asked.body["stop"]) == (True, 5, ["</Answer>"])


def test_reasoning_is_kept_apart_and_a_cut_is_told() -> None:
    pieces, reply, _ = streamed(events(said(None, reasoning_content="hm"), said("<Answer>5", "length")))
    assert pieces == ["<Answer>5"]
    assert (reply.reasoning, reply.finish_reason) == ("hm", "length")


def test_a_server_that_does_not_stream_gives_one_piece() -> None:
    pieces, reply, _ = streamed(completion("<Answer>5</Answer>"))
    assert pieces == ["<Answer>5</Answer>"]
    assert reply.usage.prompt_tokens == 7


@pytest.mark.parametrize(
    ("answer", "kind", "what"),
    [
        (events(end=""), ReplyFailure, "empty_reply"),
        (events(said("5"), {"error": {"message": "out of memory"}}), ReplyFailure, "out of memory"),
        (events(said("5"), end="data: {broken\n\n"), ReplyFailure, "server_failed"),
        (refusal(500), ReplyFailure, "server_failed"),
        (refusal(401, f"bad key {SECRET}"), Failure, "Check address, key and model"),
        (Answer(raw=b""), ReplyFailure, "server_failed"),
    ],
)
def test_what_goes_wrong_is_a_failure_without_the_key(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, kind: type[Exception], what: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(kind, match=what) as failed:
        streamed(answer)
    chain: BaseException | None = failed.value
    while chain is not None:
        assert SECRET not in str(chain) + repr(vars(chain))
        chain = chain.__cause__ or chain.__context__


def test_where_no_server_answers_the_stream_is_a_failure_that_names_the_address() -> None:
    async def first() -> str | Reply:
        return await anext(OpenAIBackend("m", "http://127.0.0.1:1/v1").stream(REQUEST))

    with pytest.raises(Failure, match=r"127\.0\.0\.1:1/v1.*no server answers"):
        asyncio.run(first())


def test_a_served_model_solves_and_reviews() -> None:
    with serving(in_order(completion("<Step1>2+3</Step1><Answer>5"), completion("<Answer>5"))) as server:
        solver = Solver.load("m", base_url=server.base_url)
        done = solver.solve("2 + 3?")
    assert (done.stopped, done.final_answer, done.tokens_in, done.tokens_out) == ("confirmed", "5", 14, 10)
    assert done.text.endswith("</Answer>")
    assert solver.preset == redink_preset(chat=True)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"backend": "openai"}, "address of a server"),
        ({"backend": "transformers", "base_url": "http://127.0.0.1:9/v1"}, "takes no --base-url"),
    ],
)
def test_backends_that_cannot_be_are_refused(options: dict[str, str], what: str) -> None:
    with pytest.raises(Failure, match=what):
        Solver.load("m", **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- vLLM, by a stand-in that checks how it is called


class Engine:
    """`vllm.LLM` as far as it is used: says the prompt's length, keeps what it was asked."""

    def __init__(self, model: str, **options: object) -> None:
        self.student = Student.load(model)
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=30))
        self.asked: list[tuple[object, object]] = []

    def get_tokenizer(self) -> object:
        return self.student.tokenizer

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SimpleNamespace], use_tqdm: bool
    ) -> list[object]:
        self.asked += zip(prompts, params, strict=True)
        out = [SimpleNamespace(text=f"<Answer>{len(p['prompt_token_ids'])}</Answer>", token_ids=[1, 2], finish_reason="stop")
               for p in prompts]  # fmt: skip
        return [SimpleNamespace(outputs=[each]) for each in out]


def test_vllm_is_given_the_students_own_token_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = Engine, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    folder = str(tiny_folder(tmp_path))  # type: ignore[arg-type]
    backend = VllmBackend(folder)
    long = ChatRequest(messages=(Message(role="user", content="1 " * 40),))
    found = asyncio.run(backend.generate([long, REQUEST]))
    ids = Student.load(folder).prompt_ids("2 + 3?")
    assert isinstance(found[0], ReplyFailure)
    assert isinstance(found[1], Reply)
    assert found[1].text == f"<Answer>{len(ids)}</Answer>"
    ((prompt, params),) = backend._engine.asked
    assert prompt == {"prompt_token_ids": ids}
    assert (params.seed, params.stop, params.include_stop_str_in_output) == (5, ["</Answer>"], True)


def test_without_vllm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(Failure, match=r"redink\[vllm\]"):
        VllmBackend("org/model")
    with pytest.raises(MissingModel, match="Name a folder"):
        VllmBackend("bundled")
