"""A model behind an OpenAI-compatible server (vLLM's, llama.cpp's, a vendor's, our own), its stream included."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from redink.failures import Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply, split_reasoning
from redink.models.openai import OpenAIChat
from redink.models.wire import CONNECTED_WITHIN_S, Endpoint, Outcome, classify, read_usage
from redink.solving.backends import ChatBackend, closed

LONGEST_EVENT = 4_000_000
"""Bytes of one event of a stream."""


class OpenAIBackend(ChatBackend):
    """One model of one server. Whole replies are asked for with retries and a bound on calls under way."""

    def __init__(
        self,
        model: str,
        base_url: str,
        key_name: str = "OPENAI_API_KEY",
        *,
        timeout_s: float = 600,
        in_flight: int = 32,
        max_attempts: int = 5,
    ) -> None:
        """`base_url` usually ends in /v1, the key is in the environment variable `key_name`.

        Raises `Failure` if the address is no plain one.
        """
        super().__init__(
            OpenAIChat(model, base_url, key_name, timeout_s=timeout_s, in_flight=in_flight, max_attempts=max_attempts)
        )
        self.endpoint, self.timeout_s = Endpoint(model, base_url, key_name), timeout_s

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """As the server sends it, asked for once; a server that does not stream gives one piece.

        Raises `ReplyFailure` for this request, `Failure` where none would succeed (key, address, model).
        """
        return self._streamed(request)

    async def _streamed(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        heard, broken, reached = _Heard(), "", True
        timeout = aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=CONNECTED_WITHIN_S)
        # aiohttp's exceptions carry the request's headers, hence the key: none may leave this method, chained or not.
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, read_bufsize=LONGEST_EVENT // 2) as session,
                session.post(
                    self.endpoint.address, data=_asking_to_stream(self.endpoint, request),
                    headers=self._headers(), allow_redirects=False,
                ) as response,
            ):  # fmt: skip
                if response.status == 200 and response.content_type == "text/event-stream":
                    async for line in response.content:
                        for piece in heard.line(line):
                            yield piece
                else:
                    body = await response.read()
                    yield self._whole(heard, classify(response.status, body, response.headers, self.endpoint.key()))
        except TimeoutError:
            broken = f"no full reply within {self.timeout_s:g} s"
        except aiohttp.ClientConnectorError:
            reached = False
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            broken = f"the stream broke ({type(failure).__name__})"
        if not reached:
            raise Failure(f"{self.endpoint.url}: no server answers there.", "Start it, or check the address.")
        if broken:
            raise ReplyFailure("server_failed", broken, heard.text)
        reply = closed(heard.reply(), request.stop)
        if rest := reply.text[len(heard.text) :]:
            yield rest
        yield reply

    def _headers(self) -> dict[str, str]:
        key = self.endpoint.key()
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def _whole(self, heard: _Heard, outcome: Outcome) -> str:
        """The text of a reply that came whole; raises what else it is."""
        if outcome.kind == "fatal":
            raise Failure(f"{self.endpoint.url}: {outcome.detail or outcome.status}.", "Check address, key and model.")
        if outcome.kind != "reply":
            raise ReplyFailure(outcome.reason or "server_failed", outcome.detail)
        choice = outcome.completed.choice
        heard.usage = outcome.completed.usage
        return heard.take({"delta": choice["message"], "finish_reason": choice.get("finish_reason")})


class _Heard:
    """What has been heard of a stream."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish = "stop"
        self.usage = read_usage(None)

    def line(self, line: bytes) -> list[str]:
        """The pieces in a line of server-sent events."""
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            return []
        event = json.loads(data)
        if not isinstance(event, dict):
            return []
        if "error" in event:
            raise ReplyFailure("server_failed", str(event["error"])[:300], self.text)
        if event.get("usage"):
            self.usage = read_usage(event["usage"])
        choices = event.get("choices")
        return [piece for choice in choices or () if (piece := self.take(choice))]

    def take(self, choice: dict[str, Any]) -> str:
        """The text that a choice adds."""
        delta = choice.get("delta") or {}
        piece, thought = delta.get("content"), delta.get("reasoning_content") or delta.get("reasoning")
        self.reasoning += thought if isinstance(thought, str) else ""
        self.finish = choice.get("finish_reason") or self.finish
        piece = piece if isinstance(piece, str) else ""
        self.text += piece
        return piece

    def reply(self) -> Reply:
        """All of it; raises `ReplyFailure` if there is nothing."""
        if not self.text.strip():
            raise ReplyFailure("empty_reply", "the model said nothing outside its reasoning", self.reasoning)
        thought = "\n\n".join(filter(None, (self.reasoning, split_reasoning(self.text)[0])))
        return Reply(text=self.text, reasoning=thought, finish_reason=self.finish, usage=self.usage)


def _asking_to_stream(endpoint: Endpoint, request: ChatRequest) -> bytes:
    body = json.loads(endpoint.body(request))
    return json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
