"""Cross-DPO with shared prefixes on a GPU: pairs a second, memory and error; see gpu/README.md."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config

from redink.training.attention import NAME, _variable_length_kernel
from redink.training.logprobs import add_scoring_head
from redink.training.prefix import PairTokens, pack_pairs, row_tensors, side_table

# Qwen2.5's shapes: (width, inner width, layers, heads, key heads, vocabulary, tied embeddings)
SHAPES = {
    "tiny": (64, 128, 2, 4, 2, 500, True),
    "0.5b": (896, 4864, 24, 14, 2, 151936, True),
    "1.5b": (1536, 8960, 28, 12, 2, 151936, True),
    "7b": (3584, 18944, 28, 28, 4, 152064, False),
}
ARMS = {"P": "padded rows, sdpa, head on completions only", "B": "redink", "B-": "redink, each side in full"}
BETA = 0.1


@dataclass(frozen=True)
class Work:
    """What is measured, and where."""

    prefix: int
    completion: int
    pairs: int
    rounds: int
    device: torch.device
    dtype: torch.dtype
    full: bool


def config_of(shape: str) -> Qwen2Config:
    """The configuration of one of `SHAPES`."""
    width, inner, layers, heads, key_heads, vocabulary, tied = SHAPES[shape]
    return Qwen2Config(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, tie_word_embeddings=tied,
        max_position_embeddings=32768, bos_token_id=None, eos_token_id=1, pad_token_id=0, initializer_range=0.05,
    )  # fmt: skip


def model_of(shape: str, work: Work) -> PreTrainedModel:
    """Random weights, made on the device; large shapes train a small part of them unless `work.full`."""
    torch.manual_seed(0)
    with torch.device(work.device):
        model = AutoModelForCausalLM.from_config(config_of(shape), dtype=work.dtype)
    if shape == "7b" and not work.full:
        adapt(model)
    add_scoring_head(model)
    return model.train()


def adapt(model: PreTrainedModel) -> None:
    """Low-rank adapters on all linear layers; what is frozen still carries gradients to what lies below."""
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=16, target_modules="all-linear"), model)
    for name, weights in model.named_parameters():
        weights.requires_grad_("lora_" in name)
    model.enable_input_require_grads()


def pairs_of(work: Work, vocabulary: int, seed: int) -> list[PairTokens]:
    """Random pairs of equal lengths: the case that favours padded rows most."""
    draw = random.Random(seed)

    def ids(length: int) -> list[int]:
        return [draw.randrange(2, vocabulary) for _ in range(length)]

    return [PairTokens(ids(work.prefix), ids(work.completion), ids(work.completion)) for _ in range(work.pairs)]


def sums_packed(model: PreTrainedModel, pairs: list[PairTokens], share: bool) -> torch.Tensor:
    """log π of each side (2 · pairs,) from packed rows."""
    model.config._attn_implementation = NAME
    row = pack_pairs(pairs, share)
    placed = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in row_tensors(row).items()}
    mask = torch.ones(1, 1, 1, 1, device=model.device)
    log_probs = model(**placed, attention_mask=mask, use_cache=False).log_probs
    return torch.cat([log_probs, log_probs.new_zeros(1)])[side_table(row.sides).to(model.device)].sum(1)


def sums_padded(model: PreTrainedModel, pairs: list[PairTokens]) -> torch.Tensor:
    """log π of each side (2 · pairs,) from padded rows with an attention mask."""
    model.config._attn_implementation = "sdpa"
    sides = [(p.prompt, p.chosen) for p in pairs] + [(p.prompt, p.rejected) for p in pairs]
    width = max(len(prompt) + len(side) for prompt, side in sides)
    ids = torch.tensor([[*p, *s, *[0] * (width - len(p) - len(s))] for p, s in sides], device=model.device)
    mask = torch.tensor([[1] * (len(p) + len(s)) + [0] * (width - len(p) - len(s)) for p, s in sides])
    places = [r * width + len(p) - 1 + i for r, (p, s) in enumerate(sides) for i in range(len(s))]
    targets = [token for _, s in sides for token in s]
    log_probs = model(
        input_ids=ids,
        attention_mask=mask.to(model.device),
        scored=torch.tensor(places, device=model.device),
        targets=torch.tensor(targets, device=model.device),
        use_cache=False,
    ).log_probs
    return torch.stack([part.sum() for part in log_probs.split([len(s) for _, s in sides])])


def sums(arm: str) -> Callable[[PreTrainedModel, list[PairTokens]], torch.Tensor]:
    """How an arm computes log π of the sides."""
    if arm == "P":
        return sums_padded
    return lambda model, pairs: sums_packed(model, pairs, share=arm == "B")


def loss_of(policy: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """SuperCorrect eq. 8."""
    chosen, rejected = (policy - reference).chunk(2)
    return -F.logsigmoid(BETA * (chosen - rejected)).mean()


def step(arm: str, model: PreTrainedModel, optimizer: Any, pairs: list[PairTokens]) -> tuple[float, float]:
    """One optimiser step: seconds, and GiB at its peak. The reference's log-probabilities are given (zeros)."""
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    started = time.perf_counter()
    policy = sums(arm)(model, pairs)
    loss_of(policy, torch.zeros_like(policy)).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if on_gpu:
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return time.perf_counter() - started, peak


