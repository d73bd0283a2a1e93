"""The students that ship with redink: one corpus, three architectures (docs/student.md), and SmolLM2 once fetched."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

BUNDLED, SMOLLM2 = "bundled", "smollm2"
ARCHITECTURES = {BUNDLED: "llama", "bundled-qwen2": "qwen2", "bundled-gemma3": "gemma3"}
NAMED = {*ARCHITECTURES, SMOLLM2}
"""What is no folder and no id on the hub, whatever it looks like."""


def bundled_folder(name: str) -> Path:
    """The folder of one of `ARCHITECTURES`; raises `KeyError` for any other name.

    >>> bundled_folder("bundled").name
    'llama'
    """
    return Path(str(resources.files("redink"))) / "assets" / "students" / ARCHITECTURES[name]
