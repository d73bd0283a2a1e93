"""The shape of a student: its numbers of layers, heads and so on, its parameters, and where they are read from."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from redink.failures import BadInput, Failure, MissingModel
from redink.models.bundled import ARCHITECTURES, SMOLLM2, bundled_folder
from redink.models.smollm2 import smollm2_folder

FORM = "layers=28,hidden=3584,feed_forward=18944,heads=28,kv_heads=4,vocab=152064,tied=false"
_SUFFIXES = ("-instruct", "-chat", "-base", "-rl", "-it", "-hf")


@dataclass(frozen=True)
class Shape:
    """A decoder with rotary positions, grouped-query attention and a gated feed-forward, as Llama and its kin."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 0
    tied: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False

    @property
    def head_size(self) -> int:
        """Numbers per head: hidden / heads unless it is given."""
        return self.head_dim or self.hidden // self.heads

    @property
    def query(self) -> int:
        """Width of all queries."""
        return self.heads * self.head_size

    @property
    def key_value(self) -> int:
        """Width of all keys, or of all values."""
        return self.kv_heads * self.head_size

    @property
    def matrices(self) -> int:
        """Parameters of one layer's matrices: q, o, k, v, and the three of the feed-forward."""
        return self.hidden * (2 * self.query + 2 * self.key_value + 3 * self.feed_forward)

    @property
    def body(self) -> int:
        """Parameters of all layers and the last norm: what every token passes through."""
        biases = (self.query + 2 * self.key_value) * self.qkv_bias + 2 * self.head_size * self.qk_norm
        return self.layers * (self.matrices + 2 * self.hidden + biases) + self.hidden

    @property
    def head(self) -> int:
        """Parameters of the output head."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters: embeddings, layers, the last norm, and the head unless it is tied to the embeddings."""
        return self.body + self.head * (1 if self.tied else 2)


def _qwen25(layers: int, hidden: int, feed: int, heads: int, kv: int, vocab: int = 152_064) -> Shape:
    return Shape(layers, hidden, feed, heads, kv, vocab, tied=hidden < 3000, qkv_bias=True)


def _llama(layers: int, hidden: int, feed: int, heads: int, kv: int, vocab: int = 128_256, tied: bool = False) -> Shape:
    return Shape(layers, hidden, feed, heads, kv, vocab, tied=tied)


def _qwen3(layers: int, hidden: int, feed: int, heads: int, tied: bool = True) -> Shape:
    return Shape(layers, hidden, feed, heads, 8, 151_936, head_dim=128, tied=tied, qk_norm=True)


KNOWN = {
    "qwen2.5-0.5b": _qwen25(24, 896, 4864, 14, 2, 151_936),
    "qwen2.5-1.5b": _qwen25(28, 1536, 8960, 12, 2, 151_936),
    "qwen2.5-3b": _qwen25(36, 2048, 11_008, 16, 2, 151_936),
    "qwen2.5-7b": _qwen25(28, 3584, 18_944, 28, 4),
    "qwen2.5-14b": _qwen25(48, 5120, 13_824, 40, 8),
    "qwen2.5-32b": _qwen25(64, 5120, 27_648, 40, 8),
    "qwen2.5-72b": _qwen25(80, 8192, 29_568, 64, 8),
    "qwen3-0.6b": _qwen3(28, 1024, 3072, 16),
    "qwen3-1.7b": _qwen3(28, 2048, 6144, 16),
    "qwen3-4b": _qwen3(36, 2560, 9728, 32),
    "qwen3-8b": _qwen3(36, 4096, 12_288, 32, tied=False),
    "llama-3.2-1b": _llama(16, 2048, 8192, 32, 8, tied=True),
    "llama-3.2-3b": _llama(28, 3072, 8192, 24, 8, tied=True),
    "llama-3.1-8b": _llama(32, 4096, 14_336, 32, 8),
    "llama-3.1-70b": _llama(80, 8192, 28_672, 64, 8),
    "deepseek-math-7b": _llama(30, 4096, 11_008, 32, 32, 102_400),
    "mistral-7b-v0.1": _llama(32, 4096, 14_336, 32, 8, 32_000),
    "mistral-7b-v0.3": _llama(32, 4096, 14_336, 32, 8, 32_768),
    "smollm2-135m": _llama(30, 576, 1536, 9, 3, 49_152, tied=True),
    "smollm2-360m": _llama(32, 960, 2560, 15, 5, 49_152, tied=True),
    "smollm2-1.7b": _llama(24, 2048, 8192, 32, 32, 49_152, tied=True),
}
"""Shapes by the last part of a hub id, without '-Instruct' and the like: the numbers of their public config.json."""


