"""Continuous batching: the tokens are those of one row at a time, whoever shares the batch; a chance of its own each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch
from families import FAMILIES, UNSHAREABLE, random_model
from tiny import tiny_student

from redink.models.decoding import Choice, Strand, decode, decodes
from redink.models.student import Request, Sampling, Student

PROMPTS = [f"Question {n}" + " how many apples" * (n % 4) for n in range(11)]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("plain"))


def one_by_one(student: Student, ids: list[int], tokens: int) -> list[int]:
    """Greedy, without padding, batch or cache."""
    start = len(ids)
    for _ in range(tokens):
        with torch.inference_mode():
            ids = [*ids, int(student.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[start:]


@pytest.mark.parametrize("rows", [1, 3, 8, 64])
def test_rows_that_come_and_go_change_no_token(student: Student, rows: int) -> None:
    ids = [student.prompt_ids(prompt) for prompt in PROMPTS]
    lengths = [1 + 7 * n % 10 for n in range(len(ids))]
    expected = [one_by_one(student, row, length) for row, length in zip(ids, lengths, strict=True)]
    assert len(set(map(tuple, expected))) > 3, "the random student answers everything alike: no test"
    strands = [Strand(number, row) for number, row in enumerate(ids)]
    ended = list(decode(student.model, strands, rows, Choice(), lambda s: len(s.drawn) == lengths[s.index]))
    assert sorted(strand.index for strand in ended) == list(range(len(ids)))
    assert [strand.drawn for strand in strands] == expected


def test_nothing_waits_nothing_comes(student: Student) -> None:
    assert list(decode(student.model, [], 4, Choice(), lambda s: True)) == []


def test_a_reply_does_not_depend_on_the_batch_that_it_is_drawn_in(student: Student) -> None:
    requests = [Request(prompt) for prompt in PROMPTS]
    drawn = [
        student.generate(
            requests, Sampling(continuous=True, temperature=1.0, max_new_tokens=9, samples=2, seed=5, batch_rows=rows)
        )
        for rows in (1, 4, 64)
    ]
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0][0][0] != drawn[0][0][1]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(temperature=1.0), {0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05}),
        (Choice(temperature=0.5), {0: 25 / 36.5, 1: 9 / 36.5, 2: 2.25 / 36.5, 3: 0.25 / 36.5}),
        (Choice(temperature=1.0, top_p=0.75), {0: 5 / 8, 1: 3 / 8}),
        (Choice(temperature=1.0, top_p=0.01), {0: 1.0}),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_probable(choice: Choice, expected: dict[int, float]) -> None:
    """Probabilities .5 .3 .15 .05; at temperature ½ their squares 25 9 2.25 .25 over 36.5; the nucleus of .75 is .5, .3."""
    count = 4000
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).expand(count, 4)
    found = Counter(choice(logits, [Strand(n, [], Random(n)) for n in range(count)]))
    assert found.keys() <= expected.keys()
    for token, share in expected.items():
        assert found[token] / count == pytest.approx(share, abs=4 * (share * (1 - share) / count) ** 0.5 + 1e-9)


def test_greedy_takes_the_largest() -> None:
    assert Choice()(torch.tensor([[0.1, 0.9], [2.0, -1.0]]), [Strand(0, []), Strand(1, [])]) == [1, 0]


def test_a_stop_string_ends_a_reply_whatever_tokens_it_comes_in(student: Student) -> None:
    sampling = Sampling(continuous=True, max_new_tokens=50, stop=("</Answer>", "apples"))
    ended = student._ending(sampling)
    for text, expected in (
        ("<Answer>7</Answer>", True),
        ("how many apples", True),
        ("7</Step1>", False),
        ("app", False),
    ):
        strand = Strand(0, [])
        seen = []
        for token in student.reply_ids(text):
            strand.drawn.append(token)
            seen.append(ended(strand))
        assert seen[-1] is expected, text
        assert not any(seen[:-1])


def test_a_model_with_settings_of_its_own_goes_through_generate(tmp_path: Path) -> None:
    student = tiny_student(tmp_path)
    assert decodes(student.model)
    student.model.generation_config.repetition_penalty = 1.3
    assert not decodes(student.model)


@pytest.mark.parametrize("family", [*FAMILIES, *UNSHAREABLE])
def test_families_of_full_attention_are_decoded_and_others_are_left_to_generate(family: str) -> None:
    model = random_model((FAMILIES | UNSHAREABLE)[family]).eval()
    assert decodes(model) == (family in {"llama", "qwen2", "qwen3"})
    if not decodes(model):
        return
    prompts = [[2 + (7 * n + place) % 90 for place in range(1 + 3 * n % 7)] for n in range(7)]
    strands = [Strand(n, prompt) for n, prompt in enumerate(prompts)]
    list(decode(model, strands, 3, Choice(), lambda s: len(s.drawn) == 3 + s.index))
    for strand in strands:
        ids = torch.tensor([strand.prompt])
        with torch.inference_mode():
            whole = model.generate(
                input_ids=ids, max_new_tokens=3 + strand.index, do_sample=False, eos_token_id=None, pad_token_id=0
            )
        assert strand.drawn == whole[0, ids.shape[1] :].tolist()
