"""The reference's log-probabilities on disk: computed once per reference, token ids and precision, kept for good.

A file belongs to one reference (its weights) and one precision. A line is `key chosen rejected check`: the hash of
the pair's token ids, the two log-probabilities as exact hexadecimal floats, and a checksum of the line. Lines are
appended as they are made, so a killed run loses at most the batch it was in; a line whose checksum fails is as good
as absent. Learning rate, β and the order of the pairs play no part. What has not been used for longest is forgotten
(see `ReferenceCache.prune`).
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from redink.rows import unwritable, write_text
from redink.training.logprobs import gathered
from redink.training.prefix import PairTokens

KEPT_FILES, KEPT_PAIRS = 4, 200_000
"""How many references a folder remembers, and how many pairs of each: about 80 MB at most."""

OWN_FILE = re.compile(r"[0-9a-f]{24}\.txt")
SEEN_BY_ADAPTERS = (".lora_", ".modules_to_save.", ".ref.", ".default.")


def weights_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """A hash of named weights, their types and shapes; adapters, which the reference does not use, are left out."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        if not any(part in name for part in SEEN_BY_ADAPTERS):
            tensor = gathered(tensors[name]).detach().cpu().contiguous()
            digest.update(f"{_plain(name)} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(name: str) -> str:
    """A weight's name without what adapters wrap around it."""
    return name.replace("base_model.model.", "").replace(".base_layer.", ".")


def pair_key(pair: PairTokens) -> str:
    """The hash of a pair's token ids and of where its parts begin."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (pair.prompt, pair.chosen, pair.rejected):
        digest.update(struct.pack(f"<{len(part) + 1}q", len(part), *part))
    return digest.hexdigest()


class ReferenceCache:
    """(chosen, rejected) log-probabilities of the reference, by `pair_key`."""

    def __init__(self, folder: Path, weights: str, precision: str) -> None:
        """Read what is there. `precision` names everything else that changes the values, such as the autocast type.

        Raises `Failure` if the folder can be neither read nor made.
        """
        name = hashlib.blake2b(f"{weights} {precision}".encode(), digest_size=12).hexdigest()
        self.path = Path(folder) / f"{name}.txt"
        self.known: dict[str, tuple[float, float]] = {}
        self.corrupt = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = self.path.read_bytes() if self.path.exists() else b""
        except OSError as failure:
            raise unwritable(self.path, failure) from None
        self._read(text)

    def _read(self, text: bytes) -> None:
        for line in text.split(b"\n"):
            if line.strip():
                self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        try:
            body, check = line.decode("ascii").rsplit(" ", 1)
            key, chosen, rejected = body.split(" ")
            values = float.fromhex(chosen), float.fromhex(rejected)
        except ValueError:
            self.corrupt += 1
            return
        if check == _check(body):
            self.known[key] = values
        else:
            self.corrupt += 1

    def __contains__(self, key: str) -> bool:
        return key in self.known

    def __getitem__(self, key: str) -> tuple[float, float]:
        return self.known[key]

    def add(self, entries: Iterable[tuple[str, tuple[float, float]]]) -> None:
        """Keep entries, on disk before this returns. Raises `Failure` where the disk is full."""
        new = [(key, values) for key, values in entries if key not in self.known]
        self.known.update(new)
        try:
            _append(self.path, [_line(key, values) for key, values in new])
        except OSError as failure:
            raise unwritable(self.path, failure) from None

    def prune(self, used: Iterable[str]) -> None:
        """Forget what was used longest ago, now that a training has all its pairs and these are their keys.

        Of the references in the folder the last `KEPT_FILES` stay; of this one's pairs those in use and the newest
        others, `KEPT_PAIRS` together. Other files in the folder are left alone.
        """
        in_use = dict.fromkeys(used)
        if (too_many := len(self.known) - max(KEPT_PAIRS, len(in_use))) > 0:
            others = [key for key in self.known if key not in in_use]
            self.known = {key: self.known[key] for key in [*others[too_many:], *in_use]}
            write_text(self.path, "".join(_line(key, values) for key, values in self.known.items()))
        try:
            self.path.touch()
            own = [path for path in self.path.parent.iterdir() if OWN_FILE.fullmatch(path.name)]
            for path in sorted(own, key=lambda path: path.stat().st_mtime_ns)[:-KEPT_FILES]:
                path.unlink(missing_ok=True)
        except OSError as failure:
            raise unwritable(self.path, failure) from None


def _line(key: str, values: Sequence[float]) -> str:
    body = " ".join([key, *(float(value).hex() for value in values)])
    return f"{body} {_check(body)}\n"


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _append(path: Path, lines: Sequence[str]) -> None:
    """In one write, so that runs that share a cache do not mix their lines; a torn last line is ended first."""
    if not lines:
        return
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        else:
            torn = False
        file.write(("\n" * torn + "".join(lines)).encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
