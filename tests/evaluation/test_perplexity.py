"""Perplexity: a uniform student by hand, a random one against transformers' own loss, the means by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny import tiny_student

from redink.evaluation.perplexity import ChainScore, perplexity, score_chains
from redink.models.student import Student

CHAINS = ["Question how many apples 3 + 4", "5", "<Step1>1 + 2 = 3</Step1>\n<Answer>3</Answer>", "not 99 apples - 1"]
PROMPTS = ["Question 1", "Question how many apples", "2 + 2", "3"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("student"))


def test_who_knows_nothing_finds_every_token_alike(tmp_path: Path) -> None:
    """All weights 0, so all logits 0, so each token costs ln V: the perplexity is V, the size of the vocabulary."""
    nobody = tiny_student(tmp_path)
    with torch.no_grad():
        for weight in nobody.model.parameters():
            weight.zero_()
    size = nobody.model.config.vocab_size
    for score in score_chains(nobody, PROMPTS, CHAINS):
        assert score.perplexity == pytest.approx(size, rel=1e-5)
    found = perplexity("nobody", score_chains(nobody, PROMPTS, CHAINS))
    assert found.per_token.value == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_as_transformers_computes_it(student: Student, ends: bool, batch_tokens: int) -> None:
    """The model's own loss (mean over the labels that are not −100), one row at a time, no padding."""
    scores = score_chains(student, PROMPTS, CHAINS, ends=ends, batch_tokens=batch_tokens)
    for prompt, chain, score in zip(PROMPTS, CHAINS, scores, strict=True):
        asked, said = student.prompt_ids(prompt), student.reply_ids(chain, ends)
        ids = torch.tensor([asked + said])
        with torch.inference_mode():
            loss = float(student.model(input_ids=ids, labels=torch.tensor([[-100] * len(asked) + said])).loss)
        assert score.tokens == len(said)
        assert score.nll == pytest.approx(loss * len(said), rel=1e-4)
        assert score.perplexity == pytest.approx(math.exp(loss), rel=1e-4)


def test_what_does_not_fit_is_left_out_and_counted(student: Student) -> None:
    """The context is 512 tokens; an empty chain has nothing to score."""
    counted: list[int] = []
    long = "3 " * 600
    scores = score_chains(student, ["a"] * 3, [long, "", "5"], advance=lambda units=1, note="": counted.append(units))
    assert [score.nll is None for score in scores] == [True, True, False]
    assert scores[0].tokens > 512 and scores[1].tokens == 0
    assert sum(counted) == 3
    found = perplexity("tiny", scores)
    assert (found.left_out, found.tokens, found.per_token.n) == (2, scores[2].tokens, 1)
    assert (found.per_token.low, found.per_token.high) == (None, None)


def test_both_means_by_hand() -> None:
    """A: 2 tokens, 2 ln 2, perplexity 2. B: 1 token, 3 ln 2, perplexity 8.

    Per token: 2^(5/3). Its spread: r = 5/3 ln 2; residuals 2 − 10/3 = −4/3 and 3 − 5/3 = 4/3 (in ln 2);
    se = √(2 · 32/9) / 3 = 8/9 (in ln 2). Per chain: mean of 1 and 3 is 2, so 4; se = √(2 · 2) / 2 = 1 (in ln 2).
    """
    scores = [ChainScore(tokens=2, nll=2 * math.log(2)), ChainScore(tokens=1, nll=3 * math.log(2))]
    assert [score.perplexity for score in scores] == [pytest.approx(2), pytest.approx(8)]
    found = perplexity("me", scores)
    z = 1.959963984540054
    assert (found.per_token.value, found.per_chain.value) == (pytest.approx(2 ** (5 / 3)), pytest.approx(4))
    assert found.per_token.low == pytest.approx(2 ** (5 / 3 - z * 8 / 9))
    assert found.per_token.high == pytest.approx(2 ** (5 / 3 + z * 8 / 9))
    assert (found.per_chain.low, found.per_chain.high) == (pytest.approx(2 ** (2 - z)), pytest.approx(2 ** (2 + z)))
    assert (found.tokens, found.left_out, found.per_token.n) == (3, 0, 2)


def test_no_chain_and_no_float_large_enough() -> None:
    assert perplexity("me", []).per_token.value is None
    assert ChainScore(tokens=1, nll=1e6).perplexity == math.inf
