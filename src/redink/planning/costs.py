"""What arithmetic, memory and time a student's work takes: one formula, one function, each with its source.

T is a number of tokens, N of parameters, L of layers, d the width of a layer's queries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from redink.planning.hardware import Hardware
from redink.planning.shapes import Shape
from redink.training.logprobs import CHUNK_LOGITS
from redink.training.settings import LoRASettings, TrainSettings

Strategy = Literal["single", "ddp", "zero2", "zero3", "fsdp2"]
ADAM_STATES = 2
NF4_BYTES = 0.5 + 0.127 / 8
"""4 bits, and 0.127 bits of doubly quantised constants (QLoRA, arXiv 2305.14314, section 3)."""
FRAMEWORK = 1.0 * 2**30
"""CUDA context, kernels and the allocator's slack, per GPU: an order of magnitude."""


# -------------------------------------------------------------------- arithmetic


def forward_flops(shape: Shape, tokens: float, length: float, scored: float | None = None) -> float:
    """FLOPs of one forward pass over `tokens` tokens in rows of `length`; the head meets `scored` of them (None: all).

    2·N per token (a multiplication and an addition per weight) and 2·L·T·d per token for causal attention, half
    of 4·L·T·d as half of the scores are masked (Kaplan et al., arXiv 2001.08361, table 1).
    """
    body = 2 * shape.layers * shape.matrices
    attention = 2 * shape.layers * length * shape.query
    return tokens * (body + attention) + 2 * shape.head * (tokens if scored is None else scored)


def training_flops(
    shape: Shape, tokens: float, length: float, scored: float, checkpointing: bool = False, adapters: bool = False
) -> float:
    """FLOPs of forward and backward: three forward passes (backward is two), four with gradient checkpointing, which
    computes the forward pass again. With adapters the frozen weights need no gradient: one pass less.
    """
    passes = 3 + checkpointing - adapters
    return passes * forward_flops(shape, tokens, length, scored)


# -------------------------------------------------------------------- memory


def adapter_parameters(shape: Shape, rank: int) -> int:
    """Parameters of LoRA on all seven matrices of each layer: rank · (rows + columns) each (arXiv 2106.09685)."""
    widths = (
        2 * (shape.hidden + shape.query)
        + 2 * (shape.hidden + shape.key_value)
        + 3 * (shape.hidden + shape.feed_forward)
    )
    return shape.layers * rank * widths


@dataclass(frozen=True)
class States:
    """Bytes on each device that do not grow with the batch."""

    weights: float
    gradients: float
    optimiser: float
    gathered: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.gradients + self.optimiser + self.gathered


def training_states(shape: Shape, hardware: Hardware, strategy: Strategy, lora: LoRASettings | None = None) -> States:
    """Weights, gradients and AdamW's two moments on each device, and what is gathered of sharded weights.

    redink loads a student in bfloat16 on a GPU, where gradients and moments take its type (2 + 2 + 4 bytes per
    parameter), and in single precision on a CPU (4 + 4 + 8). FSDP2 (accelerate) and ZeRO keep single-precision weights
    besides: FSDP2 4 + 4 + 8, sharded; ZeRO 2 + 2 + 12, of which stage 2 shards all but the weights (arXiv
    1910.02054, section 3). Adapters are trained in single precision (PEFT), their base is frozen.
    """
    parts = hardware.count if strategy in ("fsdp2", "zero2", "zero3") else 1
    whole, own = shape.parameters, hardware.device.bytes_per_weight
    if lora is not None:
        small = adapter_parameters(shape, lora.rank)
        frozen = _frozen_bytes(shape, lora, own)
        sharded = parts if strategy != "zero2" else 1
        return States(
            frozen / sharded + 4 * small, 4 * small / parts, 4 * ADAM_STATES * small / parts,
            _layer_in_flight(shape) if sharded > 1 else 0.0,
        )  # fmt: skip
    if strategy == "fsdp2":
        return States(4 * whole / parts, 4 * whole / parts, 8 * whole / parts, _layer_in_flight(shape))
    if strategy == "zero3":
        return States(2 * whole / parts, 2 * whole / parts, 12 * whole / parts, _layer_in_flight(shape))
    if strategy == "zero2":
        return States(2 * whole, 2 * whole / parts, 12 * whole / parts)
    return States(own * whole, own * whole, ADAM_STATES * own * whole)


def _frozen_bytes(shape: Shape, lora: LoRASettings, own: int) -> float:
    if not lora.four_bit:
        return own * shape.parameters
    quantised = shape.layers * shape.matrices
    return NF4_BYTES * quantised + 2 * (shape.parameters - quantised)


def _layer_in_flight(shape: Shape) -> float:
    """Two layers' weights and one's gradients in bfloat16, and the embeddings or the head: what is whole at a time."""
    return 2.0 * (3 * shape.matrices + shape.head)


