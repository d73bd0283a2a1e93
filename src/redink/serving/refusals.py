"""What a client is told when it gets no reply: a status, one clear line, OpenAI's form."""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError

from redink.serving.schema import Problem, ProblemReply

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refusal(Exception):
    """A request that gets no reply: status, what is wrong, a short fixed name, the field, when to come again."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after_s = (
            status, message, code, param, retry_after_s,
        )  # fmt: skip

    def body(self) -> str:
        """As JSON."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        problem = Problem(message=self.message, type=kind, param=self.param, code=self.code)
        return ProblemReply(error=problem).model_dump_json()

    def response(self) -> web.Response:
        """As a response."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.Response(status=self.status, text=self.body(), headers=headers, content_type="application/json")

    def raw(self) -> bytes:
        """As bytes for a connection that never got as far as a request; it is closed after them."""
        body = self.body().encode()
        head = (
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


_REASONS = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}


def of_validation(failure: ValidationError) -> Refusal:
    """The first thing wrong with a body, by its field."""
    first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return Refusal(400, f"The body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}.", "invalid_json")
    place = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden":
        return Refusal(400, f"{place}: this field is not supported; leave it out.", "unknown_field", place)
    return Refusal(400, f"{place or 'the body'}: {first['msg']}.", "invalid_value", place or None)


def of_http(answer: web.HTTPException) -> Refusal:
    """What aiohttp raises, in our form."""
    if isinstance(answer, web.HTTPRequestEntityTooLarge):
        return Refusal(413, "The body is too large for this server.", "body_too_large")
    if answer.status == 404:
        return Refusal(404, "There is nothing here; /openapi.json describes what there is.", "not_found")
    if answer.status == 405:
        return Refusal(405, "This address does not take that method; see /openapi.json.", "method_not_allowed")
    return Refusal(answer.status, answer.reason, "http_error")
