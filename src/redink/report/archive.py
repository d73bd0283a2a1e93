"""Every row of a run directory, filed by problem: where it stands is kept, the row itself is fetched when asked for.

So a run of any size can be looked through. A row that cannot be read is named with its file, counted, and left out.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from redink.report.cases import Case, Work
from redink.report.sources import REPEATS, Source, sources_of
from redink.types import Problem, Row

_ID = re.compile(rb'^\{"(?:problem_)?id":\s?"([^"\\]+)"')

_OF_THE_PROBLEM = ("thought", "chain", "refined")


class Place(NamedTuple):
    """Where a row stands."""

    source: int
    start: int
    end: int


@dataclass(slots=True)
class Folder:
    """What is kept of one problem: its set, the place of its row, and the places of everything about it."""

    set: str
    place: Place
    rows: list[Place] = field(default_factory=list)


class Archive:
    """The rows of one run directory, or of several that are compared, by problem."""

    def __init__(self, folders: dict[str, Path]) -> None:
        """File every row; `folders` by the names that runs are told apart by, '' where there is one.

        Raises `BadInput` if a folder is no run directory.
        """
        self.sources = [source for name, folder in folders.items() for source in sources_of(folder, name)]
        self.sources.sort(key=lambda source: source.part != "problem")
        self.folders: dict[str, Folder] = {}
        self._faults: dict[Place, str] = {}
        self._others: set[tuple[str, str]] = set()
        self._maps: dict[int, mmap.mmap] = {}
        for number, source in enumerate(self.sources):
            self._file(number, source)

    def __len__(self) -> int:
        return len(self.folders)

    def close(self) -> None:
        """Let go of the files."""
        for opened in self._maps.values():
            opened.close()
        self._maps.clear()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _file(self, number: int, source: Source) -> None:
        for place, raw in _lines(number, source.path):
            name = _identity(raw)
            folder = self.folders.get(name) if name else None
            if name is None:
                self._fault(source, place, "is no row")
            elif source.part == "problem" and folder is None:
                self.folders[name] = Folder(source.group, place)
            elif source.part == "problem" and folder is not None:
                self._same_problem(name, folder, raw, source, place)
            elif folder is not None and (source.run, name) not in self._others:
                folder.rows.append(place)

    def _same_problem(self, name: str, folder: Folder, raw: bytes, source: Source, place: Place) -> None:
        """Two runs that are compared may have the same problem; another of that name is left out, rows and all."""
        if self._raw(folder.place).strip() != raw.strip():
            self._others.add((source.run, name))
            self._fault(source, place, f"another problem is called {name}")

    @property
    def faults(self) -> list[str]:
        """What could not be read so far, and where."""
        return list(self._faults.values())

    def _fault(self, source: Source, place: Place, what: str) -> None:
        self._faults[place] = f"{source.path.name}, byte {place.start}: {what}"

    def cases(self, names: Iterable[str]) -> Iterator[Case]:
        """The cases of these problems, in this order; one whose problem cannot be read is left out."""
        for name in names:
            case = self.case(name)
            if case is not None:
                yield case

    def case(self, name: str) -> Case | None:
        """The case of one problem; None if there is none, or it cannot be read."""
        folder = self.folders.get(name)
        problem = self._row(folder.place) if folder else None
        if folder is None or not isinstance(problem, Problem):
            return None
        parts: dict[str, Any] = {}
        works = dict[tuple[str, str, str, int], dict[str, Any]]()
        for place in folder.rows:
            row, source = self._row(place), self.sources[place.source]
            if source.part == "tried_chain" and row is not None:
                parts["tried_chains"] = (*parts.get("tried_chains", ()), row)
            elif source.part in _OF_THE_PROBLEM and row is not None:
                parts.setdefault(source.part, row)
            elif row is not None:
                _gather(works, source, row)
        shown = sorted(works.values(), key=lambda work: str(work["group"]).startswith(REPEATS))
        return Case(problem=problem, set=folder.set, works=tuple(Work(**work) for work in shown), **parts)

    def _row(self, place: Place) -> Row | None:
        source = self.sources[place.source]
        try:
            return source.kind.model_validate_json(self._raw(place))
        except ValidationError as failure:
            self._fault(source, place, failure.errors()[0]["msg"])
            return None

    def _raw(self, place: Place) -> bytes:
        if place.source not in self._maps:
            with self.sources[place.source].path.open("rb") as file:
                self._maps[place.source] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[place.source][place.start : place.end]


def _lines(number: int, path: Path) -> Iterator[tuple[Place, bytes]]:
    start = 0
    with path.open("rb") as file:
        for raw in file:
            if raw.strip():
                yield Place(number, start, start + len(raw)), raw
            start += len(raw)


def _identity(raw: bytes) -> str | None:
    """The problem that a row is about; None if it is no row."""
    if match := _ID.match(raw):
        return match[1].decode(errors="replace")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    name = value.get("problem_id", value.get("id")) if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _gather(works: dict[tuple[str, str, str, int], dict[str, Any]], source: Source, row: Any) -> None:
    """Put a row with the work it is about."""
    key = source.run, source.group, source.model, row.sample
    label = f"{source.run} · {source.model}" if source.run and source.model else source.model
    parts = works.setdefault(key, {"group": source.group, "model": label, "sample": row.sample})
    if source.part in ("left_out", "held"):
        parts[source.part] = (*parts.get(source.part, ()), row)
    else:
        parts.setdefault(source.part, row)
