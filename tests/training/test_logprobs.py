"""Log-probabilities in chunks against log_softmax over all logits at once, values and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from families import FAMILIES, random_model
from transformers import CohereConfig, GraniteConfig, LlamaConfig

from redink.training import logprobs
from redink.training.logprobs import HeadScale, add_scoring_head, token_scores


def test_two_tokens_by_hand() -> None:
    """Logits 0 and ln 3: probabilities 1/4 and 3/4, entropy ln 4 − (3/4) ln 3."""
    hidden, weight = (
        torch.tensor([[1.0]], dtype=torch.float64),
        torch.tensor([[0.0], [math.log(3)]], dtype=torch.float64),
    )
    scores = token_scores(hidden, weight, None, torch.tensor([0]))
    assert float(scores.log_probs) == pytest.approx(-math.log(4), abs=1e-12)
    assert float(scores.entropy) == pytest.approx(math.log(4) - 0.75 * math.log(3), abs=1e-12)
    assert float(scores.mean_logits) == pytest.approx(math.log(3) / 2, abs=1e-12)
    assert scores.is_top1.tolist() == [False]
    assert token_scores(hidden, weight, None, torch.tensor([1])).is_top1.tolist() == [True]


def inputs(dtype: torch.dtype, bias: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(11, 6).to(dtype).requires_grad_(), torch.randn(19, 6).to(dtype).requires_grad_()
    return hidden, weight, torch.randn(19).to(dtype).requires_grad_() if bias else None, torch.randint(19, (11,))


@pytest.mark.parametrize("chunk", [1, 19 * 4, 10**6], ids=["one row", "ragged chunks", "all at once"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", [HeadScale(), HeadScale(0.3), HeadScale(1.0, 2.0), HeadScale(1.7, 3.0)], ids=str)
def test_values_and_gradients_are_those_of_log_softmax(chunk: int, bias: bool, scale: HeadScale) -> None:
    mine, theirs = inputs(torch.float64, bias), inputs(torch.float64, bias)
    scores = token_scores(*mine, scale, chunk)
    z = torch.nn.functional.linear(*theirs[:3]) * scale.factor
    if scale.softcap:
        z = scale.softcap * torch.tanh(z / scale.softcap)
    log_softmax = z.log_softmax(-1)
    expected = log_softmax.gather(-1, theirs[3][:, None])[:, 0]
    torch.testing.assert_close(scores.log_probs, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(scores.entropy, -(log_softmax.exp() * log_softmax).sum(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(scores.mean_logits, z.mean(-1), rtol=0, atol=1e-12)
    weights = torch.arange(11, dtype=torch.float64) - 4
    (scores.log_probs * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in zip(mine[:3], theirs[:3], strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)


def test_half_precision_sums_in_single_precision() -> None:
    hidden, weight, _, targets = inputs(torch.bfloat16, False)
    scores = token_scores(hidden, weight, None, targets)
    exact = (hidden.detach().double() @ weight.detach().double().t()).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert scores.log_probs.dtype == torch.float32
    torch.testing.assert_close(scores.log_probs.double(), exact, rtol=0, atol=0.03)  # the logits are rounded to bf16
    scores.log_probs.sum().backward()
    assert hidden.grad is not None and hidden.grad.dtype == torch.bfloat16


def test_frozen_weights_get_no_gradient() -> None:
    hidden, weight, _, targets = inputs(torch.float64, False)
    token_scores(hidden, weight.detach(), None, targets).log_probs.sum().backward()
    assert hidden.grad is not None


def test_no_scored_token_is_no_failure() -> None:
    hidden, weight, _, targets = inputs(torch.float64, False)
    scores = token_scores(hidden[:0], weight, None, targets[:0])
    scores.log_probs.sum().backward()
    assert hidden.grad is not None and not hidden.grad.any()


def test_never_more_logits_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = logprobs._logits

    def counted(*arguments: torch.Tensor) -> torch.Tensor:
        made.append(original(*arguments).numel())
        return original(*arguments)

    monkeypatch.setattr(logprobs, "_logits", counted)
    hidden, weight, _, targets = inputs(torch.float64, False)
    token_scores(hidden, weight, None, targets, chunk_logits=19 * 3).log_probs.sum().backward()
    assert max(made) == 19 * 3
    assert sum(made) == 2 * 19 * 11  # forward, and again backward


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        (LlamaConfig(), HeadScale()),
        (GraniteConfig(logits_scaling=4.0), HeadScale(0.25)),
        (CohereConfig(logit_scale=0.0625), HeadScale(0.0625)),
        (FAMILIES["gemma3-capped"], HeadScale(1.0, 5.0)),
    ],
    ids=["llama", "granite", "cohere", "gemma"],
)
def test_what_families_do_to_their_logits(config: LlamaConfig, scale: HeadScale) -> None:
    assert HeadScale.of(config) == scale


def test_the_head_is_added_once_and_changes_no_other_call() -> None:
    model = random_model(FAMILIES["llama"]).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    before = model(input_ids=ids).logits
    add_scoring_head(model)
    forward = model.forward
    add_scoring_head(model)
    assert model.forward == forward
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0, atol=0)
    scores = model(input_ids=ids, scored=torch.tensor([2, 0]), targets=torch.tensor([8, 6]))
    expected = before[0].log_softmax(-1)[[2, 0], [8, 6]]
    torch.testing.assert_close(scores.log_probs, expected, rtol=1e-6, atol=1e-6)
