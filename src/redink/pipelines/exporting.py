"""What a stream made, for others: pairs as TRL reads them, the rows of one problem, a part of it as a run directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from redink.failures import BadInput, Failure
from redink.pipelines.streaming import FOLDER, SIDES, STAGES, Taken, index_path, stores
from redink.rows import replacing, write_rows, write_text, writing
from redink.stages.store import Index, Store
from redink.types import PreferencePair, Problem, Quarantined, Rejected, Row

SCHEMA = pa.schema(
    [("problem_id", pa.string()), ("sample", pa.int32()), ("prompt", pa.string()), ("chosen", pa.string()),
     ("rejected", pa.string()), ("kind", pa.string())]
)  # fmt: skip
GROUP = 16_384
"""Rows of a Parquet row group, which is held in memory."""


def export_pairs(folder: Path, to: Path) -> int:
    """Write the pairs of a stream as `prompt`, `chosen`, `rejected` (TRL's explicit-prompt form); returns how many.

    The shared prefix begins both sides. The ending of `to` says the form: .parquet or .jsonl. Raises `Failure` for
    another one, `BadInput` if `folder` holds no pairs.
    """
    if to.suffix not in (".parquet", ".jsonl"):
        raise Failure(f"{to}: pairs are written as .parquet or .jsonl.", "Choose one of these endings.")
    rows = (_side_by_side(row) for row in _pairs(folder))
    return _parquet(to, rows) if to.suffix == ".parquet" else _jsonl(to, rows)


def rows_of(folder: Path, problem_id: str) -> dict[str, list[Row]]:
    """Every row about one problem, by stage, from one chunk of each; raises `BadInput` if there is no such problem."""
    taken(folder)
    for number in Index(index_path(folder)).chunks(problem_id):
        found = {
            stage: [row for row in store.outcomes(number) if about(row) == problem_id]
            for stage, store in stores(folder).items()
            if number in store
        }
        if found["problems"]:
            return found
    raise BadInput(folder, f"holds no problem {problem_id!r}.", "Ids are those of the file of problems.")


def extract(folder: Path, to: Path, problem_ids: Sequence[str]) -> None:
    """A run directory of some problems of a stream, with the books of all: for `redink report` and `redink view`.

    Raises `BadInput` for an unknown problem, `Failure` if `to` is there already.
    """
    if to.exists():
        raise Failure(f"{to} is there already.", "Choose another folder with --to.")
    found = [rows_of(folder, name) for name in problem_ids]
    write_rows(to / "problems.errors.jsonl", (row for rows in found for row in rows["problems"] if _belongs(row, None)))
    for stage in (name for name in STAGES if name not in ("problems", "errors")):
        rows = [row for part in found for row in part.get(stage, ())]
        for side, kind in SIDES.items():
            write_rows(to / f"{stage}{side}.jsonl", (row for row in rows if _belongs(row, kind)))
    for name in ("recipe.json", "manifest.json", *(path.name for path in folder.glob("*.counts.json"))):
        if (folder / name).exists():
            write_text(to / name, (folder / name).read_text("utf-8"))


def taken(folder: Path) -> Taken:
    """What a stream was made of; raises `BadInput` if `folder` is none."""
    try:
        return Taken.model_validate_json((folder / FOLDER / "problems.json").read_text("utf-8"))
    except FileNotFoundError:
        raise BadInput(folder, "is no stream.", "Name a run directory that `redink stream` made.") from None


def first_ids(folder: Path, count: int) -> list[str]:
    """The first so many problems of a stream."""
    store, ids = Store(folder / FOLDER, "problems", Problem), list[str]()
    for number in range(taken(folder).chunks):
        ids += [row.id for row in store.rows(number)][: count - len(ids)]
        if len(ids) == count:
            break
    return ids


def about(row: Row) -> str:
    """The problem that a row is about."""
    return row.id if isinstance(row, Problem) else str(getattr(row, "problem_id", ""))


def _belongs(row: Row, kind: type[Row] | None) -> bool:
    return isinstance(row, kind) if kind else not isinstance(row, Rejected | Quarantined)


def _pairs(folder: Path) -> Iterator[PreferencePair]:
    store = Store(folder / FOLDER, "pairs", PreferencePair)
    for number in range(taken(folder).chunks):
        if number not in store:
            raise BadInput(folder, "its pairs are not made yet.", "Go on with `redink stream` first.")
        yield from store.rows(number)


def _side_by_side(row: PreferencePair) -> dict[str, Any]:
    return {
        "problem_id": row.problem_id, "sample": row.sample, "prompt": row.prompt, "chosen": row.prefix + row.chosen,
        "rejected": row.prefix + row.rejected, "kind": row.kind,
    }  # fmt: skip


def _jsonl(to: Path, rows: Iterable[dict[str, Any]]) -> int:
    with writing(to) as file:
        return sum(bool(file.write(json.dumps(row, ensure_ascii=False) + "\n")) for row in rows)


def _parquet(to: Path, rows: Iterable[dict[str, Any]]) -> int:
    count, group = 0, list[dict[str, Any]]()
    with replacing(to) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd") as file:
        for row in rows:
            group.append(row)
            if len(group) == GROUP:
                file.write_table(pa.Table.from_pylist(group, SCHEMA))
                count, group = count + len(group), []
        file.write_table(pa.Table.from_pylist(group, SCHEMA))
    return count + len(group)
