"""Tiny random models of the families that transformers serves, and pairs of random tokens for them."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from tiny import tokenizer
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

VOCABULARY = len(tokenizer())
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "attn_implementation": "sdpa",
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
WINDOW = 7
SLIDING = ["sliding_attention", "full_attention"] * 2
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE),
    "qwen2": Qwen2Config(**SHAPE),
    "qwen2-window": Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2),
    "qwen3": Qwen3Config(**SHAPE, head_dim=16),
    "gemma3": Gemma3TextConfig(
        **SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW, layer_types=SLIDING
    ),
    "gemma3-capped": Gemma3TextConfig(
        **SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW, layer_types=SLIDING,
        final_logit_softcapping=5.0,
    ),
    "mistral": MistralConfig(**SHAPE, head_dim=8, sliding_window=WINDOW),
}  # fmt: skip
UNSHAREABLE: dict[str, PreTrainedConfig] = {
    "gemma2": Gemma2Config(**SHAPE | {"attn_implementation": "eager"}, head_dim=8, query_pre_attn_scalar=8),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, state_size=4, pad_token_id=0),
}


def random_model(config: PreTrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A model of a copy of this configuration whose weights depend on the seed alone."""
    torch.manual_seed(seed)
    own = copy.deepcopy(config)
    return AutoModelForCausalLM.from_config(own, attn_implementation=own._attn_implementation)


def random_pairs(shapes: Sequence[tuple[int, int, int, int]], seed: int = 0) -> Dataset:
    """One row per (prompt, chosen, rejected, tokens that both sides start with), its sides then apart."""
    draw = random.Random(seed)
    return Dataset.from_list([random_pair(draw, *shape) for shape in shapes])


def random_pair(draw: random.Random, prompt: int, chosen: int, rejected: int, common: int) -> dict[str, Any]:
    def ids(length: int) -> list[int]:
        return [draw.randrange(2, VOCABULARY) for _ in range(length)]

    start = ids(common)
    first = ids(chosen - common)
    second = ids(rejected - common)
    if first and second:
        second[0] = first[0] % (VOCABULARY - 2) + 2
    row = {"prompt_ids": ids(prompt), "chosen_ids": start + first, "rejected_ids": start + second}
    return row | {"length": prompt + max(chosen, rejected)}


RAGGED = ((9, 6, 11, 2), (31, 4, 3, 0), (1, 5, 8, 0), (17, 1, 1, 0), (24, 12, 5, 5))
