"""The shared prefix changes nothing: losses, log-probabilities, gradients and steps of the real TRL trainer."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import eager
import pytest
import torch
from datasets import Dataset
from families import FAMILIES, RAGGED, random_model, random_pairs
from peft import LoraConfig
from tiny import tokenizer
from transformers import PreTrainedModel
from trl import DPOConfig, DPOTrainer

from redink.training.cross_dpo import CrossDPOTrainer
from redink.training.loop import CHECKPOINTING, ByLength
from redink.training.prefix import PairCollator


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


class TRL(DPOTrainer):
    """TRL's own trainer on ready token ids; nothing else is changed."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **more: Any) -> Dataset:
        return dataset


def arguments(folder: Path, **changes: Any) -> DPOConfig:
    values = {
        "output_dir": str(folder), "per_device_train_batch_size": 8, "report_to": [], "use_cpu": True, "bf16": False,
        CHECKPOINTING: False, "beta": 0.1, "precompute_ref_log_probs": True, "max_length": None,
        "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1, "learning_rate": 1e-3, "seed": 3,
    }  # fmt: skip
    return DPOConfig(**values | changes)


def trainer_of(
    kind: type[DPOTrainer], folder: Path, model: PreTrainedModel, data: Dataset, more: Any = None, **changes: Any
) -> DPOTrainer:
    return kind(
        model=copy.deepcopy(model),
        args=arguments(folder / kind.__name__, **changes),
        train_dataset=data,
        processing_class=tokenizer(),
        **more or {},
    )


def moved(trainer: DPOTrainer, size: float = 0.01) -> DPOTrainer:
    """Move the policy away from its reference, the same way for every trainer."""
    torch.manual_seed(11)
    with torch.no_grad():
        for _, weights in sorted(trainer.model.named_parameters()):
            if weights.requires_grad:
                weights.add_(size * torch.randn(weights.shape, dtype=weights.dtype))
    return trainer


def batch_of(trainer: DPOTrainer) -> dict[str, Any]:
    return trainer._prepare_inputs(trainer.data_collator(list(trainer.train_dataset)))


def loss_and_gradients(trainer: DPOTrainer) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch_of(trainer))
    loss.backward()
    return loss.detach(), {
        name: weights.grad for name, weights in trainer.model.named_parameters() if weights.requires_grad
    }


def side_sums(trainer: DPOTrainer) -> torch.Tensor:
    """log π of each whole side (2, pairs)."""
    return torch.stack(list(trainer.compute_ref_log_probs(trainer.model, batch_of(trainer))))


