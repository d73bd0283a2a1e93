"""The addresses of the server: chat completions, models, health, metrics, description, page."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from redink.serving import metrics, page
from redink.serving.connection import Connection
from redink.serving.desk import Outcome, Told, no_such_model
from redink.serving.gate import check_origin, check_token
from redink.serving.openapi import description
from redink.serving.refusals import Refusal, of_http, of_validation
from redink.serving.schema import ChatBody, Choice, Completion, Health, Model, Models, Piece, Said
from redink.serving.service import Service

VERSION = version("redink")
FINGERPRINT = f"redink-{VERSION}"
UNREAD = "X-Redink-Unread-Messages"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SERVICE = web.AppKey("service", Service)


def application(service: Service) -> web.Application:
    """The server's application."""
    app = web.Application(middlewares=[_guard], client_max_size=service.bounds.body_bytes)
    app[SERVICE] = service
    app.add_routes([
        web.get("/", _page), web.get("/health", _health), web.get("/metrics", _metrics),
        web.get("/openapi.json", _openapi), web.get("/v1/models", _models), web.get("/v1/models/{name:.+}", _model),
        web.post("/v1/chat/completions", _chat),
    ])  # fmt: skip
    app.on_response_prepare.append(_prepare)
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in one form, every request in the books."""
    service, connection = request.app[SERVICE], _connection(request)
    if connection is not None:
        connection.head_is_whole()
    try:
        check_origin(request, service.open_to_all)
        response = await handler(request)
    except asyncio.CancelledError:
        service.books.gone.add()
        raise
    except (Refusal, web.HTTPException) as answer:
        refusal = of_http(answer) if isinstance(answer, web.HTTPException) else answer
        service.books.refused.add(reason=refusal.code)
        response = refusal.response()
        if isinstance(answer, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = answer.headers["Allow"]
        if request.can_read_body and not request.content.at_eof():
            response.force_close()
    if service.queue.draining:
        response.force_close()
    service.books.requests.add(path=_route(request), status=str(response.status))
    return response


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update({key: value for key, value in _HEADERS.items() if key not in response.headers})
    connection = _connection(request)
    if connection is not None:
        connection.reply_begins()


def _connection(request: web.Request) -> Connection | None:
    found = request.protocol
    return found if isinstance(found, Connection) else None


def _route(request: web.Request) -> str:
    """The address as it was declared: a small fixed set."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "other"


# -------------------------------------------------------------------- small ones


