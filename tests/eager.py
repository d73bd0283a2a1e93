"""A Llama written out from its equations in double precision, one whole sequence at a time: an oracle, not a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import LlamaConfig, PreTrainedModel


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def rotated(x: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary positions (heads, T, d); angles in single precision, as transformers computes them."""
    half = x.shape[-1] // 2
    frequencies = 1.0 / theta ** (torch.arange(half).float() / half)
    angles = torch.arange(x.shape[1]).float()[:, None] * frequencies
    cos, sin = angles.cos().double(), angles.sin().double()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def log_probs(config: LlamaConfig, w: Mapping[str, torch.Tensor], ids: Sequence[int]) -> torch.Tensor:
    """log p(· | everything before), (T, vocabulary)."""
    heads, groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    theta = float(config.rope_parameters["rope_theta"])
    x = w["model.embed_tokens.weight"][list(ids)]
    future = torch.ones(len(ids), len(ids)).triu(1).bool()
    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}."
        h = norm(x, w[name + "input_layernorm.weight"], config.rms_norm_eps)
        q, k, v = (
            (h @ w[f"{name}self_attn.{kind}_proj.weight"].t()).unflatten(-1, (-1, config.head_dim)).transpose(0, 1)
            for kind in "qkv"
        )
        q, k = rotated(q, theta), rotated(k, theta).repeat_interleave(groups, 0)
        weights = (q @ k.transpose(1, 2) / config.head_dim**0.5).masked_fill(future, -torch.inf).softmax(-1)
        mixed = (weights @ v.repeat_interleave(groups, 0)).transpose(0, 1).reshape(len(ids), heads * config.head_dim)
        x = x + mixed @ w[name + "self_attn.o_proj.weight"].t()
        h = norm(x, w[name + "post_attention_layernorm.weight"], config.rms_norm_eps)
        gate, up = (h @ w[f"{name}mlp.{kind}_proj.weight"].t() for kind in ("gate", "up"))
        x = x + (gate * torch.sigmoid(gate) * up) @ w[name + "mlp.down_proj.weight"].t()
    logits = norm(x, w["model.norm.weight"], config.rms_norm_eps) @ w["lm_head.weight"].t()
    return logits.log_softmax(-1)


def side(
    config: LlamaConfig, w: Mapping[str, torch.Tensor], prompt: Sequence[int], reply: Sequence[int]
) -> torch.Tensor:
    """log p(reply | prompt)."""
    rows = log_probs(config, w, [*prompt, *reply])[len(prompt) - 1 : -1]
    return rows[torch.arange(len(reply)), torch.tensor(list(reply))].sum()


def dpo_loss(
    config: LlamaConfig,
    policy: Mapping[str, torch.Tensor],
    reference: Mapping[str, torch.Tensor],
    pairs: Sequence[Mapping[str, Sequence[int]]],
    beta: float,
) -> torch.Tensor:
    """SuperCorrect eq. 8, mean over pairs."""
    losses = []
    for pair in pairs:
        ratio = [
            side(config, policy, pair["prompt_ids"], pair[name])
            - side(config, reference, pair["prompt_ids"], pair[name])
            for name in ("chosen_ids", "rejected_ids")
        ]
        losses.append(torch.log1p(torch.exp(-beta * (ratio[0] - ratio[1]))))
    return torch.stack(losses).mean()


def in_double(model: PreTrainedModel, patch: object) -> PreTrainedModel:
    """A model in double precision whose norms do not go through single precision."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    def forward(self: LlamaRMSNorm, x: torch.Tensor) -> torch.Tensor:
        return norm(x, self.weight, self.variance_epsilon)

    patch.setattr(LlamaRMSNorm, "forward", forward)  # type: ignore[attr-defined]
    return model.double()
