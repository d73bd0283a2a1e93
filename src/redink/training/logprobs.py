"""Log-probabilities only where they are scored: hidden states are gathered first, then meet the head in chunks."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

CHUNK_LOGITS = 2**23
"""How many logits stand in memory at once: 32 MiB in single precision."""


@dataclass
class Scores(ModelOutput):
    """Per scored place (N,): log-probability of its target, and without gradient entropy, mean logit, and whether the
    target is the likeliest token.
    """

    log_probs: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    mean_logits: torch.Tensor | None = None
    is_top1: torch.Tensor | None = None


@dataclass(frozen=True)
class HeadScale:
    """What a family does to its logits: softcap · tanh(factor · z / softcap), or factor · z without a cap."""

    factor: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, config: PreTrainedConfig) -> HeadScale:
        """Read from a model's configuration (Cohere's and Falcon-H1's multipliers, Granite's divisor, Gemma's cap)."""
        text = config.get_text_config()
        factor = next(
            (value for name in ("logit_scale", "output_multiplier", "lm_head_multiplier")
             if (value := getattr(text, name, None)) is not None),
            None,
        )  # fmt: skip
        if factor is None and (divisor := getattr(text, "logits_scaling", None)) is not None:
            factor = 1 / divisor
        return cls(1.0 if factor is None else float(factor), getattr(text, "final_logit_softcapping", None))

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits that the softmax sees."""
        scaled = logits if self.factor == 1.0 else logits * self.factor
        return scaled if self.softcap is None else self.softcap * torch.tanh(scaled / self.softcap)

    def back(self, gradient: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to the raw logits, given that with respect to the scaled ones."""
        if self.softcap is not None:
            gradient = gradient * (1 - (self(logits) / self.softcap).square())
        return gradient if self.factor == 1.0 else gradient * self.factor


