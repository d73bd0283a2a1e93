"""A chat model over the Batch API of any OpenAI-compatible server: cheaper, and slower.

Requests are collected, uploaded as one file and polled for; what failed or expired is submitted again. The name of a
request in the file is its key in the journal, so what came by batch is never bought online, nor the other way round.
Which rows lie in which file is noted in the journal before a batch is made of it: a killed run finds its batches again.
Once what came of it is in the journal on disk, the file is deleted on the server, and then its note.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from redink.failures import Failure, ReplyFailure
from redink.models.batch_wire import LINE_URL, Batch, BatchWire, batch_wire
from redink.models.chat import ChatRequest, Reply, Usage
from redink.models.engine import EndpointChat, Engine, current_stage
from redink.models.journal import Entry, Journal
from redink.models.limiter import Limiter, Limits
from redink.models.wire import Completion, Endpoint, classify, read_completion

MOST_ROWS = 50_000
MOST_BYTES = 100 * 2**20
LONGEST_POLL_S = 120.0
POLL_GROWTH = 1.5
_TOO_MUCH_AT_ONCE = "token_limit_exceeded"


class BatchChat(EndpointChat):
    """A `ChatModel` whose calls travel in batches."""

    def __init__(
        self,
        engine: Engine,
        endpoint: Endpoint,
        *,
        size: int = 5000,
        wait_s: float = 30.0,
        tries: int = 3,
        poll_s: float = 5.0,
        server_tries: int = 8,
        first_pause_s: float = 0.5,
        larger_on_cut: float | None = None,
        max_tokens_limit: int = 32_768,
    ) -> None:
        """A batch is sent off with `size` requests, or when none has come for `wait_s` seconds.

        A request is in at most `tries` batches. The state of a batch is asked for after `poll_s` seconds, then after
        longer and longer ones. Each HTTP call is tried `server_tries` times; the rest as in `Engine.chat`. Raises
        `Failure` without a journal: a batch outlives the process that waits for it.
        """
        if engine.journal is None:
            raise Failure("The Batch API needs a journal.", "Name one, or set batch = false.")
        super().__init__(
            engine,
            endpoint,
            Limiter(Limits()),
            tries=tries,
            busy_tries=server_tries,
            timeout_s=600.0,
            first_pause_s=first_pause_s,
            larger_on_cut=larger_on_cut,
            max_tokens_limit=max_tokens_limit,
        )
        self.size, self.wait_s, self.poll_s = min(size, MOST_ROWS), wait_s, poll_s
        self._journal: Journal = engine.journal
        self._topic = f"batch {endpoint.url} {endpoint.model}"
        self._callers = 0
        self._reset()
        engine.when_stopped.append(self._let_go)

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Continue the conversation, when the batch comes back; raises as `EndpointChat.complete`."""
        self._callers += 1
        try:
            return await super().complete(request, sample)
        finally:
            self._callers -= 1
            if not self._callers:
                self._rest()

    def _let_go(self, why: Failure) -> None:
        """Nobody waits any more; `_rest` follows with the last caller."""
        self._settle([*self._waiting, *self._flying.values()], why)

    async def _buy(self, key: bytes, body: bytes) -> Completion:
        self.engine.refuse_if_stopped()
        self._find_flights()
        row = self._flying.get(key) or _Row(key, current_stage())
        row.body, row.future = body, asyncio.get_running_loop().create_future()
        if key not in self._flying:
            self._collect(row)
        await row.future
        entry = self._journal.get(key)
        if entry is None:
            raise ReplyFailure("server_failed", "the reply was damaged on disk before it could be read")
        return read_completion(entry.body, entry.usage)

    def _reset(self) -> None:
        self._found = False
        self._waiting: list[_Row] = []
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flying: dict[bytes, _Row] = {}
        self._aloft: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _rest(self) -> None:
        """Nobody waits: let go of the batches under way, whose notes are kept, and leave nothing in the event loop."""
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._reset()

    def _find_flights(self) -> None:
        """Wait, from now on, for the batches that an earlier process has left under way."""
        if self._found:
            return
        self._found = True
        for file_id, note in self._journal.notes(self._topic).items():
            if file_id not in self._aloft:
                self._start(_Flight.from_note(file_id, note))

    def _collect(self, row: _Row) -> None:
        self._waiting.append(row)
        self._waiting_bytes += len(row.body)
        if self._timer:
            self._timer.cancel()
        if len(self._waiting) >= self.size or self._waiting_bytes >= MOST_BYTES:
            self._send_off()
        else:
            self._timer = asyncio.get_running_loop().call_later(self.wait_s, self._send_off)

    def _send_off(self) -> None:
        rows = [row for row in self._waiting if row.is_wanted]
        self._waiting, self._waiting_bytes = [], 0
        if rows:
            self._start(_Flight(rows))

    def _start(self, flight: _Flight, after_s: float = 0.0) -> None:
        self._flying |= {row.key: row for row in flight.rows}
        self._aloft.add(flight.file_id)
        task = asyncio.get_running_loop().create_task(self._fly(flight, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, flight: _Flight, after_s: float) -> None:
        """See a flight through, whatever happens: each row that is waited for gets a result or a failure."""
        try:
            await asyncio.sleep(after_s)
            async with batch_wire(self.endpoint, self.busy_tries, self.first_pause_s) as wire:
                batch = await self._landed(wire, flight)
                await self._unload(wire, flight, batch)
                await wire.delete(flight.file_id)
            await asyncio.to_thread(self._journal.note, self._topic, flight.file_id, None)
            self._after(flight, batch)
        except Exception as failure:
            self._aloft.discard(flight.file_id)
            self._found = False
            self._settle(flight.rows, failure)

    async def _landed(self, wire: BatchWire, flight: _Flight) -> Batch | None:
        """Send it off, unless that was done, and wait until it has ended; None if the server has forgotten it."""
        is_old = bool(flight.file_id)
        if not is_old:
            if self.engine.ledger is not None:
                self.engine.ledger.refuse_over_budget(self.name)
            flight.file_id = await wire.upload(b"".join(map(_line, flight.rows)))
            self._aloft.add(flight.file_id)
            await self._write_down(flight)
        if not flight.batch_id:
            flight.batch_id = (await wire.create(flight.file_id, look_first=is_old)).id
            await self._write_down(flight)
        wait_s = 0.0 if is_old else self.poll_s
        while True:
            await asyncio.sleep(wait_s)
            batch = await wire.state(flight.batch_id)
            if batch is None or batch.ended:
                return batch
            wait_s = min(max(wait_s, self.poll_s / POLL_GROWTH) * POLL_GROWTH, LONGEST_POLL_S)

    async def _write_down(self, flight: _Flight) -> None:
        await asyncio.to_thread(self._journal.note, self._topic, flight.file_id, flight.to_note())

    async def _unload(self, wire: BatchWire, flight: _Flight, batch: Batch | None) -> None:
        rows = {row.key.hex(): row for row in flight.rows}
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id) if batch else ()):
            await wire.read_lines(file_id, lambda line: self._take(line, rows))
        await asyncio.to_thread(self._journal.flush)

    def _take(self, line: bytes, rows: dict[str, _Row]) -> None:
        """Book one line of what came back; what cannot be read is as if it had not come."""
        try:
            result = _Result.model_validate_json(line)
        except ValidationError:
            return
        row = rows.get(result.custom_id)
        if row is None or row.is_decided:
            return
        status, body = result.status, result.body
        if status == 200:
            self._take_reply(row, body)
            return
        outcome = classify(status, body, {})
        row.trouble = outcome.detail
        if outcome.kind == "refused":
            row.decide(ReplyFailure("refused", outcome.detail))
        elif outcome.kind == "fatal":
            row.decide(Failure(f"{self.endpoint.url} refused a request to {self.name!r}: {outcome.detail}"))

    def _take_reply(self, row: _Row, body: bytes) -> None:
        try:
            completion = read_completion(body)
        except ReplyFailure as failure:
            row.trouble = failure.detail
            return
        if self._journal.get(row.key) is None:
            self._keep(row, Entry(body, completion.usage, row.tries, time.time(), "batch"))
        row.decide(None)

    def _keep(self, row: _Row, entry: Entry) -> None:
        self.engine.bought += 1
        if self.engine.ledger is not None:
            self.engine.ledger.buy(row.key, entry, row.stage, self.name)
        else:
            self._journal.put(row.key, entry)

    def _settle(self, rows: Iterable[_Row], failure: Exception) -> None:
        """Whatever is known of these rows is told to those who wait; the others have failed."""
        for row in rows:
            self._flying.pop(row.key, None)
            if not row.is_decided:
                row.decide(failure)
            row.tell()

    def _after(self, flight: _Flight, batch: Batch | None) -> None:
        """What a batch has left undone: submitted again as long as there are tries."""
        left = [row for row in flight.rows if not row.is_decided]
        for row in flight.rows:
            self._flying.pop(row.key, None)
            row.tell()
        wanted = [row for row in left if row.is_wanted]
        if batch is not None and batch.status == "failed":
            self._after_refusal(wanted, batch)
            return
        self._count_failed(left)
        status = batch.status if batch else "forgotten"
        for row in wanted:
            if row.tries >= self.tries:
                row.decide(row.given_up(status))
                row.tell()
        again = [row for row in wanted if not row.is_decided]
        if again:
            self._start(_Flight([row.once_more() for row in again]))

    def _after_refusal(self, rows: Sequence[_Row], batch: Batch) -> None:
        """A batch that was not taken on: too many tokens are enqueued (halves, later), or its input is at fault."""
        codes = {complaint.code for complaint in batch.complaints}
        if _TOO_MUCH_AT_ONCE in codes and len(rows) > 1:
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                self._start(_Flight(list(half)), LONGEST_POLL_S)
            return
        first = next(iter(batch.complaints), None)
        said = f"{first.message} (line {first.line})" if first else "it does not say why"
        self._settle(
            rows,
            Failure(f"{self.endpoint.url} refused the batch {batch.id}: {said}.", "Mend it, or set batch = false."),
        )

    def _count_failed(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            self.engine.failed_tries += 1
            if self.engine.ledger is not None:
                self.engine.ledger.charge(row.stage, self.name, Usage(), failed=True, via="batch")


@dataclass(slots=True, eq=False)
class _Row:
    """One request: what it is, how often it was in a batch (this time included), and who waits for it."""

    key: bytes
    stage: str
    tries: int = 1
    body: bytes = b""
    future: asyncio.Future[None] | None = None
    trouble: str = ""
    is_decided: bool = False
    failure: Exception | None = None

    @property
    def is_wanted(self) -> bool:
        """True if somebody waits for it."""
        return self.future is not None and not self.future.done()

    def decide(self, failure: Exception | None) -> None:
        """Its reply is in the journal, or it has failed."""
        self.is_decided, self.failure = True, failure

    def tell(self) -> None:
        """Tell who waits for it, once it is decided."""
        if not self.is_decided or self.future is None or self.future.done():
            return
        if self.failure is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self.failure)

    def once_more(self) -> _Row:
        """The row with a try more."""
        self.tries += 1
        return self

    def given_up(self, status: str) -> ReplyFailure:
        """Why it has no reply after the last try."""
        trouble = self.trouble or f"the batch ended {status!r} without it"
        return ReplyFailure("server_failed", f"{trouble} ({self.tries} batches)")


