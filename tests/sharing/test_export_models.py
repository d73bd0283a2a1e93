"""Exported models against what reads them: transformers, PEFT, GGUF through transformers; and their cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from sharing_run import run_folder, trained_folder

from redink.evaluation.statistics import proportion
from redink.failures import Failure
from redink.models.student import Student
from redink.sharing.adapter import low_rank
from redink.sharing.gguf_file import interleaved, pre_tokenizer
from redink.sharing.models import ExportOptions, export_model
from redink.sharing.portable import portable_config, portable_tokenizer
from redink.sharing.runs import SharedRun

LORA = ("hsft.lora.rank=2", "cross_dpo.lora.rank=3")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(Student.load(str(folder)).model.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_merged_weights_are_those_of_the_run_and_older_libraries_can_read_them(tmp_path: Path) -> None:
    run = trained_folder(tmp_path / "run")
    done = export_model(str(run), tmp_path / "out")
    assert same(weights(tmp_path / "out"), weights(run / "hsft"))
    config = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    tokenizer = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10000.0
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "39 tensors equal" in done.checks[0]


def test_portable_settings_keep_a_scaled_rotary_embedding_and_named_tokenizers() -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6}
    changed = portable_config({"dtype": "bfloat16", "rope_parameters": rope, "_name_or_path": "/home/me"})
    assert changed == {
        "dtype": "bfloat16", "torch_dtype": "bfloat16", "rope_parameters": rope, "rope_theta": 1e6,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0},
    }  # fmt: skip
    assert portable_tokenizer({"tokenizer_class": "Qwen2Tokenizer"}) == {"tokenizer_class": "Qwen2Tokenizer"}


@pytest.mark.slow
def test_the_card_says_what_was_measured_with_its_interval(tmp_path: Path) -> None:
    run = trained_folder(tmp_path / "run")
    share = proportion(3, 4)
    panel: dict[str, Any] = {"model": "hsft"}
    fields = (
        "accuracy_t1",
        "accuracy_t2",
        "delta",
        "wrong_to_right",
        "right_to_wrong",
        "locate",
        "correct",
        "false_alarms",
    )
    panel |= {name: share.model_dump(mode="json") for name in fields}
    panel |= dict.fromkeys(("unlocated", "ungradable_t1", "ungradable_t2", "truncated"), 0) | {"by_subject": {}}
    results = {"recipe": "demo", "student": "bundled", "seed": 0, "problems": 4, "panels": [panel], "counts": []}
    (run / "results.json").write_text(json.dumps(results))
    export_model(str(run), tmp_path / "out", options=ExportOptions(base_model="me/base"))
    card = ModelCard.load(tmp_path / "out" / "README.md")
    [first, _] = card.data.eval_results or []
    assert first.metric_value == 75.0
    assert first.metric_name is not None
    assert f"{100 * (share.low or 0):.1f} to {100 * (share.high or 0):.1f}" in first.metric_name
    assert (card.data.license, card.data.base_model) == ("apache-2.0", "me/base")
    for said in ("## Data", "## Recipe", "## Results", "## Limits", "under a million parameters", "75.0 ["):
        assert said in card.text
    assert str(tmp_path) not in card.content


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "q8_0"])
def test_gguf_is_the_same_model_again(tmp_path: Path, precision: Any) -> None:
    run = trained_folder(tmp_path / "run")
    done = export_model(str(run), tmp_path / "out", options=ExportOptions("gguf", precision))
    reader = gguf.GGUFReader(tmp_path / "out" / f"hsft-{precision}.gguf")
    held = {tensor.name: tensor for tensor in reader.tensors}
    source = weights(run / "hsft")
    down = gguf.quants.dequantize(held["blk.2.ffn_down.weight"].data, held["blk.2.ffn_down.weight"].tensor_type)
    wanted = source["model.layers.2.mlp.down_proj.weight"].numpy()
    assert np.abs(down - wanted).max() <= (0 if precision == "f32" else np.abs(wanted).max() / 127)
    assert "output.weight" not in held, "tied to the embedding"
    assert reader.fields["tokenizer.ggml.model"].contents() == "none"
    assert "without the tokenizer" in done.checks[0]


def test_rotary_rows_are_interleaved_head_by_head() -> None:
    """Two heads of four rows: halves (0 1 | 2 3) become pairs (0 2 1 3)."""
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLIT = {"type": "Split", "pattern": {"Regex": QWEN}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (BYTES, "gpt-2"),
        ({"pretokenizers": [DIGITS, BYTES]}, "smollm"),
        ({"pretokenizers": [SPLIT, BYTES | {"use_regex": False}]}, "qwen2"),
        ({"pretokenizers": [SPLIT | {"pattern": {"Regex": "."}}, BYTES | {"use_regex": False}]}, None),
        (BYTES | {"add_prefix_space": True}, None),
        (None, None),
    ],
)
def test_only_tokenizers_that_llama_cpp_splits_alike_get_a_name(before: object, name: str | None) -> None:
    assert pre_tokenizer({"model": {"type": "BPE"}, "normalizer": None, "pre_tokenizer": before}) == name
    assert pre_tokenizer({"model": {"type": "Unigram"}, "normalizer": None, "pre_tokenizer": before}) is None


def test_the_factors_of_a_matrix_of_low_rank_give_it_back() -> None:
    torch.manual_seed(0)
    change = torch.randn(6, 2) @ torch.randn(2, 5)
    a, b = low_rank(change, 2)
    assert (a.shape, b.shape) == ((2, 5), (6, 2))
    assert torch.allclose(b @ a, change.double(), atol=1e-6)


@pytest.mark.slow
def test_an_adapter_on_its_base_is_the_trained_model(tmp_path: Path) -> None:
    run = trained_folder(tmp_path / "run", *LORA, rank=2)
    assert [stage.rank if stage else None for stage in SharedRun.open(run).lora("cross_dpo_2")] == [2, 3, 3]
    export_model(str(run), tmp_path / "out", options=ExportOptions("adapter"))
    base, trained = Student.load("bundled"), Student.load(str(run / "hsft"))
    joined: Any = PeftModel.from_pretrained(base.model, str(tmp_path / "out"))
    ids = torch.tensor([trained.prompt_ids("How many apples?")])
    assert torch.allclose(joined(ids).logits, trained.model(ids).logits, atol=1e-3)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["lora_alpha"]) == (2, 2)
    assert sorted(config["target_modules"]) == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_change_of_full_rank_is_no_adapter(tmp_path: Path) -> None:
    run = trained_folder(tmp_path / "run", *LORA)
    with pytest.raises(Failure, match="more than an adapter of rank 2 holds"):
        export_model(str(run), tmp_path / "out", options=ExportOptions("adapter"))
    assert not list(tmp_path.glob("out*")), "nothing half-made is left"
    done = export_model(str(run), tmp_path / "out", options=ExportOptions("adapter", rank=8))
    assert "rank 8 on 28 linear layers holds" in done.checks[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "match"),
    [
        (ExportOptions("adapter"), "trained in full, not with LoRA"),
        (ExportOptions("merged", "q8_0"), "q8_0 is a precision of GGUF"),
        (ExportOptions("gguf", converter=Path("nowhere.py")), "there is no such file"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path, options: ExportOptions, match: str) -> None:
    run = trained_folder(tmp_path / "run")
    with pytest.raises(Failure, match=match):
        export_model(str(run), tmp_path / "out", options=options)
    with pytest.raises(Failure, match=r"no model 'dpo'[.] It has hsft"):
        export_model(str(run), tmp_path / "out", "dpo", options)


def test_a_run_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="has trained no model yet"):
        export_model(str(run_folder(tmp_path / "run")), tmp_path / "out")
