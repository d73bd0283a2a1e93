"""The benchmark of scale at tiny size: rows are counted, every figure is printed, and the script says what it claims."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from benchmarks.scale import mixed, reviews
from benchmarks.scripted_student import WRONG_IN, ScriptedStudent, _problems

from redink.models.student import Request, Sampling

FIGURE = re.compile(r"^figure (\w+) = ([\d.-]+) (?:\S+ )?\(goal (<=|>=) [\d.]+\)$", re.MULTILINE)


def test_one_reply_in_so_many_errs_and_the_same_seed_says_the_same() -> None:
    problems = list(_problems(400, Random(1)))
    assert len({problem.question for problem in problems}) == 400
    requests = [Request(problem.question) for problem in problems]
    replies = ScriptedStudent().generate(requests, Sampling(samples=4, seed=2))
    assert replies == ScriptedStudent().generate(requests, Sampling(samples=4, seed=2))
    wrong = sum(
        f"<Answer>{problem.answer}</Answer>" not in reply.text
        for problem, drawn in zip(problems, replies, strict=True)
        for reply in drawn
    )
    assert wrong / 1600 == pytest.approx(1 / WRONG_IN, abs=4 * (1 / WRONG_IN * (1 - 1 / WRONG_IN) / 1600) ** 0.5)


def test_the_reviews_show_each_question_with_its_gold_steps() -> None:
    problems = mixed(("stories:ledger", "stories:compare"), 5)
    asked = reviews(problems, "compact/correct")
    assert len(asked) == 5
    for problem, request in zip(problems, asked, strict=True):
        assert problem.question in request.prompt
        assert f"<Answer>{problem.answer}</Answer>" in request.prompt


@pytest.mark.slow
def test_the_streams_print_their_figures(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale",
        "--only",
        "stream",
        "--sizes",
        "40",
        "80",
        "--folder",
        str(tmp_path),
    ]
    said = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=os.environ | {"COLUMNS": "200"}, text=True, capture_output=True,
        check=True,
    ).stdout  # fmt: skip
    figures = {name: float(value) for name, value, _ in FIGURE.findall(said)}
    assert figures.keys() == {"rss_mb", "growth_exponent"}
    assert 100 < figures["rss_mb"] < 2000
    rows = {int(size): int(rows) for size, rows in re.findall(r"stream +(\d+) problems: .*?, (\d+) rows", said)}
    assert rows[40] >= 40 * 5 and rows[80] >= 80 * 5, "each problem and its four attempts, and what is made of errors"
    assert len(list((tmp_path / "stream-80" / "run" / "chunks").iterdir())) == 8
