"""The benchmark of HSFT at tiny size: every arm learns the same tokens of the same lessons, and the command runs whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import hsft
from benchmarks.arms import base_model, ready

from redink.training.encoding import IGNORED

TINY = ["--quick", "--prompt", "12", "--reply", "20", "--max-length", "64", "--batch", "3", "--steps", "2"]
WORK = hsft.Work(prompt=12, reply=20, max_length=64, batch=3, steps=2, rounds=1, quick=True, model=None)
LINE = re.compile(r"figure (\w+) = (\S+) (\S+) .*\(goal (<=|>=) \S+")
ARM = re.compile(r"^(\S+)\s+(\S+) (?:tokens|pairs)/s\s+(\d+) MiB peak$", re.MULTILINE)


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_lessons_are_ragged_and_only_replies_carry_loss() -> None:
    rows = list(hsft.lessons(WORK, 100))
    assert len(rows) == 6
    assert len({row["length"] for row in rows}) > 3
    for row in rows:
        learnt = [label != IGNORED for label in row["labels"]]
        assert row["length"] == len(row["input_ids"]) == len(row["labels"]) <= 64
        assert learnt == sorted(learnt)  # first the prompt, then the reply
        assert 1 <= sum(learnt) < len(learnt)
        assert all(label in (IGNORED, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))


@pytest.mark.slow
def test_every_arm_but_the_wrapped_one_has_the_same_loss_over_the_same_lessons(tmp_path: Path) -> None:
    """The sum of −log p over all reply tokens does not depend on how lessons are batched."""
    base = base_model(small=True)
    data = hsft.lessons(WORK, base.config.vocab_size)
    trainers = {arm: hsft.trainer(arm, WORK, base, data, tmp_path) for arm in hsft.ARMS}
    ready(trainers.values())
    queues = {arm: hsft.steps(arm, made, WORK) for arm, made in trainers.items()}
    taken = hsft.one_pass(trainers, queues)

    def learnt(arm: str) -> list[int]:
        return [sum(int((batch["labels"] != IGNORED).sum()) for batch in step) for step in queues[arm]]

    total = sum(label != IGNORED for row in data for label in row["labels"])
    losses = {}
    for arm in hsft.ARMS:
        each = learnt(arm)
        assert sum(each) == total * (2 if arm == "B*" else 1), arm  # four batches, where the others have two
        losses[arm] = sum(n * loss for n, (_, loss) in zip(each, taken[arm], strict=True)) / sum(each)
    assert losses.pop("S4") != pytest.approx(losses["S0"], abs=1e-5)
    assert losses == pytest.approx(dict.fromkeys(losses, losses["S0"]), abs=2e-6)
    assert {arm: len(queue) for arm, queue in queues.items()} == dict.fromkeys(hsft.ARMS, 2) | {"B*": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "arguments", "arms", "figures"),
    [
        ("hsft", TINY, (*hsft.TRL, "B"), {
            "hsft_vs_trl_best", "hsft_vs_trl_default", "hsft_cost_of_a_long_row", "max_abs_loss_difference",
            "hsft_peak_memory_vs_trl_default",
        }),
        ("cross_dpo", ["--quick", "--prefix", "24", "--completion", "6", "--rounds", "1"], ("A0", "A1", "A2", "B", "B-"), {
            "cross_dpo_vs_trl_best", "cross_dpo_vs_trl_default", "limit", "max_abs_loss_difference",
            "cross_dpo_log_prob_error", "cross_dpo_peak_memory_vs_a1",
        }),
    ],
)  # fmt: skip
def test_the_command_prints_its_figures_and_the_memory_of_each_arm(
    benchmark: str, arguments: list[str], arms: tuple[str, ...], figures: set[str]
) -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    measured = {match[1]: (float(match[2]), int(match[3])) for match in ARM.finditer(done.stdout)}
    assert tuple(measured) == arms
    assert all(speed > 0 and mebibytes > 100 for speed, mebibytes in measured.values())
    found = {match[1]: float(match[2]) for match in LINE.finditer(done.stdout)}
    assert found.keys() == figures
    assert found["max_abs_loss_difference"] <= 2e-6
    assert "%|" not in done.stderr  # no progress bars
    assert "FutureWarning" not in done.stderr
