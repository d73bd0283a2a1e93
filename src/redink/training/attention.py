"""Attention over a packed row, segment by segment: nobody's scores are computed over what nobody may see.

Registered with transformers under `NAME`, so that every family that calls its attention through transformers'
interface can share prefixes unchanged. A forward pass without a layout is transformers' own scaled dot-product
attention. With one, a segment attends to itself (and its stem) causally: on CUDA in half precision all segments in
one variable-length kernel of PyTorch, elsewhere one `scaled_dot_product_attention` call each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from redink.training.prefix import Layout, Segment

NAME = "redink_segments"
REFUSED = ("softcap", "s_aux", "position_bias")
_WINDOWS: ContextVar[set[int | None] | None] = ContextVar("windows", default=None)


class CannotShare(Exception):
    """This model's attention does something that segments cannot express."""


@dataclass(frozen=True)
class _Terms:
    """Who sees whom in a row, and how: what one call of attention is told beside its tensors."""

    layout: Layout
    window: int | None
    scale: float | None
    dropout: float


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: query (1, heads, T, d), key and value (1, key heads, T, d) → (1, T, heads, d).

    `sliding_window` counts the token itself, as in transformers. Raises `CannotShare` for attention with soft-capped
    scores, sinks or a position bias.
    """
    if layout is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    if refused := [name for name in REFUSED if kwargs.get(name) is not None]:
        raise CannotShare(f"its attention uses {', '.join(refused)}")
    if (seen := _WINDOWS.get()) is not None:
        seen.add(sliding_window)
    attend = _in_one_kernel if _has_kernel(query, dropout) else _one_by_one
    terms = _Terms(layout, sliding_window, scaling, dropout)
    return attend(query, key, value, terms).contiguous(), None


AttentionInterface.register(NAME, segment_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def recorded_windows() -> Iterator[set[int | None]]:
    """Collect the sliding windows that a model's layers ask for."""
    windows: set[int | None] = set()
    token = _WINDOWS.set(windows)
    try:
        yield windows
    finally:
        _WINDOWS.reset(token)


def _one_by_one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: _Terms) -> torch.Tensor:
    keys, values = (_per_segment(states, terms.layout, 2) for states in (key, value))
    queries = query.split([segment.length for segment in terms.layout.segments], dim=2)
    outputs = [_causal(q, k, v, terms) for q, k, v in zip(queries, keys, values, strict=True)]
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _per_segment(states: torch.Tensor, layout: Layout, dim: int) -> list[torch.Tensor]:
    """The keys (or values) that each segment sees: its stem's start, then its own."""
    own = states.split([segment.length for segment in layout.segments], dim=dim)
    return [
        part if stem is None else torch.cat([own[stem].narrow(dim, 0, segment.seen), part], dim)
        for part, stem, segment in zip(own, layout.stems(), layout.segments, strict=True)
    ]


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: _Terms) -> torch.Tensor:
    """Causal attention whose last query sees the last key; with a window in blocks of its size, so in linear time."""
    queries, keys, window = query.shape[2], key.shape[2], terms.window
    if window is None or keys <= window:
        return _attend(query, key, value, replace(terms, window=None))
    outputs = []
    for start in range(0, queries, window):
        stop = min(start + window, queries)
        first, last = max(0, keys - queries + start - window + 1), keys - queries + stop
        block = query[:, :, start:stop], key[:, :, first:last], value[:, :, first:last]
        outputs.append(_attend(*block, terms))
    return torch.cat(outputs, dim=2)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: _Terms) -> torch.Tensor:
    queries, keys, groups = query.shape[2], key.shape[2], query.shape[1] // key.shape[1]
    if query.device.type != "cpu":
        key, value, groups = repeat_kv(key, groups), repeat_kv(value, groups), 1
    square = queries == keys and (terms.window is None or keys <= terms.window)
    mask = None if square else _mask(terms.layout, queries, keys, terms.window, query)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=terms.dropout,
        is_causal=square,
        scale=terms.scale,
        enable_gqa=groups > 1,
    )


def _mask(layout: Layout, queries: int, keys: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Additive mask (queries, keys), lower-right aligned; every layer uses the same one."""
    name = (queries, keys, window, like.dtype, like.device)
    if name not in layout.made:
        visible = torch.ones(queries, keys, dtype=torch.bool, device=like.device).tril(keys - queries)
        if window is not None:
            visible = visible.triu(keys - queries - window + 1)
        mask = torch.zeros(queries, keys, dtype=like.dtype, device=like.device)
        layout.made[name] = mask.masked_fill_(~visible, float("-inf"))
    made: torch.Tensor = layout.made[name]
    return made


def _variable_length_kernel() -> Callable[..., torch.Tensor] | None:
    """`torch.nn.attention.varlen.varlen_attn` where it takes windows and a scale (PyTorch ≥ 2.11), else None."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: Any = varlen_attn
    return kernel if {"window_size", "scale"} <= inspect.signature(kernel).parameters.keys() else None


def _has_kernel(query: torch.Tensor, dropout: float) -> bool:
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.is_cuda and half and not dropout and _variable_length_kernel() is not None


def _in_one_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: _Terms) -> torch.Tensor:
    """One call for all segments: the kernel aligns the last query with the last key of each."""
    kernel = _variable_length_kernel()
    assert kernel is not None
    groups = query.shape[1] // key.shape[1]
    native = "enable_gqa" in inspect.signature(kernel).parameters
    if not native:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    keys, values = (torch.cat(_per_segment(states[0].transpose(0, 1), terms.layout, 0)) for states in (key, value))
    output = kernel(
        query[0].transpose(0, 1).contiguous(),
        keys,
        values,
        *_bounds(terms.layout, query.device),
        scale=terms.scale,
        window_size=(-1 if terms.window is None else terms.window - 1, 0),
        **({"enable_gqa": groups > 1} if native else {}),
    )
    return output[None]


def _bounds(layout: Layout, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """Where each segment's queries and keys start (int32, segments + 1), and the longest of either."""
    if device not in layout.made:
        queries, keys = ([take(s) for s in layout.segments] for take in (_own, _seen))
        starts = [torch.tensor([0, *lengths], device=device).cumsum(0).int() for lengths in (queries, keys)]
        layout.made[device] = (*starts, max(queries), max(keys))
    bounds: tuple[torch.Tensor, torch.Tensor, int, int] = layout.made[device]
    return bounds


def _own(segment: Segment) -> int:
    return segment.length


def _seen(segment: Segment) -> int:
    return segment.keys
