"""The process that tests/pipelines/test_by_ray.py kills: a stream whose student answers by script.

    python tests/ray_stream.py local|ray RUN_FOLDER PROBLEMS_FILE PAUSE_S

Each chunk waits PAUSE_S, so that there is a middle to kill in; a worker leaves its process id beside RUN_FOLDER.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from benchmarks.scripted_student import ScriptedStudent
from rich.console import Console

from redink.models.student import Completion, Request, Sampling
from redink.pipelines.streaming import Stream
from redink.progress import Advance, quiet
from redink.recipe import load_recipe
from redink.run import Run

SIZE = 8


@dataclass(frozen=True)
class Slow(ScriptedStudent):
    """Takes its time, and says which process it works in."""

    pids: Path
    pause_s: float

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        (self.pids / f"{os.getpid()}.pid").touch()
        time.sleep(self.pause_s)
        return super().generate(requests, sampling, advance)


def main(engine: str, folder: Path, problems: Path, pause_s: float) -> None:
    recipe = load_recipe("demo", [
        f"engine.kind={engine!r}", "engine.address='local'", "engine.workers=2", "sampling.samples=3",
        "pairs.confirmations=0", "name='stream'", "seed=3",
    ])  # fmt: skip
    with Run(folder, recipe, Console(file=StringIO())) as run:
        Stream(run, Slow(folder.parent, pause_s)).follow(problems, size=SIZE)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
