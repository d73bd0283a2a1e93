"""What a training stage can be told; the same words for HSFT and Cross-DPO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redink.types import Row


class LoRASettings(Row):
    """Low-rank adapters instead of full weights; merged into the weights at the end of the stage."""

    rank: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: int = Field(32, ge=1, description="Scale is alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapters' input.")
    target_modules: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="Which modules are adapted."
    )
    four_bit: bool = Field(False, description="QLoRA: frozen weights in 4 bits; needs bitsandbytes.")


class TrainSettings(Row):
    """Optimiser, schedule and batch of one training stage (AdamW, cosine by default, as in the paper)."""

    epochs: float = Field(1.0, gt=0, description="Passes over the rows.")
    learning_rate: float = Field(gt=0, description="Peak learning rate.")
    batch_size: int = Field(8, ge=1, description="Rows per forward pass.")
    accumulation: int = Field(1, ge=1, description="Forward passes per optimiser step.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Share of the steps that warm up.")
    scheduler: str = Field("cosine", description="A scheduler name of transformers.")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int = Field(2048, ge=8, description="Longest row in tokens; longer rows are left out, counted.")
    save_every: int = Field(100, ge=1, description="Optimiser steps between checkpoints.")
    gradient_checkpointing: bool = Field(False, description="Trade compute for memory.")
    lora: LoRASettings | None = Field(None, description="Adapters instead of full weights.")
    single_precision: bool = Field(
        False,
        description="On one GPU, or with DDP: train bfloat16 weights in float32, computing in bfloat16. At rates such "
        "as 1e-6 a step of AdamW is less than bfloat16 can add to a weight. FSDP2 and ZeRO do so anyway.",
    )
    report_to: tuple[str, ...] = Field((), description="Where to log besides the run: tensorboard, wandb, …")


class HSFTSettings(TrainSettings):
    """Hierarchical-thought SFT (SuperCorrect section 3.1, appendix: 4 epochs, lr 2e-5, batch 8 × 16, warm-up 0.02)."""

    epochs: float = Field(4.0, gt=0)
    learning_rate: float = Field(2e-5, gt=0)
    replay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Not in the paper. Rows of the base student's own reviews, as a share of the thoughts, kept in "
        "so that a small student does not forget how to review.",
    )
    replay_gold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Not in the paper. Share of the replayed reviews that are of gold solutions; the student's own may "
        "all be short.",
    )
    replay_missteps: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Not in the paper. Share of these gold solutions in which one step is made wrong, so that length "
        "does not come to mean right.",
    )
    replay_temperature: float = Field(
        0.0,
        ge=0,
        description="Not in the paper. At which the replayed reviews are drawn; greedy ones hold no mark where the "
        "student marks fewer than half of what it sees.",
    )


class CrossDPOSettings(TrainSettings):
    """Cross-model DPO (SuperCorrect section 3.2, eq. 8; appendix: 8 epochs, batch 128, lr 1e-6, warm-up 0.05)."""

    epochs: float = Field(8.0, gt=0)
    learning_rate: float = Field(1e-6, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    beta: float = Field(0.5, gt=0, description="Not stated in the paper; Step-DPO's 7B recipe uses 0.5.")
    nll: float = Field(
        0.0, ge=0, description="Not in the paper. Weight of a negative log-likelihood term on the chosen side."
    )
    replay: float = Field(
        0.0,
        ge=0,
        description="Not in the paper. HSFT lessons read beside each pair, their mean negative log-likelihood added to "
        "the loss, so that a small student keeps what HSFT taught it.",
    )
    replay_weight: float = Field(1.0, gt=0, description="Not in the paper. Weight of the lessons' loss.")
