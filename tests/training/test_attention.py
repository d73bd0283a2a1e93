"""Attention by segments against a dense mask written out token by token, in double precision."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.training import attention
from redink.training.attention import CannotShare, recorded_windows, segment_attention
from redink.training.prefix import Layout, PairTokens, Segment, pack_pairs

MODULE = SimpleNamespace(is_causal=True, num_key_value_groups=2, training=True)
lengths = st.tuples(st.integers(1, 9), st.integers(0, 7), st.integers(0, 7))
layouts = st.builds(
    lambda shapes, share: pack_pairs([distinct(*shape) for shape in shapes], share).layout,
    st.lists(lengths, min_size=1, max_size=3),
    st.booleans(),
)
windows = st.one_of(st.none(), st.integers(1, 12))


def distinct(prompt: int, chosen: int, rejected: int) -> PairTokens:
    """Sides that differ from their first token on."""
    return PairTokens([0] * prompt, [1] * chosen, [2] * rejected)


def sees(layout: Layout, window: int | None) -> torch.Tensor:
    """(T, T): whether the token of the row sees the token of the column; by definition, one by one."""
    table = torch.zeros(layout.tokens, layout.tokens, dtype=torch.bool)
    for segment in layout.segments:
        for place in range(segment.start, segment.stop):
            path = [*range(segment.stem, segment.stem + segment.seen), *range(segment.start, place + 1)]
            for other in path if window is None else path[-window:]:
                table[place, other] = True
    return table


def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, visible: torch.Tensor, scale: float) -> torch.Tensor:
    """Softmax attention with a mask, key heads repeated, as (1, T, heads, d)."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = (q @ k.transpose(2, 3)) * scale
    weights = scores.masked_fill(~visible, -math.inf).softmax(-1)
    return (weights @ v).transpose(1, 2)


def states(tokens: int, seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(1, heads, tokens, 4, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)]


@settings(deadline=None, max_examples=60)
@given(layouts, windows)
def test_output_and_gradients_are_those_of_the_dense_mask(layout: Layout, window: int | None) -> None:
    mine, theirs = states(layout.tokens), states(layout.tokens)
    output, _ = segment_attention(MODULE, *mine, None, scaling=0.7, sliding_window=window, layout=layout)  # type: ignore[arg-type]
    expected = dense(*theirs, sees(layout, window), 0.7)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    weights = torch.randn_like(expected)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """What PyTorch documents `varlen_attn` to compute, one query at a time; last query and last key are aligned."""
    outputs = []
    groups = query.shape[1] // key.shape[1]
    assert enable_gqa == (groups > 1)
    assert window_size[1] == 0
    bounds = zip(itertools.pairwise(cu_seq_q.tolist()), itertools.pairwise(cu_seq_k.tolist()), strict=True)
    for (q0, q1), (k0, k1) in bounds:
        assert q1 - q0 <= max_q
        assert k1 - k0 <= max_k
        for place in range(q1 - q0):
            last = k1 - (q1 - q0) + place
            first = k0 if window_size[0] < 0 else max(k0, last - window_size[0])
            keys, values = (x[first : last + 1].repeat_interleave(groups, dim=1) for x in (key, value))
            weights = torch.einsum("hd,khd->hk", query[q0 + place], keys).mul(scale).softmax(-1)
            outputs.append(torch.einsum("hk,khd->hd", weights, values))
    return torch.stack(outputs)


@settings(deadline=None, max_examples=40)
@given(layouts, windows)
def test_the_call_of_the_variable_length_kernel_says_the_same(layout: Layout, window: int | None) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(attention, "_variable_length_kernel", lambda: kernel)
    patch.setattr(attention, "_has_kernel", lambda query, dropout: True)
    try:
        q, k, v = states(layout.tokens)
        output, _ = segment_attention(MODULE, q, k, v, None, scaling=0.7, sliding_window=window, layout=layout)  # type: ignore[arg-type]
    finally:
        patch.undo()
    torch.testing.assert_close(output, dense(q, k, v, sees(layout, window), 0.7), rtol=0, atol=1e-12)


def test_a_kernel_without_grouped_heads_is_given_all_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    def ungrouped(query: Any, key: Any, value: Any, *bounds: Any, scale: Any = None, window_size: Any = None) -> Any:
        return kernel(query, key, value, *bounds, scale=scale, window_size=window_size)

    monkeypatch.setattr(attention, "_variable_length_kernel", lambda: ungrouped)
    monkeypatch.setattr(attention, "_has_kernel", lambda query, dropout: True)
    layout = pack_pairs([distinct(5, 3, 2)]).layout
    q, k, v = states(layout.tokens)
    output, _ = segment_attention(MODULE, q, k, v, None, scaling=0.7, layout=layout)  # type: ignore[arg-type]
    torch.testing.assert_close(output, dense(q, k, v, sees(layout, None), 0.7), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "cuda", "dropout", "expected"),
    [
        (torch.bfloat16, True, 0.0, True),
        (torch.float16, True, 0.0, True),
        (torch.float32, True, 0.0, False),
        (torch.bfloat16, True, 0.1, False),
        (torch.bfloat16, False, 0.0, False),
    ],
)
def test_when_the_kernel_is_used(dtype: torch.dtype, cuda: bool, dropout: float, expected: bool) -> None:
    query: Any = SimpleNamespace(dtype=dtype, is_cuda=cuda)
    assert attention._has_kernel(query, dropout) == expected


def test_a_window_costs_linear_memory() -> None:
    """2,000 tokens behind a window of 8: no mask is larger than a block of 8 queries and the 15 keys they see."""
    layout = Layout((Segment(0, 2000),))
    q, k, v = states(2000)
    segment_attention(MODULE, q, k, v, None, sliding_window=8, layout=layout)  # type: ignore[arg-type]
    assert layout.made
    assert max(mask.numel() for mask in layout.made.values()) <= 8 * 15


def test_a_stem_is_attended_once_and_needs_no_mask() -> None:
    layout = pack_pairs([distinct(50, 20, 10)]).layout
    q, k, v = states(layout.tokens)
    segment_attention(MODULE, q, k, v, None, layout=layout)  # type: ignore[arg-type]
    assert [mask.shape for mask in layout.made.values()] == [(10, 60)]


def test_without_a_layout_it_is_transformers_own_attention() -> None:
    q, k, v = states(6)
    output, _ = segment_attention(MODULE, q, k, v, None, scaling=0.5)  # type: ignore[arg-type]
    torch.testing.assert_close(output, dense(q, k, v, torch.ones(6, 6).tril().bool(), 0.5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_what_segments_cannot_express_is_refused(name: str) -> None:
    layout = Layout((Segment(0, 3),))
    with pytest.raises(CannotShare, match=name):
        segment_attention(MODULE, *states(3), None, layout=layout, **{name: 30.0})  # type: ignore[arg-type]


def test_the_windows_that_layers_ask_for_are_recorded() -> None:
    layout = Layout((Segment(0, 3),))
    with recorded_windows() as seen:
        for window in (None, 5):
            segment_attention(MODULE, *states(3), None, sliding_window=window, layout=layout)  # type: ignore[arg-type]
    assert seen == {None, 5}
