"""One try at one chat completion over HTTP: what is sent, what came back, and of which kind it is.

No retries and no waiting here (`engine`, `limiter`). The key is read from the environment when a call is made and goes
nowhere but into that call's header.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Literal

import aiohttp
from yarl import URL

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply, Usage, split_reasoning

STALLED_AFTER_S = 120.0
CONNECTED_WITHIN_S = 120.0
MOST_BYTES = 64 * 2**20
OTHER_FILES = 256
OF_THE_REQUEST = ("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "n", "stream")
_OUT_OF_CREDIT = "insufficient_quota"
_RETRIED = frozenset({408, 409})
_SLOW_DOWN = frozenset({503, 529})
_THIS_ONE_IS_REFUSED = (
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "content_filter",
    "content_policy",
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)

Kind = Literal["reply", "busy", "faulty", "unreachable", "refused", "fatal"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a server wants its requests written, where that is not as most do.

    Raises `Failure` where `extra` holds what the rest of a request says, or what is no JSON.
    """

    token_limit_key: str = "max_tokens"
    """What the longest reply is called."""
    leave_out: tuple[str, ...] = ()
    """Settings that are not sent: `temperature`, `top_p`, `seed`, `stop`."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further fields, sent as they are."""

    def __post_init__(self) -> None:
        taken = sorted({*OF_THE_REQUEST, self.token_limit_key} & self.extra.keys())
        if taken:
            raise Failure(
                f"extra_body may not hold {', '.join(taken)}.",
                "Model, max_tokens and temperature have keys of their own; one whole reply is asked for at a time.",
            )
        try:
            json.dumps(self.extra, allow_nan=False)
        except (ValueError, TypeError) as failure:
            raise Failure(f"extra_body holds what JSON has no word for ({failure}).", "Write it as text.") from None


AS_MOST = Form()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model of one server; `base_url` usually ends in /v1, the key is in the variable `key_name`.

    Raises `Failure` if the address is no plain http(s) one or holds a secret.
    """

    model: str
    base_url: str = field(repr=False)
    key_name: str = "OPENAI_API_KEY"
    form: Form = field(default=AS_MOST, repr=False)
    address: URL = field(init=False, compare=False)
    needs_key: bool = field(init=False, repr=False, compare=False)
    """False for servers on this machine."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _plain_url(self.base_url))
        object.__setattr__(self, "needs_key", not _is_loopback(self.address))

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return str(self.address)

    def body(self, request: ChatRequest) -> bytes:
        """What is sent for a request (`canonical_body`)."""
        return canonical_body(self.model, request, self.form)

    def key(self) -> str:
        """The key as it is in the environment now; raises `Failure` if there is none and the server is elsewhere."""
        key = os.environ.get(self.key_name, "").strip()
        if not key and self.needs_key:
            raise Failure(
                f"The environment variable {self.key_name} holds no key for {self.address.host}.",
                f"Set it: export {self.key_name}=...",
            )
        if not (key.isascii() and key.isprintable()):
            raise Failure(
                f"The environment variable {self.key_name} holds characters that no key has.", "Copy the key anew."
            )
        return key


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What a server says of its limits (`x-ratelimit-*`): per minute as a rule, None where it says nothing."""

    limit_requests: float | None = None
    limit_tokens: float | None = None
    remaining_requests: float | None = None
    remaining_tokens: float | None = None
    reset_requests_s: float | None = None
    reset_tokens_s: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A response body that is a chat completion: its first choice and what it cost."""

    choice: Mapping[str, Any]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to.

    'reply': a completion, usable or not (`read_reply`). 'busy': too many requests. 'faulty': the server failed, went
    silent or sent garbage. 'unreachable': no connection. 'refused': this row, for good. 'fatal': every row.
    `reason` is the name of the failure if no later try succeeds.
    """

    kind: Kind
    status: int = 0
    body: bytes = b""
    completion: Completion | None = None
    retry_after_s: float | None = None
    rates: RateHeaders | None = None
    reason: str = ""
    detail: str = ""

    @property
    def usage(self) -> Usage | None:
        """What it cost, where the server said so."""
        return self.completion.usage if self.completion else None

    @property
    def completed(self) -> Completion:
        """The completion of a 'reply'."""
        if self.completion is None:
            raise ValueError(f"There is no completion in an outcome of kind {self.kind!r}.")
        return self.completion


class Wire:
    """The connections of one process, whatever the server; opened with the first call."""

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S) -> None:
        """A reply that has begun and sends nothing for `stalled_after_s` seconds is given up."""
        self.stalled_after_s = stalled_after_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_open(self) -> bool:
        """True while connections are kept."""
        return self._session is not None

    async def aclose(self) -> None:
        """Close the connections now; a later call opens new ones."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def post(self, endpoint: Endpoint, body: bytes, timeout: aiohttp.ClientTimeout) -> Outcome:
        """Send `body` once. Raises `Failure` for want of a key; all else is told by the outcome."""
        key = endpoint.key()
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        # aiohttp's exceptions carry the request's headers, hence the key: none may leave this method, chained or not.
        try:
            async with self._opened().post(
                endpoint.address, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await self._whole(response)
                return classify(response.status, _without(key, content), response.headers, key)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as failure:
            return Outcome("unreachable", reason="server_failed", detail=str(failure))
        except _Stalled:
            return _faulty(f"the reply stalled for {self.stalled_after_s:g} s")
        except TimeoutError:
            return _faulty(f"no full reply within {timeout.total:g} s")
        except _Endless:
            return _faulty(f"the reply is longer than {MOST_BYTES} bytes")
        except (aiohttp.ClientError, OSError) as failure:
            return _faulty(f"the connection broke ({type(failure).__name__})")

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        if response.content.is_eof():
            return await response.read()
        read = bytearray()
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(self.stalled_after_s)
        try:
            async with limit:
                async for chunk in response.content.iter_any():
                    read += chunk
                    if len(read) > MOST_BYTES:
                        raise _Endless
                    limit.reschedule(loop.time() + self.stalled_after_s)
        except TimeoutError:
            if limit.expired():
                raise _Stalled from None
            raise
        return bytes(read)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
            )
        return self._session


