"""The OpenAPI description of the server, made from the rows that check its requests."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from redink.serving.schema import ChatBody, Completion, Health, Model, Models, ProblemReply

_SCHEMAS = (ChatBody, Completion, Health, Model, Models, ProblemReply)
_REFUSALS = {
    "400": "The request cannot be done; the message says why.",
    "401": "A token is needed, and this is not it.",
    "403": "The request comes from a page of another site, or by another name than this machine's own.",
    "404": "There is no such model.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The body is no JSON, or compressed.",
    "429": "The queue is full; Retry-After says when to come again.",
    "502": "The model gave no usable reply.",
    "503": "The server is being stopped.",
    "504": "The reply took too long.",
}
_CHAT = (
    "A chat completion with self-correction behind it. The last message is a question; the student solves it, then "
    "looks its solution over and, where it marks an error, corrects it. The field `redink` says how many rounds, and "
    "returns the trace. With `stream`, server-sent events: chunks as OpenAI's, then `data: [DONE]`."
)


@cache
def description(version: str, needs_token: bool) -> str:
    """The description as JSON; `needs_token`: whether clients must send one."""
    _, made = models_json_schema(
        [(schema, "validation") for schema in _SCHEMAS], ref_template="#/components/schemas/{model}"
    )
    components: dict[str, Any] = {"schemas": made["$defs"]}
    security: list[dict[str, list[str]]] = []
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        security = [{"token": []}]
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "redink serve",
            "version": version,
            "description": "A student that solves a question and corrects itself.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": components,
        "security": security,
    }
    return json.dumps(document, ensure_ascii=False)


def _paths() -> dict[str, Any]:
    return {
        "/v1/chat/completions": {"post": _chat()},
        "/v1/models": {"get": _get("The models that are served.", _body("Models"), "401", "403")},
        "/v1/models/{name}": {
            "get": _get("One model.", _body("Model"), "401", "403", "404")
            | {"parameters": [_path("name", "Its name, as `/v1/models` has it.")]}
        },
        "/health": {
            "get": _open("How the server is.", _body("Health"), "403")
            | {"responses": {"200": _body("Health"), "503": _body("Health", "It is being stopped."), **_refused("403")}}
        },
        "/metrics": {"get": _get("Counts for Prometheus.", _text("text/plain"), "401", "403")},
        "/openapi.json": {"get": _open("This description.", _json({"type": "object"}), "403")},
        "/": {"get": _open("A page to ask a question on.", _text("text/html"), "403")},
    }


def _chat() -> dict[str, Any]:
    reply = _body("Completion", "The reply; server-sent events with `stream`.")
    reply["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "operationId": "createChatCompletion",
        "summary": "Solve a question, and correct oneself",
        "description": _CHAT,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("ChatBody")}}},
        "responses": {"200": reply, **_refused(*_REFUSALS)},
    }


def _get(summary: str, reply: dict[str, Any], *refusals: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": reply, **_refused(*refusals)}}


def _open(summary: str, reply: dict[str, Any], *refusals: str) -> dict[str, Any]:
    """For everybody, token or not."""
    return _get(summary, reply, *refusals) | {"security": []}


def _refused(*statuses: str) -> dict[str, Any]:
    return {status: _body("ProblemReply", _REFUSALS[status]) for status in statuses}


def _body(schema: str, words: str = "As described.") -> dict[str, Any]:
    return _json(_ref(schema), words)


def _json(schema: dict[str, Any], words: str = "As described.") -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _text(kind: str) -> dict[str, Any]:
    return {"description": "As described.", "content": {kind: {"schema": {"type": "string"}}}}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _path(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string"}}
