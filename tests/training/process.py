"""One process of a training that several share: python process.py PROCESSES STUDENT OUT full|lora [STOP].

Writes the gradients of the first step, and at the end losses and weights; STOP is a step after which it dies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from test_training import PAIRS
from transformers import TrainerCallback

from redink.models.student import Student
from redink.training import loop
from redink.training.cross_dpo import train_cross_dpo
from redink.training.settings import CrossDPOSettings, LoRASettings


class Seen(TrainerCallback):
    """Keeps the gradients of the first step, summed over processes as the optimiser gets them."""

    def __init__(self, out: Path, stop: int) -> None:
        self.out, self.stop = out, stop

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        if state.global_step:
            return
        bare = getattr(model, "module", model)
        gradients = {name: whole(weights.grad) for name, weights in bare.named_parameters() if weights.grad is not None}
        if state.is_world_process_zero:
            torch.save(gradients, self.out / "gradients.pt")

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == self.stop:
            raise SystemExit


def whole(tensor: Any) -> torch.Tensor:
    """A copy of a gradient, gathered where it is sharded."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor.clone()


def shard_on_cpus() -> None:
    """accelerate shards (FSDP, DeepSpeed) on GPUs only; here it takes the CPUs, over gloo, for GPUs."""
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)


def main() -> None:
    processes, student, out, kind = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    if "true" in (os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("ACCELERATE_USE_DEEPSPEED")):
        shard_on_cpus()
    out.mkdir(parents=True, exist_ok=True)
    seen = Seen(out, int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    trainers: list[Any] = []
    original = loop._report

    def report(trainer: Any, too_long: int) -> Any:
        trainers.append(trainer)
        return original(trainer, too_long)

    def with_seen(trainer: Any, label: str) -> Any:
        trainer.add_callback(seen)
        return progress(trainer, label)

    progress, loop._progress, loop._report = loop._progress, with_seen, report
    settings = CrossDPOSettings(
        epochs=2, learning_rate=1e-3, batch_size=8 // processes, max_grad_norm=1e9, warmup=0.5, save_every=1,
        lora=LoRASettings(rank=2) if kind == "lora" else None,
    )  # fmt: skip
    loaded = Student.load(student)
    train_cross_dpo(loaded, [*PAIRS, *PAIRS[:2]], settings, out / "model")
    losses = [line["loss"] for line in trainers[0].state.log_history if "loss" in line]
    weights = {name: whole(tensor) for name, tensor in loaded.model.state_dict().items()}
    torch.save((losses, weights), out / f"seen-{trainers[0].args.process_index}.pt")


if __name__ == "__main__":
    main()
