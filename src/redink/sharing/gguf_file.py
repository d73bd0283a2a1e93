"""GGUF: the one file that llama.cpp, Ollama and LM Studio read; written, then read back by transformers and compared.

The kept converter is llama.cpp's own `convert_hf_to_gguf.py`: name it and it converts whatever it knows. It is on no
package index, so models of the Llama and Qwen shape are written here without it, by the tables of the `gguf` package
(its tensor names, keys and quantisation).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from transformers import AutoModelForCausalLM, AutoTokenizer

from redink.failures import Failure
from redink.models.student import Request, Sampling, Student
from redink.types import Row

Precision = Literal["f32", "f16", "bf16", "q8_0"]
SAMPLE = "Tom has 14 apples.\n<Step1>14 + 27 = 41</Step1> “naïve” 12345 x² \\frac{1}{2}"
"""Text on which tokenizers are compared: words, runs of digits, tags, letters outside ASCII, LaTeX."""

_TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_TOLERANCE: Mapping[Precision, float] = {"f32": 1e-6, "f16": 2**-11, "bf16": 2**-8, "q8_0": 1 / 127}
"""Largest error of a weight, as a share of the largest weight of its tensor: one rounding of each precision."""


@dataclass(frozen=True)
class Shape:
    """A family of models: its name in GGUF, and whether llama.cpp wants its rotary dimensions interleaved."""

    arch: gguf.MODEL_ARCH
    interleaved: bool


_SHAPES = {
    "llama": Shape(gguf.MODEL_ARCH.LLAMA, True),
    "mistral": Shape(gguf.MODEL_ARCH.LLAMA, True),
    "qwen2": Shape(gguf.MODEL_ARCH.QWEN2, False),
    "qwen3": Shape(gguf.MODEL_ARCH.QWEN3, False),
}
_SPLITS = {
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""How llama.cpp's pre-tokenizers of these names split text, as tokenizer.json writes it."""


class RoundTrip(Row):
    """A GGUF file as transformers reads it, beside the model that was written."""

    weights: float = Field(ge=0, description="Largest error of a weight, as a share of its tensor's largest.")
    logits: float = Field(ge=0, description="Largest difference of a logit.")
    same_text: bool = Field(description="Greedy replies are the same, token by token.")
    tokenizer: bool | None = Field(description="Token ids of a text are the same; None: the file holds no tokenizer.")


def write_gguf(folder: Path, path: Path, precision: Precision, name: str) -> bool:
    """Write the model in `folder` (transformers' files) as one GGUF file; True if it holds the tokenizer too.

    Raises `Failure` for a model of another shape, naming the converter that may know it.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    shape = _shape(config)
    student = Student.load(str(folder))
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[shape.arch])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(_TYPES[precision][1])
    _add_settings(writer, config)
    known = _add_tokenizer(writer, folder, student, config["vocab_size"])
    for tensor, values, kind in _tensors(student, config, shape, precision):
        writer.add_tensor(tensor, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return known


def _shape(config: Mapping[str, Any]) -> Shape:
    remedy = "Name llama.cpp's own converter: --converter path/to/llama.cpp/convert_hf_to_gguf.py"
    found = _SHAPES.get(config["model_type"])
    if found is None:
        raise Failure(f"models of the type {config['model_type']!r} are not written as GGUF here.", remedy)
    if (kind := _rope(config).get("rope_type", "default")) != "default":
        raise Failure(f"a rotary embedding of the type {kind!r} is not written as GGUF here.", remedy)
    return found


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    older = {"rope_theta": config.get("rope_theta", 10000.0), **(config.get("rope_scaling") or {})}
    return older | (config.get("rope_parameters") or {})


def _add_settings(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(config["vocab_size"])


# ------------------------------------------------------------------ weights


def _tensors(
    student: Student, config: Mapping[str, Any], shape: Shape, precision: Precision
) -> Iterator[tuple[str, npt.NDArray[Any], gguf.GGMLQuantizationType]]:
    names = gguf.get_tensor_name_map(shape.arch, config["num_hidden_layers"])
    tied = student.model.config.tie_word_embeddings
    for name, tensor in student.model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if mapped is None:
            raise Failure(f"the tensor {name} has no name in GGUF.", "Name llama.cpp's own converter: --converter …")
        values = _laid_out(name, tensor.detach().float().cpu().numpy(), config, shape)
        yield mapped, *_stored(values, precision)


def _laid_out(
    name: str, values: npt.NDArray[np.float32], config: Mapping[str, Any], shape: Shape
) -> npt.NDArray[np.float32]:
    heads = config["num_attention_heads"]
    if shape.interleaved and ".q_proj." in name:
        return interleaved(values, heads)
    if shape.interleaved and ".k_proj." in name:
        return interleaved(values, config.get("num_key_value_heads") or heads)
    return values


def interleaved(values: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Rows of each head from halves (x₀ x₁ … | y₀ y₁ …), as transformers has them, to pairs (x₀ y₀ x₁ y₁ …)."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _stored(
    values: npt.NDArray[np.float32], precision: Precision
) -> tuple[npt.NDArray[Any], gguf.GGMLQuantizationType]:
    """The values in their precision; vectors keep float32, rows that do not fill blocks float16."""
    kind = _TYPES[precision][0]
    if values.ndim == 1:
        kind = gguf.GGMLQuantizationType.F32
    elif values.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = gguf.GGMLQuantizationType.F16
    return gguf.quants.quantize(values, kind), kind


# ------------------------------------------------------------------ tokenizer


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, student: Student, size: int) -> bool:
    """The vocabulary as llama.cpp wants it, where it knows this kind of tokenizer; tokenizer.json as it is, always."""
    text = (folder / "tokenizer.json").read_text("utf-8")
    tokenizer = json.loads(text)
    split = pre_tokenizer(tokenizer)
    writer.add_tokenizer_model("none" if split is None else "gpt2")
    writer.add_string(gguf.Keys.Tokenizer.HF_JSON, text)
    tokens, types = _vocabulary(tokenizer, size)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if split is not None:
        writer.add_tokenizer_pre(split)
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in _merges(tokenizer)])
    _add_special(writer, student)
    return split is not None


def pre_tokenizer(tokenizer: Mapping[str, Any]) -> str | None:
    """What llama.cpp calls the way in which a byte-level BPE splits text; None for any other tokenizer."""
    model, before = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or tokenizer.get("normalizer") not in _NORMALIZERS:
        return None
    parts = before.get("pretokenizers", [before])
    if [part.get("type") for part in parts] == ["ByteLevel"] and parts[0].get("use_regex", True):
        return None if parts[0].get("add_prefix_space") else "gpt-2"
    if [part.get("type") for part in parts] == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return "smollm"
    if [part.get("type") for part in parts] == ["Split", "ByteLevel"] and not parts[1].get("use_regex", True):
        pattern = parts[0].get("pattern", {}).get("Regex")
        return next((name for name, split in _SPLITS.items() if split == pattern), None)
    return None


_NORMALIZERS = (None, {"type": "NFC"})


def _merges(tokenizer: Mapping[str, Any]) -> list[Any]:
    return list(tokenizer["model"].get("merges", []))


def _vocabulary(tokenizer: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Every token by its id, and what it is; ids without a token are unused."""
    vocab = tokenizer["model"]["vocab"]
    ids = vocab if isinstance(vocab, dict) else {piece: place for place, (piece, _) in enumerate(vocab)}
    tokens, types = [f"[PAD{place}]" for place in range(size)], [int(gguf.TokenType.UNUSED)] * size
    for token, place in ids.items():
        tokens[place], types[place] = token, int(gguf.TokenType.NORMAL)
    for added in tokenizer.get("added_tokens", []):
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
    return tokens, types


