"""The calls of the Batch API: upload a file, make a batch, ask how it goes, download what came of it, delete the file.

As in `wire.py`, the key is read when a call is made, goes into that call's header, and into nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from redink.failures import Failure
from redink.models.engine import pause
from redink.models.wire import CONNECTED_WITHIN_S, STALLED_AFTER_S, Endpoint, Outcome, classify

LINE_URL = "/v1/chat/completions"
MOST_PAGES = 50
DELETED_WITHIN_S = 10.0
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECTED_WITHIN_S, sock_read=STALLED_AFTER_S)
_CHUNK = 1 << 18
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

T = TypeVar("T")
_M = TypeVar("_M", bound=BaseModel)


class Complaint(BaseModel):
    """What is wrong with a whole batch, as the server says it."""

    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Complaints(BaseModel):
    data: list[Complaint] | None = None


class Batch(BaseModel):
    """A batch as the server describes it."""

    id: str
    status: str
    input_file_id: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Complaints | None = None

    @property
    def ended(self) -> bool:
        """True if nothing more will come."""
        return self.status in _ENDED

    @property
    def complaints(self) -> list[Complaint]:
        """Why it failed as a whole."""
        return (self.errors.data if self.errors else None) or []


class _Named(BaseModel):
    id: str


class _Page(BaseModel):
    data: list[Batch]
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class BatchWire:
    """The Batch API of one server through one session; made by `batch_wire`."""

    endpoint: Endpoint
    session: aiohttp.ClientSession
    tries: int
    first_pause_s: float

    async def upload(self, content: bytes) -> str:
        """Upload an input file; returns its id."""

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData({"purpose": "batch"})
            data.add_field("file", content, filename="redink.jsonl", content_type="application/jsonl")
            return data

        return _sure(await self._persist("POST", "files", _reader(_Named), form), "files").id

    async def create(self, file_id: str, *, look_first: bool) -> Batch:
        """Make a batch of an input file, but only one.

        Before any second try, and with `look_first` before the first, it is searched for in the server's list.
        """
        number = 0
        while True:
            number += 1
            made = await self._made_from(file_id) if look_first or number > 1 else None
            if made is not None:
                return made
            wanted = {"input_file_id": file_id, "endpoint": LINE_URL, "completion_window": "24h"}
            outcome = await self._once("POST", "batches", _reader(Batch), json=wanted)
            if not isinstance(outcome, Outcome):
                return outcome
            await self._after(outcome, number)

    async def state(self, batch_id: str) -> Batch | None:
        """How a batch goes; None if the server knows of no such batch."""
        return await self._persist("GET", f"batches/{batch_id}", _reader(Batch))

    async def read_lines(self, file_id: str, take: Callable[[bytes], None]) -> None:
        """Hand each line of a file to `take`, as it comes; some come twice if the connection breaks. No file: none."""

        async def read(response: aiohttp.ClientResponse) -> bool:
            rest = b""
            async for chunk in response.content.iter_chunked(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    take(line)
            take(rest)
            return True

        await self._persist("GET", f"files/{file_id}/content", read)

    async def delete(self, file_id: str) -> None:
        """Delete a file. A server that does not do it, or not within `DELETED_WITHIN_S` seconds, keeps it."""
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(DELETED_WITHIN_S):
                await self._persist("DELETE", f"files/{file_id}", _whatever)

    async def _made_from(self, file_id: str) -> Batch | None:
        """The batch that was made of an input file, if the server lists one that has not failed."""
        after = ""
        for _ in range(MOST_PAGES):
            page = await self._persist("GET", f"batches?limit=100{after}", _reader(_Page))
            if page is None:
                return None
            found = [batch for batch in page.data if batch.input_file_id == file_id and batch.status != "failed"]
            if found or not page.has_more or not page.data:
                return found[0] if found else None
            after = f"&after={page.data[-1].id}"
        return None

    async def _persist(
        self,
        method: str,
        path: str,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        form: Callable[[], aiohttp.FormData] | None = None,
    ) -> T | None:
        """Call until there is a result; None for what is not there (404)."""
        number = 0
        while True:
            number += 1
            outcome = await self._once(method, path, read, data=form() if form else None)
            if not isinstance(outcome, Outcome):
                return outcome
            if outcome.status == 404:
                return None
            await self._after(outcome, number)

    async def _once(
        self,
        method: str,
        path: str,
        read: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        *,
        json: object = None,
        data: aiohttp.FormData | None = None,
    ) -> T | Outcome:
        """One call: what was read, or what went wrong; never an exception of aiohttp's, since those carry the key."""
        key = self.endpoint.key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = URL(f"{self.endpoint.address.parent.parent}/{path}")
        try:
            async with self.session.request(
                method, url, json=json, data=data, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                if 200 <= response.status < 300:
                    return await read(response)
                return classify(response.status, await response.read(), response.headers, key)
        except aiohttp.ClientConnectorError as failure:
            return Outcome("unreachable", detail=str(failure))
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            return Outcome("faulty", detail=f"the connection broke ({type(failure).__name__})")
        except ValidationError as failure:
            return Outcome("faulty", detail=f"the response cannot be read ({failure.error_count()} faults)")

    async def _after(self, outcome: Outcome, number: int) -> None:
        """Wait before the next try; raises `Failure` if there is none, or it cannot help."""
        if outcome.kind in ("refused", "fatal"):
            raise Failure(
                f"The Batch API at {self._place} refused: {outcome.detail}",
                f"Check the key in {self.endpoint.key_name}, and that there is a Batch API; or set batch = false.",
            )
        if number >= self.tries:
            raise Failure(
                f"The Batch API at {self._place} does not answer ({outcome.detail}; {number} tries).",
                "Type the same command again later: batches under way are found again.",
            )
        await asyncio.sleep(pause(number, outcome.retry_after_s, self.first_pause_s, random.random()))

    @property
    def _place(self) -> str:
        return str(self.endpoint.address.parent.parent)


@asynccontextmanager
async def batch_wire(endpoint: Endpoint, tries: int, first_pause_s: float) -> AsyncIterator[BatchWire]:
    """The Batch API of an endpoint's server, while the block runs."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield BatchWire(endpoint, session, tries, first_pause_s)


def _reader(kind: type[_M]) -> Callable[[aiohttp.ClientResponse], Awaitable[_M]]:
    async def read(response: aiohttp.ClientResponse) -> _M:
        return kind.model_validate_json(await response.read())

    return read


async def _whatever(response: aiohttp.ClientResponse) -> bool:
    return True


def _sure(value: T | None, path: str) -> T:
    if value is None:
        raise Failure(f"The server has no Batch API (there is no {path}).", "Set batch = false.")
    return value
