"""Adapters (LoRA, QLoRA), and the whole model that training leaves behind."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel, Trainer

from redink.failures import Failure
from redink.models.student import Student
from redink.training.settings import LoRASettings, TrainSettings


def checkpoint_folder(out: Path) -> Path:
    """Where a stage keeps its checkpoints until it is done."""
    return out.with_name(out.name + ".checkpoints")


def lora_config(settings: LoRASettings | None) -> LoraConfig | None:
    """PEFT's configuration; None trains full weights."""
    if settings is None:
        return None
    modules = settings.target_modules
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )


def has_bitsandbytes() -> bool:
    """Whether weights can be quantised here."""
    return importlib.util.find_spec("bitsandbytes") is not None


def base_folder(out: Path) -> Path:
    """Where the weights of full precision wait while their 4-bit copy is trained."""
    return checkpoint_folder(out) / "base"


def trainable(student: Student, settings: TrainSettings, out: Path) -> PreTrainedModel:
    """The model to train: the student's own, in float32 if asked for, or for QLoRA a 4-bit copy of it.

    Raises `Failure` where 4-bit weights are not to be had.
    """
    if settings.lora is None or not settings.lora.four_bit:
        if settings.single_precision and student.model.dtype == torch.bfloat16:
            student.model.float()
        return student.model
    if not has_bitsandbytes():
        raise Failure("four_bit needs bitsandbytes, which is not installed.", "pip install bitsandbytes, or unset it.")
    student.model.save_pretrained(base_folder(out))
    return four_bit_copy(base_folder(out))


def four_bit_copy(folder: Path) -> PreTrainedModel:
    """Weights in 4-bit NormalFloat, doubly quantised, computed in bfloat16 (QLoRA, arXiv 2305.14314, section 3)."""
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=quantisation, dtype=torch.bfloat16
    )
    return model


def whole_model(trainer: Trainer, gathered: Mapping[str, Any] | None, checkpoints: Path) -> PreTrainedModel:
    """The trained model in one piece, adapters merged, weights not quantised.

    `gathered` is the full state where several processes hold it in parts.
    """
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if not isinstance(model, PeftModel):
        return model if gathered is None else _with_state(model, gathered)
    folder = checkpoints / "base"
    if gathered is None and not folder.exists():
        return model.merge_and_unload()  # type: ignore[no-any-return]
    base: Any = model.get_base_model()
    source = folder if folder.exists() else base.config._name_or_path
    adapters = get_peft_model_state_dict(model, state_dict=None if gathered is None else dict(gathered))
    fresh: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(source), model.peft_config["default"])
    set_peft_model_state_dict(fresh, {name: tensor.cpu() for name, tensor in adapters.items()})
    return fresh.merge_and_unload()  # type: ignore[no-any-return]


def _with_state(model: Any, state: Mapping[str, Any]) -> PreTrainedModel:
    """A model of the same configuration that holds this state."""
    fresh: PreTrainedModel = AutoModelForCausalLM.from_config(model.config, dtype=model.dtype)
    fresh.load_state_dict(state, strict=False)  # tied weights stand in it once
    fresh.tie_weights()
    return fresh