@dataclass(slots=True)
class _Flight:
    """Rows that travel together; the ids come as the server gives them."""

    rows: list[_Row]
    file_id: str = ""
    batch_id: str = ""

    def to_note(self) -> bytes:
        """All that another process needs, but the requests themselves."""
        rows = [[row.key.hex(), row.stage, row.tries] for row in self.rows]
        return json.dumps({"batch_id": self.batch_id, "rows": rows}).encode()

    @staticmethod
    def from_note(file_id: str, note: bytes) -> _Flight:
        """What `to_note` was given."""
        told = json.loads(note)
        rows = [_Row(bytes.fromhex(key), stage, tries) for key, stage, tries in told["rows"]]
        return _Flight(rows, file_id, told["batch_id"])


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Result(BaseModel):
    """A line of an output or error file."""

    custom_id: str
    response: _Response | None = None
    error: Any = None

    @property
    def status(self) -> int:
        """As if the request had travelled alone; 500 for one that was never executed."""
        return self.response.status_code if self.response else 500

    @property
    def body(self) -> bytes:
        """The response's body as JSON."""
        told = self.response.body if self.response else {"error": self.error}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _line(row: _Row) -> bytes:
    """One line of an input file; the request stands in it byte for byte as it would be sent online."""
    name = row.key.hex().encode()
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (name, LINE_URL.encode(), row.body)