def token_scores(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    scale: HeadScale = HeadScale(),
    chunk_logits: int = CHUNK_LOGITS,
) -> Scores:
    """log softmax(hidden · weightᵀ + bias)[target] for hidden (N, h), weight (V, h), targets (N,).

    The softmax is in single precision, double if `hidden` is. At no time more than `chunk_logits` logits exist, and
    none are kept for the backward pass.
    """
    rows = max(1, chunk_logits // weight.shape[0])
    apply: Any = _TokenScores.apply
    return Scores(*apply(hidden, weight, bias, targets, scale, rows))


def _logits(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    return torch.nn.functional.linear(hidden, weight, bias).to(wide)


class _TokenScores(torch.autograd.Function):
    """Forward and backward of `token_scores`, chunk by chunk; the backward pass computes the logits again."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        scale: HeadScale,
        rows: int,
    ) -> tuple[torch.Tensor, ...]:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        with torch.autocast(kind, enabled=False):
            cast = [None if x is None else x.to(dtype) for x in (hidden, weight, bias)]
            parts = [
                _chunk_scores(scale(_logits(h, cast[1], cast[2])), t)  # type: ignore[arg-type]
                for h, t in zip(cast[0].split(rows), targets.split(rows), strict=True)  # type: ignore[union-attr]
            ]
        log_probs, entropy, mean, top, log_z = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(hidden, weight, bias, targets, log_z)
        ctx.scale, ctx.rows, ctx.dtype = scale, rows, dtype
        ctx.mark_non_differentiable(entropy, mean, top)
        ctx.set_materialize_grads(False)
        return log_probs, entropy, mean, top

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor | None, *_: Any) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, targets, log_z = ctx.saved_tensors
        if gradient is None:
            return None, None, None, None, None, None
        with whole(weight, bias), torch.autocast(hidden.device.type, enabled=False):
            grads = _backward(ctx, gradient, hidden, weight, bias, targets, log_z)
        return *grads, None, None, None


def _chunk_scores(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Scores of (n, V) scaled logits, and the log of their partition sum, which the backward pass needs."""
    log_z = torch.logsumexp(logits, dim=-1)
    chosen = logits.gather(-1, targets[:, None]).squeeze(-1)
    mean, top = logits.mean(-1), logits.argmax(-1) == targets
    expected = (torch.exp(logits - log_z[:, None]) * logits).sum(-1)
    return chosen - log_z, log_z - expected, mean, top, log_z


def _backward(
    ctx: Any,
    gradient: torch.Tensor,
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    log_z: torch.Tensor,
) -> tuple[torch.Tensor | None, ...]:
    """∂ log p(t) / ∂ z_v = 1[v = t] − p(v), through the scale, to hidden states, weight and bias."""
    needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    cast_weight, cast_bias = weight.to(ctx.dtype), None if bias is None else bias.to(ctx.dtype)
    to_hidden = []
    to_weight = torch.zeros(weight.shape, dtype=log_z.dtype, device=weight.device) if needs_weight else None
    to_bias = (
        torch.zeros(bias.shape, dtype=log_z.dtype, device=bias.device) if needs_bias and bias is not None else None
    )
    for first in range(0, len(targets), ctx.rows):
        part = slice(first, first + ctx.rows)
        h = hidden[part].to(ctx.dtype)
        z = _logits(h, cast_weight, cast_bias)
        scaled = ctx.scale(z)
        to_scaled = torch.exp(scaled - log_z[part, None]).neg_()
        to_scaled.scatter_add_(1, targets[part, None], torch.ones_like(to_scaled[:, :1]))
        to_logits = ctx.scale.back(to_scaled.mul_(gradient[part, None].to(log_z.dtype)), z)
        narrow = to_logits.to(ctx.dtype)
        if needs_hidden:
            to_hidden.append(narrow @ cast_weight)
        if to_weight is not None:
            _add_product(to_weight, narrow.t(), h)
        if to_bias is not None:
            to_bias += to_logits.sum(0)
    return (
        torch.cat(to_hidden or [hidden]).to(hidden.dtype) if needs_hidden else None,
        None if to_weight is None else to_weight.to(weight.dtype),
        None if to_bias is None or bias is None else to_bias.to(bias.dtype),
    )


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """total += left · right, summed in the precision of `total`."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


@contextmanager
def whole(*parameters: torch.Tensor | None) -> Iterator[None]:
    """Gather parameters that DeepSpeed's ZeRO-3 has partitioned, while they are read without their module.

    Those that a module has gathered (a tied embedding) are there already, and stay until it lets them go.
    """
    status = {parameter: getattr(parameter, "ds_status", None) for parameter in parameters if parameter is not None}
    split = [parameter for parameter, held in status.items() if held is not None and held.name != "AVAILABLE"]
    with ExitStack() as stack:
        if split:
            import deepspeed

            stack.enter_context(deepspeed.zero.GatheredParameters(split))
        yield


def add_scoring_head(model: PreTrainedModel) -> None:
    """Let `model(..., scored=, targets=)` return `Scores`; every other call is as before. Twice is once.

    Inside the model's own forward pass, so that what wraps it (DDP, FSDP, DeepSpeed, autocast) sees an ordinary call.
    """
    if getattr(model.forward, "scores", False):
        return
    original, scale = model.forward, HeadScale.of(model.config)

    @functools.wraps(type(model).forward)
    def forward(
        self: Any, *args: Any, scored: torch.Tensor | None = None, targets: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        if scored is None or targets is None:
            return original(*args, **kwargs)
        hidden = self.base_model(*args, **kwargs | {"use_cache": False}).last_hidden_state
        head = self.get_output_embeddings()
        chosen = hidden.reshape(-1, hidden.shape[-1]).index_select(0, scored).to(head.weight.device)
        weight, bias = gathered(head.weight), gathered(head.bias)
        with whole(weight, bias):
            return token_scores(chosen, weight, bias, targets.to(chosen.device), scale)

    forward.scores = True  # type: ignore[attr-defined]
    model.forward = types.MethodType(forward, model)


def gathered(parameter: Any) -> Any:
    """The whole of a tensor that FSDP2 has sharded, a collective call; others as they are."""
    return parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
