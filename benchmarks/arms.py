"""What the benchmarks of training share: models and their twins, peak memory per arm, silence."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing import get_context
from typing import Any

import datasets
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from redink.training.loop import CHECKPOINTING
from redink.training.measure import peak_memory_mib

SMOLLM2 = LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    pad_token_id=2,
)  # fmt: skip
SMALL = LlamaConfig(
    vocab_size=5632, hidden_size=192, intermediate_size=512, num_hidden_layers=10, num_attention_heads=3,
    num_key_value_heads=1, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    pad_token_id=2,
)  # fmt: skip
ARGUMENTS: dict[str, Any] = {
    "learning_rate": 0.0, "weight_decay": 0.0, "use_cpu": True, "bf16": False, CHECKPOINTING: False, "report_to": [],
    "disable_tqdm": True, "logging_steps": 10**9,
}  # fmt: skip
"""What the trainers of all arms are told: with a learning rate of 0 every step of every arm sees the same weights."""


def base_model(small: bool, folder: str | None = None) -> PreTrainedModel:
    """The shape of SmolLM2-135M, or a small one of the same proportions, with random weights; or what `folder` holds.

    In single precision.
    """
    torch.manual_seed(0)
    if folder:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return AutoModelForCausalLM.from_config(SMALL if small else SMOLLM2)


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """Another model object on the same parameters."""
    return copy.deepcopy(model, {id(weights): weights for weights in model.parameters()})


def blank_tokenizer(model: PreTrainedModel) -> PreTrainedTokenizerFast:
    """TRL asks for one; no text is tokenised here."""
    inner = Tokenizer(models.WordLevel({str(token): token for token in range(model.config.vocab_size)}, unk_token="0"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="2", pad_token="2", unk_token="0")


def ready(trainers: Iterable[Any]) -> None:
    """Give the trainers, whose models are twins, one optimiser that has its state, and put them in training mode."""
    optimizer = None
    for trainer in trainers:
        optimizer = optimizer or with_state(trainer.create_optimizer())
        trainer.optimizer, trainer.current_gradient_accumulation_steps = optimizer, 1
        trainer.model.train()


def with_state(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let an optimiser make the state that it makes in its first step; with a learning rate of 0 nothing moves."""
    for group in optimizer.param_groups:
        for weights in group["params"]:
            weights.grad = torch.zeros_like(weights)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def silence() -> None:
    """No progress bars of TRL, datasets and transformers, and not what they say of each other's future."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|pyarrow|trl)\b")
    os.environ.setdefault("TQDM_DISABLE", "1")
    datasets.disable_progress_bars()
    logging.disable_progress_bar()


def peaks(work: Callable[[str], object], arms: Sequence[str]) -> dict[str, float]:
    """Peak memory in MiB of a process of its own per arm, in which `work(arm)` runs; two at a time.

    To be called before anything else has run: the processes are copies of this one.
    """
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        return dict(zip(arms, pool.map(partial(_peak, work), arms, chunksize=1), strict=True))


def _peak(work: Callable[[str], object], arm: str) -> float:
    work(arm)
    return peak_memory_mib()
