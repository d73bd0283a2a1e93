"""What is asked of a chat model and what it answers, whoever serves it."""

from __future__ import annotations

import re
from typing import Literal, Protocol

from pydantic import Field

from redink.types import Row

_OPEN, _CLOSE = "<think>", "</think>"
_THINKING = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)


class Message(Row):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who speaks.")
    content: str = Field(description="What is said.")


class ChatSettings(Row):
    """How a reply is drawn."""

    temperature: float = Field(default=0.0, ge=0.0, description="0 takes the likeliest token each time.")
    top_p: float = Field(
        default=1.0, gt=0.0, le=1.0, description="Only the likeliest tokens of this total probability."
    )
    max_tokens: int = Field(default=2048, ge=1, description="A longer reply is cut, which is a failure of its own.")
    seed: int | None = Field(default=None, description="Makes sampling repeatable where the server can.")
    stop: tuple[str, ...] = Field(default=(), description="The reply ends before the first of these strings.")


class ChatRequest(ChatSettings):
    """A conversation to be continued, and how."""

    messages: tuple[Message, ...] = Field(min_length=1, description="The turns so far, oldest first.")


class Usage(Row):
    """What a call cost, in tokens."""

    prompt_tokens: int = Field(default=0, ge=0, description="Tokens sent, cached ones included.")
    cached_tokens: int = Field(default=0, ge=0, description="Tokens sent that the server had in its cache.")
    completion_tokens: int = Field(default=0, ge=0, description="Tokens received, reasoning included.")
    reasoning_tokens: int = Field(default=0, ge=0, description="Tokens received that are reasoning.")


class Reply(Row):
    """What the model said, its private reasoning kept apart."""

    text: str = Field(description="The reply without reasoning.")
    reasoning: str = Field(default="", description="What it thought aloud first (`reasoning_content`, <think> blocks).")
    finish_reason: str = Field(default="stop", description="Why it ended, in the server's word.")
    usage: Usage = Field(default=Usage(), description="What it cost.")


class ChatModel(Protocol):
    """Anything that continues a conversation."""

    @property
    def name(self) -> str:
        """How the model is called in manifests and failures."""

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Continue the conversation; `sample` counts repeated draws of one request, from 0.

        Raises `ReplyFailure` for this row, `Failure` for the person at the keyboard.
        """


def ask(prompt: str, settings: ChatSettings | None = None) -> ChatRequest:
    """A request of one user message."""
    return ChatRequest(messages=(Message(role="user", content=prompt),), **(settings or ChatSettings()).model_dump())


def split_reasoning(text: str) -> tuple[str, str]:
    """Split a reply into (reasoning, text): <think> blocks are reasoning, a last one left open included.

    Some chat templates open the block inside the prompt; the reply then begins in the middle of it.

    >>> split_reasoning("<think>2 and 2</think>It is 4.")
    ('2 and 2', 'It is 4.')
    >>> split_reasoning("2 and 2</think>It is 4.")
    ('2 and 2', 'It is 4.')
    """
    if _OPEN not in text.partition(_CLOSE)[0] and _CLOSE in text:
        text = _OPEN + text
    if _OPEN not in text:
        return "", text
    thoughts = (thought.strip() for thought in _THINKING.findall(text))
    return "\n\n".join(filter(None, thoughts)), _THINKING.sub("", text).strip()
