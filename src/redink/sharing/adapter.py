"""LoRA adapters out of merged weights: training merges its adapters, and their sum is the difference to the base.

The difference of two merged models is a product B·A of low rank, that of all stages together; a singular value
decomposition gives it back (Eckart–Young: of a given rank, nothing is nearer). What was trained in full has no such
difference; of it an adapter is an approximation, and says how good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from pydantic import Field

from redink.failures import Failure
from redink.models.student import Student
from redink.training.settings import LoRASettings
from redink.types import Row

ROUNDINGS = 8
"""So many roundings of the largest weight may be left of a difference that an adapter holds exactly."""


class AdapterFit(Row):
    """How well an adapter gives a trained model's weights."""

    rank: int = Field(ge=1, description="Rank of the adapter.")
    modules: int = Field(ge=1, description="Linear layers that it changes.")
    kept: float = Field(ge=0, le=1, description="Share of the change that it holds (squared Frobenius norm).")
    largest: float = Field(ge=0, description="Largest difference of a weight to the trained one.")


def adapter_rank(stages: Sequence[LoRASettings | None], asked: int | None) -> int:
    """The rank that holds every stage; raises `Failure` where a stage was trained in full and no rank is asked for."""
    if asked is not None:
        return asked
    if None in stages:
        raise Failure(
            "this model was trained in full, not with LoRA: it has no adapter.",
            "Export it with --to merged, or name a --rank for the nearest adapter of that rank.",
        )
    return sum(stage.rank for stage in stages if stage is not None)


def low_rank(difference: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A (r, in) and B (out, r) with B·A the nearest to `difference` (out, in) of rank `rank`."""
    left, values, right = torch.linalg.svd(difference.double(), full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


def write_adapter(
    base: Student, trained: Student, rank: int, exact: bool, base_name: str | None, out: Path
) -> AdapterFit:
    """Write the adapter that makes `trained` of `base` to `out`; changes `base` in place.

    Raises `Failure` if it must be `exact` and the weights differ by more than an adapter of this rank can hold.
    """
    linear = {name for name, module in base.model.named_modules() if isinstance(module, torch.nn.Linear)}
    before, after = base.model.state_dict(), trained.model.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    layers = [name.removesuffix(".weight") for name in changed if name.removesuffix(".weight") in linear]
    tied = base.model.config.tie_word_embeddings and "lm_head" in layers
    layers = [name for name in layers if name != "lm_head"] if tied else layers
    if not layers:
        raise Failure("the trained model's weights are those of its base.", "There is nothing to export.")
    factors = {name: low_rank(after[f"{name}.weight"] - before[f"{name}.weight"], rank) for name in layers}
    fit = _fit(before, after, changed, factors, rank)
    if exact and fit.largest > _noise(after[f"{name}.weight"] for name in layers):
        raise Failure(
            f"the weights differ by more than an adapter of rank {rank} holds ({fit.largest:.1e}).",
            "Was another base student used? Export with --to merged, or name a --rank.",
        )
    _save(base, factors, rank, base_name, out)
    return fit


def _noise(weights: Iterable[torch.Tensor]) -> float:
    return ROUNDINGS * max(torch.finfo(each.dtype).eps * float(each.abs().max()) for each in weights)


def _fit(before: Any, after: Any, changed: Sequence[str], factors: Any, rank: int) -> AdapterFit:
    whole = missed = largest = 0.0
    for name in changed:
        change = (after[name] - before[name]).double()
        a, b = factors.get(name.removesuffix(".weight"), (None, None))
        rest = change if a is None else change - b @ a
        whole += float(change.square().sum())
        missed += float(rest.square().sum())
        largest = max(largest, float(rest.abs().max()))
    return AdapterFit(rank=rank, modules=len(factors), kept=max(0.0, 1 - missed / whole), largest=largest)


def _save(base: Student, factors: Any, rank: int, base_name: str | None, out: Path) -> None:
    modules = _target_modules(base.model, set(factors))
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=modules, task_type="CAUSAL_LM")
    model: Any = get_peft_model(base.model, config)
    prefix = "base_model.model."
    state = {f"{prefix}{name}.lora_A.weight": a.float() for name, (a, _) in factors.items()}
    state |= {f"{prefix}{name}.lora_B.weight": b.float() for name, (_, b) in factors.items()}
    set_peft_model_state_dict(model, state)
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(out)
    base.tokenizer.save_pretrained(out)


def _target_modules(model: torch.nn.Module, layers: set[str]) -> list[str]:
    """The layers by their last names, such as q_proj, where these mean no other layer."""
    short = {name.rpartition(".")[2] for name in layers}
    meant = {name for name, module in model.named_modules() if name.rpartition(".")[2] in short}
    return sorted(short if meant == layers else layers)
