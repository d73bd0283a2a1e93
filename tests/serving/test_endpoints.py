"""The chat endpoint and its neighbours, over real HTTP on loopback; the model is scripted, so every text is known."""

from __future__ import annotations

import json
import threading

import pytest
from served import (
    MENDED,
    QUESTION,
    RIGHT,
    WRONG,
    Scripted,
    asked,
    body,
    call,
    content,
    events,
    running,
    scripted_service,
    until,
)

from redink.serving.schema import ProblemReply

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def server():
    with running(scripted_service(rounds=2)) as now:
        yield now


@pytest.fixture(scope="module")
def address(server) -> str:
    return server.address


CONTENTS = [
    ({}, f"{WRONG}\n\n{MENDED}"),  # two rounds: mended, then confirmed; what confirms adds nothing
    ({"redink": {"rounds": 1}}, f"{WRONG}\n\n{MENDED}"),  # mended, the rounds are out
    ({"redink": {"rounds": 0}}, WRONG),
    ({"redink": {"reply": "last"}}, RIGHT),  # the correction stands in the place of the wrong step
    ({"redink": {"rounds": 0, "reply": "last"}}, WRONG),
    ({"stop": "</Step1>"}, "<Step1>14 + 27 = 40"),
    ({"stop": ["nowhere", "<Step2>"]}, "<Step1>14 + 27 = 40</Step1>\n"),
    ({"stop": ["</Answer>never"]}, f"{WRONG}\n\n{MENDED}"),  # what was held back is told at the end
]


@pytest.mark.parametrize(("fields", "expected"), CONTENTS)
def test_a_reply_is_the_same_whole_and_streamed(address, fields, expected) -> None:
    assert content(asked(address, body(**fields))) == expected
    status, headers, text = call(address, sent=body(**fields, stream=True))
    chunks = events(text)
    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert chunks[-1] == "[DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == expected
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]][-2:] == [None, "stop"]


def test_what_openai_says_of_a_completion(address) -> None:
    made = asked(address, body(model="scripted"))
    assert (made["object"], made["model"]) == ("chat.completion", "scripted")
    assert made["usage"] == {"prompt_tokens": 21, "completion_tokens": 15, "total_tokens": 36}  # three texts of 7 + 5
    assert made["choices"][0]["message"]["role"] == "assistant"
    assert "redink" not in made


def test_the_trace(address) -> None:
    trace = asked(address, body(redink={"return_trace": True}))["redink"]
    assert (trace["answer"], trace["final_answer"], trace["stopped"]) == ("41", "42", "corrected")
    assert trace["rounds"][0]["error"] == {
        "step": 1, "cause": "4 + 7 is 11, one is carried.", "correction": "14 + 27 = 41",
    }  # fmt: skip
    assert trace["rounds"][1]["text"] == RIGHT


def test_the_trace_streamed(address) -> None:
    _, _, text = call(
        address, sent=body(stream=True, stream_options={"include_usage": True}, redink={"return_trace": True})
    )
    chunks = events(text)[:-1]
    told = [chunk["redink"] for chunk in chunks if "redink" in chunk]
    texts = ["".join(piece["text"] for piece in told[:-1] if piece["round"] == number) for number in range(3)]
    assert texts == [WRONG, MENDED, RIGHT]
    assert {piece["kind"] for piece in told[:-1] if piece["round"]} == {"correction"}
    assert told[-1]["kind"] == "done" and told[-1]["solved"]["final_answer"] == "42"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 36)


def test_as_is_the_conversation_goes_to_the_model_as_it_came() -> None:
    model = Scripted(lambda request: " / ".join(f"{turn.role}: {turn.content}" for turn in request.messages))
    turns = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
    ]
    with running(scripted_service(model)) as now:
        sent = {"messages": turns, "redink": {"prompt": "as_is"}, "max_tokens": 9, "temperature": 0.5, "seed": 3}
        made = asked(now.address, sent)
    assert content(made) == "system: Be short. / user: one two"
    assert made["usage"]["total_tokens"] == 12
    (request,) = model.asked
    assert (request.max_tokens, request.temperature, request.seed) == (9, 0.5, 3)


def test_a_solver_reads_the_question_alone_and_says_so(address) -> None:
    turns = [{"role": "system", "content": "x"}, {"role": "assistant", "content": "y"}, *body()["messages"]]
    status, headers, _ = call(address, sent={"messages": turns})
    assert (status, headers["X-Redink-Unread-Messages"]) == (200, "2")


