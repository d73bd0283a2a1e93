"""The whole method: with an LLM teacher on loopback, and through kills."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback import serving
from marking import teacher_reply

from redink.pipelines.supercorrect import supercorrect
from redink.pipelines.workshop import first_wrong
from redink.recipe import load_recipe
from redink.run import Run
from redink.types import Attempt, Verdict

pytestmark = pytest.mark.slow
SMALL = ["hsft.epochs=1", "cross_dpo.epochs=1", "hsft.save_every=1", "cross_dpo.save_every=1"]


def wrong(problem: str, sample: int, text: str) -> Attempt:
    return Attempt(problem_id=problem, sample=sample, text=text, answer="1", verdict=Verdict(outcome="wrong"))


def test_the_error_set_takes_so_many_different_wrong_attempts_per_problem():
    right = Attempt(problem_id="a", sample=0, text="r", answer="2", verdict=Verdict(outcome="right"))
    attempts = [right, wrong("a", 1, "x"), wrong("a", 2, "x"), wrong("a", 3, "y"), wrong("b", 0, "z")]
    assert [(row.problem_id, row.sample) for row in first_wrong(attempts, 1)] == [("a", 1), ("b", 0)]
    assert [(row.problem_id, row.sample) for row in first_wrong(attempts, 2)] == [("a", 1), ("a", 3), ("b", 0)]


def test_an_llm_teacher_on_loopback_goes_through_every_stage(tmp_path):
    with serving(teacher_reply) as server:
        overrides = [*SMALL, "teacher.kind=openai", "teacher.model=teacher", f"teacher.base_url={server.base_url}",
                     "inspector.kind=none"]  # fmt: skip
        recipe = load_recipe("demo", overrides).limited(6)
        with Run(tmp_path / "llm", recipe) as run:
            results = supercorrect(run)
    assert results is not None
    assert [panel.model for panel in results.panels] == ["base", "hsft", "cross_dpo"]
    counts = {row.stage: row for row in results.counts}
    assert counts["thoughts"].accepted == 6
    assert all(row.balanced for row in results.counts)
    assert server.asked


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, but for the lock, and the report, which shows times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "training_args.bin", "report.html")
    }


def command(folder: Path) -> list[str]:
    settings = [part for key in SMALL for part in ("--set", key)]
    return [sys.executable, "-m", "redink.cli", "demo", "--limit", "8", "--run-dir", str(folder), *settings]


def test_a_run_killed_again_and_again_ends_with_the_same_files(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(whole), check=True, env=environment, capture_output=True)
    marks = ["thoughts.counts.json", "hsft.checkpoints/checkpoint-1", "attempts.jsonl", "cross_dpo.checkpoints"]
    for mark in marks:
        process = subprocess.Popen(command(cut), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (cut / "demo" / mark).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(cut), check=True, env=environment, capture_output=True)
    assert files_of(cut / "demo") == files_of(whole / "demo")
