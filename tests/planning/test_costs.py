"""Arithmetic, memory and time by hand; activations beside what torch really keeps."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from redink.failures import Failure
from redink.planning.costs import (
    activation_bytes,
    adapter_parameters,
    chat_seconds,
    decoding_seconds,
    forward_flops,
    largest_batch,
    sampling_bytes,
    training_bytes,
    training_flops,
    training_states,
)
from redink.planning.hardware import Device, Hardware, hardware_of
from redink.planning.shapes import Shape, shape_of
from redink.training.settings import HSFTSettings, LoRASettings

SMALL = Shape(layers=2, hidden=4, feed_forward=8, heads=2, kv_heads=1, vocab=10)
"""A layer's matrices: q and o 2·4·4, k and v 2·4·2, feed-forward 3·4·8 = 144; head 40."""
QWEN = shape_of("Qwen/Qwen2.5-Math-7B-Instruct")
A100 = hardware_of("8xA100-40GB")
SLOW = Hardware(1, Device("slow", flops=1000.0, bandwidth=100.0, memory=1e6))


def test_the_small_shape_by_hand() -> None:
    assert (SMALL.matrices, SMALL.head, SMALL.parameters) == (144, 40, 2 * (144 + 8) + 4 + 80)


def test_a_forward_pass_by_hand() -> None:
    # 5 tokens in rows of 3: body 2·2·144 = 576, attention 2·2·3·4 = 48, each; the head meets one: 2·40
    assert forward_flops(SMALL, 5, 3, 1) == 5 * (576 + 48) + 80
    assert forward_flops(SMALL, 5, 3) == 5 * (576 + 48) + 5 * 80


@pytest.mark.parametrize(
    ("checkpointing", "adapters", "passes"), [(False, False, 3), (True, False, 4), (True, True, 3)]
)
def test_backward_is_two_passes_more(checkpointing: bool, adapters: bool, passes: int) -> None:
    assert training_flops(SMALL, 5, 3, 1, checkpointing, adapters) == passes * forward_flops(SMALL, 5, 3, 1)


def test_six_operations_per_weight_and_token() -> None:
    """Kaplan et al.: 6·N per token, for a model whose context is short against its width."""
    tokens = 1000
    weights = QWEN.body + QWEN.head
    assert training_flops(QWEN, tokens, 1, tokens) == pytest.approx(6 * weights * tokens, rel=0.01)


def test_states_of_seven_billion_parameters() -> None:
    whole = QWEN.parameters
    assert training_states(QWEN, hardware_of("A100-80GB"), "single").total == 8 * whole  # bfloat16: 2 + 2 + 4
    assert training_states(QWEN, hardware_of("cpu:2"), "single").total == 16 * whole  # single precision: 4 + 4 + 8
    sharded = training_states(QWEN, A100, "fsdp2")
    assert sharded.weights + sharded.gradients + sharded.optimiser == 16 * whole / 8
    assert training_states(QWEN, A100, "zero2").total == 2 * whole + 14 * whole / 8
    assert training_states(QWEN, A100, "ddp").total == 8 * whole


def test_adapters_by_hand() -> None:
    # q and o: 4 + 4 each; k and v: 4 + 2 each; the three of the feed-forward: 4 + 8 each; two layers, rank 3
    assert adapter_parameters(SMALL, 3) == 2 * 3 * (16 + 12 + 36)
    states = training_states(SMALL, hardware_of("A100-40GB"), "single", LoRASettings(rank=3))
    assert (states.weights, states.gradients, states.optimiser) == (2 * SMALL.parameters + 4 * 384, 4 * 384, 8 * 384)


def test_four_bits_quantise_the_layers_only() -> None:
    gpu, lora = hardware_of("A100-40GB"), LoRASettings(rank=1, four_bit=True)
    weights = training_states(SMALL, gpu, "single", lora).weights - 4 * adapter_parameters(SMALL, 1)
    assert weights == pytest.approx(288 * (0.5 + 0.127 / 8) + 2 * (SMALL.parameters - 288))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("hidden", "feed", "heads", "kv"), [(64, 160, 4, 4), (96, 256, 6, 2)])
def test_activations_are_what_torch_keeps(dtype: torch.dtype, hidden: int, feed: int, heads: int, kv: int) -> None:
    """Of one layer more: the bytes of what autograd saves, weights left out."""
    tokens = 48
    kept = [kept_bytes(layers, hidden, feed, heads, kv, dtype, tokens) for layers in (1, 2)]
    planned = activation_bytes(Shape(1, hidden, feed, heads, kv, 64), tokens, False, dtype.itemsize)
    assert planned == pytest.approx(kept[1] - kept[0], rel=0.05)


