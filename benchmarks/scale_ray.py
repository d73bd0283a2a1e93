"""redink's Ray engine beside bare Ray Data: the same attempts, graded, in the same batches by as many actors.

Every Ray arm starts its actors anew, which takes seconds; `START` problems measure that alone, and it is printed. The
arms of Ray take turns in who comes first, each after a pause: one that follows at once finds fewer idle workers.
"""

from __future__ import annotations

import logging
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
FULL, QUICK, START = 65_536, 16_384, 2 * BATCH
PAUSE_S = 5
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


def spent(arm: Callable[[Sequence[Problem]], int], problems: Sequence[Problem]) -> float:
    """Wall-clock seconds of one arm, all of whose lines must have come."""
    began = time.perf_counter()
    lines = arm(problems)
    seconds = time.perf_counter() - began
    assert lines == len(problems) * SAMPLES, f"{lines} lines"
    return seconds


def rounds(
    arms: dict[str, Callable[[Sequence[Problem]], int]], problems: Sequence[Problem], count: int, pause_s: float
) -> dict[str, float]:
    """Median seconds of each arm; in every other round they come in the opposite order."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(count):
        for name in list(arms)[:: -1 if number % 2 else 1]:
            time.sleep(pause_s)
            seconds[name].append(spent(arms[name], problems))
    return {name: statistics.median(each) for name, each in seconds.items()}


def compare(quick: bool) -> None:
    """Print µs per attempt of every arm, and the figures."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    engine = RayEngine(EngineSettings(kind="ray", workers=WORKERS))
    problems = list(_problems(QUICK if quick else FULL, Random(0)))
    here = {"no engine": in_this_process, "local engine": lambda rows: by_engine(Local(), rows)}
    cluster = {"bare Ray Data": bare, "Ray engine": lambda rows: by_engine(engine, rows)}
    count = 2 if quick else 4
    medians = rounds(here, problems, count, 0) | rounds(cluster, problems, count, PAUSE_S)
    starts = rounds(cluster, problems[:START], count, PAUSE_S)
    attempts = len(problems) * SAMPLES
    for name, seconds in medians.items():
        start = f", {starts[name]:.1f} s of it until {START} problems are done" if name in starts else ""
        print(
            f"engine {name}: {1e6 * seconds / attempts:.1f} µs per attempt, {attempts} attempts "
            f"in batches of {BATCH} problems, {seconds:.1f} s{start}"
        )
    print(f"figure local_overhead = {medians['local engine'] / medians['no engine']:.3f} x (goal <= 1.05)")
    print(f"figure ray_overhead = {medians['Ray engine'] / medians['bare Ray Data']:.3f} x (goal <= 1.15)")
    ray.shutdown()
