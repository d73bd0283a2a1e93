"""HSFT: supervised fine-tuning on hierarchical thoughts (SuperCorrect section 3.1), through TRL's SFTTrainer.

Lessons of a batch stand in one row without padding, each seeing itself only, and the head scores replies only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput

from redink.failures import Failure
from redink.models.student import Student
from redink.training.adapters import lora_config, trainable
from redink.training.encoding import Lesson, encode_lessons
from redink.training.loop import ByLength, TrainReport, optimiser_steps, processes, run, shared_arguments
from redink.training.packed import Packed, score
from redink.training.prefix import LessonCollator
from redink.training.settings import HSFTSettings


class ScoredReplies:
    """A model that TRL may call on packed lessons: the scores of their reply tokens, one after another."""

    def __init__(self, model: Any, batch: Mapping[str, Any]) -> None:
        self.model, self.batch = model, batch

    def __call__(self, **_: Any) -> FusedCausalLMOutput:
        """Scores (N,) and a mask that says that all of them count."""
        scores = score(self.model, self.batch)
        return FusedCausalLMOutput(**scores, label_mask=torch.ones_like(scores.is_top1))


class LessonTrainer(Packed, ByLength, SFTTrainer):
    """TRL's SFTTrainer on token ids and labels that are ready, packed batch by batch."""

    def __init__(self, *args: Any, packed: bool = True, **kwargs: Any) -> None:
        self.packed = packed
        super().__init__(*args, **kwargs)
        self.pack()

    def _collator(self) -> LessonCollator:
        return LessonCollator()

    def _option_obstacle(self) -> str | None:
        if self.aux_loss_enabled:
            return "the load-balancing loss of its experts counts the tokens of a row"
        smoothed = self.label_smoother is not None or self.compute_loss_func is not None
        return "this loss needs the logits of a padded batch" if smoothed else None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss, on packed lessons."""
        inherited: Any = super()
        if "layout" not in inputs:
            return inherited.compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if return_outputs:
            raise Failure("compute_metrics needs the logits of whole sequences.", "Train with packed=False for that.")
        scored: Any = ScoredReplies(model, inputs)
        loss = inherited.compute_loss(scored, dict(inputs), False, num_items_in_batch)
        self.count_tokens(inputs["layout"].tokens, inputs["layout"].tokens)
        return loss


def train_hsft(
    student: Student,
    lessons: Sequence[Lesson],
    settings: HSFTSettings,
    out: Path,
    seed: int = 0,
    *,
    packed: bool = True,
) -> TrainReport:
    """Fine-tune `student` in place on the lessons' replies and save it to `out`; resumes if it was cut off.

    Minimises −Σ log p(reply | prompt) over D_sft (SuperCorrect eq. 4): prompts carry no loss. `packed=False` pads.
    """
    data = encode_lessons(student, lessons, settings.max_length)
    steps = optimiser_steps(len(data.dataset), settings, processes())
    trainer = LessonTrainer(
        model=trainable(student, settings, out).train(),
        args=SFTConfig(**shared_arguments(settings, out, seed, steps), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=data.dataset,
        processing_class=student.tokenizer,
        peft_config=lora_config(settings.lora),
        packed=packed,
    )
    return run(trainer, student, out, "HSFT", data.left_out)
