"""Cross-DPO with the prefix computed once, against TRL's own DPO trainer: pairs a second, memory, and the same loss.

    python -m benchmarks.cross_dpo [--quick] [--grid] [--prefix 1024] [--completion 256] [--spread 0] [--model FOLDER]

Arms, in one process and taking turns, each a whole optimiser step (AdamW) on the same pairs, gradient checkpointing
off in all of them:

    A0  TRL as it comes: the reference in memory, computed in every step
    A1  TRL with the reference's log-probabilities computed before training
    A2  A1 with pairs of like length together and the fastest attention it takes here
    B   redink
    B-  redink's packed rows and gathered head, but each side in full

The learning rate is 0, so every step of every arm sees the same weights and the losses can be compared; the policy
was moved away from its reference beforehand. The full benchmark has the shape of SmolLM2-135M, the quick one a model
of the same proportions, with random weights unless `--model` names a folder: they cost the same. The limit beside the
ratio is the arithmetic of the two layouts (see `flops`). Peak memory is that of a process of its own per arm, which
does one step with the optimiser's state made; two such processes run side by side.
Computing π_ref, once for all epochs, is not in the steps.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaConfig, PreTrainedModel
from trl import DPOConfig, DPOTrainer

from benchmarks.arms import ARGUMENTS, SMALL, SMOLLM2, base_model, blank_tokenizer, peaks, ready, silence, twin
from redink.training.cross_dpo import CrossDPOTrainer, ScoredSides
from redink.training.packed import prepare
from redink.training.prefix import PairCollator

ARMS = ("A0", "A1", "A2", "B", "B-")
GRID = [(prefix, completion) for prefix in (256, 512, 1024, 2048) for completion in (128, 256, 512)]


@dataclass(frozen=True)
class Work:
    """What is measured: lengths in tokens (± a share of themselves), pairs per step, steps per arm."""

    prefix: int
    completion: int
    spread: float
    batch: int
    rounds: int
    quick: bool
    model: str | None


class TRLTrainer(DPOTrainer):
    """TRL's trainer on ready token ids; nothing else is changed."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def pairs(work: Work, vocabulary: int) -> Dataset:
    """Random token ids for every step, the longest pairs last (batches are taken in this order)."""
    draw = random.Random(0)

    def ids(length: int) -> list[int]:
        length = max(1, round(length * draw.uniform(1 - work.spread, 1 + work.spread)))
        return [draw.randrange(3, vocabulary) for _ in range(length)]

    def row() -> dict[str, list[int]]:
        return {
            "prompt_ids": ids(work.prefix),
            "chosen_ids": ids(work.completion),
            "rejected_ids": ids(work.completion),
        }

    rows = [row() for _ in range(work.batch * work.rounds)]
    return Dataset.from_list([{**one, "length": sum(map(len, one.values()))} for one in rows])


def trainer(arm: str, work: Work, base: PreTrainedModel, data: Dataset, folder: Path) -> DPOTrainer:
    """The trainer of an arm; all share the memory of their weights, gradients and optimiser."""
    arguments = DPOConfig(
        **ARGUMENTS, output_dir=str(folder / arm), per_device_train_batch_size=work.batch, max_length=None,
        precompute_ref_log_probs=arm != "A0", beta=0.1,
    )  # fmt: skip
    kind: Any = TRLTrainer if arm.startswith("A") else CrossDPOTrainer
    more: dict[str, Any] = {} if arm.startswith("A") else {"share": arm == "B"}
    if arm == "A0":
        more["ref_model"] = copy.deepcopy(base)
    rows = data.sort("length") if arm == "A2" else data
    made: DPOTrainer = kind(
        model=twin(base), args=arguments, train_dataset=rows, processing_class=blank_tokenizer(base), **more
    )
    return made


def batches(made: DPOTrainer, work: Work) -> Iterator[dict[str, Any]]:
    """The batches of a trainer's rows, ready for its model."""
    rows = list(made.train_dataset)
    for first in range(0, len(rows), work.batch):
        yield made.data_collator(rows[first : first + work.batch])


def step(made: DPOTrainer, batch: dict[str, Any]) -> tuple[float, float]:
    """One optimiser step: (seconds, loss)."""
    started = time.perf_counter()
    loss = made.training_step(made.model, dict(batch))
    made.optimizer.step()
    made.optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started, float(loss)


def move(base: PreTrainedModel) -> None:
    """Move the policy (all twins at once) away from what the reference was."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in base.parameters():
            weights.add_(0.02 * weights.std() * torch.randn_like(weights))


@dataclass(frozen=True)
class Result:
    """Median pairs a second per arm, the largest difference of a step's loss between redink and TRL, and how far the
    log-probability of a side is from double precision.
    """

    pairs_per_second: dict[str, float]
    max_loss_difference: float
    log_prob_error: dict[str, float]


def measure(work: Work, arms: Sequence[str] = ARMS, check: bool = True) -> Result:
    """Let the arms take turns, batch by batch."""
    base = base_model(work.quick, work.model)
    data = pairs(work, base.config.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {arm: trainer(arm, work, base, data, Path(folder)) for arm in arms}
        ready(trainers.values())
        queues = {arm: list(batches(made, work)) for arm, made in trainers.items()}
        move(base)
        seconds: dict[str, list[float]] = {arm: [] for arm in arms}
        losses: dict[str, list[float]] = {arm: [] for arm in arms}
        for number in range(work.rounds):
            for arm in arms:
                took, loss = step(trainers[arm], queues[arm][number])
                seconds[arm].append(took)
                losses[arm].append(loss)
        errors = {
            arm: log_prob_error(trainers[arm], queues[arm][0], base) for arm in ("A1", "B") if check and arm in arms
        }
    speed = {arm: work.batch / statistics.median(seconds[arm]) for arm in arms}
    return Result(speed, difference(losses), errors)


def log_prob_error(made: DPOTrainer, batch: dict[str, Any], base: PreTrainedModel) -> float:
    """How far a side's log-probability is from that in double precision, at most, in nats."""
    exact = copy.deepcopy(base).double()
    assert prepare(exact) is None
    rows = list(made.train_dataset)[: len(batch["ref_chosen_logps"])]
    sides = ScoredSides(exact, PairCollator()(rows))
    with torch.no_grad():
        double = sides(labels=None).log_probs.sum(1)
        single = torch.cat(made.compute_ref_log_probs(made.model, batch))
    return float((single - double).abs().max())


