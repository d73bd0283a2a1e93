"""Who generates the text: a student in this process, vLLM, or any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from redink.failures import ReplyFailure
from redink.models.chat import ChatModel, ChatRequest, Reply


class Watch:
    """Told of what is generated while it is; this one lets everything be."""

    def piece(self, row: int, text: str) -> None:
        """The next piece of a row's text; called in the generating thread. Pieces join to the row's `Reply.text`."""

    def gone(self, row: int) -> bool:
        """Whether nobody waits for this row any more: it is then cut short."""
        return False


UNWATCHED = Watch()


class Backend(Protocol):
    """Continues conversations; each request carries its own settings (`ChatRequest`: temperature, seed, stop …).

    A stop string that ends a reply stays in its text.
    """

    @property
    def name(self) -> str:
        """How the model is called."""

    @property
    def chat(self) -> bool:
        """Whether the model has a chat template (or is served as a chat model)."""

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        """A reply per request, in order; `finish_reason` is 'stop', or 'length' where it was cut.

        What comes to nothing for one request is its `ReplyFailure`. Raises `Failure` where no request would succeed.
        """

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """The reply piece by piece, then the whole `Reply`, whose text the pieces join to.

        Raises `ReplyFailure` for this request, else as `generate`.
        """

    async def aclose(self) -> None:
        """Let go of connections; a later call opens new ones."""


class _Queueing(Watch):
    """Puts the pieces of one row into a queue of the event loop that made it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def piece(self, row: int, text: str) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self.queue.put_nowait, text)


async def streamed(backend: Backend, request: ChatRequest) -> AsyncIterator[str | Reply]:
    """`Backend.stream` by its `generate`; leaving the loop early ends the generation."""
    watch = _Queueing()
    work = asyncio.create_task(backend.generate([request], watch))
    work.add_done_callback(lambda _: watch.queue.put_nowait(None))
    try:
        while (piece := await watch.queue.get()) is not None:
            yield piece
        (reply,) = await work
    finally:
        work.cancel()
    if isinstance(reply, ReplyFailure):
        raise reply
    yield reply


class ChatBackend:
    """Any `ChatModel` as a backend: a scripted one, a teacher. A reply is one piece."""

    chat = True

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        """All at once; the model bounds how many are under way."""
        tasks = [asyncio.create_task(self._one(row, request, watch)) for row, request in enumerate(requests)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, row: int, request: ChatRequest, watch: Watch) -> Reply | ReplyFailure:
        try:
            reply = closed(await self.model.complete(request), request.stop)
        except ReplyFailure as failure:
            if failure.reason != "cut_by_length":
                return failure
            reply = Reply(text=failure.raw, finish_reason="length")
        watch.piece(row, reply.text)
        return reply

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """The whole reply as one piece."""
        return streamed(self, request)

    async def aclose(self) -> None:
        """Nothing is held."""


def closed(reply: Reply, stop: Sequence[str]) -> Reply:
    """The reply with the closing tag that ended it: servers leave the stop string out.

    >>> closed(Reply(text="<Answer>4"), ["</Answer>"]).text
    '<Answer>4</Answer>'
    """
    for tag in stop if reply.finish_reason == "stop" else ():
        opening = tag.replace("</", "<")
        if opening != tag and reply.text.count(opening) > reply.text.count(tag):
            return reply.model_copy(update={"text": reply.text + tag})
    return reply
