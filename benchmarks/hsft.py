"""HSFT on packed lessons, against TRL's own SFT trainer: tokens a second, memory, and the same loss.

    python -m benchmarks.hsft [--quick] [--prompt 128] [--reply 256] [--batch 4] [--steps 2] [--rounds 3] [--model DIR]

Arms, in one process and taking turns, each whole optimiser steps (AdamW) over the same lessons, gradient checkpointing
off and loss on the reply only in all of them:

    S0  TRL as it comes: padded
    S1  S0 with lessons of like length together
    S2  TRL's padding_free: the lessons of a batch in one row
    S3  TRL's packing ("bfd"): rows of max_length, one per forward pass, as many per optimiser step as hold a batch
    S4  TRL's packing "wrapped": lessons cut where a row is full and read across their borders, which is another loss
    B   redink
    B*  redink with four times as many lessons in a row: what packing costs as rows grow

Not among them: "bfd_split", which is "bfd" while no lesson is longer than max_length; the variable-length kernels that
TRL advises for S2 and S3, which need CUDA: on a CPU transformers gives them a dense mask.

Lengths of prompts and replies are log-normal around their medians. The learning rate is 0, so every step of every arm
sees the same weights and the losses can be compared. The full benchmark has the shape of SmolLM2-135M, the quick one a
model of the same proportions, with random weights unless `--model` names a folder: they cost the same. Tokens are
those of the lessons, without padding, each counted once. Peak memory is that of a process of its own per arm, which
passes over the lessons once with the optimiser's state made; two such processes run side by side.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel
from trl import SFTConfig, SFTTrainer

from benchmarks.arms import ARGUMENTS, base_model, blank_tokenizer, peaks, ready, silence, twin
from redink.training.encoding import IGNORED
from redink.training.hsft import LessonTrainer

OPTIONS: dict[str, dict[str, Any]] = {
    "S0": {},
    "S1": {},
    "S2": {"padding_free": True},
    "S3": {"packing": True, "packing_strategy": "bfd"},
    "S4": {"packing": True, "packing_strategy": "wrapped"},
    "B": {},
    "B*": {},
}
ARMS = tuple(OPTIONS)
TRL = tuple(arm for arm in ARMS if arm.startswith("S"))
SAME_BATCHES = ("S0", "S2")
LONG = 4
"""How many batches stand in one row of B*."""

SPREAD_PROMPT, SPREAD_REPLY = 0.4, 0.5
"""Standard deviations of the logarithms of lengths."""


@dataclass(frozen=True)
class Work:
    """What is measured: median lengths in tokens, lessons per optimiser step, steps per pass, passes per arm."""

    prompt: int
    reply: int
    max_length: int
    batch: int
    steps: int
    rounds: int
    quick: bool
    model: str | None


Step = list[dict[str, Any]]
"""The batches whose gradients one optimiser step adds up."""


def lessons(work: Work, vocabulary: int) -> Dataset:
    """Random token ids: `input_ids`, `labels` (−100 on the prompt) and `length`, none longer than max_length."""
    draw = random.Random(0)

    def ids(median: int, spread: float, most: int) -> list[int]:
        length = round(median * draw.lognormvariate(0, spread))
        return [draw.randrange(3, vocabulary) for _ in range(min(max(1, length), most))]

    def row() -> dict[str, Any]:
        prompt = ids(work.prompt, SPREAD_PROMPT, work.max_length // 2)
        reply = ids(work.reply, SPREAD_REPLY, work.max_length - len(prompt))
        return {
            "input_ids": prompt + reply,
            "labels": [IGNORED] * len(prompt) + reply,
            "length": len(prompt) + len(reply),
        }

    return Dataset.from_list([row() for _ in range(work.batch * work.steps)])


def trainer(arm: str, work: Work, base: PreTrainedModel, data: Dataset, folder: Path) -> SFTTrainer:
    """The trainer of an arm; all share the memory of their weights, gradients and optimiser."""
    packing = OPTIONS[arm].get("packing", False)
    arguments = SFTConfig(
        **ARGUMENTS, **OPTIONS[arm], output_dir=str(folder / arm.replace("*", "-all")),
        max_length=work.max_length if packing else None,
        dataset_kwargs=None if packing else {"skip_prepare_dataset": True},
    )  # fmt: skip
    kind: Any = SFTTrainer if arm in TRL else LessonTrainer
    made: SFTTrainer = kind(
        model=twin(base), args=arguments, train_dataset=data.sort("length") if arm == "S1" else data,
        processing_class=blank_tokenizer(base),
    )  # fmt: skip
    return made


def steps(arm: str, made: SFTTrainer, work: Work) -> list[Step]:
    """What an arm does in one pass over the lessons."""
    rows = list(made.train_dataset)
    if OPTIONS[arm].get("packing"):
        each = [made.data_collator([row]) for row in rows]
        return [each[first :: work.steps] for first in range(min(work.steps, len(each)))]
    if arm == "B*":
        return [[made.data_collator(long_row(rows, work))]]
    return [[made.data_collator(rows[first : first + work.batch])] for first in range(0, len(rows), work.batch)]


def long_row(rows: Sequence[Any], work: Work) -> list[Any]:
    """The lessons that B* reads at once: as many as `LONG` batches hold, over and over the same."""
    return [rows[place % len(rows)] for place in range(LONG * work.batch)]


def take(made: SFTTrainer, step: Step) -> tuple[float, float]:
    """One optimiser step: (seconds, mean loss per reply token)."""
    learnt = sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in step)
    started = time.perf_counter()
    loss = sum(float(made.training_step(made.model, dict(batch), learnt)) for batch in step)
    made.optimizer.step()
    made.optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started, loss


@dataclass(frozen=True)
class Result:
    """Median tokens a second per arm, and the largest difference of a step's loss between redink and TRL."""

    tokens_per_second: dict[str, float]
    max_loss_difference: float


