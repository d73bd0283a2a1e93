"""Micro-batches: requests that come at the same time share the batches of one model.

While a batch is generated, those that come wait; the next batch takes all that wait, oldest first. A row whose client
has left is cut short, and never started if it still waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from redink.failures import ReplyFailure
from redink.models.chat import ChatRequest, Reply
from redink.solving.backends import UNWATCHED, Backend, Watch, streamed

GATHER_S = 0.004
"""How long the first of a batch waits for others that come with it."""


@dataclass(eq=False)
class _Row:
    request: ChatRequest
    place: int
    watch: Watch
    done: asyncio.Future[Reply | ReplyFailure]
    left: bool = field(default=False)

    @property
    def gone(self) -> bool:
        return self.left or self.watch.gone(self.place)


class _Batch(Watch):
    """Passes on what is generated to the watch of each row."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self.rows = rows

    def piece(self, row: int, text: str) -> None:
        """To the row's own watch."""
        one = self.rows[row]
        if one.watch is not UNWATCHED:
            one.watch.piece(one.place, text)

    def gone(self, row: int) -> bool:
        """Whether the row's client has left."""
        return self.rows[row].gone


class Batching:
    """A backend in front of another that puts concurrent calls together; one batch is under way at a time."""

    def __init__(
        self,
        inner: Backend,
        rows: int = 32,
        gather_s: float = GATHER_S,
        told: Callable[[int], object] = lambda _: None,
    ) -> None:
        """At most `rows` share a batch; `told` hears the size of each."""
        self.inner, self.rows, self.gather_s, self.told = inner, rows, gather_s, told
        self._waiting: deque[_Row] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.inner.name

    @property
    def chat(self) -> bool:
        """As the model has it."""
        return self.inner.chat

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        """As `Backend.generate`, in batches shared with other calls; a cancelled call leaves its rows."""
        loop = asyncio.get_running_loop()
        rows = [_Row(request, place, watch, loop.create_future()) for place, request in enumerate(requests)]
        self._waiting.extend(rows)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return list(await asyncio.gather(*(row.done for row in rows)))
        finally:
            for row in rows:
                row.left = True

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """As `Backend.stream`."""
        return streamed(self, request)

    async def aclose(self) -> None:
        """End the batch under way, then close the model."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        for row in self._waiting:
            row.done.cancel()
        await self.inner.aclose()

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(self.gather_s)
            rows = self._next()
            if rows:
                self.told(len(rows))
                await self._generate(rows)

    def _next(self) -> list[_Row]:
        taken: list[_Row] = []
        while self._waiting and len(taken) < self.rows:
            row = self._waiting.popleft()
            if not row.gone:
                taken.append(row)
        return taken

    async def _generate(self, rows: Sequence[_Row]) -> None:
        try:
            replies = await self.inner.generate([row.request for row in rows], _Batch(rows))
        except Exception as failure:  # whatever it is, those who wait must hear of it, and the next batch must run
            for row in rows:
                if not row.done.done():
                    row.done.set_exception(failure)
            return
        except asyncio.CancelledError:
            for row in rows:
                row.done.cancel()
            raise
        for row, reply in zip(rows, replies, strict=True):
            if not row.done.done():
                row.done.set_result(reply)
