"""A series: all solutions of one model to one set of problems, stored once, by which every figure is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from redink.answers.checkers import MATH, Checker
from redink.evaluation.outcomes import Outcomes, read_tally
from redink.failures import BadInput, Failure
from redink.models.student import Sampling, derived_seed
from redink.progress import Advance, progress
from redink.rows import write_text
from redink.run import changed_keys
from redink.stages.attempts import no_attempts
from redink.stages.chunks import CHUNK
from redink.stages.engine import LOCAL, Engine
from redink.stages.shards import GREEDY, Shards, repeat_name
from redink.types import Attempt, Problem, Row

SERIES = "series.json"
ANEW = "Choose another --name, or start anew with --fresh."
_BLOCK, _BLOCKS = 1 << 16, 64
Draw = Callable[[Sequence[Problem], Sampling, Advance], Sequence[Attempt]]
"""`draw(problems, sampling, advance)`: one solution per problem, in their order."""


class Series(Row):
    """What the solutions of a series depend on; a series is not continued with another."""

    model: str = Field(description="The model's name, as results show it.")
    weights: str = Field(description="What its weights are known by.")
    benchmark: str = Field(description="The set of problems.")
    problems: str = Field(description="Fingerprint of the problems, in their order.")
    prompt: str = Field(description="Name of the prompt.")
    prompt_text: str = Field(description="First 16 hexadecimal digits of the SHA-256 of its text.")
    correct: str = Field("", description="Name of the prompt for reviews, where there are reviews.")
    correct_text: str = Field("", description="The same of its text.")
    temperature: float = Field(description="Of the repeats; the greedy pass has none.")
    top_p: float = Field(description="Of the repeats.")
    max_new_tokens: int = Field(description="Longest reply.")
    batch_rows: int = Field(description="Rows per generation batch, by which seeds are spread.")
    chunk: int = Field(CHUNK, description="Problems per shard, by which seeds are spread.")
    seed: int = Field(description="What every seed of the series is derived from.")


@dataclass(frozen=True)
class Store:
    """Where a series lies, and how it grows: `<folder>/series.json`, `<folder>/<pass>/<chunk>.jsonl`."""

    folder: Path
    series: Series
    problems: Sequence[Problem]
    engine: Engine = LOCAL

    def keep(self) -> None:
        """Begin the series, or raise `Failure` naming what differs from the one that was begun here."""
        before = kept_series(self.folder)
        if before is None:
            write_text(self.folder / SERIES, self.series.model_dump_json(indent=2) + "\n")
        elif changed := changed_keys(before.model_dump(), self.series.model_dump()):
            how = _differences(before, self.series, changed)
            raise Failure(
                f"{self.folder} holds solutions that were drawn otherwise ({how}).",
                ANEW,
            )

    def sampling(self, name: str, chunk: int) -> Sampling:
        """How a chunk of one pass is sampled."""
        return sampling_of(self.series, name, chunk)

    def shards(self, draw: Draw) -> Shards[Problem, Attempt]:
        """The shards of its solutions, drawn by `draw`; the `sample` of a solution is the number of its repeat."""

        series = self.series

        def make(rows: Sequence[Problem], name: str, chunk: int, advance: Advance) -> Sequence[Attempt]:
            number = 0 if name == GREEDY else int(name.removeprefix("r"))
            drawn = draw(rows, sampling_of(series, name, chunk), advance)
            return [row.model_copy(update={"sample": number}) for row in drawn]

        return Shards(self.folder, Attempt, make, series.chunk, self.engine, no_attempts)

    def greedy(self, draw: Draw) -> list[Attempt]:
        """The greedy solutions, one per problem."""
        self.keep()
        shards = self.shards(draw)
        with progress(f"{self._label}: solving", len(self.problems), "problems") as advance:
            shards.fill([GREEDY], self.problems, advance)
        return shards.rows(GREEDY, self.problems)

    def repeats(self, draw: Draw, repeats: int, checker: Checker = MATH) -> Outcomes | None:
        """The outcomes of the first `repeats` sampled passes, made as far as they are not there; None for none.

        `checker` says which answers are the same.
        """
        if not repeats:
            return None
        self.keep()
        shards, passes = self.shards(draw), [repeat_name(number) for number in range(repeats)]
        with progress(f"{self._label}: {repeats} repeats", repeats * len(self.problems), "solutions") as advance:
            shards.fill(passes, self.problems, advance)
        return read_outcomes(self.series.model, self.problems, shards.paths(passes, len(self.problems)), checker)

    @property
    def _label(self) -> str:
        return f"{self.series.benchmark}, {self.series.model}"


def sampling_of(series: Series, name: str, chunk: int) -> Sampling:
    """How a chunk of one pass of a series is sampled; the seed is its own: (seed, benchmark, pass, chunk)."""
    return Sampling(
        temperature=0.0 if name == GREEDY else series.temperature,
        top_p=series.top_p,
        max_new_tokens=series.max_new_tokens,
        seed=derived_seed(series.seed, series.benchmark, name, chunk),
        batch_rows=series.batch_rows,
    )


def read_outcomes(model: str, problems: Sequence[Problem], shards: Sequence[Path], checker: Checker) -> Outcomes:
    """The outcomes in some shards of repeats, never all of their texts at once."""
    with progress(f"{model}: counting", len(shards) * CHUNK, "solutions") as advance:
        tally = read_tally(model, problems, shards, checker, advance)
    return tally.outcomes()


def kept_series(folder: Path) -> Series | None:
    """The series that was begun in a folder, or None; raises `BadInput` if its description cannot be read."""
    path = folder / SERIES
    try:
        return Series.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, UnicodeDecodeError):
        raise BadInput(path, "cannot be read as a series.", ANEW) from None


def weights_of(name: str) -> str:
    """What a model's weights are known by: a digest over a folder's safetensors (blocks of each), else the name.

    A model that was trained anew under the same path is thereby another one.
    """
    folder = Path(name).expanduser()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return name
    state = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        state.update(f"{path.name}/{size}/".encode())
        with path.open("rb") as file:
            for place in range(0, size, max(_BLOCK, size // _BLOCKS)):
                file.seek(place)
                state.update(file.read(_BLOCK))
    return state.hexdigest()[:16]


def _differences(before: Series, after: Series, keys: Sequence[str]) -> str:
    def named(key: str) -> str:
        return f"{key} {getattr(before, key)}, not {getattr(after, key)}"

    return ", ".join(map(named, keys))