def test_what_a_client_asks_for_is_bounded_by_the_server() -> None:
    model = Scripted()
    with running(scripted_service(model, rounds=0, longest=100)) as now:
        for asked_for in ({"max_tokens": 50}, {"max_completion_tokens": 5000}, {}):
            asked(now.address, body(**asked_for))
    assert [request.max_tokens for request in model.asked] == [50, 100, 100]
    assert model.asked[0].temperature == 0  # greedy unless asked otherwise


REFUSED = [
    (b"{", 400, "invalid_json"),
    (b"\xff", 400, "invalid_json"),
    (b"[" * 100_000, 400, "invalid_json"),
    (b"null", 400, "invalid_value"),
    ({}, 400, "invalid_value"),
    ({"messages": []}, 400, "invalid_value"),
    (body(colour="red"), 400, "unknown_field"),
    (body(redink={"round": 1}), 400, "unknown_field"),
    (body(redink={"rounds": 9}), 400, "invalid_value"),
    (body(temperature="hot"), 400, "invalid_value"),
    (body(temperature=float("nan")), 400, "invalid_value"),
    (body(max_tokens=0), 400, "invalid_value"),
    (body(n=2), 400, "invalid_value"),
    (body(tools=[{"type": "function"}]), 400, "invalid_value"),
    (body(presence_penalty=0.5), 400, "invalid_value"),
    (body(""), 400, "no_question"),
    ({"messages": [{"role": "assistant", "content": "4"}]}, 400, "no_question"),
    (body("\ud800"), 400, None),
    (body("x" * 100_001), 400, "context_length_exceeded"),
    (body(model="gpt-9"), 404, "model_not_found"),
    (b"x" * 600_000, 413, "body_too_large"),
]


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED)
def test_what_cannot_be_done_is_refused_with_one_clear_line(address, sent, status, code) -> None:
    got, _, text = call(address, sent=sent)
    problem = ProblemReply.model_validate_json(text).error
    assert (got, problem.code) == (status, code or problem.code)
    assert problem.type == "invalid_request_error"
    assert "\n" not in problem.message and len(problem.message) < 300


def test_other_refusals(address) -> None:
    assert call(address, sent=body(), headers={"Content-Type": "text/plain"})[0] == 415
    assert call(address, sent=body(), headers={"Content-Encoding": "gzip"})[0] == 415
    assert call(address, "nowhere")[0] == 404
    status, headers, text = call(address, "v1/chat/completions", method="GET")
    assert (status, headers["Allow"]) == (405, "POST")
    assert ProblemReply.model_validate_json(text).error.code == "method_not_allowed"


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_pages_of_other_sites_get_nothing(address, headers) -> None:
    assert call(address, sent=body(), headers=headers)[0] == 403
    assert call(address, "", headers=headers)[0] == 403


def test_its_own_page_may_ask(address) -> None:
    assert call(address, sent=body(), headers={"Origin": address.rstrip("/")})[0] == 200


