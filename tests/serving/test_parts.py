"""The parts of the server that need no socket: stop strings, batches, metrics, the gate, the description."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Scripted

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ask
from redink.serving import metrics, page
from redink.serving.batching import Batching
from redink.serving.desk import Stopping, standing
from redink.serving.gate import Queue, Token, is_loopback
from redink.serving.openapi import description
from redink.serving.refusals import Refusal
from redink.serving.running import check_exposure, opened
from redink.serving.setting_up import short_name
from redink.solving.backends import Watch
from redink.solving.solved import SelfCorrection, Solved

LETTERS = st.text("ab", max_size=12)


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_a_text_in_pieces_ends_where_the_whole_text_would(pieces, stops) -> None:
    """The oracle goes letter by letter: the first place where a stop string is whole; of two there, the longer one."""
    stopping = Stopping(stops)
    told = "".join(map(stopping.add, pieces)) + stopping.rest()
    whole, expected = "".join(pieces), "".join(pieces)
    for end in range(len(whole) + 1):
        found = [stop for stop in stops if whole[:end].endswith(stop)]
        if found:
            expected = whole[: end - max(map(len, found))]
            break
    assert told == expected


def test_what_stands_in_the_end() -> None:
    def solved(stopped: str, *texts: str) -> Solved:
        rounds = tuple(SelfCorrection(round=n, text=text) for n, text in enumerate(texts, 1))
        return Solved(question="?", prompt="?", text="first", rounds=rounds, final_answer="1", stopped=stopped)

    assert standing(solved("off")).text == "first"
    assert standing(solved("confirmed", "same")).text == "first"
    assert standing(solved("corrected", "new", "same")).text == "new"
    assert standing(solved("rounds", "new", "newer")).text == "newer"
    assert standing(solved("unreadable", "new", "babble")).text == "new"


class Heard(Watch):
    def __init__(self) -> None:
        self.pieces: list[tuple[int, str]] = []

    def piece(self, row: int, text: str) -> None:
        self.pieces.append((row, text))


def test_calls_at_the_same_time_share_a_batch_and_each_hears_its_own() -> None:
    model, heard = Scripted(lambda request: f"reply to {request.messages[0].content}"), [Heard(), Heard()]

    async def both():
        batching = Batching(model, rows=3)
        calls = [batching.generate([ask("a"), ask("b")], heard[0]), batching.generate([ask("c"), ask("d")], heard[1])]
        return await asyncio.gather(*calls)

    first, second = asyncio.run(both())
    assert [reply.text for reply in (*first, *second)] == [f"reply to {word}" for word in "abcd"]
    assert model.batches == [3, 1]
    assert ["".join(text for row, text in heard[1].pieces if row == place) for place in (0, 1)] == [
        "reply to c", "reply to d",
    ]  # fmt: skip


def test_a_batch_that_fails_is_told_to_all_in_it_and_the_next_one_runs() -> None:
    class Breaking(Scripted):
        async def generate(self, requests, watch=None):
            if len(requests) > 1:
                raise Failure("out of memory.")
            return await super().generate(requests, watch)

    async def work():
        batching = Batching(Breaking(lambda request: "fine"))
        calls = [batching.generate([ask(word)]) for word in "ab"]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        return failed, await batching.generate([ask("d")])

    failed, (reply,) = asyncio.run(work())
    assert [type(failure) for failure in failed] == [Failure, Failure]
    assert reply.text == "fine"


def test_a_cancelled_call_leaves_and_the_others_stay() -> None:
    model = Scripted(lambda request: "fine")

    async def work():
        batching = Batching(model)
        model.held.clear()
        tasks = [asyncio.create_task(batching.generate([ask(word)])) for word in "ab"]
        while not model.asked:
            await asyncio.sleep(0.005)
        tasks[0].cancel()
        while not model.cut:
            await asyncio.sleep(0.005)
        model.held.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    left, stayed = asyncio.run(work())
    assert isinstance(left, asyncio.CancelledError)
    assert not isinstance(stayed[0], ReplyFailure) and stayed[0].text == "fine"


def test_a_histogram_counts_what_is_at_most_so_large() -> None:
    """Bounds 1 and 2; observed 0.5, 1, 1.5 and 9: at most 1: two, at most 2: three, in all four; the sum is 12."""
    histogram = metrics.Histogram("h", "words", (1, 2))
    for value in (0.5, 1, 1.5, 9):
        histogram.observe(value)
    assert metrics.exposed([histogram]).splitlines() == [
        "# HELP h words", "# TYPE h histogram", 'h_bucket{le="1"} 2.0', 'h_bucket{le="2"} 3.0', 'h_bucket{le="+Inf"} 4.0',
        "h_sum 12.0", "h_count 4.0",
    ]  # fmt: skip


def test_labels_are_escaped() -> None:
    counter = metrics.Counter("c", "words")
    counter.add(2, why='a"b\\c\nd')
    assert metrics.exposed([counter]).splitlines()[-1] == 'c{why="a\\"b\\\\c\\nd"} 2.0'


LOOPBACK = {
    "127.0.0.1": True, "127.9.9.9": True, "localhost": True, "::1": True, "[::1]": True, "0.0.0.0": False,
    "::": False, "192.168.1.4": False, "localhost.evil.example": False, "127.0.0.1.evil.example": False, "": False,
}  # fmt: skip


@pytest.mark.parametrize(("host", "expected"), LOOPBACK.items())
def test_which_hosts_are_this_machine_alone(host, expected) -> None:
    assert is_loopback(host) is expected


def test_other_machines_need_a_long_token() -> None:
    with pytest.raises(Failure, match="Set SECRET to a long random secret"):
        check_exposure("0.0.0.0", None, "SECRET")
    with pytest.raises(Failure, match="shorter than 16"):
        check_exposure("127.0.0.1", "short", "SECRET")
    check_exposure("0.0.0.0", "x" * 16, "SECRET")
    check_exposure("127.0.0.1", None, "SECRET")


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with opened("127.0.0.1", 0) as taken, pytest.raises(Failure, match="--port"):
        opened("127.0.0.1", taken.getsockname()[1])


def test_a_queue_has_room_for_so_many_and_gives_places_back() -> None:
    queue = Queue(1)
    with queue.place():
        assert queue.room == 0
        with pytest.raises(Refusal) as full, queue.place():
            pass
    assert (full.value.status, queue.inside, queue.room) == (429, 0, 1)
    queue.draining = True
    with pytest.raises(Refusal) as draining, queue.place():
        pass
    assert (draining.value.status, queue.room) == (503, 0)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic s3cret", "Bearer s3cre", "bearer  S3CRET"])
def test_a_token_admits_nobody_else(header) -> None:
    assert not Token("s3cret").admits(header)
    assert Token("s3cret").admits("Bearer s3cret") and Token("s3cret").admits("bearer s3cret")


def test_a_folder_is_called_by_its_last_part(tmp_path) -> None:
    assert short_name(str(tmp_path)) == tmp_path.name
    assert [short_name(name) for name in ("bundled", "org/model", "/gone/away")] == ["bundled", "org/model", "away"]


def test_the_description_names_every_address_and_every_reference_resolves() -> None:
    document = json.loads(description("1", needs_token=True))
    assert set(document["paths"]) == {
        "/", "/health", "/metrics", "/openapi.json", "/v1/models", "/v1/models/{name}", "/v1/chat/completions",
    }  # fmt: skip
    names = {f'"#/components/schemas/{name}"' for name in document["components"]["schemas"]}
    text = json.dumps(document)
    used = {part.split("}")[0].split(",")[0] for part in text.split('"$ref": ')[1:]}
    assert used <= names
    assert document["components"]["securitySchemes"] and "securitySchemes" not in description("1", needs_token=False)


def test_what_a_model_is_called_cannot_become_markup() -> None:
    text = page.render("<script>alert(1)</script>", 1, needs_token=True)
    assert "<script>alert" not in text
    assert 'type="password"' in text and 'type="password"' not in page.render("x", 1, needs_token=False)
    assert "unsafe" not in page.policy() and "connect-src 'self'" in page.policy()