def assert_same(ours: DPOTrainer, theirs: DPOTrainer) -> None:
    assert isinstance(ours.data_collator, PairCollator)
    (loss, gradients), (expected, expected_gradients) = loss_and_gradients(ours), loss_and_gradients(theirs)
    assert abs(loss - expected) <= 1e-6 * max(1.0, float(expected))  # an IPO loss is about 25
    assert gradients.keys() == expected_gradients.keys()
    largest = max(float(gradient.norm()) for gradient in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        assert float((gradients[name] - gradient).norm()) <= 1e-5 * max(float(gradient.norm()), 1e-3 * largest), name


# Some option of TRL's, and what else the trainer is built with.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "sft too": ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, {}),
    "ipo": ({"loss_type": ["ipo"]}, {}),
    "length-desensitised": ({"ld_alpha": 0.4}, {}),
    "reference in memory": ({"precompute_ref_log_probs": False}, {"ref_model": None}),
    "checkpointing": ({CHECKPOINTING: True}, {}),
    "reentrant checkpointing": (
        {CHECKPOINTING: True, f"{CHECKPOINTING}_kwargs": {"use_reentrant": True}}, {},
    ),
    "lora": ({}, {"peft_config": LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")}),
    "lora, checkpointing, reference by adapter": (
        {CHECKPOINTING: True, "precompute_ref_log_probs": False},
        {"peft_config": LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("share", [True, False], ids=["shared", "apart"])
@pytest.mark.parametrize("option", OPTIONS)
def test_loss_and_gradients_are_trls(tmp_path: Path, option: str, share: bool) -> None:
    changes, more = OPTIONS[option]
    model, data = random_model(FAMILIES["llama"]), random_pairs(RAGGED)
    if "ref_model" in more:
        more = {"ref_model": copy.deepcopy(model)}
    theirs = moved(trainer_of(TRL, tmp_path, model, data, copy.deepcopy(more), **changes))
    ours = moved(trainer_of(CrossDPOTrainer, tmp_path, model, data, {**copy.deepcopy(more), "share": share}, **changes))
    assert_same(ours, theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_trls_loss_log_probs_and_gradients(tmp_path: Path, family: str) -> None:
    model, data = random_model(FAMILIES[family]), random_pairs(RAGGED)
    theirs, ours = (moved(trainer_of(kind, tmp_path, model, data)) for kind in (TRL, CrossDPOTrainer))
    assert ours.obstacle is None
    torch.testing.assert_close(side_sums(ours), side_sums(theirs), rtol=1e-5, atol=1e-5)
    assert_same(ours, theirs)


@pytest.mark.parametrize("share", [True, False], ids=["shared", "apart"])
def test_double_precision_meets_an_independent_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: bool
) -> None:
    config, data = FAMILIES["llama"], random_pairs(RAGGED)
    model = eager.in_double(random_model(config), monkeypatch)
    reference = {name: weights.clone() for name, weights in model.state_dict().items()}
    ours = moved(trainer_of(CrossDPOTrainer, tmp_path, model, data, {"share": share}))
    policy = dict(ours.model.named_parameters())
    loss, gradients = loss_and_gradients(ours)
    mine = {name: weights.detach().clone().requires_grad_() for name, weights in policy.items()}
    expected = eager.dpo_loss(config, mine, reference, list(data), beta=0.1)
    expected.backward()
    assert abs(float(loss) - float(expected)) <= 1e-9
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, mine[name].grad, rtol=1e-9, atol=1e-9)


def test_the_loss_by_hand(tmp_path: Path) -> None:
    """−log σ(β Δ) for three pairs whose Δ is set through the reference's log-probabilities.

    The policy is at its reference, so log π − log π_ref is what is taken from log π_ref: with β = 0.1 and a
    reference lowered by 10 on the chosen side, Δ = 10: −log σ(1) = log(1 + e⁻¹) = 0.3132617; raised by 20,
    −log σ(−2) = log(1 + e²) = 2.1269280; both lowered by 7, Δ = 0: log 2 = 0.6931472. Mean: 1.0444456.
    """
    ours = trainer_of(CrossDPOTrainer, tmp_path, random_model(FAMILIES["llama"]), random_pairs(RAGGED[:3]))
    batch = batch_of(ours)
    batch["ref_chosen_logps"] += torch.tensor([-10.0, 20.0, -7.0])
    batch["ref_rejected_logps"] += torch.tensor([0.0, 0.0, -7.0])
    assert float(ours.compute_loss(ours.model, batch)) == pytest.approx(1.0444456, abs=1e-6)
    kl = ours._metrics["train"]["kl"]
    assert kl == [pytest.approx(-7 / 3, abs=1e-5)]  # mean of log π_ref − log π on the rejected sides


def test_editing_one_branch_leaves_the_other_untouched(tmp_path: Path) -> None:
    rows = list(random_pairs(((12, 6, 7, 0), (8, 5, 5, 0))))
    edited = copy.deepcopy(rows)
    edited[0]["rejected_ids"] = [(token + 1) % 90 for token in edited[0]["rejected_ids"]]
    edited[0]["rejected_ids"][0] = rows[0]["rejected_ids"][0]  # still no common start
    ours = trainer_of(CrossDPOTrainer, tmp_path, random_model(FAMILIES["gemma3"]), Dataset.from_list(rows))
    with torch.no_grad():
        before, after = (
            torch.stack(ours.compute_ref_log_probs(ours.model, ours.data_collator(some))) for some in (rows, edited)
        )
    changed = (before - after).abs() > 1e-5
    assert changed.tolist() == [[False, False], [True, False]]
    assert torch.equal(before[0], after[0])


EDGES = {
    "prefix of one token": (1, 4, 5, 0),
    "completion of one token": (6, 1, 1, 0),
    "chosen starts rejected": (6, 3, 5, 3),
    "rejected starts chosen": (6, 5, 3, 3),
    "an empty side": (6, 0, 4, 0),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges(tmp_path: Path, edge: str) -> None:
    model, data = random_model(FAMILIES["llama"]), random_pairs([EDGES[edge]])
    assert_same(*(moved(trainer_of(kind, tmp_path, model, data)) for kind in (CrossDPOTrainer, TRL)))


def test_equal_sides_cost_ln_2_and_teach_nothing(tmp_path: Path) -> None:
    data = random_pairs([(6, 5, 5, 5), (9, 2, 2, 2)])
    assert data[0]["chosen_ids"] == data[0]["rejected_ids"]
    ours = moved(trainer_of(CrossDPOTrainer, tmp_path, random_model(FAMILIES["llama"]), data))
    loss, gradients = loss_and_gradients(ours)
    assert float(loss) == pytest.approx(math.log(2), abs=1e-7)
    assert not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_twenty_steps_are_trls_steps(tmp_path: Path, accumulation: int) -> None:
    """Same order of rows in both: losses of every log line, and the weights in the end."""
    model, data = random_model(FAMILIES["llama"]), random_pairs(RAGGED * 8)

    class InOurOrder(ByLength, TRL):
        pass

    ends = []
    for kind in (CrossDPOTrainer, InOurOrder):
        trainer = trainer_of(
            kind, tmp_path, model, data, max_steps=20, per_device_train_batch_size=4 // accumulation,
            gradient_accumulation_steps=accumulation, learning_rate=3e-4, lr_scheduler_type="constant",
        )  # fmt: skip
        trainer.train()
        ends.append(
            ([line["loss"] for line in trainer.state.log_history if "loss" in line], trainer.model.state_dict())
        )
    (losses, weights), (expected, expected_weights) = ends
    assert len(losses) == 20
    assert losses == pytest.approx(expected, abs=1e-3)
    assert losses[-1] < losses[0] - 0.01
    for name, tensor in expected_weights.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=2e-4)


def test_an_ordinary_preference_dataset_goes_through_trls_own_preparation(tmp_path: Path) -> None:
    data = Dataset.from_list(
        [{"prompt": "Question 1", "chosen": "<Answer>7</Answer>", "rejected": "<Answer>8 + 9</Answer>"}] * 3
    )
    model = random_model(FAMILIES["llama"])
    theirs, ours = (moved(trainer_of(kind, tmp_path, model, data)) for kind in (DPOTrainer, CrossDPOTrainer))
    assert ours.train_dataset[0]["chosen_ids"] == theirs.train_dataset[0]["chosen_ids"]
    assert ours.train_dataset[0]["chosen_ids"][-1] == 1  # TRL appends the end of sequence
    assert_same(ours, theirs)
