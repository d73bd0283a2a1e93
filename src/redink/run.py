"""A run directory: the recipe as run, a manifest, typed rows per stage, checkpoints, results; killed, it continues.

Where rows are waited for (teacher, inspector) a stage streams: each outcome is appended to one file as it comes. Where
rows are sampled together (student) a stage works in chunks, each a file written whole or not at all. A finished stage
is `<stage>.jsonl` with its books in `<stage>.counts.json`, written last.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

from pydantic import ValidationError
from rich.console import Console

from redink.failures import Failure, StoppedByHand
from redink.progress import Advance, Note, no_note, progress
from redink.recipe import RunRecipe
from redink.rows import read_rows, unwritable, write_rows, write_text, writing
from redink.stages.chunks import Ahead, Chunked
from redink.stages.engines import engine_of
from redink.stages.flow import first_ctrl_c, flow
from redink.stages.outcomes import all_tries, tally
from redink.stages.unfinished import REQUEUED, Unfinished, row_key, tagged
from redink.types import Quarantined, Rejected, Row, StageCounts, Tried

T = TypeVar("T")
R = TypeVar("R", bound=Row)
P = TypeVar("P", bound=RunRecipe)
Work = Callable[[T, Sequence[Tried]], Awaitable[Row]]
JOURNAL = "journal.sqlite"
PACKAGES = ("redink", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "math-verify", "reasoning_gym")


async def _at_once() -> None:
    """Nothing was bought."""


class Run(Generic[P]):
    """One run directory, held by one process at a time."""

    def __init__(
        self, folder: Path, recipe: P, console: Console | None = None, *, may_change: Sequence[str] = ()
    ) -> None:
        """Create or reopen `folder` for `recipe`; keys in `may_change`, and those of its kind, may be new.

        Raises `Failure` if the folder cannot be written, is held by another process, or was made by another recipe,
        and if its engine is not installed.
        """
        self.folder, self.recipe = folder, recipe
        self.console = console or Console(stderr=True)
        self.engine = engine_of(recipe.engine)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
        except OSError as failure:
            raise unwritable(folder, failure) from None
        try:
            self._hold()
            self._keep_recipe((*recipe.may_change, *may_change))
        except BaseException:
            self._lock.close()
            raise
        self._loop = asyncio.Runner()

    def __enter__(self) -> Run[P]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory, and of a cluster that was joined."""
        self.engine.close()
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

    def _keep_recipe(self, may_change: Sequence[str]) -> None:
        path = self.folder / "recipe.json"
        text = self.recipe.model_dump_json(indent=2) + "\n"
        before = _with_new_keys(json.loads(path.read_text("utf-8") if path.exists() else text), type(self.recipe))
        changed = [key for key in changed_keys(before, json.loads(text)) if not _may_change(key, may_change)]
        if changed:
            raise Failure(
                f"{self.folder} was made by another recipe (differs in {', '.join(changed)}).",
                "Choose another --name, or start anew with --fresh.",
            )
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)

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

    def requeue(self, stage: str, kind: type[Row], chosen: Callable[[Quarantined], bool]) -> int:
        """Open a finished stage again, for its `chosen` quarantined rows only; returns how many they are.

        The next run of the stage makes just those anew and knows how they failed; until then it has no books. What was
        made of its rows is the caller's to remove.
        """
        held = self.rows(f"{stage}.quarantine", Quarantined)
        count = sum(map(chosen, held))
        if not count:
            return 0
        with writing(self._unfinished(stage)) as file:
            for row in (*self.rows(stage, kind), *self.rows(f"{stage}.rejected", Rejected), *held):
                again = {"kind": REQUEUED} if isinstance(row, Quarantined) and chosen(row) else {}
                file.write(tagged(row, key=row_key(row), **again))
        for ending in (".counts.json", ".jsonl", ".rejected.jsonl", ".quarantine.jsonl"):
            self.path(f"{stage}{ending}").unlink(missing_ok=True)
        return count

    def forget(self, names: Iterable[str]) -> None:
        """Remove files and folders of this run."""
        for name in names:
            path = self.path(name)
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def finished(self, stage: str) -> bool:
        """True once the books of a stage are written."""
        return self.path(f"{stage}.counts.json").exists()

    def stream(
        self,
        stage: str,
        kind: type[Row],
        inputs: Sequence[T],
        work: Work[T],
        key: Callable[[T], str],
        *,
        window: int = 64,
        within: AbstractAsyncContextManager[object] | None = None,
        booked: Callable[[], Awaitable[None]] = _at_once,
        note: Note = no_note,
        onward: Chunked[Any, Any] | None = None,
        stop: Callable[[Failure], None] | None = None,
    ) -> StageCounts:
        """Do a stage row by row, `window` of them under way at once, or leave it as it is if it is done.

        `work(input, before)` gives one outcome: a row of `kind`, `Rejected` or `Quarantined`; `before` are the tries
        of an earlier run, if the row was requeued. `key` names an input by problem and sample. The work is done inside
        `within`, and `booked()` is awaited before its outcome is kept: what a row cost is on disk before the row is.
        Accepted rows go to `onward` in the order of the inputs, as soon as those before are decided.
        Ctrl-C has what is under way come to its end, where `stop` may keep it from beginning anything new; a second
        one ends the process at once.
        Returns the books; memory does not grow with the rows. Raises the first `Failure`, after what was under
        way, `StoppedByHand` for Ctrl-C.
        """
        if not self.finished(stage):
            with (
                Unfinished(self._unfinished(stage), kind, inputs, key) as outcomes,
                self._ahead(onward, outcomes.sync) as ahead,
                progress(stage, len(inputs), done=outcomes.decided, note=note) as advance,
            ):
                settle = _Settling(outcomes, kind, ahead, advance)
                self.wait(_flowing(inputs, outcomes, work, booked, settle, window, within, self._on_ctrl_c(stop)))
                self._finish(stage, len(inputs), outcomes)
        self._unfinished(stage).unlink(missing_ok=True)
        return self._show_books(stage)

    def stage(self, chunked: Chunked[T, R], inputs: Sequence[T], *, per_input: int = 1, unit: str = "rows") -> list[R]:
        """Do a stage chunk by chunk, or read it if it is done; prints its books.

        Its `make` gives `per_input` outcomes per input: rows of its kind, `Rejected` or `Quarantined`; the recipe's
        engine says who calls it. Accepted rows are returned in the order of the inputs.
        """
        stage = chunked.stage
        if not self.finished(stage):
            parts = self._parts(stage)
            with progress(stage, len(inputs) * per_input, unit) as advance:
                chunked.fill(self.engine, parts, inputs, advance, per_input)
            self._finish(stage, len(inputs) * per_input, chunked.outcomes(parts, len(inputs)))
        shutil.rmtree(self._parts(stage), ignore_errors=True)
        self._show_books(stage)
        return self.rows(stage, chunked.kind)

    def settle(self, stage: str, kind: type[R], outcomes: Sequence[Row]) -> list[R]:
        """Keep the books of a stage whose outcomes are all at hand, one per input; returns the accepted ones."""
        if not self.finished(stage):
            self._finish(stage, len(outcomes), outcomes)
        self._show_books(stage)
        return self.rows(stage, kind)

    def _on_ctrl_c(self, stop: Callable[[Failure], None] | None) -> Callable[[Failure], None]:
        def stopping(why: Failure) -> None:
            self.say("stopping: calls under way are brought to their end; Ctrl-C again stops at once.")
            if stop:
                stop(why)

        return stopping

    def _unfinished(self, stage: str) -> Path:
        return self.path(f"{stage}.unfinished.jsonl")

    def _parts(self, stage: str) -> Path:
        return self.path(f"{stage}.parts")

    def _ahead(
        self, onward: Chunked[Any, Any] | None, sync: Callable[[], None]
    ) -> AbstractContextManager[Ahead[Any] | None]:
        """Chunks ahead are made here only: a cluster makes them all when their turn has come."""
        if onward is None or self.finished(onward.stage) or self.recipe.engine.kind != "local":
            return nullcontext()
        return Ahead(onward, self._parts(onward.stage), sync)

    def _finish(self, stage: str, inputs: int, outcomes: Iterable[Row]) -> None:
        """Sort the outcomes into their files and write the books, last."""
        with (
            writing(self.path(f"{stage}.jsonl")) as accepted,
            writing(self.path(f"{stage}.rejected.jsonl")) as rejected,
            writing(self.path(f"{stage}.quarantine.jsonl")) as held,
        ):
            files = {Rejected: rejected, Quarantined: held}
            counts = tally(stage, inputs, (_written(row, files.get(type(row), accepted)) for row in outcomes))
        write_text(self.path(f"{stage}.counts.json"), counts.model_dump_json() + "\n")

    def book(self, counts: StageCounts) -> None:
        """Keep and show the books of a stage whose rows lie in shards."""
        write_text(self.path(f"{counts.stage}.counts.json"), counts.model_dump_json() + "\n")
        self.say(_books(counts))

    def _show_books(self, stage: str) -> StageCounts:
        counts = StageCounts.model_validate_json(self.path(f"{stage}.counts.json").read_text("utf-8"))
        self.say(_books(counts))
        return counts

    # ------------------------------------------------------------------ books

    def say(self, line: str) -> None:
        """Tell the person at the keyboard."""
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

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


