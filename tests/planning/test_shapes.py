"""Shapes beside the parameter counts that the models' own pages and safetensors indexes state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from redink.failures import Failure, MissingModel
from redink.planning.shapes import KNOWN, Shape, folder_of, shape_of

PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-Math-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-Math-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Meta-Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "deepseek-ai/deepseek-math-7b-instruct": 6_910_365_696,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_known_shape_has_the_published_parameters(name: str) -> None:
    assert shape_of(name).parameters == PUBLISHED[name]


def test_every_known_shape_is_checked() -> None:
    assert {shape_of(name) for name in PUBLISHED} == set(KNOWN.values())


def test_the_bundled_student_has_the_weights_of_its_file() -> None:
    folder = folder_of("bundled")
    assert folder is not None
    with safe_open(folder / "model.safetensors", "pt") as file:
        stored = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert shape_of("bundled").parameters == stored


def test_a_local_configuration_is_read(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 10,
        "model_type": "llama",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = shape_of(str(tmp_path))
    # embeddings and head 2·10·8; a layer: q, k, v, o 4·8·8, feed-forward 3·8·16, norms 2·8; the last norm 8
    assert shape.parameters == 160 + 2 * (256 + 384 + 16) + 8


def test_a_shape_as_text() -> None:
    text = "layers=2, hidden=8, feed_forward=16, heads=2, vocab=10, tied=true"
    assert shape_of("no/such", text) == Shape(2, 8, 16, 2, 2, 10, tied=True)


@pytest.mark.parametrize(
    ("student", "given", "said"),
    [
        ("some/unheard-of", "", "its shape is not known"),
        ("Qwen/Qwen2.5-7C", "", "near 'qwen2.5-7b'"),
        ("x/y", "layers=2,depth=3", "depth=3: there is no such number"),
        ("x/y", "layers=2", "has no feed_forward, heads, hidden, vocab"),
        ("x/y", "layers=two", "a whole number"),
    ],
)
def test_what_is_not_known_is_one_line_with_the_way_out(student: str, given: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as caught:
        shape_of(student, given)
    assert "--shape" in caught.value.remedy


def test_experts_are_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"num_local_experts": 8}))
    with pytest.raises(Failure, match="experts"):
        shape_of(str(tmp_path))


def test_a_configuration_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Failure, match=r"config\.json"):
        shape_of(str(tmp_path))


def test_an_unknown_student_is_a_missing_model() -> None:
    with pytest.raises(MissingModel):
        shape_of("some/unheard-of")
