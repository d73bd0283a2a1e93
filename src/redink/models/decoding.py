"""Continuous batching: a row leaves its batch once it has ended, and the next one that waits takes its place.

`generate` of transformers computes every batch until its longest row has ended and asks each stop string at each token;
its own continuous batching needs a GPU to be of use (docs/scale.md). Here rows of one step differ in length, so their
keys and values stand aligned to the right, with a mask on the left.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Columns by which the room for keys and values grows."""
REFILL = 8
"""Once one row in so many has ended, the ended ones leave and waiting ones come in."""
_NO_PROCESSORS = {
    "transformers_version", "bos_token_id", "eos_token_id", "pad_token_id", "do_sample", "temperature", "top_p",
    "top_k", "max_length", "max_new_tokens", "use_cache", "_from_model_config", "output_attentions",
    "output_hidden_states", "return_dict_in_generate", "trust_remote_code",
}  # fmt: skip


@dataclass
class Strand:
    """One reply under way: the tokens of its prompt, those drawn so far, and its own chance (None: greedy)."""

    index: int
    prompt: list[int]
    chance: Random | None = None
    drawn: list[int] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True)
class Choice:
    """How a token is drawn from logits: greedy at temperature 0, else from the nucleus of `top_p`."""

    temperature: float = 0.0
    top_p: float = 1.0

    def __call__(self, logits: Tensor, strands: Sequence[Strand]) -> list[int]:
        """A token for each row of `logits` (rows × vocabulary), by the chance of its strand."""
        if not self.temperature:
            return list(logits.argmax(-1).tolist())
        weights = torch.softmax(logits.float() / self.temperature, -1)
        order: Tensor | None = None
        if self.top_p < 1:
            weights, order = weights.sort(-1, descending=True)
            before = weights.cumsum(-1) - weights
            weights = weights.masked_fill(before >= self.top_p, 0.0)
        sums = weights.cumsum(-1)
        chances = [strand.chance.random() if strand.chance else 0.0 for strand in strands]
        points = torch.tensor(chances, dtype=sums.dtype, device=sums.device)[:, None] * sums[:, -1:]
        places = torch.searchsorted(sums, points, right=True).clamp(max=sums.shape[-1] - 1)
        return list((places if order is None else order.gather(-1, places))[:, 0].tolist())


def decodes(model: PreTrainedModel) -> bool:
    """Whether `decode` gives what `generate` of this model would: full attention, no processors of its own."""
    takes = inspect.signature(model.forward).parameters
    if model.training or not {"position_ids", "logits_to_keep"} <= takes.keys():
        return False
    asked = model.generation_config.to_diff_dict() if model.generation_config else {}
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return plain and asked.keys() <= _NO_PROCESSORS


