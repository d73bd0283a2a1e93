"""The benchmark of Cross-DPO and its script for a GPU: arithmetic by hand, and both run at tiny size."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from benchmarks import cross_dpo
from transformers import LlamaConfig

LINE = re.compile(r"figure (\w+) = (\S+) (\S+) .*\(goal (<=|>=) \S+")


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_the_arithmetic_by_hand() -> None:
    """Width 2, one head, inner 3, one layer, vocabulary 5: 4·2·2 + 3·2·3 = 34 weights a layer.

    Prefix 3, completion 1. Shared: 5 tokens, visible 4²/2 + 3 + 1/2 = 11.5, scored 2:
    3 (2·34·5 + 4·2·11.5) + 8·2·2·5 = 3 · 432 + 160 = 1456. Unshared: 8 tokens, visible 16, all 8 scored:
    3 (2·34·8 + 4·2·16) + 8·8·2·5 = 3 · 672 + 640 = 2656.
    """
    config = LlamaConfig(
        vocab_size=5,
        hidden_size=2,
        intermediate_size=3,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    assert cross_dpo.flops(config, 3, 1, shared=True) == 1456
    assert cross_dpo.flops(config, 3, 1, shared=False) == 2656


def test_the_limit_of_smollm2_is_near_two() -> None:
    work = cross_dpo.Work(1024, 256, 0.0, 1, 1, False, None)
    assert cross_dpo.limit(work, cross_dpo.SMOLLM2) == pytest.approx(1.92, abs=0.01)  # the project's own estimate


@pytest.mark.slow
def test_all_arms_run_and_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [
        "cross_dpo", "--quick", "--no-memory", "--prefix", "24", "--completion", "6", "--spread", "0.4",
        "--batch", "2", "--rounds", "2",
    ])  # fmt: skip
    cross_dpo.main()
    found = {match[1]: float(match[2]) for match in LINE.finditer(capsys.readouterr().out)}
    assert found.keys() == {
        "cross_dpo_vs_trl_best", "cross_dpo_vs_trl_default", "limit", "max_abs_loss_difference",
        "cross_dpo_log_prob_error",
    }  # fmt: skip
    assert found["max_abs_loss_difference"] <= 2e-6
    assert found["cross_dpo_vs_trl_best"] > 0


def gpu_script() -> ModuleType:
    path = Path(__file__).parents[2] / "gpu" / "cross_dpo_gpu.py"
    specification = importlib.util.spec_from_file_location("cross_dpo_gpu", path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["cross_dpo_gpu"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = gpu_script()
    out = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", [
        "gpu", "--shapes", "tiny", "--device", "cpu", "--prefix", "20", "--completion", "5", "--rounds", "1", "--out", str(out),
    ])  # fmt: skip
    script.main()
    printed = capsys.readouterr().out
    assert printed.startswith("device cpu, torch ")
    assert [match[1] for match in LINE.finditer(printed)] == [
        "cross_dpo_gpu_tiny_vs_padded", "cross_dpo_gpu_tiny_limit", "cross_dpo_gpu_tiny_log_prob_error",
    ]  # fmt: skip
    assert out.exists()


def test_the_script_needs_neither_trl_nor_datasets() -> None:
    """It runs where they are not installed: nothing that it imports may import them."""
    import subprocess

    code = (
        "import sys; sys.modules['trl'] = sys.modules['datasets'] = None; "
        "import redink.training.attention, redink.training.logprobs, redink.training.prefix"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_arms_of_the_script_agree() -> None:
    import torch

    script = gpu_script()
    work = script.Work(20, 5, 3, 1, torch.device("cpu"), torch.float32, False)
    model = script.model_of("tiny", work).eval()
    pairs = script.pairs_of(work, 500, 0)
    with torch.no_grad():
        found = [script.sums(arm)(model, pairs) for arm in script.ARMS]
    assert found[0].std() > 0.1
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=1e-5)