def errors(model: PreTrainedModel, pairs: list[PairTokens]) -> dict[str, float]:
    """Mean distance of each arm's side sums from those of the same weights in single precision (padded rows)."""
    with torch.no_grad():
        found = {arm: sums(arm)(model, pairs) for arm in ARMS}
        exact = sums_padded(model.float(), pairs)
    return {arm: float((value.float() - exact).abs().mean()) for arm, value in found.items()}


def flops(shape: str, work: Work, shared: bool) -> float:
    """Arithmetic of a pair: linear layers on each token, attention on each visible pair, the head on completions."""
    width, inner, layers, heads, key_heads, vocabulary, _ = SHAPES[shape]
    weights = 2 * width * width + 2 * width * key_heads * (width // heads) + 3 * width * inner
    prefix, completion = work.prefix, work.completion
    whole = (prefix + completion) ** 2 / 2
    tokens = prefix + 2 * completion if shared else 2 * (prefix + completion)
    visible = whole + prefix * completion + completion**2 / 2 if shared else 2 * whole
    return 3 * layers * (2 * weights * tokens + 4 * width * visible) + 8 * 2 * completion * width * vocabulary


def measure(shape: str, work: Work) -> dict[str, Any]:
    """Arms take turns; medians."""
    model = model_of(shape, work)
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
    vocabulary = SHAPES[shape][5]
    for arm in ARMS:
        step(arm, model, optimizer, pairs_of(work, vocabulary, 0))
    taken: dict[str, list[tuple[float, float]]] = {arm: [] for arm in ARMS}
    for number in range(work.rounds):
        for arm in ARMS:
            taken[arm].append(step(arm, model, optimizer, pairs_of(work, vocabulary, number + 1)))
    del optimizer
    speed = {arm: work.pairs / statistics.median(seconds for seconds, _ in taken[arm]) for arm in ARMS}
    peak = {arm: max(gib for _, gib in taken[arm]) for arm in ARMS}
    return {
        "pairs_per_second": speed, "peak_gib": peak, "limit": flops(shape, work, False) / flops(shape, work, True),
        "log_prob_error": errors(model, pairs_of(work, vocabulary, 99)),
    }  # fmt: skip


def report(shape: str, result: dict[str, Any]) -> None:
    """The lines of gpu/README.md."""
    speed, error = result["pairs_per_second"], result["log_prob_error"]
    for arm, what in ARMS.items():
        print(f"{shape:5} {arm:3} {speed[arm]:8.3f} pairs/s {result['peak_gib'][arm]:7.2f} GiB peak   ({what})")
    name = f"figure cross_dpo_gpu_{shape.replace('.', '_')}"
    print(f"{name}_vs_padded = {speed['B'] / speed['P']:.3f} x (goal >= 1.45)")
    print(f"{name}_limit = {result['limit']:.3f} x (goal >= 1)")
    relative = error["B"] / max(error["P"], 1e-12)
    print(f"{name}_log_prob_error = {relative:.3f} x that of padded rows (goal <= 1.5)", flush=True)


def main() -> None:
    """Measure the shapes named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["0.5b", "1.5b", "7b"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--prefix", type=int, default=1024)
    parser.add_argument("--completion", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=4, help="pairs per step")
    parser.add_argument("--rounds", type=int, default=7, help="steps per arm")
    parser.add_argument("--full", action="store_true", help="full weights at 7b too")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the results")
    given = parser.parse_args()
    device = torch.device(given.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    work = Work(given.prefix, given.completion, given.pairs, given.rounds, device, dtype, given.full)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    kernel = device.type == "cuda" and _variable_length_kernel() is not None
    print(f"device {name}, torch {torch.__version__}, variable-length kernel {'yes' if kernel else 'no'}")
    results = {}
    for shape in given.shapes:
        results[shape] = measure(shape, work)
        report(shape, results[shape])
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if given.out:
            given.out.write_text(json.dumps({"device": name, "torch": torch.__version__, "shapes": results}, indent=2))


if __name__ == "__main__":
    main()
