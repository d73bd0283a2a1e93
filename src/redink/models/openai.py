"""Chat completions of any OpenAI-compatible server (OpenAI, vLLM, llama.cpp, DeepSeek, …) over raw aiohttp.

The key is read from the environment when a call is made and goes nowhere but into that call's header.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import TracebackType
from typing import NoReturn

import aiohttp
from pydantic import AliasChoices, BaseModel, Field, ValidationError
from yarl import URL

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply, Usage, split_reasoning

LONGEST_PAUSE_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
_RETRIED = frozenset({408, 409, 429})
_OUT_OF_CREDIT = "insufficient_quota"
_THIS_ONE_IS_REFUSED = (
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "content_filter",
    "content_policy",
)


@dataclass(frozen=True)
class _Trouble:
    """A try that gave no reply, and may yet."""

    reason: str
    detail: str
    raw: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True)
class _Answer:
    """What came over the wire."""

    status: int
    retry_after: str | None
    body: str


class _Said(BaseModel):
    content: str | None = None
    reasoning: str | None = Field(default=None, validation_alias=AliasChoices("reasoning_content", "reasoning"))
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


class _Complaint(BaseModel):
    """The error object of a server; `message` is made one line by `_complaint`."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None

    def about_this_request(self, status: int) -> bool:
        """True if another row may well be accepted: this one is too long, or of a kind the server will not serve."""
        said = f"{self.code} {self.type} {self.message}"
        return status == 413 or (status == 400 and any(mark in said for mark in _THIS_ONE_IS_REFUSED))


class _Refusal(BaseModel):
    error: _Complaint | str


class OpenAIChat:
    """One model of one server.

    Connections are kept while calls are under way, and closed with the last: nothing is left over when an event loop
    ends. `async with model:` keeps them between calls too.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        key_name: str = "OPENAI_API_KEY",
        *,
        timeout_s: float = 600,
        max_attempts: int = 5,
        in_flight: int = 32,
        first_pause_s: float = 1.0,
    ) -> None:
        """At most `in_flight` calls at a time, each tried at most `max_attempts` times for `timeout_s` seconds a try.

        The wait between tries begins at `first_pause_s` seconds and doubles, with jitter, unless the server says
        how long with Retry-After. `base_url` usually ends in /v1; raises `Failure` if it is no plain address.
        """
        self.name = model
        self.key_name = key_name
        self.max_attempts = max_attempts
        self.first_pause_s = first_pause_s
        self._url = _plain_url(base_url)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._window = in_flight
        self._session: aiohttp.ClientSession | None = None
        self._users = 0

    def __repr__(self) -> str:
        """Model and address; never the key."""
        return f"OpenAIChat({self.name!r}, {str(self._url)!r})"

    async def __aenter__(self) -> OpenAIChat:
        """Keep connections until the block ends."""
        self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them, if nobody else is using them."""
        self._users -= 1
        if not self._users:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections now; a later call opens new ones."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def complete(self, request: ChatRequest) -> Reply:
        """Continue the conversation.

        Raises `ReplyFailure` where this request has no usable reply ('cut_by_length', 'empty_reply', 'refused',
        'unreadable_reply', 'server_failed'), `Failure` where no request would (key, address, model name, credit).
        """
        async with self:
            return await self._persist(_body(self.name, request))

    async def _persist(self, body: bytes) -> Reply:
        trouble = await self._try(body)
        for number in range(1, self.max_attempts):
            if isinstance(trouble, Reply):
                return trouble
            await asyncio.sleep(_pause(number, trouble.retry_after_s, self.first_pause_s, random.random()))
            trouble = await self._try(body)
        return trouble if isinstance(trouble, Reply) else self._give_up(trouble)

    def _give_up(self, trouble: _Trouble) -> NoReturn:
        if trouble.reason == "unreachable":
            raise Failure(
                f"{self._url} cannot be reached ({trouble.detail}; {self.max_attempts} tries).",
                "Check that the server runs and that base_url is its address.",
            )
        raise ReplyFailure(trouble.reason, f"{trouble.detail} ({self.max_attempts} tries)", trouble.raw)

    async def _try(self, body: bytes) -> Reply | _Trouble:
        key = self._key()
        answer = await self._post(body, key)
        if isinstance(answer, _Trouble):
            return answer
        if answer.status == 200:
            return _read(answer.body)
        return self._refused(answer, _complaint(answer.body, key))

    async def _post(self, body: bytes, key: str) -> _Answer | _Trouble:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        session, window = self._opened()
        # aiohttp's exceptions carry the request's headers, hence the key: none may leave this method, chained or not.
        try:
            async with window, session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                text = (await response.read()).decode("utf-8", errors="replace")
                retry_after = response.headers.get("Retry-After")
                return _Answer(response.status, retry_after, _without(key, text))
        except aiohttp.ClientConnectorError as failure:
            return _Trouble("unreachable", str(failure))
        except TimeoutError:
            return _Trouble("server_failed", f"no full reply within {self._timeout.total:g} s")
        except aiohttp.ClientError as failure:
            return _Trouble("server_failed", f"the connection broke ({type(failure).__name__})")

    def _opened(self) -> tuple[aiohttp.ClientSession, asyncio.Semaphore]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, connector=aiohttp.TCPConnector(limit=self._window)
            )
            self._free = asyncio.Semaphore(self._window)
        return self._session, self._free

    def _key(self) -> str:
        key = os.environ.get(self.key_name, "").strip()
        if not key and not _is_loopback(self._url):
            raise Failure(
                f"The environment variable {self.key_name} holds no key for {self._url.host}.",
                f"Set it: export {self.key_name}=...",
            )
        if not (key.isascii() and key.isprintable()):
            raise Failure(
                f"The environment variable {self.key_name} holds characters that no key has.", "Copy the key anew."
            )
        return key

    def _refused(self, answer: _Answer, complaint: _Complaint) -> _Trouble:
        said = f"HTTP {answer.status}: {complaint.message}"
        if answer.status < 500 and complaint.about_this_request(answer.status):
            raise ReplyFailure("refused", said)
        if answer.status >= 500 or (answer.status in _RETRIED and complaint.code != _OUT_OF_CREDIT):
            return _Trouble("server_failed", said, retry_after_s=_seconds(answer.retry_after, datetime.now(UTC)))
        raise Failure(f"{self._url} refused the request to {self.name!r}: {said}", self._remedy(answer.status))

    def _remedy(self, status: int) -> str:
        remedies = {
            401: f"Check the key in the environment variable {self.key_name}.",
            403: f"Check what the key in the environment variable {self.key_name} may use.",
            404: "Check base_url (it usually ends in /v1) and the model's name.",
            429: "Add credit or raise the limit of the account, then type the same command again.",
        }
        return remedies.get(status, "Check base_url, the model's name and its sampling settings in the recipe.")


