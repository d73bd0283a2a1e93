"""The evaluation benchmark: the attempts it writes are as they are stored, and its figures are printed."""

from __future__ import annotations

import random

import pytest
from benchmarks import evaluation
from benchmarks.evaluation import make_attempt, make_problems, scenarios, write_attempts, wrong_answer

from redink.answers import compare
from redink.rows import read_rows
from redink.types import Attempt


def test_wrong_answers_are_wrong_and_come_in_several_writings() -> None:
    problems, rng = make_problems(40), random.Random(0)
    for number, problem in enumerate(problems):
        for _ in range(3):
            assert compare(wrong_answer(number, rng), problem.answer).outcome == "wrong"
    assert len({wrong_answer(7, rng) for _ in range(500)}) > 30


def test_attempts_are_stored_by_repeat_and_chunk(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "SHARD", 4)
    problems = make_problems(10)
    write_attempts(tmp_path, problems, 3)
    paths = sorted(tmp_path.glob("r*/*.jsonl"))
    assert [str(path.relative_to(tmp_path)) for path in paths][:4] == [
        "r000/000000.jsonl", "r000/000001.jsonl", "r000/000002.jsonl", "r001/000000.jsonl",
    ]  # fmt: skip
    rows = [row for path in paths for row in read_rows(path, Attempt)]
    assert [row.problem_id for row in rows[:10]] == [problem.id for problem in problems]
    found = evaluation.aggregate(tmp_path, 10)
    assert found["attempts"] == 30
    assert found["accuracy"] == pytest.approx(sum(row.verdict.right for row in rows) / 30)


def test_a_chance_is_a_chance() -> None:
    problem, rng = make_problems(1)[0], random.Random(0)
    made = [make_attempt(problem, 0, 0, 0.3, rng) for _ in range(600)]
    assert sum(row.verdict.right for row in made) / 600 == pytest.approx(0.3, abs=0.06)
    assert {row.answer is None for row in made if row.verdict.outcome == "ungradable"} == {True}


def test_the_figures_are_printed(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "scenarios", lambda: list(scenarios())[:1])
    evaluation.main(["--problems", "6", "--repeats", "2", "--draws", "50", "--folder", str(tmp_path)])
    out = capsys.readouterr().out
    assert "12 attempts" in out
    for name in ("aggregate_s", "rss_mb", "coverage_wilson"):
        assert f"figure {name} = " in out
    assert list(tmp_path.iterdir()) == []