def activation_bytes(shape: Shape, tokens: float, checkpointing: bool, width: int = 2) -> float:
    """Bytes that the layers keep of one packed row of `tokens` for the backward pass; `width` bytes per number.

    Counted from a Llama layer with an attention kernel that keeps no scores (FlashAttention, arXiv 2205.14135): input
    and normalised input of both norms in the layer's type and in single precision, queries and keys before and after
    rotation, values, the attention's output, and four vectors of the feed-forward (gate, its activation, up, product).
    With checkpointing (arXiv 1604.06174) only each layer's input stays, and one layer is whole at a time.
    """
    per_layer = tokens * (
        width * (2 * shape.query + 2 * shape.key_value + shape.query + 3 * shape.hidden + 4 * shape.feed_forward)
        + 2 * 4 * shape.hidden
    )
    if not checkpointing:
        return shape.layers * per_layer
    return shape.layers * tokens * width * shape.hidden + per_layer


def head_bytes() -> float:
    """Bytes of the logits that stand in memory at once: chunks of 8M, with their exponentials and gradients."""
    return 3 * 4.0 * CHUNK_LOGITS


def sampling_bytes(shape: Shape, hardware: Hardware, rows: int, length: float) -> float:
    """Bytes of weights, of keys and values of `rows` replies that have reached `length` tokens, and of their logits."""
    own = hardware.device.bytes_per_weight
    cache = rows * length * 2 * shape.layers * shape.key_value * own
    return shape.parameters * own + cache + rows * shape.vocab * 8.0


def training_bytes(
    shape: Shape, hardware: Hardware, strategy: Strategy, settings: TrainSettings, row_tokens: float
) -> float:
    """The most that one device holds while it trains on packed rows of `settings.batch_size` · `row_tokens` tokens."""
    states = training_states(shape, hardware, strategy, settings.lora).total
    width = hardware.device.bytes_per_weight
    tokens = settings.batch_size * row_tokens
    kept = activation_bytes(shape, tokens, settings.gradient_checkpointing, width)
    return states + kept + head_bytes() + (0 if hardware.device.cpu else FRAMEWORK)


def largest_batch(
    shape: Shape, hardware: Hardware, strategy: Strategy, settings: TrainSettings, row_tokens: float, reserve: float
) -> int:
    """Rows per forward pass that fit into a device's memory, less the `reserve` share; 0: not even one."""
    free = hardware.device.memory * (1 - reserve)
    one = training_bytes(shape, hardware, strategy, settings.model_copy(update={"batch_size": 1}), row_tokens)
    two = training_bytes(shape, hardware, strategy, settings.model_copy(update={"batch_size": 2}), row_tokens)
    return max(0, math.floor((free - one) / (two - one)) + 1)


# -------------------------------------------------------------------- time


def decoding_seconds(
    shape: Shape,
    hardware: Hardware,
    rows: float,
    prompt: float,
    reply: float,
    batch_rows: int,
    *,
    mfu: float,
    bandwidth: float,
    host_ms_per_layer: float,
) -> float:
    """Seconds of sampling `rows` replies of `reply` tokens after prompts of `prompt` on one device, batch by batch.

    Prompts are arithmetic: their forward pass at `mfu` of the peak. Each token step of a batch takes the longest of
    reading weights, keys and values at the `bandwidth` share of the memory's speed, its arithmetic, and the host's
    time per layer (Pope et al., arXiv 2211.05102, section 2).
    """
    device = hardware.device
    batches = max(1.0, rows / batch_rows)
    in_batch = rows / batches
    prefill = forward_flops(shape, rows * prompt, prompt, rows) / (device.flops * mfu)
    step = max(
        sampling_bytes(shape, hardware, round(in_batch), prompt + reply / 2) / (device.bandwidth * bandwidth),
        forward_flops(shape, in_batch, prompt + reply / 2) / (device.flops * mfu),
        host_ms_per_layer * shape.layers / 1000,
    )
    return prefill + batches * reply * step


def chat_seconds(
    calls: float,
    tokens: float,
    written: float,
    *,
    in_flight: int,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    tokens_per_second: float,
    wait_s: float,
) -> float:
    """Seconds of `calls` to a chat model that move `tokens` and write `written` of them: the slowest of three limits.

    Calls in flight, requests a minute, tokens a minute; never less than one call takes.
    """
    if not calls:
        return 0.0
    one = wait_s + written / calls / tokens_per_second
    by_limit = [max(1.0, calls / in_flight) * one]
    if requests_per_minute:
        by_limit.append(60 * calls / requests_per_minute)
    if tokens_per_minute:
        by_limit.append(60 * tokens / tokens_per_minute)
    return max(by_limit)
