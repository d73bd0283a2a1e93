"""The student in this process: batches, seeds, streams, limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tiny import CHAT_TEMPLATE, tiny_student, tokenizer

from redink.failures import MissingModel, ReplyFailure
from redink.models.chat import ChatRequest, Message, Reply
from redink.models.smollm2 import smollm2_folder
from redink.models.student import Request, Sampling, Student, conversation_ids
from redink.solving.backends import Watch
from redink.solving.local import Spelling, TransformersBackend, gumbel, nucleus
from redink.solving.solved import Solved
from redink.solving.solver import Solver

QUESTIONS = ("how many apples?", "Question 4 + 5", "1", "how many apples - 7 apples = ?")


TOKENIZER = tokenizer()


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> TransformersBackend:
    return TransformersBackend(tiny_student(tmp_path_factory.mktemp("tiny")), batch_rows=3)


def asked(text: str, **settings: object) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), **({"max_tokens": 12} | settings))


def texts(backend: TransformersBackend, requests: list[ChatRequest], watch: Watch | None = None) -> list[str]:
    found = asyncio.run(backend.generate(requests, watch) if watch else backend.generate(requests))
    assert all(isinstance(row, Reply) for row in found)
    return [row.text for row in found if isinstance(row, Reply)]


def test_greedy_texts_are_those_of_the_student_itself(backend: TransformersBackend) -> None:
    expected = backend.student.generate([Request(q) for q in QUESTIONS], Sampling(max_new_tokens=12, stop=()))
    assert texts(backend, [asked(q) for q in QUESTIONS]) == [drawn[0].text for drawn in expected]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_is_the_same_alone_and_among_others(backend: TransformersBackend, temperature: float) -> None:
    requests = [asked(q, temperature=temperature, seed=n) for n, q in enumerate(QUESTIONS)]
    alone = [texts(backend, [request])[0] for request in requests]
    assert texts(backend, requests) == alone
    assert texts(backend, requests[::-1]) == alone[::-1]
    assert len(set(alone)) > 1


def test_rows_of_other_settings_share_a_batch(backend: TransformersBackend) -> None:
    requests = [asked(QUESTIONS[0]), asked(QUESTIONS[0], temperature=1.5, seed=1), asked(QUESTIONS[0], max_tokens=3)]
    greedy, drawn, short = texts(backend, requests)
    assert greedy.startswith(short)
    assert len(short) < len(greedy)
    assert drawn != greedy
    assert texts(backend, requests[1:2]) == [drawn]
    assert texts(backend, [requests[1].model_copy(update={"seed": 2})]) != [drawn]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from((0, 1, 64, 70, 0xC3 + 2, 0xA9 + 2, 0xDB + 2, 258, 280, 351)), max_size=24))
def test_what_was_told_is_never_taken_back(ids: list[int]) -> None:
    # letters as bytes, halves of é, a byte that nothing follows, special tokens, whole words
    made, spelling = TOKENIZER, Spelling()
    told = "".join(spelling.add(token, made) for token in ids)
    whole = made.decode(ids, skip_special_tokens=True)
    assert whole.startswith(told)
    assert told + spelling.rest(whole) == whole
    if ids and ids[-1] == 351:
        assert told == whole, "a whole token settles all before it"


class Listening(Watch):
    def __init__(self, leaves: int = -1, after: int = 10**9) -> None:
        self.pieces: dict[int, list[str]] = {}
        self.leaves, self.after = leaves, after

    def piece(self, row: int, text: str) -> None:
        self.pieces.setdefault(row, []).append(text)

    def gone(self, row: int) -> bool:
        return row == self.leaves and len(self.pieces.get(row, ())) >= self.after


@pytest.mark.parametrize("stop", [(), ("a",), ("</Answer>",)])
def test_pieces_join_to_the_reply_whatever_ends_it(backend: TransformersBackend, stop: tuple[str, ...]) -> None:
    watch = Listening()
    whole = texts(backend, [asked(q, stop=stop, temperature=1.0, seed=7) for q in QUESTIONS], watch)
    assert ["".join(watch.pieces.get(row, ())) for row in range(len(QUESTIONS))] == whole


def test_whoever_leaves_ends_only_his_own_row(backend: TransformersBackend) -> None:
    requests = [asked(q) for q in QUESTIONS[:3]]
    before = texts(backend, requests)
    after = texts(backend, requests, Listening(leaves=1, after=2))
    assert (after[0], after[2]) == (before[0], before[2])
    assert before[1].startswith(after[1])
    assert len(after[1]) < len(before[1])


def test_a_prompt_that_fills_the_context_is_a_failure_of_its_own(backend: TransformersBackend) -> None:
    assert backend.context == 512  # tests/tiny.py
    rows = asyncio.run(backend.generate([asked("1 " * 600), asked("1")]))
    assert isinstance(rows[0], ReplyFailure)
    assert rows[0].reason == "prompt_too_long"
    assert isinstance(rows[1], Reply)


def test_a_stream_gives_pieces_then_the_reply(backend: TransformersBackend) -> None:
    async def collect() -> list[str | Reply]:
        return [piece async for piece in backend.stream(asked(QUESTIONS[0]))]

    *pieces, last = asyncio.run(collect())
    assert isinstance(last, Reply)
    assert "".join(map(str, pieces)) == last.text == texts(backend, [asked(QUESTIONS[0])])[0]
    assert len(pieces) > 1
    assert last.usage.completion_tokens == 12
    assert last.finish_reason == "length"


NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT_TEMPLATE
TOLD = (Message(role="system", content="You solve."), Message(role="user", content="2 + 3?"))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHAT_TEMPLATE, "[system]You solve.[end][user]2 + 3?[end][assistant]"),
        (NO_SYSTEM, "[user]You solve.\n\n2 + 3?[end][assistant]"),
        (None, "You solve.\n2 + 3?\n"),
    ],
)
def test_a_conversation_is_rendered_by_the_template_or_as_lines(template: str | None, expected: str) -> None:
    made = tokenizer()
    made.chat_template = template
    assert conversation_ids(made, TOLD) == made.encode(expected, add_special_tokens=False)


def test_gumbel_noise_draws_from_the_softmax() -> None:
    # 20 000 argmaxes against the probabilities 0.5, 0.3, 0.2; chi-square, seeded
    logits, noise = torch.tensor([0.5, 0.3, 0.2]).log(), torch.Generator().manual_seed(0)
    counts = np.bincount([int((logits + gumbel(3, noise)).argmax()) for _ in range(20_000)], minlength=3)
    assert chisquare(counts, [10_000, 6_000, 4_000]).pvalue > 0.001


@pytest.mark.parametrize(
    ("top_p", "kept"), [(1.0, [0, 1, 2, 3]), (0.5, [1]), (0.51, [1, 3]), (0.8, [1, 3]), (0.81, [0, 1, 3])]
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_its_share(top_p: float, kept: list[int]) -> None:
    # shares by hand: token 1 has .5, token 3 .3, token 0 .15, token 2 .05
    left = nucleus(torch.tensor([0.15, 0.5, 0.05, 0.3]).log(), top_p)
    assert torch.nonzero(left > -torch.inf).flatten().tolist() == kept


@pytest.mark.slow
def test_the_bundled_student_writes_the_same_alone_batched_and_streamed() -> None:
    solver = Solver.load("bundled", rounds=2)
    questions = [
        "Tom has 14 apples. Then buys 27 more. How many apples does Tom have now?",
        "Ann has 30 pens. Then gives away 4. Then buys 11 more. How many pens does Ann have now?",
        "3 + 4 - 2",
    ]
    batched = solver.solve_all(questions)

    async def streamed(question: str) -> tuple[Solved | None, list[str]]:
        texts: dict[int, str] = {}
        async for event in solver.astream(question):
            texts[event.round] = texts.get(event.round, "") + event.text
        return event.solved, [text.strip() for text in texts.values()]

    for question, done in zip(questions, batched, strict=True):
        alone, told = asyncio.run(streamed(question))
        assert alone == done
        assert alone is not None
        assert told == [alone.text, *(review.text for review in alone.rounds)]


@pytest.mark.slow
def test_smollm2_writes_the_same_alone_and_batched() -> None:
    try:
        folder: Path = smollm2_folder()
    except MissingModel:
        pytest.skip("smollm2 is not on this machine: redink fetch smollm2")
    backend = TransformersBackend(Student.load(str(folder)))
    requests = [asked(q, max_tokens=16) for q in ("What is 2 + 3?", "Name a colour, and say where one finds it.")]
    assert texts(backend, requests) == [texts(backend, [request])[0] for request in requests]
