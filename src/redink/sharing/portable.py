"""Model folders that older libraries read too: what transformers 5 writes and transformers 4 would misread.

transformers 4 (and engines built on it) does not know the tokenizer class `TokenizersBackend`, and takes the base of
the rotary embedding from `rope_theta`, never from `rope_parameters`: it would fall back on 10 000 without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redink.rows import write_text

_OF_THIS_MACHINE = ("is_local", "local_files_only", "_name_or_path")


def make_portable(folder: Path) -> None:
    """Rewrite config.json and tokenizer_config.json so that transformers 4 and 5 read them alike."""
    _rewrite(folder / "config.json", portable_config)
    _rewrite(folder / "tokenizer_config.json", portable_tokenizer)


def portable_config(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the rotary base and the type of the weights under their older names too."""
    rope = values.get("rope_parameters") or {}
    older: dict[str, Any] = {}
    if "rope_theta" in rope:
        older["rope_theta"] = rope["rope_theta"]
    if rope.get("rope_type", "default") != "default":
        older["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    if "dtype" in values:
        older["torch_dtype"] = values["dtype"]
    return older | _without_machine(values)


def portable_tokenizer(values: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer's settings with a class that both versions know."""
    renamed = {"tokenizer_class": "PreTrainedTokenizerFast"} if _is_generic(values) else {}
    return {key: value for key, value in _without_machine(values).items() if key != "backend"} | renamed


def _is_generic(values: dict[str, Any]) -> bool:
    return values.get("tokenizer_class") == "TokenizersBackend"


def _without_machine(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _OF_THIS_MACHINE}


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    values = json.loads(path.read_text("utf-8"))
    write_text(path, json.dumps(change(values), indent=2, ensure_ascii=False, sort_keys=True) + "\n")
