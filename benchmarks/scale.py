"""What scale costs: memory and time of a stream of rows, the engine beside bare Ray Data, sampling beside `generate`.

    python -m benchmarks.scale [--quick] [--only stream engine sampling] [--sizes 10000 100000 1000000] [--folder DIR]

Stream. So many made-up problems, four scripted attempts each (one in eight wrong), go through what `redink stream`
does: attempts, graded → error set → corrections by the reference teacher, inspected → own corrections → pairs →
export as Parquet. Each size runs in a process of its own; `rss_mb` is the largest resident memory of the largest size,
the libraries included; `growth_exponent` is the slope of log(processor time) over log(problems), fitted by least
squares: 1 is linear. Processor time, user and system, because it does not depend on what else a machine does;
wall-clock seconds are printed beside it.

Engine. `ray_overhead`: chunks of rows through redink's Ray engine over bare `ray.data.map_batches` with the same work,
the same batches and the same number of actors, arms interleaved, medians; skipped, saying so, without Ray.

Sampling. The same prompts, greedy, with the same stop strings and batch size: `Student.generate` beside plain
`model.generate` in batches in the order of the prompts; tokens are those up to the end of each reply. Arms interleaved,
medians; processor time. The replies must be the same. Two loads, because what continuous batches save is the wait for
the longest row of a batch: `solutions`, of the base student, hardly differ in length; `reviews` of gold solutions, with
the demo's problems and batch size, do.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.scripted_student import ScriptedStudent, write_problems
from redink.failures import MissingModel
from redink.models.student import Completion, Request, Sampling, Student
from redink.pipelines.evaluation import gold_chain
from redink.pipelines.exporting import export_pairs
from redink.pipelines.streaming import Stream
from redink.problems import load_problems
from redink.prompts import load_prompt
from redink.recipe import load_recipe
from redink.run import Run
from redink.types import Problem

FULL, QUICK = (10_000, 100_000, 1_000_000), (1_000, 4_000, 16_000)
SAMPLES = 4
OFFLINE = ("teacher.kind='reference'", "inspector.kind='reference'")
SOURCES = ("stories:ledger", "stories:groups", "stories:compare")
PARTS = ("stream", "engine", "sampling")


def stream(problems: int, folder: Path) -> dict[str, float]:
    """Everything from the problems to the exported pairs; seconds, memory in MiB, rows."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "problems.jsonl"
    if not made.exists():
        write_problems(made, problems)
    recipe = load_recipe("supercorrect", [f"sampling.samples={SAMPLES}", "name='scale'", *OFFLINE])
    began, used = time.perf_counter(), time.process_time()
    with Run(folder / "run", recipe) as run:
        books = Stream(run, ScriptedStudent()).follow(made)
        export_pairs(run.folder, folder / "pairs.parquet")
    bytes_ = sum(path.stat().st_size for path in (folder / "run").rglob("*.zst"))
    return {
        "problems": problems, "seconds": time.perf_counter() - began, "cpu": time.process_time() - used,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": sum(row.accepted for row in books), "pairs": books[-1].accepted, "disk_mib": bytes_ / 2**20,
    }  # fmt: skip


