"""What the model behind a fake server says: a function of the request alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from redink.models.fake_books import Tokens
from redink.models.fake_script import Chances, Script, malformed

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """One chat completion as it was asked for."""

    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The last message."""
        return _text(self.body["messages"][-1]["content"])


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Refused:
    """An error of this status instead of a reply, in OpenAI's form."""

    status: int
    message: str
    code: str | None = None

    def body(self) -> bytes:
        """The error object."""
        return as_json({"error": {"message": self.message, "type": "fake", "param": None, "code": self.code}})


Respond = Callable[[Asked], Said | Refused]


@dataclass(frozen=True, slots=True)
class Job:
    """A request, what is said to it and what that costs."""

    model: str
    digest: bytes
    said: Said
    tokens: Tokens
    chances: Chances
    spoilt: bool  # its markup was broken on purpose

    def completion(self, name: str) -> dict[str, Any]:
        """The chat completion object with this id."""
        message: dict[str, Any] = {"role": "assistant", "content": self.said.text}
        if self.said.reasoning:
            message["reasoning_content"] = self.said.reasoning
        choice = {"index": 0, "message": message, "finish_reason": self.said.finish_reason, "logprobs": None}
        return {
            "id": name,
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": self.tokens.prompt_tokens,
                "completion_tokens": self.tokens.completion_tokens,
                "total_tokens": self.tokens.total,
                "prompt_tokens_details": {"cached_tokens": self.tokens.cached_tokens},
                "completion_tokens_details": {"reasoning_tokens": self.tokens.reasoning_tokens},
            },
        }


def work_out(respond: Respond, script: Script, body: bytes, digest: bytes, drawn: Chances) -> Job | Refused:
    """What is to be said to a request body, and what it will cost."""
    try:
        asked = Asked(json.loads(body))
        prompt = sum(len(_text(message["content"])) for message in asked.body["messages"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return Refused(400, "the body is no chat completion request", "invalid_request")
    if not prompt or asked.body.get("stream"):
        return Refused(400, "streaming and empty prompts are not served", "invalid_request")
    said = respond(asked)
    if isinstance(said, Refused):
        return said
    spoilt = drawn.markup < script.faults.malformed
    if spoilt:
        said = replace(said, text=malformed(said.text, drawn.kind))
    said = _within(said, asked.body.get("max_tokens") or asked.body.get("max_completion_tokens"))
    tokens = _cost(prompt, said, script.cached_share)
    return Job(str(asked.body.get("model")), digest, said, tokens, drawn, spoilt)


def as_json(value: object) -> bytes:
    """One JSON document."""
    return json.dumps(value).encode()


def _text(content: object) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content if isinstance(content, str) else ""


def _within(said: Said, most_tokens: object) -> Said:
    """Cut by length where the request says so; reasoning counts."""
    if not isinstance(most_tokens, int) or count_tokens(said.text) + count_tokens(said.reasoning) <= most_tokens:
        return said
    reasoning = said.reasoning[: most_tokens * CHARACTERS_PER_TOKEN]
    left = max(0, most_tokens - count_tokens(reasoning))
    return Said(said.text[: left * CHARACTERS_PER_TOKEN], reasoning, "length")


def count_tokens(text: str) -> int:
    """A token is four characters here."""
    return ceil(len(text) / CHARACTERS_PER_TOKEN)


def _cost(prompt_characters: int, said: Said, cached_share: float) -> Tokens:
    prompt = ceil(prompt_characters / CHARACTERS_PER_TOKEN)
    reasoning = count_tokens(said.reasoning)
    return Tokens(prompt, int(prompt * cached_share), count_tokens(said.text) + reasoning, reasoning)