def start_anew(folder: Path) -> None:
    """Remove a run directory, all but its journal: what was bought is not bought again."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith(JOURNAL):
            path.unlink()


def changed_keys(before: Any, after: Any, above: str = "") -> list[str]:
    """Dotted keys whose values differ between two tables."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [
            name for key in keys for name in changed_keys(before.get(key), after.get(key), f"{above}.{key}".strip("."))
        ]
    return [] if before == after else [above]


def _with_new_keys(values: Any, kind: type[RunRecipe]) -> Any:
    """A kept recipe with the defaults of keys that are younger than it; as it is if it no longer reads as a recipe."""
    try:
        return kind.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values


def _may_change(key: str, may_change: Sequence[str]) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in may_change)


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


class _Settling(Generic[T]):
    """Keeps outcomes as they come, shows the progress, and passes accepted rows on in the order of the inputs."""

    def __init__(self, outcomes: Unfinished[T], kind: type[Row], ahead: Ahead[Any] | None, advance: Advance) -> None:
        self._outcomes, self._kind, self._ahead, self._advance = outcomes, kind, ahead, advance
        self._passed = 0
        self._pass_on()

    def __call__(self, place: int, row: Row) -> None:
        self._outcomes.add(place, row)
        self._advance()
        self._pass_on()

    def _pass_on(self) -> None:
        while self._ahead and self._passed < len(self._outcomes) and self._passed in self._outcomes:
            row = self._outcomes[self._passed]
            self._passed += 1
            if isinstance(row, self._kind):
                self._ahead.feed(row)


async def _flowing(
    inputs: Sequence[T],
    outcomes: Unfinished[T],
    work: Work[T],
    booked: Callable[[], Awaitable[None]],
    settle: Callable[[int, Row], None],
    window: int,
    within: AbstractAsyncContextManager[object] | None,
    stopping: Callable[[Failure], None],
) -> None:
    """Every input without an outcome, through `work`."""
    why = StoppedByHand()

    async def one(place: int) -> Row:
        if asked.is_set():
            raise why
        held = outcomes.before(place)
        row = await work(inputs[place], all_tries(held) if held else ())
        await booked()
        return row

    with first_ctrl_c(lambda: stopping(why)) as asked:
        async with within or nullcontext():
            await flow(outcomes.open_places(), one, settle, window)


def _written(row: R, file: TextIO) -> R:
    file.write(row.model_dump_json() + "\n")
    return row