def _plain_url(base_url: str) -> URL:
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.user or url.password or url.query_string:
        raise Failure(
            "base_url is no plain http(s) address, or holds a user name, a password or a query.",
            "Write it like https://api.openai.com/v1; keys belong into the environment.",
        )
    return url / "chat" / "completions"


def _is_loopback(url: URL) -> bool:
    try:
        return ip_address(url.host or "").is_loopback
    except ValueError:
        return url.host == "localhost"


def _body(model: str, request: ChatRequest) -> bytes:
    body = {"model": model} | request.model_dump(mode="json", exclude_none=True)
    if not request.stop:
        del body["stop"]
    return json.dumps(body, ensure_ascii=False).encode("utf-8")


def _pause(number: int, retry_after_s: float | None, first_s: float, jitter: float) -> float:
    """Seconds to wait after the `number`-th failed try (from 1); `jitter` in [0, 1) spreads callers apart."""
    if retry_after_s is not None:
        return min(retry_after_s, LONGEST_RETRY_AFTER_S) + first_s * jitter
    return min(first_s * 2.0 ** (number - 1), LONGEST_PAUSE_S) * (0.5 + 0.5 * jitter)


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read Retry-After, which is a number of seconds or an HTTP date; None if it is neither (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _read(body: str) -> Reply | _Trouble:
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as failure:
        first = failure.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return _Trouble("unreadable_reply", f"{field + ': ' if field else ''}{first['msg']}", body)
    return _usable(completion.choices[0], completion.usage or _Tokens())


def _usable(choice: _Choice, tokens: _Tokens) -> Reply:
    """The reply, if it is whole; raises `ReplyFailure` with what there is of it otherwise."""
    thought, text = split_reasoning(choice.message.content or "")
    reasoning = "\n\n".join(filter(None, (choice.message.reasoning, thought)))
    if choice.finish_reason == "length":
        raise ReplyFailure("cut_by_length", f"after {tokens.completion_tokens} tokens; raise max_tokens", text)
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise ReplyFailure("refused", choice.message.refusal or "by the server's content filter", text)
    if not text.strip():
        raise ReplyFailure("empty_reply", "the model said nothing outside its reasoning", reasoning)
    usage = Usage(prompt_tokens=tokens.prompt_tokens, completion_tokens=tokens.completion_tokens)
    return Reply(text=text, reasoning=reasoning, finish_reason=choice.finish_reason or "stop", usage=usage)


def _complaint(body: str, key: str) -> _Complaint:
    """The error object of a server's body; the body itself is the message if it is of no known form."""
    try:
        error = _Refusal.model_validate_json(body).error
    except ValidationError:
        error = body
    if isinstance(error, str):
        error = _Complaint(message=error)
    message = _without(key, " ".join(error.message.split()))[:500] or "(no message)"
    return _Complaint(message=message, code=error.code, type=error.type)


def _without(key: str, text: str) -> str:
    """Some servers quote the key they refuse."""
    return text.replace(key, "[key]") if key else text