def streams(sizes: Sequence[int], folder: Path) -> None:
    """Every size in a process of its own; prints a line for each, then the figures."""
    done = []
    for size in sizes:
        place = folder / f"stream-{size}"
        shutil.rmtree(place / "run", ignore_errors=True)
        command = [sys.executable, "-m", "benchmarks.scale", "--one", str(size), "--folder", str(place)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        done.append(json.loads(said.splitlines()[-1]))
        print(
            "stream {problems:>9} problems: {cpu:8.1f} s of processor time, {seconds:8.1f} s, {rss_mib:6.0f} MiB, "
            "{rows} rows, {pairs} pairs, {disk_mib:.1f} MiB on disk".format(**done[-1]),
            flush=True,
        )
    slope = np.polyfit(np.log([row["problems"] for row in done]), np.log([row["cpu"] for row in done]), 1)[0]
    print(f"figure rss_mb = {done[-1]['rss_mib'] * 2**20 / 1e6:.0f} MB (goal <= 1000)")
    print(f"figure growth_exponent = {slope:.3f} (goal <= 1.05)")


# ---------------------------------------------------------------- sampling


def plain(student: Student, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
    """What one writes with transformers: `model.generate`, batch by batch, in the order of the prompts."""
    replies = []
    for start in range(0, len(requests), sampling.batch_rows):
        rows = [student.prompt_ids(request.prompt) for request in requests[start : start + sampling.batch_rows]]
        replies += student._batch(rows, sampling)
    return replies


def ours(student: Student, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
    """`Student.generate`."""
    return [drawn[0] for drawn in student.generate(requests, sampling)]


def timed(arm: Callable[..., list[Completion]], *given: object) -> tuple[float, list[Completion]]:
    """Processor seconds, and the replies."""
    began = time.process_time()
    replies = arm(*given)
    return time.process_time() - began, replies


def solutions(problems: Sequence[Problem], prompt: str) -> list[Request]:
    """Each question with a prompt that asks for its solution."""
    wanted = load_prompt(prompt)
    return [Request(wanted.render(question=problem.question)) for problem in problems]


def reviews(problems: Sequence[Problem], prompt: str) -> list[Request]:
    """Each question and its gold solution with a prompt that asks for a review: as uneven in length as the problems."""
    wanted = load_prompt(prompt)
    return [Request(wanted.render(question=problem.question, attempt=gold_chain(problem))) for problem in problems]


def mixed(sources: Sequence[str], count: int) -> list[Problem]:
    """So many problems, the sources mixed, as in a data set."""
    each = -(-count // len(sources))
    problems = [problem for source in sources for problem in load_problems(source, limit=each, seed=1)]
    random.Random(1).shuffle(problems)
    return problems[:count]


def sampling_arms(name: str, load: str, requests: Sequence[Request], rounds: int, sampling: Sampling) -> None:
    """Both arms on the same prompts, interleaved; prints tokens/s of each and the figure."""
    student = Student.load(name)
    seconds: dict[str, list[float]] = {"plain": [], "redink": []}
    said: dict[str, list[Completion]] = {}
    for _ in range(rounds):
        for arm, work in (("plain", plain), ("redink", ours)):
            spent, said[arm] = timed(work, student, requests, sampling)
            seconds[arm].append(spent)
    tokens = sum(reply.tokens for reply in said["redink"])
    medians = {arm: statistics.median(spent) for arm, spent in seconds.items()}
    same = sum(one.text == other.text for one, other in zip(said["plain"], said["redink"], strict=True))
    lengths = sorted(reply.tokens for reply in said["redink"])
    print(
        f"sampling {name}, {load}: {len(requests)} prompts, {sampling.batch_rows} rows, {tokens} tokens "
        f"(median {lengths[len(lengths) // 2]}, longest {lengths[-1]}), "
        f"plain {tokens / medians['plain']:.0f} tokens/s, redink {tokens / medians['redink']:.0f} tokens/s, "
        f"same text {same}/{len(requests)}"
    )
    speedup, waits = medians["plain"] / medians["redink"], waiting(said["plain"], sampling.batch_rows)
    print(
        f"figure sampling_speedup_{name}_{load} = {speedup:.2f} x (goal >= 2; {waits:.2f} if only waits were saved)",
        flush=True,
    )


def waiting(replies: Sequence[Completion], rows: int) -> float:
    """Row-steps of batches that wait for their longest row, over the tokens they write: what refilling can save."""
    batches = [replies[start : start + rows] for start in range(0, len(replies), rows)]
    return sum(len(batch) * max(reply.tokens for reply in batch) for batch in batches) / sum(r.tokens for r in replies)


def samplings(quick: bool) -> None:
    """The bundled student on even and uneven replies, and SmolLM2 where it has been fetched and there is time."""
    torch.set_num_threads(1)
    demo, count, rounds = load_recipe("demo"), 192 if quick else 768, 1 if quick else 3
    asked, limit, rows = demo.problems.sources, demo.sampling.max_review_tokens, demo.sampling.batch_rows
    even = Sampling(max_new_tokens=200, batch_rows=32, continuous=True)
    sampling_arms("bundled", "solutions", solutions(mixed(SOURCES, count), demo.prompts.base), rounds, even)
    uneven = Sampling(max_new_tokens=limit, batch_rows=rows, continuous=True)
    sampling_arms("bundled", "reviews", reviews(mixed(asked, count), demo.prompts.correct), rounds, uneven)
    if quick:
        return
    sampling = Sampling(max_new_tokens=256, batch_rows=8, continuous=True)
    try:
        sampling_arms("smollm2", "solutions", solutions(mixed(SOURCES, 24), "solve_hierarchical"), 1, sampling)
    except MissingModel as failure:
        print(f"sampling smollm2: skipped ({failure})")


# ---------------------------------------------------------------- the engine


def engines(quick: bool) -> None:
    """redink's Ray engine beside bare Ray Data."""
    try:
        from benchmarks.scale_ray import compare
    except ImportError as failure:
        print(f"figure ray_overhead: skipped ({failure}; pip install 'redink[ray]')")
        return
    compare(quick)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="within a minute on a free machine")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts alone")
    parser.add_argument("--sizes", nargs="+", type=int, help="problems of the streams")
    parser.add_argument("--folder", type=Path, help="where the streams are kept; else in a folder that goes again")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(stream(given.one, given.folder)))
        return
    if "sampling" in given.only:
        samplings(given.quick)
    if "engine" in given.only:
        engines(given.quick)
    if "stream" in given.only:
        with tempfile.TemporaryDirectory(prefix="redink-scale-") as folder:
            streams(given.sizes or (QUICK if given.quick else FULL), given.folder or Path(folder))


if __name__ == "__main__":
    main()
