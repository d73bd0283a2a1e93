"""A student in this process, through transformers: batches in which every row has settings and a seed of its own.

A row's text does not depend on the rows it shares a batch with: greedy rows take the likeliest token; others add
Gumbel noise of their own seed to their logits, which draws from the same distribution (Gumbel 1954; the Gumbel-max
trick), so no random state is shared.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from redink.failures import ReplyFailure
from redink.models.chat import ChatRequest, Reply, Usage
from redink.models.student import Sampling, Student, conversation_ids, derived_seed
from redink.solving.backends import UNWATCHED, Watch, streamed

BATCH_ROWS = 32
_HALF = "\ufffd"
"""What a decoder writes for a character whose bytes have not all come."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""A byte as a token of its own (byte fallback)."""


class TransformersBackend:
    """One student; one batch is generated at a time, in a worker thread."""

    def __init__(self, student: Student, batch_rows: int = BATCH_ROWS) -> None:
        """At most `batch_rows` rows share a batch."""
        self.student, self.batch_rows = student, batch_rows
        self._busy = threading.Lock()

    @property
    def name(self) -> str:
        """What the user called the student."""
        return self.student.name

    @property
    def chat(self) -> bool:
        """Whether its tokenizer has a chat template."""
        return bool(self.student.tokenizer.chat_template)

    @property
    def context(self) -> int | None:
        """The most tokens of prompt and reply together; None where the model does not say."""
        length = getattr(self.student.model.config.get_text_config(), "max_position_embeddings", None)
        return int(length) if length else None

    async def generate(self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED) -> list[Reply | ReplyFailure]:
        """As `Backend.generate`; a prompt that leaves no room for a reply fails as 'prompt_too_long'."""
        left = threading.Event()
        try:
            return await asyncio.to_thread(self.generate_now, requests, watch, left)
        finally:
            left.set()

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Reply]:
        """Token by token; leaving the loop early ends the generation."""
        return streamed(self, request)

    async def aclose(self) -> None:
        """Nothing is held."""

    def generate_now(
        self, requests: Sequence[ChatRequest], watch: Watch = UNWATCHED, left: threading.Event | None = None
    ) -> list[Reply | ReplyFailure]:
        """`generate` in this thread; once `left` is set, what is not yet generated is 'left' undone."""
        left = left or threading.Event()
        replies: list[Reply | ReplyFailure] = [ReplyFailure("left", "nobody waits for it")] * len(requests)
        rows = []
        for place, request in enumerate(requests):
            row = self._row(place, request)
            if isinstance(row, ReplyFailure):
                replies[place] = row
            else:
                rows.append(row)
        for batch in self._batches(rows):
            with self._busy:
                if left.is_set():
                    break
                found = self._batch(batch, watch, left)
            for row, reply in zip(batch, found, strict=True):
                replies[row.place] = reply
        return replies

    def _row(self, place: int, request: ChatRequest) -> _Row | ReplyFailure:
        ids = conversation_ids(self.student.tokenizer, request.messages)
        room = request.max_tokens if self.context is None else min(request.max_tokens, self.context - len(ids))
        if room < 1:
            detail = f"the prompt has {len(ids)} tokens, of {self.context} that the model reads"
            return ReplyFailure("prompt_too_long", detail, request.messages[-1].content)
        return _Row(place, request, ids, room)

    def _batches(self, rows: Sequence[_Row]) -> list[list[_Row]]:
        """Rows that stop alike, of like length together."""
        found = []
        for _, alike in groupby(sorted(rows, key=_Row.order), key=lambda row: row.request.stop):
            held = list(alike)
            found += [held[start : start + self.batch_rows] for start in range(0, len(held), self.batch_rows)]
        return found

    def _batch(self, rows: Sequence[_Row], watch: Watch, left: threading.Event) -> list[Reply]:
        student = self.student
        width, pad = max(len(row.ids) for row in rows), int(student.tokenizer.pad_token_id or 0)
        ids = torch.tensor([[pad] * (width - len(row.ids)) + row.ids for row in rows], device=student.model.device)
        real = [[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows]
        mask = torch.tensor(real, device=student.model.device)
        limits = Sampling(max_new_tokens=max(row.room for row in rows), stop=rows[0].request.stop)
        meter = _Meter(rows, student, width, watch, left)
        options: dict[str, Any] = student.generation_options(limits) | {
            "stopping_criteria": StoppingCriteriaList([meter])
        }
        if any(row.request.temperature > 0 for row in rows):
            options["logits_processor"] = LogitsProcessorList([_Draws(rows)])
        with torch.inference_mode():
            output = student.model.generate(input_ids=ids, attention_mask=mask, **options)  # type: ignore[operator]
        return [self._reply(row, written[width:].tolist(), watch) for row, written in zip(rows, output, strict=True)]

    def _reply(self, row: _Row, written: list[int], watch: Watch) -> Reply:
        done = self.student.completion(written[: row.room], Sampling(stop=row.request.stop))
        rest = row.spelling.rest(done.text)
        if rest and watch is not UNWATCHED:
            watch.piece(row.place, rest)
        usage = Usage(prompt_tokens=len(row.ids), completion_tokens=done.tokens)
        return Reply(text=done.text, finish_reason="length" if done.truncated else "stop", usage=usage)


class Spelling:
    """Token ids as text while they come: whole characters only, nothing after a stop string."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.text = ""
        self._stop, self._ids = tuple(stop), list[int]()
        self._start = self._read = 0
        self._ended = False

    def add(self, token: int, tokenizer: PreTrainedTokenizerBase) -> str:
        """The text that can now be told; empty where a character is not whole yet."""
        if self._ended:
            return ""
        self._ids.append(token)
        if _may_turn(token, tokenizer):
            return ""
        before = _decoded(tokenizer, self._ids[self._start : self._read])
        after = _decoded(tokenizer, self._ids[self._start :])
        if len(after) <= len(before) or after.endswith(_HALF):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return self._told(after[len(before) :])

    def rest(self, whole: str) -> str:
        """What of the whole text has not been told."""
        return whole[len(self.text) :] if whole.startswith(self.text) else ""

    def _told(self, piece: str) -> str:
        longest = max(map(len, self._stop), default=0)
        text = self.text + piece
        look_from = max(0, len(self.text) - longest)
        ends = [place + len(stop) for stop in self._stop if (place := text.find(stop, look_from)) >= 0]
        if ends:
            self._ended = True
            piece = text[len(self.text) : min(ends)]
        self.text += piece
        return piece


def _may_turn(token: int, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a later token can still change how this one is read.

    A run of byte tokens is decoded as one: a bad byte at its end makes all of it unreadable, letters too. Special
    tokens are left out before that, so they end no run.
    """
    return bool(_BYTE.fullmatch(str(tokenizer.convert_ids_to_tokens(token)))) or token in tokenizer.all_special_ids


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass
class _Row:
    """A request as a row of a batch: its place among the requests, its tokens, and how many more there is room for."""

    place: int
    request: ChatRequest
    ids: list[int]
    room: int
    spelling: Spelling = field(init=False)
    noise: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.spelling = Spelling(self.request.stop)
        seed = secrets.randbits(31) if self.request.seed is None else derived_seed("solve", self.request.seed)
        self.noise = torch.Generator().manual_seed(seed)

    def order(self) -> tuple[tuple[str, ...], int, int]:
        """Stop strings, then length."""
        return self.request.stop, len(self.ids), self.place


class _Draws(LogitsProcessor):
    """Draws each row's next token with the row's own temperature, nucleus and noise; greedy rows stay as they are."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self.rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        drawn = scores.float().clone()
        for place, row in enumerate(self.rows):
            if row.request.temperature > 0:
                kept = nucleus(drawn[place] / row.request.temperature, row.request.top_p)
                drawn[place] = kept + gumbel(len(kept), row.noise).to(kept.device)
        return drawn  # type: ignore[return-value]


def nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits [V] with all but the likeliest tokens of total probability `top_p` at −∞ (Holtzman et al. 2020)."""
    if top_p >= 1:
        return logits
    ordered, places = logits.sort(descending=True)
    shares = ordered.softmax(-1)
    beyond = shares.cumsum(-1) - shares >= top_p
    return logits.masked_fill(torch.zeros_like(beyond).scatter(0, places, beyond), -torch.inf)


def gumbel(size: int, generator: torch.Generator) -> torch.Tensor:
    """Standard Gumbel noise [size]: argmax(logits + noise) is a draw from softmax(logits)."""
    return -torch.log(torch.empty(size).exponential_(generator=generator))


class _Meter(StoppingCriteria):
    """Tells the watch of each new token, and ends rows that reached their limit, were left or cut off."""

    def __init__(self, rows: Sequence[_Row], student: Student, width: int, watch: Watch, left: threading.Event) -> None:
        self.rows, self.width, self.watch, self.left = rows, width, watch, left
        self.tokenizer, self.eos = student.tokenizer, student.eos_id
        self.over = [False] * len(rows)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> Any:
        length = input_ids.shape[1] - self.width
        for place, token in enumerate(input_ids[:, -1].tolist()):
            if not self.over[place]:
                self._take(place, token, length)
        return torch.tensor(self.over, device=input_ids.device)

    def _take(self, place: int, token: int, length: int) -> None:
        row = self.rows[place]
        if self.watch is not UNWATCHED and token != self.eos:
            piece = row.spelling.add(token, self.tokenizer)
            if piece:
                self.watch.piece(row.place, piece)
        self.over[place] = token == self.eos or length >= row.room or self.left.is_set() or self.watch.gone(row.place)