def _add_special(writer: gguf.GGUFWriter, student: Student) -> None:
    tokenizer: Any = student.tokenizer
    for add, token in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if token is not None:
            add(token)
    first = tokenizer.encode("a")[0]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


# ------------------------------------------------------------------ llama.cpp's own converter


def convert(converter: Path, folder: Path, path: Path, precision: Precision) -> None:
    """Let llama.cpp's `convert_hf_to_gguf.py` write the file; raises `Failure` with its last line."""
    if not converter.is_file():
        raise Failure(f"{converter}: there is no such file.", "Name llama.cpp's convert_hf_to_gguf.py.")
    command = [sys.executable, str(converter), str(folder), "--outfile", str(path), "--outtype", precision]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not path.exists():
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise Failure(
            f"{converter.name} failed ({last[:300]}).", "Run it by hand to see more, or leave --converter out."
        )


# ------------------------------------------------------------------ round trip


def check_gguf(folder: Path, path: Path, precision: Precision, tokenizer: bool, prompt: str = SAMPLE) -> RoundTrip:
    """Load the file with transformers and compare weights, logits and greedy text with the model in `folder`.

    Raises `Failure` if weights are further off than one rounding of the precision, or, in f32, the text differs.
    """
    student = Student.load(str(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    again = Student(str(path), model.to(student.model.device).eval(), student.tokenizer)
    student.model.float()
    trip = RoundTrip(
        weights=_weights_off(student, again),
        logits=_logits_off(student, again, prompt),
        same_text=_greedy(student, prompt) == _greedy(again, prompt),
        tokenizer=_same_tokens(student, path) if tokenizer else None,
    )
    if trip.weights > _TOLERANCE[precision] or (precision == "f32" and not trip.same_text) or trip.tokenizer is False:
        raise Failure(f"{path}: read back, it is another model ({trip}).", "Please report this; nothing was kept.")
    return trip


def _weights_off(student: Student, again: Student) -> float:
    before, after = student.model.state_dict(), again.model.state_dict()
    if before.keys() != after.keys():
        return float("inf")
    return max(
        float((before[name] - after[name]).abs().max() / before[name].abs().max().clamp_min(1e-30)) for name in before
    )


def _logits_off(student: Student, again: Student, prompt: str) -> float:
    ids = torch.tensor([student.prompt_ids(prompt)], device=student.model.device)
    with torch.inference_mode():
        return float((student.model(ids).logits - again.model(ids).logits).abs().max())


def _greedy(student: Student, prompt: str) -> str:
    return student.generate([Request(prompt)], Sampling(max_new_tokens=48, stop=()))[0][0].text


def _same_tokens(student: Student, path: Path) -> bool:
    again: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return list(again.encode(SAMPLE, add_special_tokens=False)) == student.reply_ids(SAMPLE)
