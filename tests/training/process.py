"""One process of a training that several share: python process.py PROCESSES STUDENT OUT full|lora."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from test_training import PAIRS
from transformers import TrainerCallback

from redink.models.student import Student
from redink.training import loop
from redink.training.cross_dpo import train_cross_dpo
from redink.training.settings import CrossDPOSettings, LoRASettings


class Seen(TrainerCallback):
    """Keeps the gradients of the first step, summed over processes as the optimiser gets them."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        if not self.gradients:
            bare = getattr(model, "module", model)
            self.gradients = {
                name: weights.grad.clone() for name, weights in bare.named_parameters() if weights.grad is not None
            }


def main() -> None:
    processes, student, out, kind = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    seen = Seen()
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
        epochs=2, learning_rate=1e-3, batch_size=8 // processes, max_grad_norm=1e9, scheduler="constant", warmup=0,
        lora=LoRASettings(rank=2) if kind == "lora" else None,
    )  # fmt: skip
    loaded = Student.load(student)
    train_cross_dpo(loaded, [*PAIRS, *PAIRS[:2]], settings, out / "model")
    if trainers[0].is_world_process_zero():
        losses = [line["loss"] for line in trainers[0].state.log_history if "loss" in line]
        torch.save((losses, seen.gradients, loaded.model.state_dict()), out / "seen.pt")


if __name__ == "__main__":
    main()