def decode(
    model: PreTrainedModel, waiting: Iterable[Strand], rows: int, choose: Choice, ends: Callable[[Strand], bool]
) -> Iterator[Strand]:
    """Draw every strand, at most `rows` at a time, in the order in which they wait; yields each once it has ended.

    `ends(strand)` is asked after each token.
    """
    queue, batch = deque(waiting), _Batch(model, choose, ends)
    while queue or batch.strands:
        free = min(rows - len(batch.strands), len(queue))
        if free:
            batch.join([queue.popleft() for _ in range(free)])
        enough = max(1, (rows if queue else len(batch.strands)) // REFILL)
        while sum(strand.ended for strand in batch.strands) < enough:
            batch.step()
        yield from batch.leave()


class _Roomy(DynamicLayer):
    """Keys and values (rows × heads × columns × width) with room ahead: a token costs no copy of those before it."""

    _held: tuple[Tensor, Tensor]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append columns; returns all of them."""
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if not used or end > self._held[0].shape[-2]:
            keys, values = self._both
            self._held = _roomy(keys, key_states, used, end), _roomy(values, value_states, used, end)
        for held, new in zip(self._held, (key_states, value_states), strict=True):
            held[:, :, used:end] = new
        self.keys, self.values = (held[:, :, :end] for held in self._held)
        return self._both

    @property
    def _both(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def keep(self, rows: Tensor, cut: int) -> None:
        """Only these rows, and no more the first `cut` columns."""
        self._put(*(each.index_select(0, rows)[:, :, cut:] for each in self._both))

    def add(self, other: _Roomy) -> None:
        """The rows of another after these, all aligned to the right."""
        self._put(*(_stacked(*each) for each in zip(self._both, other._both, strict=True)))

    def _put(self, keys: Tensor, values: Tensor) -> None:
        self._held = (keys, values)
        self.keys, self.values = keys, values


def _roomy(old: Tensor, new: Tensor, used: int, end: int) -> Tensor:
    """An empty tensor for columns to come, of which the first `used` are filled."""
    held = new.new_zeros((new.shape[0], new.shape[1], end + ROOM, new.shape[3]))
    if used:
        held[:, :, :used] = old
    return held


def _stacked(first: Tensor, second: Tensor) -> Tensor:
    """Rows over rows, the narrower ones with zeros on their left; columns are the third dimension, or the last."""
    place = -2 if first.dim() == 4 else -1
    width = max(first.shape[place], second.shape[place])

    def widened(each: Tensor) -> Tensor:
        missing = width - each.shape[place]
        return torch.nn.functional.pad(each, (0, 0, missing, 0) if place == -2 else (missing, 0))

    return torch.cat([widened(first), widened(second)])


class _Batch:
    """The rows under way; the last column of keys, values and mask is the newest of every row."""

    def __init__(self, model: PreTrainedModel, choose: Choice, ends: Callable[[Strand], bool]) -> None:
        self._model, self._choose, self._ends = model, choose, ends
        self.strands: list[Strand] = []
        self._cache = self._new_cache()
        self._mask = torch.empty((0, 0), dtype=torch.long, device=model.device)

    def join(self, strands: list[Strand]) -> None:
        """Read the prompts of more strands and draw their first tokens."""
        width = max(len(strand.prompt) for strand in strands)
        padded = [[0] * (width - len(strand.prompt)) + strand.prompt for strand in strands]
        real = [[0] * (width - len(strand.prompt)) + [1] * len(strand.prompt) for strand in strands]
        cache, mask = self._new_cache(), torch.tensor(real, device=self._model.device)
        self._draw(torch.tensor(padded, device=self._model.device), mask, cache, strands)
        if not self.strands:
            self._cache, self._mask = cache, mask
        else:
            for held, more in zip(_layers(self._cache), _layers(cache), strict=True):
                held.add(more)
            self._mask = _stacked(self._mask, mask)
        self.strands += strands

    def step(self) -> None:
        """Draw the next token of every strand; what one that has ended draws is not kept."""
        tokens = torch.tensor([[strand.drawn[-1]] for strand in self.strands], device=self._model.device)
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        self._draw(tokens, self._mask, self._cache, self.strands)

    def leave(self) -> list[Strand]:
        """The strands that have ended, and are no more in the batch."""
        ended = [strand for strand in self.strands if strand.ended]
        stay = [place for place, strand in enumerate(self.strands) if not strand.ended]
        self.strands = [self.strands[place] for place in stay]
        if not stay:
            self._cache = self._new_cache()
        elif ended:
            rows = torch.tensor(stay, device=self._mask.device)
            mask = self._mask.index_select(0, rows)
            cut = int(mask.any(0).int().argmax())
            self._mask = mask[:, cut:]
            for layer in _layers(self._cache):
                layer.keep(rows, cut)
        return ended

    @torch.inference_mode()
    def _draw(self, tokens: Tensor, mask: Tensor, cache: DynamicCache, strands: Sequence[Strand]) -> None:
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        logits = self._model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
        for strand, token in zip(strands, self._choose(logits, strands), strict=True):
            if not strand.ended:
                strand.drawn.append(token)
                strand.ended = self._ends(strand)

    def _new_cache(self) -> DynamicCache:
        cache = DynamicCache(config=self._model.config)
        cache.layers = [_Roomy() for _ in cache.layers]  # type: ignore[no-untyped-call]
        return cache


def _layers(cache: DynamicCache) -> list[_Roomy]:
    return [layer for layer in cache.layers if isinstance(layer, _Roomy)]
