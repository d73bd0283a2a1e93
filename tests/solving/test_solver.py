"""The verdict that ends self-correction, rounds, batches and streams, by a scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply
from redink.models.scripted import ScriptedChat
from redink.solving.backends import UNWATCHED, ChatBackend, Watch, closed
from redink.solving.presets import redink_preset
from redink.solving.solved import Event, Solved
from redink.solving.solver import Generation, Solver, mended, same_answer

WRONG = "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75</Step2>\n<Answer>75</Answer>"
FINDS = (
    "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75<Cause>20 from 85 leaves 65.</Cause>"
    "<Correction>85 - 20 = 65</Correction></Step2>\n<Answer>65</Answer>"
)
CONFIRMS = "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 65</Step2>\n<Answer>65</Answer>"
STANDS = "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75</Step2>\n<Answer>75</Answer>"
UNMARKED = "<Step1>47 + 38 = 85</Step1>\n<Answer>85</Answer>"
BLAMES_BUT_REPEATS = (
    "<Step1>47 + 38 = 85<Cause>It could be clearer.</Cause><Correction>38 + 47 = 85</Correction></Step1>\n"
    "<Answer>75.0</Answer>"
)


def solver(*replies: str, rounds: int = 1) -> Solver:
    return Solver(ChatBackend(ScriptedChat(replies)), redink_preset(chat=True), rounds)


# (replies, rounds) → (stopped, reviews made, answers on the way, final answer); by the rules of docs/solve.md
CASES = {
    "no review": ((WRONG,), 0, "off", ["75"], "75"),
    "the review leaves it": ((WRONG, STANDS), 3, "confirmed", ["75", "75"], "75"),
    "it blames a step and repeats the answer": ((WRONG, BLAMES_BUT_REPEATS), 3, "confirmed", ["75", "75.0"], "75"),
    "it corrects, no round is left": ((WRONG, FINDS), 1, "rounds", ["75", "65"], "65"),
    "it corrects, the next one leaves that": ((WRONG, FINDS, CONFIRMS), 3, "corrected", ["75", "65", "65"], "65"),
    "another answer without a mark is looked at again": (
        (WRONG, UNMARKED, FINDS), 2, "rounds", ["75", "85", "65"], "65",
    ),
    "prose without an answer": ((WRONG, "I am not sure about it."), 3, "unreadable", ["75", None], "75"),
    "unreadable after a correction": ((WRONG, FINDS, "Hm."), 3, "unreadable", ["75", "65", None], "65"),
    "no answer at first": (("<Step1>47 + 38 = 85</Step1>", UNMARKED), 1, "rounds", [None, "85"], "85"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_models_own_verdict_ends_the_rounds(case: str) -> None:
    replies, rounds, stopped, answers, final = CASES[case]
    done = solver(*replies, rounds=rounds).solve("47 + 38 - 20?")
    assert done.stopped == stopped
    assert [done.answer, *(review.answer for review in done.rounds)] == answers
    assert done.final_answer == final
    assert len(done.rounds) == len(replies) - 1


def test_the_next_round_is_shown_the_mended_solution() -> None:
    chat = ScriptedChat((WRONG, FINDS, CONFIRMS))
    Solver(ChatBackend(chat), redink_preset(chat=True), 2).solve("47 + 38 - 20?")
    first, second = (request.messages[-1].content for request in chat.requests[1:])
    assert WRONG in first
    assert "<Step2>85 - 20 = 65</Step2>" in second
    assert "75" not in second
    assert "Cause>20" not in second


def test_the_marked_step_is_read_from_the_review() -> None:
    (review,) = solver(WRONG, FINDS).solve("?").rounds
    assert review.error is not None
    assert (review.error.step, review.error.correction) == (2, "85 - 20 = 65")
    assert len(review.steps) == 2


@pytest.mark.parametrize(
    ("review", "expected"),
    [
        (FINDS, "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 65</Step2>\n<Answer>65</Answer>"),
        (CONFIRMS, CONFIRMS),
        ("no tags at all: 65", "no tags at all: 65"),
    ],
)
def test_mended(review: str, expected: str) -> None:
    assert mended(review)[0] == expected


@pytest.mark.parametrize(
    ("answer", "before", "expected"),
    [("75", "75", True), ("75.0", "75", True), (r"\frac{1}{2}", "0.5", True), ("65", "75", False), ("75", None, False)],
)
def test_answers_are_the_same_by_value(answer: str, before: str | None, expected: bool) -> None:
    assert same_answer(answer, before) is expected


def test_negative_rounds_are_refused() -> None:
    with pytest.raises(Failure, match="rounds is -1"):
        solver(rounds=-1)


# ---------------------------------------------------------------- many


class Answering:
    """A model that answers by the question's number: odd ones are first solved wrongly, 4 is refused, 5 never ends."""

    name = "answering"

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        text = request.messages[-1].content
        number = int(text.split("number ")[1].split("?")[0])
        if number == 4:
            raise ReplyFailure("refused", "no", "raw text")
        if number == 5:
            raise ReplyFailure("cut_by_length", "", f"<Step1>{number}</Step1>")
        wrong = number % 2 and "<Attempt>" not in text
        return Reply(text=f"<Step1>{number}</Step1><Answer>{0 if wrong else number}</Answer>")


