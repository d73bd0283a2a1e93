"""Trainers whose models read packed rows, and whether a model can: asked of its configuration, then tried."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from redink.training.attention import NAME, CannotShare, recorded_windows
from redink.training.logprobs import add_scoring_head
from redink.training.measure import Measured
from redink.training.prefix import PackedRow, PairTokens, pack_pairs, row_tensors

logger = logging.getLogger(__name__)

MASK = torch.ones(1, 1, 1, 1)
"""A mask that is there already: transformers then builds none, and reads no documents out of the positions."""

LAYERS = {"full_attention", "sliding_attention"}
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
HALF_TOLERANCE = 0.1


def score(model: Any, row: Mapping[str, Any]) -> Any:
    """Run the model (wrapped or not) on a packed row (see `prefix.row_tensors`); returns its `Scores`."""
    return model(
        input_ids=row["input_ids"],
        attention_mask=MASK.to(row["input_ids"].device),
        position_ids=row["position_ids"],
        layout=row["layout"],
        scored=row["scored"],
        targets=row["targets"],
        use_cache=False,
    )


def prepare(model: PreTrainedModel) -> str | None:
    """Make `model` read packed rows; returns None, or why it cannot (it is then left as it was)."""
    if obstacle := _by_configuration(model):
        return obstacle
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    add_scoring_head(model)
    obstacle = None if _partitioned(model) else _by_trial(model)
    if obstacle:
        model.set_attn_implementation(before)
    return obstacle


class Packed(Measured):
    """A trainer that packs its rows where its model can read them so, and says so where it cannot.

    `obstacle` is None, or why training goes TRL's own way; a warning repeats it. `packed=False` asks for that way.
    """

    packed = True
    obstacle: str | None = None
    _own_attention: list[tuple[PreTrainedModel, str]] | None = None

    def _collator(self) -> Any:
        """Rows → a batch with a `layout`."""
        raise NotImplementedError

    def _option_obstacle(self) -> str | None:
        """Why an option of this trainer rules packing out, or None."""
        return None

    def _models(self) -> list[Any]:
        """The models that read the batches."""
        return [self.model]

    def pack(self) -> None:
        """Once the models stand and before they are wrapped: packed rows, or TRL's padded ones. Twice is once."""
        if self._own_attention is not None:
            return
        models = [bare(self.accelerator.unwrap_model(model)) for model in self._models()]
        self._own_attention = [(model, model.config._attn_implementation) for model in models]
        self.obstacle = self._find_obstacle(models) if self.packed else "it was told to"
        if self.obstacle is None:
            self.data_collator = self._collator()
        elif self.packed:
            logger.warning("%s: rows are padded and prefixes not shared: %s.", type(models[0]).__name__, self.obstacle)

    def _find_obstacle(self, models: list[PreTrainedModel]) -> str | None:
        if isinstance(self.model, PeftModel) and self.model.active_peft_config.is_prompt_learning:
            return "prompt-learning adapters put tokens of their own before each row"
        return self._option_obstacle() or next((found for model in models if (found := prepare(model))), None)

    def _mode(self) -> str:
        model: Any = self.model
        return "train" if model.training else "eval"

    def unpack(self) -> None:
        """Give the models their own attention back."""
        for model, implementation in self._own_attention or ():
            model.set_attn_implementation(implementation)


def bare(model: Any) -> PreTrainedModel:
    """The model inside its adapters."""
    found: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return found  # type: ignore[no-any-return]


def _by_configuration(model: PreTrainedModel) -> str | None:
    config = model.config.get_text_config()
    others = set(getattr(config, "layer_types", None) or ()) - LAYERS
    if others:
        return f"it has {', '.join(sorted(others))} layers"
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        return "its attention is not causal"
    if not getattr(model, "_supports_attention_backend", False) or not model._can_set_attn_implementation():
        return "it does not call its attention through transformers' interface"
    return None


def _partitioned(model: PreTrainedModel) -> bool:
    """DeepSpeed's ZeRO-3 leaves nothing to try before training starts."""
    return any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def _by_trial(model: PreTrainedModel) -> str | None:
    """Log-probabilities of a small pair, shared, against the model's own on each whole sequence."""
    pair = _trial_pair(model)
    with _asleep(model), recorded_windows() as windows:
        try:
            shared = _sides(model, pack_pairs([pair]))
        except (CannotShare, TypeError, ValueError, RuntimeError) as failure:
            return str(failure).partition("\n")[0]
        whole = [_whole(model, pair.prompt, side) for side in (pair.chosen, pair.rejected)]
    asked = "sliding_attention" in (getattr(model.config.get_text_config(), "layer_types", None) or ())
    if asked and windows <= {None}:
        return "its sliding layers do not tell attention their window"
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(shared, whole, strict=True))
    allowed = TOLERANCE.get(model.dtype, HALF_TOLERANCE)
    return None if worst <= allowed else f"its log-probabilities change by {worst:.1g} of their size when shared"


def _trial_pair(model: PreTrainedModel) -> PairTokens:
    """Some fixed tokens, chosen and rejected apart from their first token on."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    ids = [(7 + 31 * place * place) % vocabulary for place in range(24)]
    return PairTokens(ids[:12], ids[12:18], [(ids[12] + 1) % vocabulary, *ids[19:24]])


def _sides(model: PreTrainedModel, row: PackedRow) -> list[torch.Tensor]:
    tensors = row_tensors(row)
    placed = {name: x.to(model.device) if isinstance(x, torch.Tensor) else x for name, x in tensors.items()}
    log_probs = score(model, placed).log_probs
    return [log_probs[torch.tensor(side, device=log_probs.device)] for side in row.sides]


def _whole(model: PreTrainedModel, prompt: Any, side: Any) -> torch.Tensor:
    ids = torch.tensor([[*prompt, *side]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, len(prompt) - 1 : -1]
    wide = logits.double() if logits.dtype == torch.float64 else logits.float()
    log_probs: torch.Tensor = wide.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None]).squeeze(-1)
    return log_probs


@contextmanager
def _asleep(model: PreTrainedModel) -> Iterator[None]:
    """No gradients, no dropout, and the training state as before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
