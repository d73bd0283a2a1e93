"""Typed JSONL: read with file, line and field in every complaint; write so that a kill never leaves half a file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from pydantic import ValidationError

from redink.failures import BadInput, Failure
from redink.types import Row

R = TypeVar("R", bound=Row)
LONGEST_SLUG = 60


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield (line number from 1, object) for each non-blank line.

    Raises `BadInput` for a missing file, bytes that are not UTF-8, a line that is not JSON or not an object.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise BadInput(path, "there is no such file.", "Check the path.") from None
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the file and its permissions.") from None
    for number, raw in enumerate(data.split(b"\n"), start=1):
        if raw.strip():
            yield number, parse_object(path, number, raw)


def parse_object(path: Path, number: int, raw: bytes) -> dict[str, object]:
    """The object in line `number` of a file; raises `BadInput` if it is not UTF-8, not JSON or not an object."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as failure:
        raise BadInput(path, f"is not JSON ({failure}).", "Each line holds one JSON object.", line=number) from None
    if not isinstance(value, dict):
        raise BadInput(
            path, f"holds a {type(value).__name__}, not an object.", "Each line holds one JSON object.", line=number
        )
    return value


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """Read a whole file of rows of one kind; raises `BadInput` naming file, line and field."""
    return [as_row(path, number, value, kind) for number, value in read_json_lines(path)]


def as_row(path: Path, number: int, value: object, kind: type[R]) -> R:
    """The row in line `number` of a file; raises `BadInput` naming file, line and field."""
    try:
        return kind.model_validate(value)
    except ValidationError as failure:
        first = failure.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInput(path, f"{first['msg']}.", f"A {kind.__name__} is expected.", line=number, field=field) from None


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to `path`, all or nothing."""
    with writing(path) as file:
        file.writelines(row.model_dump_json() + "\n" for row in rows)


def write_text(path: Path, text: str) -> None:
    """Write a text to `path`, all or nothing."""
    with writing(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to `path`, all or nothing; raises as `writing` does."""
    with replacing(Path(path)) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Write a file under another name, flush it to disk, then rename: readers see all of it or none.

    Raises `Failure` when the disk is full or the folder may not be written; a file already there stays whole.
    """
    with replacing(Path(path)) as part, part.open("w", encoding="utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Another name to write to, which becomes `path` if all goes well; raises as `writing` does."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as failure:
        raise unwritable(path, failure) from None


def unwritable(path: Path, failure: OSError) -> Failure:
    """The one-line failure for a file that cannot be written."""
    return Failure(
        f"{path}: cannot be written ({failure.strerror or failure}).",
        "Free some space or choose another folder with --run-dir; what was already made is kept.",
    )


def digest(text: str) -> str:
    """First 16 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def slug(name: str) -> str:
    """A folder's name for any name: as it is where that is safe, else readable and told apart by a hash.

    >>> slug("gsm8k"), slug("stories:ledger")
    ('gsm8k', 'stories-ledger-7a5b')
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[-LONGEST_SLUG:].strip("-.")
    return name if safe == name else f"{safe}-{digest(name)[:4]}".lstrip("-")
