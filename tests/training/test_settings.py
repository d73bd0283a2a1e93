"""What a training stage can be told: the paper's values by default, nonsense refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tiny import tiny_student

from redink.models.student import Student
from redink.training.adapters import trainable
from redink.training.settings import CrossDPOSettings, HSFTSettings, LoRASettings


def test_the_defaults_are_the_papers() -> None:
    hsft, dpo = HSFTSettings(), CrossDPOSettings()
    assert (hsft.epochs, hsft.learning_rate, hsft.warmup, hsft.scheduler) == (4, 2e-5, 0.02, "cosine")
    assert (dpo.epochs, dpo.learning_rate, dpo.warmup, dpo.scheduler) == (8, 1e-6, 0.05, "cosine")
    assert dpo.beta == 0.5  # Step-DPO's 7B recipe
    assert (hsft.lora, dpo.lora) == (None, None)


def test_departures_from_the_paper_are_off() -> None:
    assert HSFTSettings().replay == 0
    assert CrossDPOSettings().nll == 0


@pytest.mark.parametrize(
    "bad",
    [{"epochs": 0}, {"learning_rate": 0}, {"batch_size": 0}, {"accumulation": 0}, {"warmup": 1}, {"max_length": 7},
     {"save_every": 0}, {"beta": 0}, {"nll": -1}, {"weight_decay": -0.1}, {"max_grad_norm": 0}, {"momentum": 0.9}],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CrossDPOSettings(**bad)


def bfloat16_student(folder: Path) -> Student:
    student = tiny_student(folder)
    student.model.to(torch.bfloat16)
    return student


@pytest.mark.parametrize(("single", "moves"), [(True, True), (False, False)])
def test_a_small_step_is_lost_in_bfloat16_weights_and_not_in_single_precision(
    tmp_path: Path, single: bool, moves: bool
) -> None:
    """A unit of bfloat16 at 1 is 2⁻⁸ = 0.0039; a step of AdamW at 1e-6 is 1e-6, whatever the gradient's size."""
    model = trainable(bfloat16_student(tmp_path), HSFTSettings(single_precision=single), tmp_path / "out")
    weights = model.get_input_embeddings().weight
    with torch.no_grad():
        weights.fill_(1.0)
    weights.grad = torch.ones_like(weights)
    torch.optim.AdamW([weights], lr=1e-6, weight_decay=0.0).step()
    assert bool((weights != 1.0).all()) is moves
    assert bool((weights != 1.0).any()) is moves


@pytest.mark.parametrize("bad", [{"rank": 0}, {"dropout": 1.0}, {"target_modules": 3}])
def test_adapters_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LoRASettings(**bad)


def test_the_modules_of_adapters_are_all_linear_ones_or_named() -> None:
    assert LoRASettings().target_modules == "all-linear"
    assert LoRASettings(target_modules=("q_proj", "v_proj")).target_modules == ("q_proj", "v_proj")