def difference(losses: dict[str, list[float]]) -> float:
    """Between the arms that read the pairs in the same order (A2 has another)."""
    against = losses.get("A1", losses.get("A0", []))
    ours = [losses[arm] for arm in ("B", "B-") if arm in losses]
    return max((abs(a - b) for one in ours for a, b in zip(one, against, strict=False)), default=0.0)


def flops(config: LlamaConfig, prefix: int, completion: int, shared: bool) -> float:
    """Multiplications and additions of one pair, forward and backward.

    A linear layer costs 2 per weight and token, its backward pass twice that; causal attention 4 · width per visible
    (query, key) and the same again twice. TRL scores every position with the head, in two passes more than the usual
    three as its backward pass recomputes the logits; redink the completions only, with the same recomputation.
    """
    width, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    weights = 2 * width * width + 2 * width * config.num_key_value_heads * head + 3 * width * config.intermediate_size
    tokens = prefix + 2 * completion if shared else 2 * (prefix + completion)
    once = (prefix + completion) ** 2 / 2
    visible = once + prefix * completion + completion**2 / 2 if shared else 2 * once
    body = config.num_hidden_layers * (2 * weights * tokens + 4 * width * visible)
    scored = 2 * completion if shared else tokens
    return 3 * body + 4 * 2 * scored * width * config.vocab_size


def limit(work: Work, config: LlamaConfig) -> float:
    """The ratio of A1's arithmetic to B's."""
    return flops(config, work.prefix, work.completion, False) / flops(config, work.prefix, work.completion, True)


def one_step(work: Work, arm: str) -> None:
    """What the process does whose memory is measured."""
    base = base_model(work.quick, work.model)
    with tempfile.TemporaryDirectory() as folder:
        once = replace(work, rounds=1)
        made = trainer(arm, once, base, pairs(once, base.config.vocab_size), Path(folder))
        ready([made])
        step(made, next(batches(made, once)))


def report(work: Work, result: Result, peak: dict[str, float]) -> None:
    """One line per arm, then the figures."""
    speed = result.pairs_per_second
    config = SMALL if work.quick else SMOLLM2
    for arm in ARMS:
        print(f"{arm:3} {speed[arm]:8.3f} pairs/s" + (f" {peak[arm]:8.0f} MiB peak" if peak else ""))
    best = speed["B"] / max(speed["A1"], speed["A2"])
    print(f"figure cross_dpo_vs_trl_best = {best:.3f} x (goal >= {1.5 if work.quick else 1.85})")
    print(f"figure cross_dpo_vs_trl_default = {speed['B'] / speed['A0']:.3f} x (goal >= {1.5 if work.quick else 2.4})")
    print(f"figure limit = {limit(work, config):.3f} x (goal >= 1)")
    print(f"figure max_abs_loss_difference = {result.max_loss_difference:.2e} nats (goal <= 1e-4)")
    trl, ours = result.log_prob_error["A1"], result.log_prob_error["B"]
    print(f"figure cross_dpo_log_prob_error = {ours:.2e} nats (goal <= {1.5 * trl:.2e}, 1.5 x TRL's)")
    if peak:
        print(f"figure cross_dpo_peak_memory_vs_a1 = {peak['B'] / peak['A1']:.3f} x (goal <= 1)")


def grid(work: Work) -> None:
    """The ratio to A1 and its limit over prefix × completion."""
    print("prefix completion  x of A1  limit")
    for prefix, completion in GRID:
        cell = replace(work, prefix=prefix, completion=completion)
        speed = measure(cell, ("A1", "B")).pairs_per_second
        bound = limit(cell, SMALL if work.quick else SMOLLM2)
        print(f"{prefix:6} {completion:10} {speed['B'] / speed['A1']:8.3f} {bound:6.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model; within a minute")
    parser.add_argument("--grid", action="store_true", help="prefix × completion instead of one cell")
    parser.add_argument("--prefix", type=int, default=1024)
    parser.add_argument("--completion", type=int, default=256)
    parser.add_argument("--spread", type=float, default=0.0, help="lengths vary by this share of themselves")
    parser.add_argument("--batch", type=int, default=1, help="pairs per step")
    parser.add_argument("--rounds", type=int, default=None, help="steps per arm")
    parser.add_argument("--model", default=None, help="a folder with weights instead of random ones")
    parser.add_argument("--no-memory", action="store_true", help="skip the processes that measure peak memory")
    given = parser.parse_args()
    work = Work(
        given.prefix, given.completion, given.spread, given.batch,
        given.rounds or (3 if given.quick else 5), given.quick, given.model,
    )  # fmt: skip
    silence()
    if given.grid:
        grid(work)
    else:
        peak = {} if given.no_memory else peaks(partial(one_step, work), ARMS)
        report(work, measure(work), peak)


if __name__ == "__main__":
    main()
