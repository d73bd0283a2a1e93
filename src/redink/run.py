"""A run directory: the recipe as run, a manifest, typed rows per stage, checkpoints, results; killed, it continues.

A stage works in chunks; each finished chunk is one file, written whole or not at all, so a kill costs at most
one chunk. A finished stage is `<stage>.jsonl` with its books in `<stage>.counts.json`, written last.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from redink.failures import BadInput, Failure
from redink.progress import Advance, progress
from redink.recipe import Recipe
from redink.rows import as_row, read_json_lines, read_rows, unwritable, write_rows, write_text
from redink.stages.outcomes import tally
from redink.types import Quarantined, Rejected, Row, StageCounts

T = TypeVar("T")
R = TypeVar("R", bound=Row)
Make = Callable[[Sequence[T], int, Advance], Sequence[Row]]
PACKAGES = ("redink", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify", "reasoning_gym")


class Run:
    """One run directory, held by one process at a time."""

    def __init__(self, folder: Path, recipe: Recipe, console: Console | None = None) -> None:
        """Create or reopen `folder` for `recipe`.

        Raises `Failure` if the folder cannot be written, is held by another process, or was made by another recipe.
        """
        self.folder, self.recipe = folder, recipe
        self.console = console or Console(stderr=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
        except OSError as failure:
            raise unwritable(folder, failure) from None
        try:
            self._hold()
            self._keep_recipe()
        except BaseException:
            self._lock.close()
            raise
        self._loop = asyncio.Runner()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory."""
        self._loop.close()
        self._lock.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run asynchronous work to its end, always on this run's one event loop."""
        return self._loop.run(work)

    def _hold(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure(
                f"{self.folder}: another process is working in this run directory.",
                "Wait for it, or choose another --name.",
            ) from None

    def _keep_recipe(self) -> None:
        path = self.folder / "recipe.json"
        text = self.recipe.model_dump_json(indent=2) + "\n"
        if not path.exists():
            write_text(path, text)
            return
        before = json.loads(path.read_text("utf-8"))
        changed = changed_keys(before, json.loads(text))
        if changed:
            raise Failure(
                f"{self.folder} was made by another recipe (differs in {', '.join(changed)}).",
                "Choose another --name, or start anew with --fresh.",
            )

    # ------------------------------------------------------------------ rows

    def path(self, name: str) -> Path:
        """A file or folder of this run."""
        return self.folder / name

    def rows(self, stage: str, kind: type[R]) -> list[R]:
        """The accepted rows of a finished stage."""
        return read_rows(self.path(f"{stage}.jsonl"), kind)

    def keep(self, name: str, make: Callable[[], Sequence[R]], kind: type[R]) -> list[R]:
        """Rows that are made in one go: read if they are there, else made and written."""
        path = self.path(f"{name}.jsonl")
        if not path.exists():
            write_rows(path, make())
        return read_rows(path, kind)

    def stage(
        self,
        stage: str,
        kind: type[R],
        inputs: Sequence[T],
        make: Make[T],
        *,
        chunk: int = 256,
        per_input: int = 1,
        unit: str = "rows",
    ) -> list[R]:
        """Do a stage chunk by chunk, or read it if it is done; prints its books.

        `make(chunk, number, advance)` gives `per_input` outcomes per input: rows of `kind`, `Rejected` or
        `Quarantined`. Accepted rows are returned in the order of the inputs.
        """
        done = self.path(f"{stage}.counts.json")
        if not done.exists():
            outcomes = self._chunks(stage, kind, inputs, make, chunk, per_input, unit)
            self._finish(stage, kind, tally(stage, len(inputs) * per_input, outcomes), outcomes)
        shutil.rmtree(self.path(f"{stage}.parts"), ignore_errors=True)
        self.say(_books(StageCounts.model_validate_json(done.read_text("utf-8"))))
        return self.rows(stage, kind)

    def _chunks(
        self, stage: str, kind: type[R], inputs: Sequence[T], make: Make[T], chunk: int, per_input: int, unit: str
    ) -> list[Row]:
        outcomes: list[Row] = []
        with progress(stage, len(inputs) * per_input, unit) as advance:
            for number, start in enumerate(range(0, len(inputs), chunk)):
                part = self.path(f"{stage}.parts") / f"{number:06d}.jsonl"
                if part.exists():
                    outcomes += _read_outcomes(part, kind)
                    advance(len(inputs[start : start + chunk]) * per_input)
                    continue
                made = list(make(inputs[start : start + chunk], number, advance))
                write_text(part, "".join(_tagged(row) for row in made))
                outcomes += made
        return outcomes

    def _finish(self, stage: str, kind: type[R], counts: StageCounts, outcomes: Sequence[Row]) -> None:
        write_rows(self.path(f"{stage}.jsonl"), [row for row in outcomes if isinstance(row, kind)])
        write_rows(self.path(f"{stage}.rejected.jsonl"), [row for row in outcomes if isinstance(row, Rejected)])
        write_rows(self.path(f"{stage}.quarantine.jsonl"), [row for row in outcomes if isinstance(row, Quarantined)])
        write_text(self.path(f"{stage}.counts.json"), counts.model_dump_json() + "\n")

    # ------------------------------------------------------------------ books

    def say(self, line: str) -> None:
        """Tell the person at the keyboard."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def counts(self) -> list[StageCounts]:
        """The books of every finished stage, by name."""
        files = sorted(self.folder.glob("*.counts.json"))
        return [StageCounts.model_validate_json(file.read_text("utf-8")) for file in files]

    def write_manifest(self, fingerprints: dict[str, str], seeds: dict[str, int]) -> None:
        """Versions, seeds, data fingerprints and counts: what is needed to make this run again."""
        manifest = {
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "seeds": seeds,
            "versions": {name: _version(name) for name in PACKAGES},
            "fingerprints": fingerprints,
            "counts": {row.stage: row.model_dump(exclude={"stage"}) for row in self.counts()},
        }
        write_text(self.path("manifest.json"), json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def changed_keys(before: Any, after: Any, above: str = "") -> list[str]:
    """Dotted keys whose values differ between two tables."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [
            name for key in keys for name in changed_keys(before.get(key), after.get(key), f"{above}.{key}".strip("."))
        ]
    return [] if before == after else [above]


def _books(counts: StageCounts) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.reasons.items())
    return (
        f"{counts.stage}: {counts.accepted} accepted + {counts.rejected} rejected + {counts.quarantined} quarantined"
        f" = {counts.inputs} inputs" + (f" ({reasons})" if reasons else "")
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _tagged(row: Row) -> str:
    return json.dumps({"kind": type(row).__name__, "row": row.model_dump(mode="json")}, ensure_ascii=False) + "\n"


def _read_outcomes(path: Path, kind: type[R]) -> list[Row]:
    kinds: dict[str, type[Row]] = {known.__name__: known for known in (kind, Rejected, Quarantined)}
    outcomes = []
    for number, value in read_json_lines(path):
        name = str(value.get("kind"))
        if name not in kinds:
            raise BadInput(
                path, f"holds a row of kind {name!r}.", "Remove this file; its rows are made anew.", line=number
            )
        outcomes.append(as_row(path, number, value.get("row"), kinds[name]))
    return outcomes
