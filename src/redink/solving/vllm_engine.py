"""vLLM's offline engine as a backend (extra `vllm`); vLLM's server is an OpenAI-compatible one (`served.py`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redink.failures import Failure, MissingModel, ReplyFailure
from redink.models.bundled import NAMED
from redink.models.chat import ChatRequest, Reply, Usage
from redink.models.student import conversation_ids
from redink.solving.backends import UNWATCHED, Watch, streamed


class VllmBackend:
    """A model in vLLM's engine. Prompts are rendered as for the transformers backend and handed over as token ids."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        """Load a local folder or a hub id; `options` go to `vllm.LLM` (tensor_parallel_size, max_model_len, …).

        Raises `Failure` where vLLM is not installed, `MissingModel` if it cannot load the model.
        """
        if name in NAMED:
            raise MissingModel(
                f"vLLM does not load {name!r} by that name.", "Name a folder, or --backend transformers."
            )
        try:
            import vllm
        except ImportError:
            raise Failure(
                "vLLM is not installed.", "Install it with: pip install 'redink[vllm]'; or use --backend transformers."
            ) from None
        self.name, self._vllm, self._busy = name, vllm, threading.Lock()
        try:
            self._engine = vllm.LLM(model=name, **(options or {}))
        except Exception as failure:  # vLLM lets through whatever its parts raise
            reason = next(iter(str(failure).splitlines()), type(failure).__name__)[:300]
            raise MissingModel(f"{name}: vLLM cannot load the model ({reason}).", "Check name and memory.") from None
        self._tokenizer = self._engine.get_tokenizer()

    @property
    def chat(self) -> bool:
        """Whether its tokenizer has a chat template."""
        return bool(self._tokenizer.chat_template)

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        """All in one call of the engine, which batches them; pieces are whole replies."""
        replies = await asyncio.to_thread(self._generate, requests)
        for row, reply in enumerate(replies):
            if isinstance(reply, Reply):
                watch.piece(row, reply.text)
        return replies

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """The whole reply as one piece: the offline engine does not stream, its server does."""
        return streamed(self, request)

    async def aclose(self) -> None:
        """The engine lives as long as the process."""

    def _generate(self, requests: Sequence[ChatRequest]) -> list[Reply | ReplyFailure]:
        ids = [conversation_ids(self._tokenizer, request.messages) for request in requests]
        most = int(self._engine.llm_engine.model_config.max_model_len)
        fitting = [place for place, prompt in enumerate(ids) if len(prompt) < most]
        with self._busy:
            made = self._engine.generate(
                [{"prompt_token_ids": ids[place]} for place in fitting],
                [self._sampling(requests[place]) for place in fitting],
                use_tqdm=False,
            )
        replies: list[Reply | ReplyFailure] = [
            ReplyFailure("prompt_too_long", f"the prompt has {len(prompt)} tokens, of {most} that the model reads")
            for prompt in ids
        ]
        for place, output in zip(fitting, made, strict=True):
            replies[place] = _reply(output, len(ids[place]))
        return replies

    def _sampling(self, request: ChatRequest) -> Any:
        return self._vllm.SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop=list(request.stop),
            include_stop_str_in_output=True,
        )


def _reply(output: Any, prompt_tokens: int) -> Reply:
    made = output.outputs[0]
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(made.token_ids))
    return Reply(text=made.text, finish_reason="length" if made.finish_reason == "length" else "stop", usage=usage)
