"""What goes over the wire: OpenAI's chat completions, and the field `redink` that asks for more.

These rows check every request and describe the endpoint (`openapi.py`): what is not described is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from redink.solving.solved import Solved
from redink.types import Row

MOST_ROUNDS = 8
Neutral = Annotated[float, Field(ge=0, le=0)]
Nothing = Annotated[list[Any], Field(max_length=0)]


class Asked(Row):
    """Base of what clients send: nothing is guessed, a number is no text and a text no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Asked):
    """A piece of a message."""

    type: Literal["text"] = Field(description="Only text is read.")
    text: str = Field(description="The text.")


class ChatTurn(Asked):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"] = Field(description="Who speaks.")
    content: str | list[TextPart] = Field(description="What is said.")
    name: str | None = Field(None, description="Without effect.")

    @property
    def text(self) -> str:
        """The content in one piece."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Extra(Asked):
    """What redink does beyond a usual chat completion; every part has a default."""

    rounds: int | None = Field(
        None, ge=0, le=MOST_ROUNDS, description="Most rounds of self-correction; 0: none. The server's by default."
    )
    return_trace: bool = Field(
        False,
        description="Return the solution, every review and the marked step in the field `redink` of the reply; "
        "streamed: in the chunks, as it is written.",
    )
    prompt: Literal["preset", "as_is"] = Field(
        "preset",
        description="'preset': the last message is a question, put to the model in the prompt that it was trained "
        "with. 'as_is': the conversation goes to the model as it is, without self-correction.",
    )
    reply: Literal["all", "last"] = Field(
        "all",
        description="'all': the solution and, where the model marks an error, its correction after an empty line. "
        "'last': only what stands in the end; streamed, it comes when that is known.",
    )


class StreamOptions(Asked):
    """How a stream ends."""

    include_usage: bool = Field(False, description="A last chunk without choices says what was used.")
    include_obfuscation: bool | None = Field(None, description="Without effect.")


class ResponseFormat(Asked):
    """The form of the reply."""

    type: Literal["text"] = Field(description="Only plain text.")


class ChatBody(Asked):
    """A chat completion as it is asked for."""

    messages: list[ChatTurn] = Field(min_length=1, max_length=256, description="The turns; the last is the user's.")
    model: str | None = Field(None, description="The model that is served, as `/v1/models` names it.")
    stream: bool | None = Field(None, description="Server-sent events instead of one reply.")
    stream_options: StreamOptions | None = Field(None, description="How a stream ends.")
    max_tokens: int | None = Field(None, ge=1, description="Longest text, each review alike; bounded by the server.")
    max_completion_tokens: int | None = Field(None, ge=1, description="The newer name of `max_tokens`.")
    temperature: float | None = Field(None, ge=0, le=2, description="0, the default, takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="Only the likeliest tokens of this probability.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="The same seed draws the same text.")
    stop: str | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] | None = Field(
        None, description="The reply ends before the first of these."
    )
    redink: Extra | None = Field(None, description="What redink does beyond a usual chat completion.")
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(None, description="One choice.")
    presence_penalty: Neutral | None = Field(None, description="Only 0.")
    frequency_penalty: Neutral | None = Field(None, description="Only 0.")
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = Field(None, description="Only empty.")
    logprobs: Literal[False] | None = Field(None, description="Only false.")
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = Field(None, description="Only 0.")
    tools: Nothing | None = Field(None, description="Only empty.")
    tool_choice: Literal["none", "auto"] | None = Field(None, description="Without effect: there are no tools.")
    parallel_tool_calls: bool | None = Field(None, description="Without effect: there are no tools.")
    response_format: ResponseFormat | None = Field(None, description="Only text.")
    modalities: list[Literal["text"]] | None = Field(None, description="Only text.")
    user: str | None = Field(None, description="Without effect.")
    safety_identifier: str | None = Field(None, description="Without effect.")
    prompt_cache_key: str | None = Field(None, description="Without effect.")
    service_tier: str | None = Field(None, description="Without effect.")
    store: bool | None = Field(None, description="Without effect: nothing is stored.")
    metadata: dict[str, str] | None = Field(None, description="Without effect.")

    @property
    def extra(self) -> Extra:
        """The field `redink`, defaults where it is absent."""
        return self.redink or Extra()

    @property
    def stops(self) -> tuple[str, ...]:
        """`stop` as a list; an empty text stops nothing."""
        listed = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(filter(None, listed))

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text, by either name."""
        return self.max_completion_tokens or self.max_tokens


Finish = Literal["stop", "length"]


class UsageCount(Row):
    """Tokens in the model's count, all prompts and all texts together."""

    prompt_tokens: int = Field(ge=0, description="Of all prompts: those of the reviews too.")
    completion_tokens: int = Field(ge=0, description="Of all texts: the reviews too.")
    total_tokens: int = Field(ge=0, description="The sum.")


class Said(Row):
    """What the model says."""

    role: Literal["assistant"] = Field("assistant", description="Always the assistant.")
    content: str = Field(description="The text.")
    refusal: None = Field(None, description="Always null.")


class Choice(Row):
    """The only choice."""

    index: Literal[0] = Field(0, description="Always 0.")
    message: Said = Field(description="What the model says.")
    finish_reason: Finish = Field(description="'length': cut by the limit of tokens.")
    logprobs: None = Field(None, description="Always null.")


class Completion(Row):
    """A chat completion."""

    id: str = Field(description="Names this completion.")
    object: Literal["chat.completion"] = Field("chat.completion", description="What this is.")
    created: int = Field(ge=0, description="Seconds since 1970.")
    model: str = Field(description="Who answered.")
    choices: list[Choice] = Field(description="One choice.")
    usage: UsageCount = Field(description="What it took.")
    system_fingerprint: str = Field(description="The version of redink.")
    redink: Solved | None = Field(None, description="The trace, where it was asked for.")


class Piece(Row):
    """A piece of the trace while it is written."""

    kind: Literal["solution", "correction"] = Field(description="What it is a piece of.")
    round: int = Field(ge=0, description="0 for the solution, then the round of self-correction.")
    text: str = Field(description="The next piece.")


class Model(Row):
    """A model that is served."""

    id: str = Field(description="Its name.")
    object: Literal["model"] = Field("model", description="What this is.")
    created: int = Field(ge=0, description="When the server started, in seconds since 1970.")
    owned_by: str = Field("redink", description="Always redink.")


class Models(Row):
    """The models that are served."""

    object: Literal["list"] = Field("list", description="What this is.")
    data: list[Model] = Field(description="One model.")


class Health(Row):
    """How the server is."""

    status: Literal["ok", "draining"] = Field(description="'draining': it ends what is under way and takes no more.")
    model: str = Field(description="The model that is served.")
    version: str = Field(description="The version of redink.")
    under_way: int = Field(ge=0, description="Requests taken and not answered yet.")
    room: int = Field(ge=0, description="Requests that would still be taken.")


class Problem(Row):
    """What is wrong with a request."""

    message: str = Field(description="What is wrong, and what to do.")
    type: str = Field(description="The kind, in OpenAI's words.")
    param: str | None = Field(None, description="The field it is about.")
    code: str | None = Field(None, description="A short fixed name.")


class ProblemReply(Row):
    """The body of every reply that is no success."""

    error: Problem = Field(description="What is wrong.")