def test_a_batch_keeps_order_and_gives_each_question_its_own_end() -> None:
    told: list[int] = []
    questions = [f"number {n}?" for n in range(7)]
    found = Solver(ChatBackend(Answering()), redink_preset(chat=True), 1).solve_all(
        questions, lambda place, row: told.append(place)
    )
    assert sorted(told) == list(range(7))
    ends = [row.reason if isinstance(row, ReplyFailure) else (row.stopped, row.final_answer) for row in found]
    assert ends == [
        ("confirmed", "0"), ("rounds", "1"), ("confirmed", "2"), ("rounds", "3"), "refused",
        ends[5], ("confirmed", "6"),
    ]  # fmt: skip
    assert isinstance(found[5], Solved)
    assert found[5].truncated, "a cut solution is a solution, and its review is cut too"


def test_one_question_that_is_refused_raises() -> None:
    with pytest.raises(ReplyFailure, match="refused"):
        Solver(ChatBackend(Answering()), redink_preset(chat=True)).solve("number 4?")


def test_each_question_and_round_has_a_seed_of_its_own_whatever_the_batch() -> None:
    generation = Generation(temperature=0.7, seed=3)
    made = Solver(ChatBackend(ScriptedChat(())), redink_preset(chat=True), generation=generation)
    one, other = (made.solution_request(question)[0] for question in ("a?", "b?"))
    assert one.seed != other.seed
    assert one.seed == made.solution_request("a?")[0].seed
    assert one.seed is not None
    assert one.temperature == 0.7


def test_solve_works_inside_a_running_event_loop() -> None:
    async def notebook() -> str | None:
        return solver(WRONG, STANDS).solve("?").final_answer

    assert asyncio.run(notebook()) == "75"


# ---------------------------------------------------------------- streams


class Trickling(ChatBackend):
    """Gives every reply in pieces of three characters."""

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        return self._pieces(request)

    async def _pieces(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        reply = await self.model.complete(request)
        for start in range(0, len(reply.text), 3):
            yield reply.text[start : start + 3]
        yield reply


def events_of(made: Solver) -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in made.astream("47 + 38 - 20?")]

    return asyncio.run(collect())


def test_a_stream_joins_to_the_texts_and_ends_with_the_result() -> None:
    made = Solver(Trickling(ScriptedChat((WRONG, FINDS, CONFIRMS))), redink_preset(chat=True), 3)
    events = events_of(made)
    joined: dict[int, str] = {}
    for event in events[:-1]:
        assert event.kind == ("solution" if event.round == 0 else "correction")
        joined[event.round] = joined.get(event.round, "") + event.text
    assert joined == {0: WRONG, 1: FINDS, 2: CONFIRMS}
    assert len(events) > 20
    assert events[-1].kind == "done"
    assert events[-1].solved == solver(WRONG, FINDS, CONFIRMS, rounds=3).solve("47 + 38 - 20?")


def test_a_review_that_fails_leaves_the_solution_standing() -> None:
    class Failing(ScriptedChat):
        async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
            if len(self.requests) == 1:
                raise ReplyFailure("server_failed", "down")
            return await super().complete(request, sample)

    for made in (events_of(Solver(ChatBackend(Failing((WRONG,))), redink_preset(chat=True)))[-1].solved,
                 Solver(ChatBackend(Failing((WRONG,))), redink_preset(chat=True)).solve("?")):  # fmt: skip
        assert made is not None
        assert (made.stopped, made.final_answer) == ("unreadable", "75")


def test_leaving_a_stream_early_ends_its_generation() -> None:
    class Slow(ChatBackend):
        ended = False

        async def generate(
            self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED
        ) -> list[Reply | ReplyFailure]:
            watch.piece(0, "first")
            try:
                await asyncio.sleep(60)
            finally:
                Slow.ended = True
            return []

    async def leave() -> None:
        stream = Solver(Slow(ScriptedChat(())), redink_preset(chat=True)).astream("?")
        assert (await anext(stream)).text == "first"
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert Slow.ended


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("<Answer>4", "stop", "<Answer>4</Answer>"),
        ("<Answer>4</Answer>", "stop", "<Answer>4</Answer>"),
        ("<Answer>4", "length", "<Answer>4"),
        ("no tags", "stop", "no tags"),
    ],
)
def test_a_server_leaves_the_stop_string_out_and_it_is_put_back(text: str, finish: str, expected: str) -> None:
    assert closed(Reply(text=text, finish_reason=finish), ["</Answer>"]).text == expected


def test_a_failed_review_is_never_read_as_one() -> None:
    # a prompt that is too long comes back as the failure's raw text: it holds the answer that was to be reviewed
    class TooLong(ScriptedChat):
        async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
            if self.requests:
                raise ReplyFailure("prompt_too_long", "", "<Answer>75</Answer>")
            return await super().complete(request, sample)

    done = Solver(ChatBackend(TooLong((WRONG,))), redink_preset(chat=True)).solve("?")
    assert (done.stopped, done.final_answer) == ("unreadable", "75")
