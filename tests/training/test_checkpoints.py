"""Which checkpoint a training goes on from, and which it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from redink.failures import Failure
from redink.training.checkpoints import resumable

STEPS = 40


def trainer(fsdp: str = "", deepspeed: bool = False, processes: int = 1) -> Any:
    """A stand-in that is set up so."""
    plugin = SimpleNamespace(state_dict_type=f"StateDictType.{fsdp}_STATE_DICT")
    return SimpleNamespace(
        is_fsdp_enabled=bool(fsdp), is_deepspeed_enabled=deepspeed,
        accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin)),
        args=SimpleNamespace(world_size=processes),
    )  # fmt: skip


def checkpoint(folder: Path, optimiser: str, processes: int = 1) -> Path:
    """Of a training of 40 steps."""
    made = folder / "checkpoint-3"
    made.mkdir()
    (made / "trainer_state.json").write_text('{"max_steps": 40}')
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    for name in (optimiser, *states):
        (made / name).touch()
    return made


SET_UP = [
    ("optimizer.pt", trainer(), "no FSDP or DeepSpeed"),
    ("optimizer.bin", trainer("FULL"), "FSDP, FULL_STATE_DICT"),
    ("optimizer_0", trainer("SHARDED"), "FSDP, SHARDED_STATE_DICT"),
    ("latest", trainer(deepspeed=True), "DeepSpeed"),
]


@pytest.mark.parametrize(("optimiser", "_", "written"), SET_UP)
@pytest.mark.parametrize(("own", "now", "said"), SET_UP)
def test_a_training_goes_on_from_a_checkpoint_of_its_kind_only(
    tmp_path: Path, optimiser: str, _: Any, written: str, own: str, now: Any, said: str
) -> None:
    made = checkpoint(tmp_path, optimiser)
    if own == optimiser:
        assert resumable(now, tmp_path, STEPS) == str(made)
        return
    with pytest.raises(Failure, match=re.escape(f"written by a training with {written}; this one has {said}.")):
        resumable(now, tmp_path, STEPS)


def test_without_a_checkpoint_it_begins(tmp_path: Path) -> None:
    assert resumable(trainer("FULL"), tmp_path, STEPS) is None


@pytest.mark.parametrize(
    ("wrote", "processes", "steps", "refused"),
    [(2, 1, 40, False), (1, 2, 41, False), (2, 1, 80, True), (1, 4, 10, True), (2, 2, 80, False)],
)
def test_another_number_of_processes_keeps_the_batch(
    tmp_path: Path, wrote: int, processes: int, steps: int, refused: bool
) -> None:
    """Where the number stays, what else has changed is left to the one who changed it, as before."""
    made = checkpoint(tmp_path, "optimizer.bin", wrote)
    now = trainer("FULL", processes=processes)
    if not refused:
        assert resumable(now, tmp_path, steps) == str(made)
        return
    said = f"is of a training in 40 steps by {wrote} processes; now they are {steps}. Change batch_size"
    with pytest.raises(Failure, match=re.escape(said)):
        resumable(now, tmp_path, steps)
