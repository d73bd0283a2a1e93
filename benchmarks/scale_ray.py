"""redink's Ray engine beside bare Ray Data: the same attempts, graded, in the same batches by as many actors."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import ray
import ray.data

from benchmarks.scripted_student import ScriptedStudent, _problems
from redink.models.student import Sampling
from redink.progress import Advance, quiet
from redink.prompts import load_prompt
from redink.stages.attempts import attempt
from redink.stages.engine import EngineSettings, Job, Local
from redink.stages.making import Making
from redink.stages.ray_engine import RayEngine
from redink.stages.store import line_of
from redink.types import Problem, Row

BATCH, WORKERS, SAMPLES = 256, 2, 4
ASK = load_prompt("solve_hierarchical")


def made(rows: Sequence[Problem], number: Any, advance: Advance) -> Sequence[Row]:
    """Four graded attempts at each problem."""
    return attempt(rows, ScriptedStudent(), ASK, Sampling(seed=int(number), samples=SAMPLES), advance)


MAKING = Making("attempts", made, line_of)


class Bare:
    """What one writes oneself: an actor that gives a line of JSON for each attempt."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Rows of JSON problems to lines."""
        rows = [Problem.model_validate_json(text) for text in batch["problem"]]
        return {"line": [line_of(row) for row in made(rows, 0, quiet)]}


def bare(problems: Sequence[Problem]) -> int:
    """Lines that bare Ray Data makes."""
    data = ray.data.from_items([{"problem": row.model_dump_json()} for row in problems])
    out = data.map_batches(Bare, batch_size=BATCH, concurrency=WORKERS, num_cpus=1)
    return sum(len(batch["line"]) for batch in out.iter_batches(batch_size=None))


def jobs(problems: Sequence[Problem]) -> Iterator[Job[Problem]]:
    """The same batches as chunks."""
    for number, start in enumerate(range(0, len(problems), BATCH)):
        rows = problems[start : start + BATCH]
        yield Job(number, rows, len(rows) * SAMPLES)


def by_engine(engine: Any, problems: Sequence[Problem]) -> int:
    """Lines that an engine makes."""
    lines: list[int] = []
    engine.make(MAKING, jobs(problems), lambda job, text: lines.append(text.count("\n")), quiet)
    return sum(lines)


def in_this_process(problems: Sequence[Problem]) -> int:
    """The same work without any engine."""
    return sum(len(MAKING(job.rows, job.key, quiet).splitlines()) for job in jobs(problems))


def compare(quick: bool) -> None:
    """Print µs per attempt of every arm, and the figures."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    engine = RayEngine(EngineSettings(kind="ray", workers=WORKERS))
    problems = list(_problems(4_096 if quick else 16_384, Random(0)))
    arms: dict[str, Callable[[], int]] = {
        "no engine": lambda: in_this_process(problems),
        "local engine": lambda: by_engine(Local(), problems),
        "bare Ray Data": lambda: bare(problems),
        "Ray engine": lambda: by_engine(engine, problems),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(2 if quick else 5):
        for name, arm in arms.items():
            began = time.perf_counter()
            lines = arm()
            seconds[name].append(time.perf_counter() - began)
            assert lines == len(problems) * SAMPLES, f"{name}: {lines} lines"
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    rows = len(problems) * SAMPLES
    for name, spent in medians.items():
        print(f"engine {name}: {1e6 * spent / rows:.1f} µs per attempt, {rows} attempts in batches of {BATCH} problems")
    print(f"figure local_overhead = {medians['local engine'] / medians['no engine']:.3f} x (goal <= 1.05)")
    print(f"figure ray_overhead = {medians['Ray engine'] / medians['bare Ray Data']:.3f} x (goal <= 1.15)")
    ray.shutdown()