def shape_of(student: str, given: str = "") -> Shape:
    """The shape of a student: `given` as text, else its config.json where that lies on this disk, else by its name.

    Nothing is downloaded. Raises `MissingModel` for a student that is not known, `Failure` for a text or a
    configuration that says too little or is of another kind.
    """
    if given:
        return _from_text(given)
    config = config_of(student)
    if config is not None:
        return _from_config(config)
    name = family(student)
    if name in KNOWN:
        return KNOWN[name]
    near = get_close_matches(name, KNOWN, 1, cutoff=0.7)
    hint = f"Its name is near '{near[0]}'; if" if near else "If"
    raise MissingModel(
        f"{student}: its shape is not known, and its config.json is not on this disk.",
        f"{hint} you know it, give --shape {FORM}",
    )


def family(student: str) -> str:
    """The name under which `KNOWN` has a hub id.

    >>> family("Qwen/Qwen2.5-Math-7B-Instruct"), family("meta-llama/Meta-Llama-3.1-8B-Instruct")
    ('qwen2.5-7b', 'llama-3.1-8b')
    """
    name = student.rpartition("/")[2].lower().removeprefix("meta-")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    if name.startswith("mistral-7b-instruct-"):
        name = name.replace("-instruct", "")
    return name.replace("qwen2.5-math-", "qwen2.5-").replace("qwen2.5-coder-", "qwen2.5-")


def folder_of(student: str) -> Path | None:
    """The folder of a student that lies on this disk: bundled, fetched, local, or in the hub's cache."""
    if student in ARCHITECTURES:
        return bundled_folder(student)
    if student == SMOLLM2:
        try:
            return Path(smollm2_folder())
        except Failure:
            return None
    local = Path(student).expanduser()
    if (local / "config.json").exists():
        return local
    return _cached(student) if student.count("/") == 1 else None


def _cached(student: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(student, "config.json")
    except ValueError:  # no hub id
        return None
    return Path(found).parent if isinstance(found, str) else None


def config_of(student: str) -> dict[str, Any] | None:
    """The config.json of a student on this disk; None where there is none."""
    if student == SMOLLM2 and folder_of(student) is None:
        return None
    folder = folder_of(student)
    if folder is None:
        return None
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text("utf-8"))
        return dict(values.get("text_config", values))
    except (OSError, ValueError, TypeError, AttributeError):
        raise BadInput(path, "cannot be read as a model's configuration.", f"Give --shape {FORM}") from None


def _from_config(config: dict[str, Any]) -> Shape:
    if any(config.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise Failure(
            "this student has experts: what a token passes through is not all of it.",
            f"Give the shape that a token sees: --shape {FORM}",
        )
    try:
        return Shape(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            feed_forward=config["intermediate_size"],
            heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            vocab=config["vocab_size"],
            head_dim=config.get("head_dim") or 0,
            tied=bool(config.get("tie_word_embeddings", False)),
            qkv_bias=config.get("model_type") == "qwen2" or bool(config.get("attention_bias", False)),
            qk_norm=config.get("model_type") in ("qwen3", "gemma3_text"),
        )
    except KeyError as missing:
        raise Failure(f"its config.json has no {missing}.", f"Give the shape: --shape {FORM}") from None


def _from_text(text: str) -> Shape:
    names = {field.name for field in fields(Shape)}
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if key not in names:
            raise Failure(f"--shape {part}: there is no such number.", f"The form is --shape {FORM}")
        values[key] = _number(part, value)
    required = {"layers", "hidden", "feed_forward", "heads", "vocab"}
    if missing := sorted(required - values.keys()):
        raise Failure(f"--shape has no {', '.join(missing)}.", f"The form is --shape {FORM}")
    return Shape(**{"kv_heads": values["heads"], **values})


def _number(part: str, value: str) -> int | bool:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value.isdigit() and int(value) > 0:
        return int(value)
    raise Failure(f"--shape {part}: a whole number, true or false is expected.", f"The form is --shape {FORM}")