async def _page(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    text = page.render(service.desk.name, service.desk.solver.rounds, needs_token=service.token is not None)
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": page.policy()})


async def _health(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    queue = service.queue
    body = Health(
        status="draining" if queue.draining else "ok", model=service.desk.name, version=VERSION,
        under_way=queue.inside, room=queue.room,
    )  # fmt: skip
    return _json(body.model_dump_json(), 503 if queue.draining else 200)


async def _metrics(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    check_token(request, service.token)
    return web.Response(body=service.books.exposed().encode(), headers={"Content-Type": metrics.TEXT})


async def _openapi(request: web.Request) -> web.Response:
    return _json(description(VERSION, needs_token=request.app[SERVICE].token is not None))


async def _models(request: web.Request) -> web.Response:
    return _json(Models(data=[_served(request)]).model_dump_json())


async def _model(request: web.Request) -> web.Response:
    served = _served(request)
    if request.match_info["name"] != served.id:
        raise no_such_model(served.id)
    return _json(served.model_dump_json())


def _served(request: web.Request) -> Model:
    service = request.app[SERVICE]
    check_token(request, service.token)
    return Model(id=service.desk.name, created=service.started)


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")


# -------------------------------------------------------------------- chat completions


async def _chat(request: web.Request) -> web.StreamResponse:
    service = request.app[SERVICE]
    check_token(request, service.token)
    body = await _body(request, service)
    service.desk.check(body)
    reply = _Reply(service, request, body)
    with service.queue.place():
        try:
            async with asyncio.timeout(service.timeout_s):
                return await (reply.streamed() if body.stream else reply.whole())
        except TimeoutError:
            return await reply.too_long()
        except Refusal as refusal:
            return await reply.refused(refusal)
        finally:
            service.books.seconds.observe(time.monotonic() - reply.started)


async def _body(request: web.Request, service: Service) -> ChatBody:
    if request.content_type != "application/json":
        raise Refusal(415, "Send JSON: 'Content-Type: application/json'.", "not_json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(415, "Send the body uncompressed.", "compressed")
    most = service.bounds.body_bytes
    if (request.content_length or 0) > most:
        raise Refusal(413, f"The body is too large: at most {most:,} bytes.", "body_too_large")
    try:
        async with asyncio.timeout(service.bounds.body_s):
            raw = await request.read()
    except TimeoutError:
        raise Refusal(408, "The body did not come in time.", "request_timeout") from None
    connection = _connection(request)
    if connection is not None:
        connection.body_is_whole()
    try:
        return ChatBody.model_validate_json(raw)
    except ValidationError as failure:
        raise of_validation(failure) from None


class _Reply:
    """One completion on its way to the client."""

    def __init__(self, service: Service, request: web.Request, body: ChatBody) -> None:
        self.service, self.request, self.body = service, request, body
        self.started = time.monotonic()
        self.response: web.StreamResponse | None = None
        self.base: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": service.desk.name,
            "system_fingerprint": FINGERPRINT,
        }
        unread = service.desk.unread(body)
        self.headers = {UNREAD: str(unread)} if unread else {}
        self._wrote = False

    async def whole(self) -> web.StreamResponse:
        """The reply in one piece."""
        content, outcome = [], None
        async with aclosing(self.service.desk.tell(self.body)) as pieces:
            async for told in pieces:
                self._first(told)
                if isinstance(told, str):
                    content.append(told)
                elif isinstance(told, Outcome):
                    outcome = told
        assert outcome is not None
        self.service.books.took(outcome)
        choice = Choice(message=Said(content="".join(content)), finish_reason=outcome.finish)
        trace = outcome.solved if self.body.extra.return_trace else None
        made = Completion(**self.base, choices=[choice], usage=outcome.usage, redink=trace)
        response = _json(made.model_dump_json(exclude=set() if trace else {"redink"}))
        response.headers.update(self.headers)
        return response

    async def streamed(self) -> web.StreamResponse:
        """The reply as server-sent events, from the first piece on: until then a refusal has a status."""
        async with aclosing(self.service.desk.tell(self.body)) as pieces:
            async for told in pieces:
                self._first(told)
                if self.response is None:
                    await self._open()
                await self._send(told)
        assert self.response is not None
        await self.response.write(b"data: [DONE]\n\n")
        return self.response

    async def too_long(self) -> web.StreamResponse:
        """The time is over."""
        words = f"The reply took longer than {self.service.timeout_s:g} s; ask for less (max_tokens, redink.rounds)."
        return await self.refused(Refusal(504, words, "timeout"))

    async def refused(self, refusal: Refusal) -> web.StreamResponse:
        """A refusal; where the stream is open already, as its last event."""
        if self.response is None:
            raise refusal
        self.service.books.refused.add(reason=refusal.code)
        await self.response.write(f"data: {refusal.body()}\n\n".encode())
        self.response.force_close()
        return self.response

    async def _open(self) -> None:
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **self.headers})
        await self.response.prepare(self.request)
        await self._chunk({"role": "assistant", "content": ""})

    async def _send(self, told: Told) -> None:
        if isinstance(told, str):
            await self._chunk({"content": told})
        elif isinstance(told, Outcome):
            await self._end(told)
        elif self.body.extra.return_trace:
            await self._chunk({}, redink=told.model_dump())

    async def _end(self, outcome: Outcome) -> None:
        self.service.books.took(outcome)
        traced = self.body.extra.return_trace and outcome.solved is not None
        trace = {"redink": {"kind": "done", "solved": outcome.solved.model_dump()}} if traced and outcome.solved else {}
        await self._chunk({}, finish=outcome.finish, **trace)
        if self.body.stream_options is not None and self.body.stream_options.include_usage:
            await self._event({"choices": [], "usage": outcome.usage.model_dump()})

    async def _chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        await self._event({"choices": [choice], **more})

    async def _event(self, fields: dict[str, Any]) -> None:
        assert self.response is not None
        await self.response.write(_event({"object": "chat.completion.chunk", **self.base, **fields}))

    def _first(self, told: Told) -> None:
        if not self._wrote and isinstance(told, str | Piece):
            self._wrote = True
            self.service.books.first.observe(time.monotonic() - self.started)


def _event(fields: dict[str, Any]) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"data: {json.dumps(fields, separators=(',', ':'))}\n\n".encode()
