"""The desk: takes a chat completion as asked, lets the student solve and review, and tells the reply piece by piece."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Message, Reply
from redink.serving.refusals import Refusal
from redink.serving.schema import ChatBody, ChatTurn, Finish, Piece, UsageCount
from redink.solving.backends import Backend
from redink.solving.solved import Event, SelfCorrection, Solved
from redink.solving.solver import Generation, Solver, mended

_log = logging.getLogger(__name__)
BETWEEN = "\n\n"
"""Between the solution and its correction."""
MOST_CHARACTERS = 100_000
"""Of a question, or of a conversation."""


@dataclass(frozen=True)
class Outcome:
    """How a completion ended."""

    finish: Finish
    usage: UsageCount
    solved: Solved | None = None


Told = str | Piece | Outcome
"""A piece of the reply, a piece of the trace, or, last, the outcome."""


@dataclass(frozen=True)
class Desk:
    """A solver whose prompts, store and rounds every client shares; `longest` bounds what a client may ask for."""

    solver: Solver
    name: str
    longest: int = 1024

    @property
    def backend(self) -> Backend:
        """The model."""
        return self.solver.backend

    def check(self, body: ChatBody) -> None:
        """Refuse what is well formed and yet cannot be done."""
        if body.model and body.model != self.name:
            raise no_such_model(self.name)
        if body.messages[-1].role != "user" or not body.messages[-1].text.strip():
            raise Refusal(400, "The last message must be the user's, and not empty.", "no_question", "messages")
        if sum(len(turn.text) for turn in body.messages) > MOST_CHARACTERS:
            words = f"The messages are longer than {MOST_CHARACTERS:,} characters."
            raise Refusal(400, words, "context_length_exceeded", "messages")
        if any("\ud800" <= letter <= "\udfff" for turn in body.messages for letter in turn.text):
            raise Refusal(400, "A message holds half a character (a lone surrogate).", "invalid_value", "messages")

    def unread(self, body: ChatBody) -> int:
        """How many messages a solver leaves unread: all but the question."""
        return len(body.messages) - 1 if body.extra.prompt == "preset" else 0

    async def tell(self, body: ChatBody) -> AsyncGenerator[Told, None]:
        """The reply, piece by piece, cut before a stop string; raises `Refusal` where there can be none."""
        source = self._solved(body) if body.extra.prompt == "preset" else self._as_is(body)
        stopping = Stopping(body.stops)
        try:
            async with aclosing(source):  # type: ignore[type-var]
                async for told in source:
                    text = stopping.add(told) if isinstance(told, str) else ""
                    text += stopping.rest() if isinstance(told, Outcome) else ""
                    if text:
                        yield text
                    if not isinstance(told, str):
                        yield told
        except ReplyFailure as failure:
            raise _refused(failure) from None
        except Failure as failure:
            _log.error("%s", failure)
            raise Refusal(502, "The model cannot be used now; the server's log says why.", "model_failed") from None

    async def _as_is(self, body: ChatBody) -> AsyncIterator[Told]:
        drawn = self._drawn(body)
        request = ChatRequest(
            messages=tuple(map(_message, body.messages)), temperature=drawn.temperature, top_p=drawn.top_p,
            seed=drawn.seed, max_tokens=drawn.max_new_tokens or self.longest, stop=body.stops,
        )  # fmt: skip
        async with aclosing(self.backend.stream(request)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece if isinstance(piece, str) else _of_reply(piece)

    async def _solved(self, body: ChatBody) -> AsyncIterator[Told]:
        shared = self.solver
        rounds = shared.rounds if body.extra.rounds is None else body.extra.rounds
        solver = Solver(
            shared.backend, shared.preset, rounds, generation=self._drawn(body), store=shared.store,
            thoughts=shared.thoughts,
        )  # fmt: skip
        telling = _all if body.extra.reply == "all" else _last
        async with aclosing(solver.astream(body.messages[-1].text)) as events:  # type: ignore[type-var]
            async for told in telling(events):
                yield told

    def _drawn(self, body: ChatBody) -> Generation:
        usual = self.solver.generation
        return Generation(
            temperature=usual.temperature if body.temperature is None else body.temperature,
            top_p=usual.top_p if body.top_p is None else body.top_p,
            seed=secrets.randbits(31) if body.seed is None else body.seed,
            max_new_tokens=min(body.longest or usual.max_new_tokens or self.solver.preset.max_new_tokens, self.longest),
        )


async def _all(events: AsyncIterator[Event]) -> AsyncIterator[Told]:
    """The solution at once; a correction when it is known to stand: another round follows, or it was the last one."""
    held: list[str] = []
    under_way = 0
    async for event in events:
        if event.solved is not None:
            if standing(event.solved) is not event.solved and event.solved.stopped == "rounds":
                yield BETWEEN + "".join(held)
            yield _of_solved(event.solved)
            return
        if event.round != under_way:
            if under_way:
                yield BETWEEN + "".join(held)
            held, under_way = [], event.round
        held.append(event.text)
        if event.round == 0:
            yield event.text
        yield _piece(event)


async def _last(events: AsyncIterator[Event]) -> AsyncIterator[Told]:
    """The solution that stands in the end, with its wrong steps mended."""
    async for event in events:
        if event.solved is None:
            yield _piece(event)
        else:
            text = standing(event.solved).text
            yield text if text == event.solved.text else mended(text)[0]
            yield _of_solved(event.solved)


def standing(solved: Solved) -> Solved | SelfCorrection:
    """What stands in the end: the last review that changed the answer, else the solution.

    The review that ends the work changes nothing; where the rounds ran out, the last one did.
    """
    changed = solved.rounds if solved.stopped == "rounds" else solved.rounds[:-1]
    return changed[-1] if changed else solved


def _piece(event: Event) -> Piece:
    return Piece(kind="correction" if event.round else "solution", round=event.round, text=event.text)


def _of_solved(solved: Solved) -> Outcome:
    cut = standing(solved).truncated
    return Outcome("length" if cut else "stop", usage(solved.tokens_in, solved.tokens_out), solved)


def _of_reply(reply: Reply) -> Outcome:
    spent = reply.usage
    return Outcome(
        "length" if reply.finish_reason == "length" else "stop", usage(spent.prompt_tokens, spent.completion_tokens)
    )


def usage(prompt: int, completion: int) -> UsageCount:
    """Tokens of prompts and of texts."""
    return UsageCount(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def no_such_model(served: str) -> Refusal:
    """Another model was asked for."""
    return Refusal(404, f"There is no such model here; this server has {served!r}.", "model_not_found", "model")


def _message(turn: ChatTurn) -> Message:
    return Message(role="system" if turn.role == "developer" else turn.role, content=turn.text)


_REFUSED = {
    "prompt_too_long": (400, "context_length_exceeded"),
    "left": (503, "cancelled"),
}


def _refused(failure: ReplyFailure) -> Refusal:
    status, code = _REFUSED.get(failure.reason, (502, failure.reason))
    return Refusal(status, f"The model gave no usable reply ({failure}).", code)


class Stopping:
    """Text that ends before the first stop string; what may be the start of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops, self.held, self.over = tuple(stops), "", False

    def add(self, piece: str) -> str:
        """What can be told."""
        if self.over or not self.stops:
            return "" if self.over else piece
        self.held += piece
        found = [(place + len(stop), place) for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:  # the one that is whole first, as if letter came by letter
            self.over = True
            told, self.held = self.held[: min(found)[1]], ""
            return told
        keep = max(_overlap(self.held, stop) for stop in self.stops)
        told, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return told

    def rest(self) -> str:
        """What was held back, and is no stop string after all."""
        told, self.held = self.held, ""
        return told


def _overlap(text: str, stop: str) -> int:
    """The longest start of `stop` that `text` ends with.

    >>> _overlap("a</An", "</Answer>")
    4
    """
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
