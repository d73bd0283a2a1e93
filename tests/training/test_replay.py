"""Lessons beside the pairs: the loss is what a model says row by row, and a resumed run draws the same ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from test_training import LESSONS, PAIRS, files_of, killed_after, load, log_probs
from tiny import tiny_folder

from redink.failures import Failure
from redink.training.cross_dpo import train_cross_dpo
from redink.training.encoding import IGNORED, encode_lessons
from redink.training.packed import prepare
from redink.training.replay import Replay, lesson_loss
from redink.training.settings import CrossDPOSettings

SETTINGS = CrossDPOSettings(epochs=2, learning_rate=1e-3, batch_size=4, accumulation=2, replay=0.5, save_every=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


@pytest.mark.parametrize("packed", [True, False])
def test_the_loss_is_the_mean_over_reply_tokens(folder: Path, packed: bool) -> None:
    """Oracle: each lesson alone, without padding, in double precision."""
    student = load(folder)
    rows = list(encode_lessons(student, LESSONS[:5], 512).dataset)
    with torch.no_grad():
        scored = []
        for row in rows:
            reply = [label for label in row["labels"] if label != IGNORED]
            scored.append(log_probs(student, row["input_ids"][: -len(reply)], reply))
        expected = -torch.cat(scored).mean()
        if packed:
            assert prepare(student.model) is None
        loss = lesson_loss(student.model, rows, torch.device("cpu"), packed)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("per_pair", "pairs", "count"), [(0.5, 16, 8), (2.0, 3, 6), (0.1, 2, 1)])
def test_as_many_lessons_as_asked_for_and_always_the_same(per_pair: float, pairs: int, count: int) -> None:
    replay = Replay([{"number": number} for number in range(50)], per_pair, seed=1)
    assert len(replay.rows(pairs, 7, 0)) == count
    assert replay.rows(pairs, 7, 0) == replay.rows(pairs, 7, 0)
    assert replay.rows(pairs, 7, 0) != replay.rows(pairs, 8, 0)


def test_every_lesson_has_its_turn() -> None:
    """2,000 draws out of 20: each is expected 100 times, with a standard deviation of 9.7; five of them are allowed."""
    replay = Replay([{"number": number} for number in range(20)], 1.0, seed=3)
    drawn = Counter(row["number"] for step in range(500) for row in replay.rows(4, step, 0))
    assert set(drawn) == set(range(20))
    assert all(50 <= times <= 150 for times in drawn.values())


@pytest.mark.parametrize("share", [True, False])
def test_lessons_keep_what_pairs_alone_would_lose(folder: Path, tmp_path: Path, share: bool) -> None:
    """The lessons' loss after training is lower with them than without."""
    losses = []
    for replay in (0.0, 1.0):
        student, out = load(folder), tmp_path / f"{replay}"
        settings = SETTINGS.model_copy(update={"replay": replay, "epochs": 4.0})
        train_cross_dpo(student, PAIRS, settings, out, lessons=LESSONS, share=share)
        rows = list(encode_lessons(student, LESSONS, 512).dataset)
        with torch.no_grad():
            losses.append(float(lesson_loss(student.model, rows, torch.device("cpu"), packed=False)))
    assert losses[1] < losses[0] - 0.1


def test_a_killed_run_ends_with_the_same_weights(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(name: str) -> None:
        train_cross_dpo(load(folder), PAIRS, SETTINGS, tmp_path / name, lessons=LESSONS)

    train("whole")
    killed_after(2, lambda: train("cut"), monkeypatch)
    train("cut")
    whole, cut = (files_of(tmp_path / name)["model.safetensors"] for name in ("whole", "cut"))
    assert whole == cut


def test_replay_without_lessons_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="needs the lessons of HSFT"):
        train_cross_dpo(load(folder), PAIRS, SETTINGS, tmp_path / "out")
