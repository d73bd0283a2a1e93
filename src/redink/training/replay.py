"""Lessons of HSFT beside the pairs of Cross-DPO: an anchor for students that forget (not in the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from redink.models.student import derived_seed
from redink.training.encoding import IGNORED
from redink.training.packed import score
from redink.training.prefix import LessonCollator

Lessons = Sequence[Mapping[str, Any]]
"""Rows with `input_ids` and `labels` (see `encoding.encode_lessons`)."""


@dataclass(frozen=True)
class Replay:
    """`per_pair` lessons beside each pair; which ones follows from the seed and the place of the batch alone."""

    lessons: Lessons
    per_pair: float
    seed: int
    weight: float = 1.0

    def rows(self, pairs: int, *place: int) -> list[Mapping[str, Any]]:
        """The lessons beside a batch of `pairs` pairs, at least one; `place` tells batches apart."""
        count = max(1, round(self.per_pair * pairs))
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "replay", *place))
        chosen = torch.randint(len(self.lessons), (count,), generator=generator)
        return [self.lessons[int(index)] for index in chosen]


def lesson_loss(model: Any, rows: Lessons, device: torch.device, packed: bool) -> torch.Tensor:
    """Mean −log p of the reply tokens of these lessons, over all of them; packed in one row or padded."""
    if packed:
        batch = LessonCollator()(list(rows))
        moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
        packed_loss: torch.Tensor = -score(model, moved).log_probs.mean()
        return packed_loss
    ids, labels = _padded(rows, "input_ids", 0, device), _padded(rows, "labels", IGNORED, device)
    mask = pad_sequence([torch.ones(len(row["input_ids"])) for row in rows], batch_first=True).to(device)
    padded_loss: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    return padded_loss


def _padded(rows: Lessons, name: str, fill: int, device: torch.device) -> torch.Tensor:
    return pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=fill).to(device)
