"""Where the rows of a published set are had from: a file of `--data-dir`, or a download."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redink.failures import BadInput, Failure
from redink.problems.jsonl import Line, read_lines

_NO_SCRIPTS = "Dataset scripts are no longer supported"
"""What `datasets` from version 4 says of a repository that is a program; the hub keeps its rows as Parquet, too."""
_AS_PARQUET = "refs/convert/parquet"


@dataclass(frozen=True)
class Copy:
    """One split of a published set: where it is, and how many rows of which content are expected of it.

    `pieces` are the configurations (None: the default one) and splits of the hub's repository, in their order. With
    `url` the rows are a JSONL file there instead, and `repository` only names it. `rows` and `fingerprint` are those
    of the usable rows; None: not known.
    """

    file: str
    repository: str
    pieces: tuple[tuple[str | None, str], ...]
    rows: int | None
    fingerprint: str | None = None
    url: str | None = None


def read_copy(copy: Copy, data_dir: Path | None) -> list[Line]:
    """The rows of a folder's file or, without a folder, of the download.

    Raises `BadInput` for a missing, malformed or empty file and `Failure` for a failed download.
    """
    return _downloaded_lines(copy) if data_dir is None else _folder_lines(data_dir / copy.file)


def _folder_lines(path: Path) -> list[Line]:
    if not path.exists():
        raise BadInput(path, "there is no such file.", f"--data-dir names the folder that holds {path.name}.")
    return read_lines(path)


def _downloaded_lines(copy: Copy) -> list[Line]:
    rows = [row for config, split in copy.pieces for row in _downloaded(copy, config, split)]
    if not rows:
        raise Failure(f"{copy.repository} holds no rows.", f"Give --data-dir, a folder that holds {copy.file}.")
    place = f"{copy.repository} ({', '.join(dict.fromkeys(split for _, split in copy.pieces))})"
    return [Line(place, number, row) for number, row in enumerate(rows, start=1)]


def _downloaded(copy: Copy, config: str | None, split: str) -> Iterable[Mapping[str, object]]:
    try:
        library = importlib.import_module("datasets")
        if copy.url is not None:
            rows: Iterable[Mapping[str, object]] = library.load_dataset("json", data_files=copy.url, split=split)
            return rows
        return _from_repository(library, copy.repository, config, split)
    except Exception as failure:  # what a download may raise is no closed set: sockets, HTTP clients, parsers
        why = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        what = f"{copy.repository} ({config or split}) could not be had from {_where(copy)}: {why.rstrip('.')}."
        raise Failure(what, f"Give --data-dir, a folder that holds {copy.file}.") from failure


def _from_repository(library: Any, name: str, config: str | None, split: str) -> Iterable[Mapping[str, object]]:
    """The rows of one split; of a repository that is a program, those that the hub converted to Parquet."""
    try:
        rows: Iterable[Mapping[str, object]] = library.load_dataset(name, config, split=split)
    except RuntimeError as failure:
        if _NO_SCRIPTS not in str(failure):
            raise
        rows = library.load_dataset(name, config, split=split, revision=_AS_PARQUET)
    return rows


def _where(copy: Copy) -> str:
    return "the Hugging Face hub" if copy.url is None else copy.url
