"""HSFT: supervised fine-tuning on hierarchical thoughts (SuperCorrect section 3.1), through TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trl import SFTConfig, SFTTrainer

from redink.models.student import Student
from redink.training.encoding import Lesson, encode_lessons
from redink.training.loop import ByLength, TrainReport, lora_config, optimiser_steps, run, shared_arguments
from redink.training.settings import HSFTSettings


class LessonTrainer(ByLength, SFTTrainer):
    """TRL's SFTTrainer on token ids and labels that are ready."""


def train_hsft(
    student: Student, lessons: Sequence[Lesson], settings: HSFTSettings, out: Path, seed: int = 0
) -> TrainReport:
    """Fine-tune `student` in place on the lessons' replies and save it to `out`; resumes if it was cut off.

    Minimises −Σ log p(reply | prompt) over D_sft (SuperCorrect eq. 4): prompts carry no loss.
    """
    data = encode_lessons(student, lessons, settings.max_length)
    steps = optimiser_steps(len(data.dataset), settings)
    trainer = LessonTrainer(
        model=student.model.train(),
        args=SFTConfig(**shared_arguments(settings, out, seed, steps), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=data.dataset,
        processing_class=student.tokenizer,
        peft_config=lora_config(settings.lora),
    )
    return run(trainer, student, out, "HSFT", data.too_long)
