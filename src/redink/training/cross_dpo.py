"""Cross-DPO: prefer the teacher's correction over the student's own (SuperCorrect section 3.2, eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from redink.models.student import Student
from redink.training.encoding import encode_pairs
from redink.training.loop import ByLength, TrainReport, lora_config, optimiser_steps, run, shared_arguments
from redink.training.settings import CrossDPOSettings
from redink.types import PreferencePair


class PairTrainer(ByLength, DPOTrainer):
    """TRL's DPOTrainer on token ids that are ready: no end-of-sequence is added, no boundary is merged."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def train_cross_dpo(
    student: Student, pairs: Sequence[PreferencePair], settings: CrossDPOSettings, out: Path, seed: int = 0
) -> TrainReport:
    """Train `student` (the HSFT model, which is also the frozen reference) in place; saves to `out`, resumes.

    Minimises −log σ(β [log π(y⁺|x,s<k) − log π_ref(y⁺|x,s<k)] − β [log π(y⁻|x,s<k) − log π_ref(y⁻|x,s<k)])
    over D_corr (eq. 8), with y⁺ = (a⁺, c⁺) and y⁻ = (a⁻, c⁻).
    """
    data = encode_pairs(student, pairs, settings.max_length)
    steps = optimiser_steps(len(data.dataset), settings)
    arguments = DPOConfig(
        **shared_arguments(settings, out, seed, steps),
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if settings.nll else ["sigmoid"],
        loss_weights=[1.0, settings.nll] if settings.nll else None,
        precompute_ref_log_probs=True,
    )
    trainer = PairTrainer(
        model=student.model.train(),
        args=arguments,
        train_dataset=data.dataset,
        processing_class=student.tokenizer,
        peft_config=lora_config(settings.lora),
    )
    return run(trainer, student, out, "Cross-DPO", data.too_long)