class _Stalled(Exception):
    """A reply that began and went silent."""


class _Endless(Exception):
    """A reply that does not end."""


def canonical_body(model: str, request: ChatRequest, form: Form = AS_MOST) -> bytes:
    """The request as JSON, keys in order and without white space: what is sent, and what is hashed."""
    body: dict[str, Any] = {
        form.token_limit_key: request.max_tokens,
        "messages": [{"content": message.content, "role": message.role} for message in request.messages],
        "model": model,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = request.stop
    for name in form.leave_out:
        body.pop(name, None)
    body.update(form.extra)
    return _CANONICAL.encode(body).encode("utf-8")


def classify(status: int, body: bytes, headers: Mapping[str, str], key: str = "") -> Outcome:
    """Which kind of outcome a response is; `key` is struck out of what the server says."""
    if 200 <= status < 300:
        return _completed(status, body, headers, key)
    complaint = _complaint(body, key)
    kind = _kind(status, complaint, "Retry-After" in headers)
    return Outcome(
        kind,
        status,
        retry_after_s=retry_after(headers, datetime.now(UTC)),
        rates=rate_headers(headers),
        reason="refused" if kind == "refused" else "server_failed",
        detail=f"HTTP {status}: {complaint.message}",
    )


def _completed(status: int, body: bytes, headers: Mapping[str, str], key: str) -> Outcome:
    try:
        completion = read_completion(body)
    except ReplyFailure as failure:
        hidden = _status_inside(body)
        if hidden:
            return classify(hidden, body, headers, key)
        return Outcome("faulty", status, body, reason=failure.reason, detail=failure.detail)
    return Outcome("reply", status, body, completion, rates=rate_headers(headers))


def _kind(status: int, complaint: _Complaint, says_when: bool) -> Kind:
    if status < 500 and complaint.about_this_request(status):
        return "refused"
    if status == 429:
        return "fatal" if _OUT_OF_CREDIT in (complaint.code, complaint.type) else "busy"
    if status in _SLOW_DOWN and says_when:
        return "busy"
    return "faulty" if status >= 500 or status in _RETRIED else "fatal"


def _faulty(detail: str) -> Outcome:
    return Outcome("faulty", reason="server_failed", detail=detail)


def _status_inside(body: bytes) -> int | None:
    """Read the HTTP status that some gateways put into the error object of a response with status 200."""
    error = _object(body).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else None


def read_reply(body: bytes) -> Reply:
    """Read a response body.

    Raises `ReplyFailure`: 'unreadable_reply' if it is no completion, 'cut_by_length', 'refused' or 'empty_reply' if it
    is one without a whole text in it.
    """
    return usable(read_completion(body))


def read_completion(body: bytes, usage: Usage | None = None) -> Completion:
    """Read a response body that holds at least one choice; raises `ReplyFailure` 'unreadable_reply' otherwise.

    `usage` is what it cost where that is known already.
    """
    try:
        said = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as failure:
        raise _unreadable(f"Invalid JSON: {type(failure).__name__}", body) from None
    choices = said.get("choices") if isinstance(said, dict) else None
    if not isinstance(choices, list) or not choices:
        raise _unreadable("choices: a list of at least one was expected", body)
    if not isinstance(choices[0], dict) or not isinstance(choices[0].get("message"), dict):
        raise _unreadable("choices.0.message: an object was expected", body)
    return Completion(choices[0], usage or read_usage(said.get("usage")))


def _unreadable(detail: str, body: bytes) -> ReplyFailure:
    return ReplyFailure("unreadable_reply", detail, body.decode("utf-8", errors="replace"))


def usable(completion: Completion) -> Reply:
    """The reply, if it is whole; raises `ReplyFailure` with what there is of it otherwise (see `read_reply`)."""
    message, finish = completion.choice["message"], completion.choice.get("finish_reason")
    thought, text = split_reasoning(_text(message.get("content")))
    told = message.get("reasoning_content") or message.get("reasoning")
    reasoning = "\n\n".join(filter(None, (_text(told), thought)))
    if finish == "length":
        raise ReplyFailure(
            "cut_by_length", f"after {completion.usage.completion_tokens} tokens; raise max_tokens", text
        )
    refusal = _text(message.get("refusal"))
    if refusal or finish == "content_filter":
        raise ReplyFailure("refused", refusal or "by the server's content filter", text)
    if not text.strip():
        raise ReplyFailure("empty_reply", "the model said nothing outside its reasoning", reasoning)
    finish_reason = finish if isinstance(finish, str) and finish else "stop"
    return Reply(text=text, reasoning=reasoning, finish_reason=finish_reason, usage=completion.usage)


def _text(content: Any) -> str:
    """Content as text: a string, or a list of parts of which the text is kept; half characters become '?'."""
    if isinstance(content, str):
        return content if content.isascii() else content.encode("utf-8", errors="replace").decode("utf-8")
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") if isinstance(part, dict) else part for part in content)
    return "".join(_text(part) for part in parts if isinstance(part, str))


def read_usage(usage: Any) -> Usage:
    """Read the usage object of OpenAI, DeepSeek (`prompt_cache_hit_tokens`) …; zeros if unreadable."""
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    of_prompt, of_completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = of_prompt.get("cached_tokens") if isinstance(of_prompt, dict) else usage.get("prompt_cache_hit_tokens")
    reasoning = of_completion.get("reasoning_tokens") if isinstance(of_completion, dict) else None
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=min(_count(cached), prompt),
        completion_tokens=completion,
        reasoning_tokens=min(_count(reasoning), completion),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 and value is not True else 0


def rate_headers(headers: Mapping[str, str]) -> RateHeaders | None:
    """Read the `x-ratelimit-*` headers of OpenAI and those like it; None if there are none."""
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    return RateHeaders(
        _number(headers.get("x-ratelimit-limit-requests")),
        _number(headers.get("x-ratelimit-limit-tokens")),
        _number(headers.get("x-ratelimit-remaining-requests")),
        _number(headers.get("x-ratelimit-remaining-tokens")),
        duration(headers.get("x-ratelimit-reset-requests")),
        duration(headers.get("x-ratelimit-reset-tokens")),
    )


def _number(text: str | None) -> float | None:
    """Read a number of at least 0 that is written in digits and at most one point."""
    plain = (text or "").strip()
    if not plain.isascii() or not plain.replace(".", "", 1).isdigit():
        return None
    return float(plain)


def duration(text: str | None) -> float | None:
    """Read seconds ('59.7') or a duration as OpenAI writes it ('6m0s', '12ms').

    >>> duration("1m30.5s")
    90.5
    """
    if not text:
        return None
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the server wants to be asked again; None if it does not say.

    Retry-After is a number of seconds or an HTTP date (RFC 9110, 10.2.3); OpenAI also sends `retry-after-ms`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("Retry-After")
    plain = _number(text)
    if plain is not None or not text:
        return plain
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class _Complaint:
    """The error object of a server; `message` is one line."""

    message: str
    code: Any = None
    type: Any = None

    def about_this_request(self, status: int) -> bool:
        """True if another row may well be accepted: this one is too long, or of a kind the server will not serve."""
        said = f"{self.code} {self.type} {self.message}"
        return status == 413 or (status == 400 and any(mark in said for mark in _THIS_ONE_IS_REFUSED))


def _complaint(body: bytes, key: str) -> _Complaint:
    """The error object of a server's body; the body itself is the message if it is of no known form."""
    error = _object(body).get("error", body.decode("utf-8", errors="replace"))
    fields = error if isinstance(error, dict) else {"message": error}
    message = fields.get("message")
    plain = " ".join(message.split()) if isinstance(message, str) else ""
    said = plain.replace(key, "[key]") if key else plain
    return _Complaint(said[:500] or "(no message)", fields.get("code"), fields.get("type"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _without(key: str, body: bytes) -> bytes:
    """Some servers quote the key they refuse."""
    return body.replace(key.encode("ascii"), b"[key]") if key else body


def room_for_sockets(calls: int) -> None:
    """Let this process hold `calls` connections at a time; raises `Failure` where the system forbids it."""
    wanted = calls + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failure(
            f"{calls} calls in flight need as many open files, and this system allows {hard} to a process.",
            f"Lower max_in_flight to {max(1, hard - OTHER_FILES)} in all, or raise the limit (ulimit -Hn).",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
