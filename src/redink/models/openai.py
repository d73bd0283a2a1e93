"""One chat model of any OpenAI-compatible server (OpenAI, vLLM, llama.cpp, DeepSeek, …), nothing kept or counted."""

from __future__ import annotations

from types import TracebackType

from redink.models.chat import ChatRequest, Reply
from redink.models.engine import Engine
from redink.models.limiter import Limits
from redink.models.wire import Endpoint


class OpenAIChat:
    """One model of one server: an `Engine` of its own, without journal and ledger.

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
        self._engine = Engine()
        self._chat = self._engine.chat(
            Endpoint(model, base_url, key_name),
            Limits(max_in_flight=in_flight, start_in_flight=in_flight),
            tries=max_attempts,
            busy_tries=max_attempts,
            timeout_s=timeout_s,
            first_pause_s=first_pause_s,
        )

    def __repr__(self) -> str:
        """Model and address; never the key."""
        return f"OpenAIChat({self.name!r}, {self._chat.endpoint.url!r})"

    async def __aenter__(self) -> OpenAIChat:
        """Keep connections until the block ends."""
        await self._engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them, if nobody else is using them."""
        await self._engine.__aexit__(kind, value, trace)

    async def aclose(self) -> None:
        """Close the connections now; a later call opens new ones."""
        await self._engine.aclose()

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        """Continue the conversation; raises as `EndpointChat.complete` does."""
        return await self._chat.complete(request, sample)
