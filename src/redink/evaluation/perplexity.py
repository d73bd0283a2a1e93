"""How likely a student finds given chains of thought (ORION, arXiv 2505.22131: can the student learn from this chain?).

Perplexity of one chain: exp(−(1/T) Σ log p(tₜ | prompt, t₁…tₜ₋₁)) over its T tokens; the prompt is read, not scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field

from redink.evaluation.statistics import NOTHING, Z95, Estimate
from redink.models.student import Student
from redink.progress import Advance, quiet
from redink.training.logprobs import HeadScale, token_scores
from redink.types import Row

TOKENS_AT_ONCE = 16_384
"""Tokens of one batch, padding included."""


class ChainScore(Row):
    """The likelihood of one chain."""

    tokens: int = Field(ge=0, description="T, the tokens of the chain that are scored.")
    nll: float | None = Field(description="−Σ log p in nats; None: the chain is empty or does not fit the context.")

    @property
    def perplexity(self) -> float | None:
        """exp(nll / T)."""
        return _exp(self.nll / self.tokens) if self.nll is not None and self.tokens else None


class Perplexity(Row):
    """The perplexity of many chains under one student."""

    student: str = Field(description="Who read them.")
    per_token: Estimate = Field(description="exp(ΣNLL / ΣT): each token counts alike; `n` counts chains.")
    per_chain: Estimate = Field(description="Geometric mean of the chains' perplexities: each chain counts alike.")
    tokens: int = Field(description="ΣT.")
    left_out: int = Field(description="Chains that are empty or longer than the student's context: in no figure.")


def score_chains(
    student: Student,
    prompts: Sequence[str],
    chains: Sequence[str],
    *,
    ends: bool = False,
    batch_tokens: int = TOKENS_AT_ONCE,
    advance: Advance = quiet,
) -> list[ChainScore]:
    """The score of each chain as the student's reply to its prompt (aligned); chains of like length share a batch.

    `ends` scores the end-of-sequence token too. Logits exist for scored tokens only, and for few at a time.
    """
    rows = [
        (student.prompt_ids(prompt), student.reply_ids(chain, ends) if chain else [])
        for prompt, chain in zip(prompts, chains, strict=True)
    ]
    longest = getattr(student.model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    fits = [index for index, (prompt, reply) in enumerate(rows) if reply and len(prompt) + len(reply) <= longest]
    fits.sort(key=lambda index: sum(map(len, rows[index])))
    found = {index: ChainScore(tokens=len(rows[index][1]), nll=None) for index in range(len(rows))}
    advance(len(rows) - len(fits))
    for batch in _batches(fits, [sum(map(len, row)) for row in rows], batch_tokens):
        for index, nll in zip(batch, _nll(student, [rows[index] for index in batch]), strict=True):
            found[index] = ChainScore(tokens=len(rows[index][1]), nll=nll)
        advance(len(batch))
    return [found[index] for index in range(len(rows))]


def _batches(sorted_rows: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Rows in ascending length, as many together as `most` tokens allow with padding; at least one."""
    batches: list[list[int]] = []
    for index in sorted_rows:
        if batches and (len(batches[-1]) + 1) * lengths[index] <= most:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _nll(student: Student, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """−Σ log p over the reply of each (prompt, reply); padded on the right, so positions count from 0."""
    width = max(len(prompt) + len(reply) for prompt, reply in rows)
    pad, device = int(student.tokenizer.pad_token_id), student.model.device
    whole = [prompt + reply for prompt, reply in rows]
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in whole], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole], device=device)
    places = [(i, len(prompt) - 1 + t) for i, (prompt, reply) in enumerate(rows) for t in range(len(reply))]
    owners, columns = (torch.tensor(part, device=device) for part in zip(*places, strict=True))
    with torch.inference_mode():
        hidden = student.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        head = student.model.get_output_embeddings()
        scores = token_scores(
            hidden[owners, columns].to(head.weight.device), head.weight, getattr(head, "bias", None),
            ids[owners, columns + 1].to(head.weight.device), HeadScale.of(student.model.config),
        )  # fmt: skip
    sums = torch.zeros(len(rows), dtype=torch.float64)
    sums.index_add_(0, owners.cpu(), -scores.log_probs.double().cpu())  # type: ignore[union-attr]
    return [float(value) for value in sums]


def perplexity(student: str, scores: Sequence[ChainScore]) -> Perplexity:
    """Both means with 95 % intervals, taken on the log scale over chains (a chain's tokens are not independent).

    per_token: r = ΣL/ΣT is a ratio, variance n/(n−1) · Σ(Lᵢ − r·Tᵢ)² / (ΣT)² (Cochran 1977, section 2.11).
    per_chain: mean of the n values Lᵢ/Tᵢ and their variance of the mean.
    """
    known = [(score.nll, score.tokens) for score in scores if score.nll is not None and score.tokens]
    tokens, left = sum(count for _, count in known), len(scores) - len(known)
    if not known:
        return Perplexity(student=student, per_token=NOTHING, per_chain=NOTHING, tokens=0, left_out=left)
    return Perplexity(
        student=student,
        per_token=_geometric([nll for nll, _ in known], [count for _, count in known]),
        per_chain=_geometric([nll / count for nll, count in known], [1] * len(known)),
        tokens=tokens,
        left_out=left,
    )


def _geometric(sums: Sequence[float], sizes: Sequence[int]) -> Estimate:
    """exp of the ratio Σ sums / Σ sizes, its limits exp(ratio ± z·se); one chain alone has no interval."""
    n, whole = len(sums), sum(sizes)
    ratio = sum(sums) / whole
    if n == 1:
        return Estimate(value=_exp(ratio), low=None, high=None, n=1)
    spread = sum((total - ratio * size) ** 2 for total, size in zip(sums, sizes, strict=True))
    error = math.sqrt(n / (n - 1) * spread) / whole
    return Estimate(value=_exp(ratio), low=_exp(ratio - Z95 * error), high=_exp(ratio + Z95 * error), n=n)


def _exp(value: float) -> float:
    """e to this power; infinite where no float holds it."""
    return math.exp(value) if value < 700 else math.inf
