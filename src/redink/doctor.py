"""What is installed here, and what that allows."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field

from redink.failures import MissingModel
from redink.models.bundled import ARCHITECTURES, bundled_folder
from redink.models.smollm2 import smollm2_folder
from redink.types import Row

NEEDED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify", "reasoning_gym")


class Finding(Row):
    """One thing that was looked for."""

    part: str = Field(description="What was looked for.")
    found: str = Field(description="What is there, or what to do.")
    ok: bool = Field(description="It is there.")
    needed: bool = Field(True, description="Nothing runs without it.")


def diagnose() -> list[Finding]:
    """Python, packages, accelerator, bundled student, optional model, keys (their names only) and disk."""
    return [_python(), *map(_package, NEEDED), _accelerator(), _bundled(), _smollm2(), _key("OPENAI_API_KEY"), _disk()]


def _python() -> Finding:
    return Finding(part="Python ≥ 3.11", found=platform.python_version(), ok=sys.version_info >= (3, 11))


def _package(name: str) -> Finding:
    try:
        return Finding(part=name, found=version(name), ok=True)
    except PackageNotFoundError:
        return Finding(part=name, found=f"install it: pip install {name}", ok=False)


def _accelerator() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(part="GPU", found=torch.cuda.get_device_name(0), ok=True, needed=False)
    threads = torch.get_num_threads()
    return Finding(part="GPU", found=f"none: the CPU is used ({threads} threads)", ok=False, needed=False)


def _bundled() -> Finding:
    there = all((bundled_folder(name) / "model.safetensors").exists() for name in ARCHITECTURES)
    return Finding(part="bundled students", found="ready" if there else "the installation is incomplete", ok=there)


def _smollm2() -> Finding:
    try:
        return Finding(part="smollm2", found=str(smollm2_folder()), ok=True, needed=False)
    except MissingModel as failure:
        return Finding(part="smollm2", found=failure.remedy, ok=False, needed=False)


def _key(name: str) -> Finding:
    there = bool(os.environ.get(name))
    return Finding(part=name, found="set" if there else "not set: only for LLM teachers", ok=there, needed=False)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding(part="disk space here", found=f"{free:.1f} GB free", ok=free > 1, needed=False)