def test_with_a_token_only_who_has_it_is_let_in(capfd) -> None:
    with running(scripted_service(token=TOKEN)) as now:
        wrong = [{}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer é"}]
        for headers in wrong:
            status, sent, text = call(now.address, sent=body(), headers=headers)
            assert (status, sent["WWW-Authenticate"]) == (401, "Bearer")
            assert TOKEN not in text
        good = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("v1/models", "metrics"):
            assert (call(now.address, path)[0], call(now.address, path, headers=good)[0]) == (401, 200)
        assert call(now.address, sent=body(), headers=good)[0] == 200
        for path in ("", "health", "openapi.json"):
            assert call(now.address, path)[0] == 200
        assert TOKEN not in repr(now.service) + call(now.address, "")[2]
    assert TOKEN not in "".join(capfd.readouterr())


def test_models_and_health(address) -> None:
    listed = json.loads(call(address, "v1/models")[2])
    assert [row["id"] for row in listed["data"]] == ["scripted"]
    assert json.loads(call(address, "v1/models/scripted")[2]) == listed["data"][0]
    assert call(address, "v1/models/other/one")[0] == 404
    health = json.loads(call(address, "health")[2])
    assert (health["status"], health["model"], health["under_way"], health["room"]) == ("ok", "scripted", 0, 256)


def test_a_failure_of_the_model_has_a_status_streamed_or_not() -> None:
    model = Scripted(lambda request: "!prompt_too_long" if "long" in request.messages[-1].content else "!server_failed")
    with running(scripted_service(model)) as now:
        for stream in (False, True):
            assert call(now.address, sent=body("long", stream=stream))[0] == 400
            status, _, text = call(now.address, sent=body("short", stream=stream))
            assert (status, json.loads(text)["error"]["code"]) == (502, "server_failed")


def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_the_next_request_is_served() -> None:
    def says(request) -> str:
        if "boom" in request.messages[-1].content:
            raise RuntimeError("secret detail")
        return RIGHT

    with running(scripted_service(Scripted(says), rounds=0)) as now:
        status, _, text = call(now.address, sent=body("boom"))
        assert (status, "secret" in text) == (500, False)
        assert content(asked(now.address, body())) == RIGHT


def test_a_full_queue_sends_away_with_the_time_to_come_again() -> None:
    model = Scripted()
    with running(scripted_service(model, rounds=0, queue=2)) as now:
        model.held.clear()
        inside = [threading.Thread(target=asked, args=(now.address, body())) for _ in range(2)]
        for thread in inside:
            thread.start()
        until(lambda: now.service.queue.inside == 2)
        status, headers, text = call(now.address, sent=body())
        assert (status, json.loads(text)["error"]["code"]) == (429, "queue_full")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert call(now.address, "health")[0] == 200
        model.held.set()
        for thread in inside:
            thread.join()
        assert content(asked(now.address, body())) == WRONG


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_takes_too_long_is_cut_off(stream) -> None:
    model = Scripted()
    model.held.clear()
    with running(scripted_service(model, timeout_s=0.1)) as now:
        status, _, text = call(now.address, sent=body(stream=stream))
        assert (status, json.loads(text)["error"]["code"]) == (504, "timeout")
        until(lambda: model.cut == 1)  # nobody generates for it any more
        model.held.set()


def test_a_stream_that_takes_too_long_ends_with_an_error() -> None:
    with running(scripted_service(Scripted(piece_s=0.06), timeout_s=0.2)) as now:
        status, _, text = call(now.address, sent=body(stream=True))
    assert status == 200
    assert events(text)[-1]["error"]["code"] == "timeout"


def test_stopping_ends_what_is_under_way_and_takes_no_more() -> None:
    model, got = Scripted(), []
    with running(scripted_service(model, rounds=0)) as now:
        model.held.clear()
        thread = threading.Thread(target=lambda: got.append(content(asked(now.address, body()))))
        thread.start()
        until(lambda: model.asked)
        now.service.queue.draining = True
        status, headers, _ = call(now.address, sent=body())
        assert (status, headers["Retry-After"], headers["Connection"]) == (503, "5", "close")
        assert (call(now.address, "health")[0], got) == (503, [])
        model.held.set()
        thread.join(10)
    assert got == [WRONG]


def test_a_stop_waits_for_the_reply() -> None:
    model, got = Scripted(), []
    model.held.clear()
    with running(scripted_service(model, rounds=0)) as now:
        thread = threading.Thread(target=lambda: got.append(content(asked(now.address, body()))))
        thread.start()
        until(lambda: model.asked)
        threading.Timer(0.3, model.held.set).start()
    thread.join(10)
    assert got == [WRONG]


def test_what_prometheus_reads(address) -> None:
    before = _metrics(address)
    asked(address, body())
    call(address, sent=b"{")
    after = _metrics(address)

    def grew(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grew('redink_requests_total{path="/v1/chat/completions",status="200"}') == 1
    assert grew('redink_refused_total{reason="invalid_json"}') == 1
    assert grew('redink_tokens_total{kind="completion"}') == 15
    assert grew('redink_self_corrections_total{stopped="corrected"}') == 1
    assert grew("redink_completion_seconds_count") == grew('redink_completion_seconds_bucket{le="+Inf"}') == 1
    assert grew("redink_batch_rows_count") == 3
    assert after["redink_requests_inside"] == 0
    assert after["redink_resident_bytes"] > 1e6


def _metrics(address: str) -> dict[str, float]:
    status, headers, text = call(address, "metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()) if name[0] != "#"
    }


def test_its_text_format_is_prometheus_own(address) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    families = {
        family.name: family.type for family in parser.text_string_to_metric_families(call(address, "metrics")[2])
    }
    assert families["redink_completion_seconds"] == "histogram" and families["redink_requests"] == "counter"


def test_the_same_question_at_the_same_time_shares_batches() -> None:
    model, got = Scripted(), []
    with running(scripted_service(model, rounds=0, batch_rows=8)) as now:
        model.held.clear()
        threads = [
            threading.Thread(target=lambda n=n: got.append((n, content(asked(now.address, body(f"{n}: {QUESTION}"))))))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        until(lambda: now.service.queue.inside == 20)
        model.held.set()
        for thread in threads:
            thread.join()
    assert sorted(got) == [(n, WRONG) for n in range(20)]
    assert sum(model.batches) == 20 and max(model.batches) == 8 and len(model.batches) <= 5