def measure(work: Work, arms: Sequence[str] = ARMS) -> Result:
    """Let the arms take turns, step by step."""
    base = base_model(work.quick, work.model)
    data = lessons(work, base.config.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {arm: trainer(arm, work, base, data, Path(folder)) for arm in arms}
        ready(trainers.values())
        queues = {arm: steps(arm, made, work) for arm, made in trainers.items()}
        passes = [one_pass(trainers, queues) for _ in range(work.rounds)]
    lengths = list(data["length"])
    tokens = dict.fromkeys(arms, sum(lengths)) | {"B*": sum(long_row(lengths, work))}
    speed = {arm: tokens[arm] / statistics.median(sum(seconds(taken[arm])) for taken in passes) for arm in arms}
    return Result(speed, max(difference(taken) for taken in passes))


Taken = dict[str, list[tuple[float, float]]]
"""Seconds and loss of each step of a pass, per arm."""


def one_pass(trainers: dict[str, SFTTrainer], queues: dict[str, list[Step]]) -> Taken:
    """Every arm goes over all lessons once."""
    taken: Taken = {arm: [] for arm in trainers}
    for number in range(max(map(len, queues.values()))):
        for arm, made in trainers.items():
            if number < len(queues[arm]):
                taken[arm].append(take(made, queues[arm][number]))
    return taken


def seconds(taken: list[tuple[float, float]]) -> list[float]:
    """How long each step took."""
    return [took for took, _ in taken]


def difference(taken: Taken) -> float:
    """Between redink's steps and those of the TRL arms that read the same batches."""
    return max(
        (abs(ours[1] - theirs[1])
         for arm in SAME_BATCHES
         for ours, theirs in zip(taken.get("B", []), taken.get(arm, []), strict=False)),
        default=0.0,
    )  # fmt: skip


def one_pass_of(work: Work, arm: str) -> None:
    """What the process does whose memory is measured."""
    base = base_model(work.quick, work.model)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(arm, work, base, lessons(work, base.config.vocab_size), Path(folder))
        ready([made])
        one_pass({arm: made}, {arm: steps(arm, made, work)})


def report(result: Result, peak: dict[str, float]) -> None:
    """One line per arm, then the figures."""
    speed = result.tokens_per_second
    for arm in ARMS:
        print(f"{arm:3} {speed[arm]:9.1f} tokens/s" + (f" {peak[arm]:8.0f} MiB peak" if arm in peak else ""))
    best = max(speed[arm] for arm in TRL)
    print(f"figure hsft_vs_trl_best = {speed['B'] / best:.3f} x (goal >= 1)")
    print(f"figure hsft_vs_trl_default = {speed['B'] / speed['S0']:.3f} x (goal >= 1)")
    print(f"figure hsft_cost_of_a_long_row = {speed['B'] / speed['B*']:.3f} x per token (goal <= 1.2)")
    print(f"figure max_abs_loss_difference = {result.max_loss_difference:.2e} nats (goal <= 1e-5)")
    if peak:
        print(f"figure hsft_peak_memory_vs_trl_default = {peak['B'] / peak['S0']:.3f} x (goal <= 1)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model; within a minute")
    parser.add_argument("--prompt", type=int, default=None, help="median length of a prompt in tokens (128, quick 64)")
    parser.add_argument("--reply", type=int, default=None, help="median length of a reply in tokens (256, quick 128)")
    parser.add_argument("--max-length", type=int, default=None, help="of a lesson and a packed row (1024, quick 512)")
    parser.add_argument("--batch", type=int, default=None, help="lessons per optimiser step (4, quick 6)")
    parser.add_argument("--steps", type=int, default=None, help="optimiser steps per pass (2, quick 1)")
    parser.add_argument("--rounds", type=int, default=3, help="passes per arm")
    parser.add_argument("--model", default=None, help="a folder with weights instead of random ones")
    parser.add_argument("--no-memory", action="store_true", help="skip the processes that measure peak memory")
    given = parser.parse_args()
    prompt, reply, longest, batch, steps_of_pass = (64, 128, 512, 6, 1) if given.quick else (128, 256, 1024, 4, 2)
    work = Work(
        given.prompt or prompt, given.reply or reply, given.max_length or longest, given.batch or batch,
        given.steps or steps_of_pass, given.rounds, given.quick, given.model,
    )  # fmt: skip
    silence()
    peak = {} if given.no_memory else peaks(partial(one_pass_of, work), (*TRL, "B"))
    report(measure(work), peak)


if __name__ == "__main__":
    main()
