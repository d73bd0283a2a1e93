"""The GPU script on a CPU: files cut and put together, the arms, and a whole small run with a random student."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tiny import tiny_folder

from redink.failures import BadInput
from redink.reproduction.arms import Change

ROOT = Path(__file__).parents[2]
QUESTIONS = 12


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("gsm8k_smollm2", ROOT / "gpu" / "gsm8k_smollm2.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_a_file_is_cut_and_put_together(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PIECE", 10)
    whole = tmp_path / "made.whl"
    whole.write_bytes(bytes(range(25)))
    pieces = script.split(whole, tmp_path / "pieces")
    assert [piece.stat().st_size for piece in pieces] == [10, 10, 5]
    (tmp_path / "out").mkdir()
    assert script.join(tmp_path / "pieces", tmp_path / "out").read_bytes() == whole.read_bytes()
    pieces[1].unlink()
    with pytest.raises(BadInput, match=r"holds the pieces \[0, 2\]"):
        script.join(tmp_path / "pieces", tmp_path / "out")


def test_what_is_under_way_is_stopped_when_the_time_is_up(script: ModuleType) -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), script.within(0.2 / 60):
        time.sleep(10)
    assert time.monotonic() - started < 5
    with script.within(None):
        pass


def test_the_arms_use_all_of_gsm8k_and_train_in_single_precision(script: ModuleType) -> None:
    jobs = script.jobs("some/student", [7], Change())
    assert [job.name for job in jobs] == ["supercorrect-s7", "sft-s7", "orion-s7"]
    for job in jobs:
        sizes = job.recipe.problems
        assert (sizes.evaluation, job.recipe.student) == (1319, "some/student")
        assert sizes.thoughts + sizes.errors <= 7473
        assert job.recipe.hsft.single_precision and job.recipe.cross_dpo.single_precision
        assert job.recipe.teacher.kind == "reference"


def gsm8k(folder: Path) -> Path:
    for split, first in (("train", 1), ("test", 50)):
        rows = [
            {
                "question": f"Ann has {n} pens and buys {n + 1} more. She gives 1 away. How many has she now?",
                "answer": f"Ann has {n}+{n + 1}=<<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} pens.\n"
                f"After that she has {2 * n + 1}-1=<<{2 * n + 1}-1={2 * n}>>{2 * n} pens.\n#### {2 * n}",
            }
            for n in range(first, first + QUESTIONS)
        ]
        (folder / f"gsm8k_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.slow
def test_a_small_run_gives_one_table_of_all_models(script: ModuleType, tmp_path: Path) -> None:
    student = tiny_folder(tmp_path / "student", chat=True)
    fast = [
        "sampling.max_new_tokens=8", "sampling.max_review_tokens=8", "hsft.epochs=1", "prompts.base=compact/solve",
        "prompts.chain=compact/solve", "prompts.correct=compact/correct",
    ]  # fmt: skip
    given = [
        "--weights", str(student), "--data-dir", str(gsm8k(tmp_path)), "--runs", str(tmp_path / "runs"),
        "--out", str(tmp_path / "out"), "--limit", "3", "--threads", "1",
        *(part for key in fast for part in ("--set", key)),
    ]  # fmt: skip
    assert script.main([*given, "--arms", "sft"]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [panel["model"] for panel in results["done"]["sft-s0"]["panels"]] == ["base", "sft"]
    assert results["missing"] == [] and results["minutes"].keys() == {"sft-s0"}
    assert "| sft |" in (tmp_path / "out" / "table.md").read_text()
    every = script.jobs(str(student), [], Change(limit=3, settings=tuple(fast)))
    assert script.write_tables(every, tmp_path / "runs", tmp_path / "out") == ["supercorrect-s0", "orion-s0"]
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    assert again["missing"] == ["supercorrect-s0", "orion-s0"] and again["done"] == results["done"]
    assert "Not done yet: supercorrect-s0, orion-s0." in (tmp_path / "out" / "table.md").read_text()
