"""The process that tests/stages/test_ray_engine.py kills: one stage of solutions by a tiny student, in chunks.

    python tests/ray_run.py local|ray RUN_FOLDER STUDENT PROBLEMS PAUSE_S

Each row waits PAUSE_S, so that there is a middle to kill in; a worker leaves its process id in RUN_FOLDER.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console

from redink.models.shelf import Shelf
from redink.models.student import Sampling
from redink.pipelines.workshop import numbered
from redink.progress import Advance
from redink.prompts import Prompt
from redink.recipe import load_recipe
from redink.run import Run
from redink.stages.attempts import attempt, quarantined
from redink.stages.chunks import Chunked
from redink.types import Attempt, Problem, Row

POISON = "p13"
SIZE = 8


@dataclass(frozen=True)
class Draw:
    """How a chunk is made; the problem `POISON` cannot be."""

    shelf: Shelf
    student: str
    folder: Path
    pause_s: float

    def __call__(self, rows: Sequence[Problem], number: int, advance: Advance) -> Sequence[Row]:
        (self.folder / f"{os.getpid()}.pid").touch()
        time.sleep(self.pause_s * len(rows))
        if any(row.id == POISON for row in rows):
            raise ValueError("cannot be read")
        sampling = numbered(Sampling(temperature=1.0, max_new_tokens=6, batch_rows=4), number)
        return attempt(
            rows, self.shelf.student(self.student), Prompt(name="solve", text="{{question}}"), sampling, advance
        )


def main(engine: str, folder: Path, student: str, count: int, pause_s: float) -> None:
    overrides = [f"engine.kind={engine!r}", "engine.address='local'", "engine.workers=2"]
    problems = [Problem(id=f"p{n}", question=f"{n} + {n} =", answer=str(2 * n)) for n in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    chunked: Chunked[Problem, Attempt] = Chunked(
        "attempts", Attempt, Draw(Shelf(), student, folder, pause_s), SIZE, spoiled=quarantined
    )
    with Run(folder, load_recipe("demo", overrides), Console(file=StringIO())) as run:
        run.stage(chunked, problems)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
