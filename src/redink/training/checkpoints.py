"""The checkpoints of a training under way: which is the last whole one, and whether this training can go on from it."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import Trainer

from redink.failures import Failure

OPTIMISERS = ("optimizer.pt", "optimizer.bin", "optimizer_0", "latest")
"""What a checkpoint keeps of the optimiser: transformers' own, FSDP's whole or in parts, DeepSpeed's."""
KINDS = dict(zip(
    OPTIMISERS, ("no FSDP or DeepSpeed", "FSDP, FULL_STATE_DICT", "FSDP, SHARDED_STATE_DICT", "DeepSpeed"), strict=True
))  # fmt: skip
"""How a training that writes these is set up."""


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end (its state file is written last)."""
    whole = [path for path in folder.glob("checkpoint-*") if _whole(path)]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def resumable(trainer: Trainer, folder: Path, steps: int) -> str | None:
    """`last_checkpoint`; raises `Failure` if a training that is set up otherwise wrote it.

    The number of processes may be another one: FSDP's states are whole, or parted anew as they are read
    (torch.distributed.checkpoint). The batch of an optimiser step must then be the same, so that there are as many
    `steps` in all as before, but for how a part of an epoch is rounded. DeepSpeed's checkpoints belong to their number.
    """
    found = last_checkpoint(folder)
    if found is None:
        return None
    before, now = _kind(Path(found)), _kind_of(trainer)
    if before != now:
        raise Failure(
            f"{found} was written by a training with {before}; this one has {now}.",
            f"Go on with the --accelerate configuration that began it, or remove {folder} to begin anew.",
        )
    _refuse_another_batch(Path(found), int(trainer.args.world_size), steps)
    return found


def _refuse_another_batch(checkpoint: Path, processes: int, steps: int) -> None:
    wrote = len(list(checkpoint.glob("rng_state_*.pth"))) or 1
    planned = json.loads((checkpoint / "trainer_state.json").read_text()).get("max_steps", steps)
    if wrote != processes and abs(planned - steps) > 1:
        raise Failure(
            f"{checkpoint} is of a training in {planned} steps by {wrote} processes; now they are {steps}.",
            "Change batch_size or accumulation: batch_size × accumulation × processes must stay.",
        )


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return any((checkpoint / name).exists() for name in OPTIMISERS)


def _kind(checkpoint: Path) -> str:
    return next(kind for name, kind in KINDS.items() if (checkpoint / name).exists())


def _kind_of(trainer: Trainer) -> str:
    if trainer.is_deepspeed_enabled:
        return KINDS["latest"]
    if not trainer.is_fsdp_enabled:
        return KINDS["optimizer.pt"]
    plugin = trainer.accelerator.state.fsdp_plugin
    in_parts = "SHARDED" in str(plugin.state_dict_type)
    return KINDS["optimizer_0" if in_parts else "optimizer.bin"]
