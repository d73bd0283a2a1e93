"""Three sets that share no question, the same for the same seed; held-out questions only where asked for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from redink.failures import Failure
from redink.problems import normalise
from redink.problems.draw import ProblemSets, Sizes, draw_sets
from redink.problems.folds import held_out

STORIES = ["stories:ledger", "stories:groups", "stories:compare"]


def file_of(folder: Path, name: str, questions: list[str]) -> str:
    path = folder / name
    rows = [{"id": f"{name}/{i}", "question": q, "answer": "1"} for i, q in enumerate(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def questions(sets: ProblemSets) -> list[str]:
    return [normalise(row.question) for group in (sets.thoughts, sets.errors, sets.evaluation) for row in group]


def test_the_sets_have_their_sizes_and_share_no_question_and_no_id() -> None:
    sets = draw_sets(STORIES, (), Sizes(40, 50, 31), seed=1)
    assert (len(sets.thoughts), len(sets.errors), len(sets.evaluation)) == (40, 50, 31)
    assert len(set(questions(sets))) == 121
    ids = [row.id for group in (sets.thoughts, sets.errors, sets.evaluation) for row in group]
    assert len(set(ids)) == 121


def test_every_source_gives_an_even_part() -> None:
    sets = draw_sets(STORIES, (), Sizes(30, 30, 31), seed=1)
    assert Counter(row.subject for row in sets.thoughts) == {"ledger": 10, "groups": 10, "compare": 10}
    assert Counter(row.subject for row in sets.evaluation) == {"ledger": 11, "groups": 10, "compare": 10}
    assert [row.subject for row in sets.thoughts] != sorted(row.subject for row in sets.thoughts), "not mixed"


def test_what_a_small_source_lacks_of_its_part_comes_from_the_others(tmp_path: Path) -> None:
    files = [
        file_of(tmp_path, f"{name}.jsonl", [f"{name} {n}?" for n in range(size)])
        for name, size in (("small", 2), ("middle", 5), ("large", 30))
    ]
    sets = draw_sets(["stories:ledger"], files, Sizes(1, 1, 27), seed=3)
    parts = Counter(row.id.split(".")[0] for row in sets.evaluation)
    assert parts == {"small": 2, "middle": 5, "large": 20}
    with pytest.raises(Failure, match=r"large\.jsonl \(test\) has only 37 distinct questions left of 38 asked for"):
        draw_sets(["stories:ledger"], files, Sizes(1, 1, 38), seed=3)


def test_fewer_problems_than_sources_is_fine() -> None:
    sets = draw_sets(STORIES, (), Sizes(1, 2, 1), seed=1)
    assert len(questions(sets)) == 4


def test_the_same_seed_draws_the_same_sets_and_another_others() -> None:
    sizes = Sizes(10, 10, 10)
    assert draw_sets(STORIES, (), sizes, seed=3) == draw_sets(STORIES, (), sizes, seed=3)
    assert questions(draw_sets(STORIES, (), sizes, seed=4)) != questions(draw_sets(STORIES, (), sizes, seed=3))


def test_a_smaller_draw_does_not_depend_on_the_file_order_alone(tmp_path: Path) -> None:
    source = file_of(tmp_path, "all.jsonl", [f"What is {n} + 1?" for n in range(50)])
    first = draw_sets([source], (), Sizes(5, 5, 5), seed=0)
    assert [row.question for row in first.evaluation] != [f"What is {n} + 1?" for n in range(5)]


# ---------------------------------------------------------------- held out


def test_held_out_is_a_fifth_decided_by_the_text() -> None:
    texts = [f"question {n}" for n in range(4000)]
    share = sum(map(held_out, texts)) / len(texts)
    assert share == pytest.approx(0.2, abs=0.03)  # 52 of 256 first bytes are multiples of 5
    assert held_out("question 1") is (hashlib.sha256(b"question 1").digest()[0] in range(0, 256, 5))


def test_only_held_out_questions_are_evaluated_on_where_asked_for() -> None:
    sets = draw_sets(STORIES, (), Sizes(30, 30, 60), held_out_only=True, seed=2)
    assert all(held_out(row.question) for row in sets.evaluation)
    assert not all(held_out(row.question) for row in sets.thoughts)
    plain = draw_sets(STORIES, (), Sizes(30, 30, 60), seed=2)
    assert not all(held_out(row.question) for row in plain.evaluation)


# ---------------------------------------------------------------- sources of their own


def test_a_benchmark_without_a_train_split_is_for_evaluation(tmp_path: Path) -> None:
    rows = [{"question": f"How far is {n}?", "answer": float(n)} for n in range(12)]
    (tmp_path / "amc23.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = draw_sets(["stories:ledger"], ["amc23"], Sizes(2, 2, 9), data_dir=tmp_path)
    assert {row.source for row in sets.evaluation} == {"amc23/test"}
    assert [row.id for row in sets.evaluation] != [f"amc23/test/{n}" for n in range(9)], "not mixed"
    with pytest.raises(Failure, match="amc23 has no split 'train'"):
        draw_sets(["amc23"], (), Sizes(2, 2, 2), data_dir=tmp_path)


def test_evaluation_sources_are_for_the_evaluation_set_alone(tmp_path: Path) -> None:
    source = file_of(tmp_path, "test.jsonl", [f"Is {n} odd?" for n in range(9)])
    sets = draw_sets(["stories:ledger"], [source], Sizes(5, 5, 9), seed=0)
    assert {row.id.split("/")[0] for row in sets.evaluation} == {"test.jsonl"}
    assert {row.source for row in (*sets.thoughts, *sets.errors)} == {"stories"}


def test_a_question_of_the_evaluation_file_is_never_trained_on(tmp_path: Path) -> None:
    train = file_of(tmp_path, "train.jsonl", [f"What is {n} + 1?" for n in range(12)])
    test = file_of(tmp_path, "test.jsonl", [f"what IS  {n}+1" for n in range(4)])
    sets = draw_sets([train], [test], Sizes(4, 4, 4), seed=0)
    assert len(set(questions(sets))) == 12
    with pytest.raises(Failure, match=r"train\.jsonl \(train\) has only 3 distinct questions left of 4 asked for"):
        draw_sets([train], [test], Sizes(5, 4, 4), seed=0)


def test_repeated_questions_count_once(tmp_path: Path) -> None:
    source = file_of(tmp_path, "all.jsonl", ["Why?", "why", "How?", "HOW ?", "Who?"])
    assert len(set(questions(draw_sets([source], (), Sizes(1, 1, 1), seed=0)))) == 3
    with pytest.raises(Failure, match=r"Ask for fewer in \[problems\], or add a source\."):
        draw_sets([source], (), Sizes(2, 1, 1), seed=0)


def test_an_id_borne_in_two_sets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    train = file_of(tmp_path, "same.jsonl", ["a?", "b?"])
    test = file_of(tmp_path / "x", "same.jsonl", ["c?"])
    with pytest.raises(Failure, match=r"both hold the problem id"):
        draw_sets([train], [test], Sizes(1, 1, 1), seed=0)


def test_published_sets_are_drawn_from_their_own_splits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from redink.problems import draw
    from redink.types import Problem, Quarantined

    asked: list[tuple[str, str, Path | None]] = []

    def load(source: str, *, data_dir: Path | None, split: str, set_aside: list[Quarantined]) -> list[Problem]:
        asked.append((source, split, data_dir))
        set_aside.append(Quarantined(problem_id=f"{split}/empty", stage="problems", reason="empty_gold", raw="{}"))
        return [Problem(id=f"{split}/{n}", question=f"{split} {n}?", answer="1") for n in range(30)]

    monkeypatch.setattr(draw, "load_problems", load)
    held: list[Quarantined] = []
    sets = draw_sets(["gsm8k"], (), Sizes(10, 10, 10), seed=0, data_dir=tmp_path, set_aside=held)
    assert [row.problem_id for row in held] == ["test/empty", "train/empty"]
    assert asked == [("gsm8k", "test", tmp_path), ("gsm8k", "train", tmp_path), ("gsm8k", "train", tmp_path)]
    assert all(row.id.startswith("test/") for row in sets.evaluation)
    assert all(row.id.startswith("train/") for row in (*sets.thoughts, *sets.errors))
    assert [row.id for row in sets.thoughts] != [f"train/{n}" for n in range(10)], "shuffled"
