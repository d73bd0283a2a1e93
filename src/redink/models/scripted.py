"""A chat model that says what it was told to say: for tests, dry runs and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redink.failures import Failure
from redink.models.chat import ChatRequest, Reply, split_reasoning


class ScriptedChat:
    """Says its lines; `requests` keeps what it was asked."""

    def __init__(self, replies: Sequence[str] | Callable[[ChatRequest], str], name: str = "scripted") -> None:
        """`replies` come in order, or from a function of the request; their <think> blocks become reasoning."""
        self.name = name
        self.requests: list[ChatRequest] = []
        self._replies = replies if callable(replies) else (replies,) if isinstance(replies, str) else tuple(replies)

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Give the next reply, whichever `sample` it is; raises `Failure` when there is none left."""
        self.requests.append(request)
        reasoning, text = split_reasoning(self._next(request))
        return Reply(text=text, reasoning=reasoning)

    def _next(self, request: ChatRequest) -> str:
        if callable(self._replies):
            return self._replies(request)
        asked, held = len(self.requests), len(self._replies)
        if asked > held:
            raise Failure(
                f"The chat model {self.name!r} has {held} scripted replies and was asked {asked} times.",
                "Script more replies, or give it a function of the request.",
            )
        return self._replies[asked - 1]