def kept_bytes(layers: int, hidden: int, feed: int, heads: int, kv: int, dtype: torch.dtype, tokens: int) -> int:
    config = LlamaConfig(
        num_hidden_layers=layers, hidden_size=hidden, intermediate_size=feed, num_attention_heads=heads,
        num_key_value_heads=kv, vocab_size=64, attn_implementation="sdpa",
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(dtype).model
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randint(0, 64, (1, tokens)), use_cache=False)
    return sum(storage.nbytes() for storage in saved.values())


def test_checkpointing_keeps_one_layer_and_the_inputs_of_all() -> None:
    one = activation_bytes(Shape(1, 4, 8, 2, 1, 10), 7, False)
    assert activation_bytes(SMALL, 7, True) == one + 2 * 7 * 2 * 4


def test_keys_and_values_by_hand() -> None:
    # weights 388·2; 3 rows of 5 tokens: keys and values of 2 layers, 2 wide, 2 bytes; logits 3·10·8
    assert sampling_bytes(SMALL, SLOW, 3, 5) == 776 + 3 * 5 * 2 * 2 * 2 * 2 + 240


def test_the_largest_batch_is_the_last_that_fits() -> None:
    settings = HSFTSettings(batch_size=1, gradient_checkpointing=True)
    fits = largest_batch(QWEN, A100, "fsdp2", settings, 4096, 0.1)
    assert fits > 0

    def needs(batch: int) -> float:
        return training_bytes(QWEN, A100, "fsdp2", settings.model_copy(update={"batch_size": batch}), 4096)

    assert needs(fits) <= 0.9 * A100.device.memory < needs(fits + 1)
    assert largest_batch(QWEN, A100, "ddp", settings, 4096, 0.1) == 0


def test_a_step_of_sampling_takes_the_slowest_of_three() -> None:
    given = {"mfu": 0.5, "bandwidth": 0.5, "host_ms_per_layer": 0.0}
    prefill = forward_flops(SMALL, 2 * 3, 3, 2) / 500
    reading = sampling_bytes(SMALL, SLOW, 2, 5) / 50
    assert decoding_seconds(SMALL, SLOW, 2, 3, 4, 2, **given) == pytest.approx(prefill + 4 * reading)
    hosted = decoding_seconds(SMALL, SLOW, 2, 3, 4, 2, **{**given, "host_ms_per_layer": 1e6})
    assert hosted == pytest.approx(prefill + 4 * 2000)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({}, 1000 / 10 * (1 + 2)),  # 100 turns of ten calls, each a second's wait and 20 tokens at 10 a second
        ({"requests_per_minute": 100}, 600),
        ({"tokens_per_minute": 1000}, 6000),
    ],
)
def test_a_chat_model_is_held_by_the_slowest_limit(limits: dict[str, float], seconds: float) -> None:
    given = {"requests_per_minute": None, "tokens_per_minute": None, **limits}
    taken = chat_seconds(1000, 100_000, 20_000, in_flight=10, tokens_per_second=10, wait_s=1, **given)  # type: ignore[arg-type]
    assert taken == pytest.approx(seconds)


def test_no_call_takes_no_time() -> None:
    none = {"requests_per_minute": None, "tokens_per_minute": None}
    assert chat_seconds(0, 0, 0, in_flight=1, tokens_per_second=1, wait_s=1, **none) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "count", "memory"),
    [("8xA100-40GB", 8, 40), ("A100-80GB", 1, 80), ("2 x h100-80gb", 2, 80), ("4×L4", 4, 24), ("nvidia-L40S", 1, 48)],
)
def test_hardware_by_name(text: str, count: int, memory: int) -> None:
    found = hardware_of(text)
    assert (found.count, round(found.device.memory / 2**30)) == (count, memory)


@pytest.mark.parametrize("text", ["8xA100-41GB", "0xL4", "abacus", "L4:3", "8x"])
def test_unknown_hardware_is_one_line(text: str) -> None:
    with pytest.raises(Failure, match="not known"):
        hardware_of(text)


def test_a_cpu_by_its_cores() -> None:
    assert hardware_of("cpu:3").device.flops == 3 * hardware_of("cpu:1").device.flops
    assert hardware_of("cpu:3").text == "cpu:3"
