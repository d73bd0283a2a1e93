"""The student: a causal language model that is sampled and trained through one rendering of prompt and reply."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from redink.failures import MissingModel
from redink.models.bundled import ARCHITECTURES, BUNDLED, SMOLLM2, bundled_folder
from redink.models.chat import Message
from redink.models.decoding import Choice, Strand, decode, decodes
from redink.models.smollm2 import smollm2_folder
from redink.models.tokenizers import load_tokenizer
from redink.progress import Advance, quiet

SPLIT_DIFFERENTLY = 16
"""Tokens by which a stop string in a reply may be longer than by itself."""
Job = tuple[int, int]
"""Request and sample."""


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn: temperature 0 is greedy; `stop` strings end a reply and stay in its text.

    `continuous` batches are refilled while they run, and each reply has a chance of its own (`models/decoding.py`).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ("</Answer>",)
    seed: int = 0
    samples: int = 1
    batch_rows: int = 64
    continuous: bool = False


@dataclass(frozen=True)
class Request:
    """A prompt (the user's message) and the start of the reply that is given (k−1 right steps, or nothing)."""

    prompt: str
    prefix: str = ""


@dataclass(frozen=True)
class Completion:
    """What the student wrote after prompt and prefix, and what ended it."""

    text: str
    finish: Literal["stop", "end", "length"]
    tokens: int

    @property
    def truncated(self) -> bool:
        """Cut by `max_new_tokens`."""
        return self.finish == "length"


class Sampler(Protocol):
    """What stages ask for replies: a `Student`, or one that says what it is told."""

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        """`sampling.samples` replies per request, in the order of the requests."""


@dataclass
class Student:
    """A loaded model with its tokenizer; `name` is what the user asked for."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, name: str) -> Student:
        """Load one of `bundled.NAMED`, a local folder or a hub id, in safetensors, without remote code.

        Raises `MissingModel` if there is no such model, it is not a causal language model in safetensors,
        or its weights do not fit its configuration.
        """
        tokenizer, model = _load(name, _folder_of(name))
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(name, model.to(device).eval(), tokenizer)  # type: ignore[arg-type]

    def prompt_ids(self, prompt: str) -> list[int]:
        """Token ids of a user's message as the model expects it: its chat template, or the text and a newline."""
        return conversation_ids(self.tokenizer, [Message(role="user", content=prompt)])

    def reply_ids(self, text: str, ends: bool = False) -> list[int]:
        """Token ids of (a part of) a reply; `ends` appends the end-of-sequence token."""
        ids = list(self.tokenizer.encode(text, add_special_tokens=False)) if text else []
        return [*ids, self.eos_id] if ends else ids

    @property
    def eos_id(self) -> int:
        """The token that ends a reply."""
        return int(self.tokenizer.eos_token_id)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        """Draw `sampling.samples` replies per request, in the order of the requests.

        The same requests, sampling and seed give the same replies on the same machine. Rows of like length share a
        batch (left padding). With `sampling.continuous`, where `decodes(model)`, a row that has ended leaves it to one
        that waits; each reply then has a chance of its own, whatever the batch. `advance` counts the replies done.
        """
        ids = [self.prompt_ids(request.prompt) + self.reply_ids(request.prefix) for request in requests]
        jobs = [(index, sample) for index in range(len(requests)) for sample in range(sampling.samples)]
        jobs.sort(key=lambda job: len(ids[job[0]]))
        drawn = self._continuous if sampling.continuous and decodes(self.model) else self._batches
        replies: dict[tuple[int, int], Completion] = {}
        for job, completion in drawn(ids, jobs, sampling):
            replies[job] = completion
            advance()
        return [[replies[index, sample] for sample in range(sampling.samples)] for index in range(len(requests))]

    def _continuous(
        self, ids: list[list[int]], jobs: Sequence[Job], sampling: Sampling
    ) -> Iterator[tuple[Job, Completion]]:
        """Each job with its reply, as they end."""
        strands = [
            Strand(number, ids[job[0]], Random(derived_seed(sampling.seed, *job)) if sampling.temperature else None)
            for number, job in enumerate(jobs)
        ]
        choose, ends = Choice(sampling.temperature, sampling.top_p), self._ending(sampling)
        for strand in decode(self.model, strands, sampling.batch_rows, choose, ends):
            yield jobs[strand.index], self.completion(strand.drawn, sampling)

    def _ending(self, sampling: Sampling) -> Callable[[Strand], bool]:
        """Whether a reply has ended: at the end of sequence, its longest length, or a stop string."""
        closing = self._closing("".join(sorted({stop[-1] for stop in sampling.stop if stop})))
        window = max((len(self.reply_ids(stop)) for stop in sampling.stop), default=0) + SPLIT_DIFFERENTLY

        def ended(strand: Strand) -> bool:
            token = strand.drawn[-1]
            if token == self.eos_id or len(strand.drawn) >= sampling.max_new_tokens:
                return True
            if token not in closing:
                return False
            tail = str(self.tokenizer.decode(strand.drawn[-window:], skip_special_tokens=True))
            return any(stop in tail for stop in sampling.stop)

        return ended

    def _closing(self, letters: str) -> frozenset[int]:
        """The tokens that hold one of these letters: only they can complete a stop string that ends with one."""
        if letters not in self._closing_tokens:
            texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))]) if letters else []
            found = frozenset(token for token, text in enumerate(texts) if set(text) & set(letters))
            self._closing_tokens[letters] = found
        return self._closing_tokens[letters]

    @cached_property
    def _closing_tokens(self) -> dict[str, frozenset[int]]:
        return {}

    def _batches(
        self, ids: list[list[int]], jobs: Sequence[Job], sampling: Sampling
    ) -> Iterator[tuple[Job, Completion]]:
        """Each job with its reply, batch by batch."""
        for number, start in enumerate(range(0, len(jobs), sampling.batch_rows)):
            batch = jobs[start : start + sampling.batch_rows]
            torch.manual_seed(derived_seed(sampling.seed, number))
            yield from zip(batch, self._batch([ids[index] for index, _ in batch], sampling), strict=True)

    def _batch(self, rows: list[list[int]], sampling: Sampling) -> list[Completion]:
        width = max(len(row) for row in rows)
        pad = int(self.tokenizer.pad_token_id)
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        with torch.inference_mode():
            output = self.model.generate(  # type: ignore[operator]
                input_ids=ids, attention_mask=mask, **self.generation_options(sampling)
            )
        return [self.completion(row[width:].tolist(), sampling) for row in output]

    def generation_options(self, sampling: Sampling) -> dict[str, Any]:
        """What `generate` of transformers is told."""
        options: dict[str, Any] = {
            "max_new_tokens": sampling.max_new_tokens,
            "do_sample": sampling.temperature > 0,
            "pad_token_id": self.tokenizer.pad_token_id,
            "eos_token_id": self.eos_id,
        }
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        if sampling.stop:
            options |= {"stop_strings": list(sampling.stop), "tokenizer": self.tokenizer}
        return options

    def completion(self, ids: list[int], sampling: Sampling) -> Completion:
        """The reply that generated ids stand for: up to its end, its first stop string or the padding."""
        ended = self.eos_id in ids
        ids = ids[: ids.index(self.eos_id)] if ended else self._unpadded(ids)
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        places = [text.find(stop) + len(stop) for stop in sampling.stop if stop in text]
        if places:
            return Completion(text[: min(places)], "stop", len(ids))
        return Completion(text, "end" if ended else "length", len(ids))

    def _unpadded(self, ids: list[int]) -> list[int]:
        """Without the padding that follows a row which a stop string ended before the longest of its batch."""
        end = len(ids)
        while end and ids[end - 1] == self.tokenizer.pad_token_id:
            end -= 1
        return ids[:end]


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation that the model is to continue: its chat template, or the texts, a newline after each.

    Where a template knows no system message, that stands at the head of the first user's.
    """
    if not tokenizer.chat_template:
        return list(tokenizer.encode("".join(f"{message.content}\n" for message in messages)))
    try:
        rendered = _rendered(tokenizer, messages)
    except TemplateError:
        rendered = _rendered(tokenizer, without_system(messages))
    return list(tokenizer.encode(rendered, add_special_tokens=False))


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    turns = [message.model_dump() for message in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The conversation with its system messages at the head of the user's first one."""
    told = [message.content for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if not told or not turns:
        return list(messages)
    first = turns[0].model_copy(update={"content": "\n\n".join([*told, turns[0].content])})
    return [first, *turns[1:]]


def derived_seed(*parts: object) -> int:
    """A 31-bit seed made from any parts, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def _folder_of(name: str) -> str:
    if name in ARCHITECTURES:
        return str(bundled_folder(name))
    if name == SMOLLM2:
        return str(smollm2_folder())
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists() or name.count("/") != 1
    folder = Path(name).expanduser()
    if looks_local and not (folder / "config.json").exists():
        raise MissingModel(
            f"{name}: there is no model in this folder (no config.json).",
            f"Name a folder made by save_pretrained, a hub id such as 'org/model', '{BUNDLED}' or '{SMOLLM2}'.",
        )
    return str(folder) if looks_local else name


def _load(name: str, folder: str) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    dtype = torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
    try:
        tokenizer = load_tokenizer(folder)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except Exception as failure:  # tokenizers, safetensors and huggingface_hub each raise kinds of their own
        raise _unloadable(name, _first_line(str(failure))) from None
    model, info = loaded
    if misfits := [*info["missing_keys"], *(row[0] for row in info["mismatched_keys"])]:
        raise _unloadable(name, f"{len(misfits)} weights are missing or of another size, e.g. {min(misfits)}")
    if tokenizer.eos_token_id is None:
        raise _unloadable(name, "its tokenizer names no end-of-sequence token")
    return tokenizer, model


def _unloadable(name: str, reason: str) -> MissingModel:
    remedy = "Check the name, or that the folder holds config, tokenizer and safetensors of one architecture."
    return MissingModel(f"{name}: the model cannot be loaded ({reason}).", remedy)


def _first_line(text: str) -> str:
    lines: Iterable[str] = (line.strip() for line in text.splitlines() if line.strip())
    return next(iter(lines), "no reason given")[:300]
