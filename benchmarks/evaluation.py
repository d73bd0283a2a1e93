r"""Evaluation: 1.28 million stored attempts aggregated, and how often the 95 % intervals hold the truth.

    python -m benchmarks.evaluation [--quick] [--problems 5000] [--repeats 256] [--folder DIR] [--keep]

Aggregation. Attempts of one made-up model are written as `redink evaluate` writes them (`r000/000000.jsonl`, …, 256
problems a file, texts and steps included): half of the problems have numbers as answers, half LaTeX expressions, wrong
ones written in more than one way; a few have no answer. A process of its own then reads them and computes accuracy,
pass@k and maj@k, stability, the majority baseline and a comparison of the two halves of the repeats. Its wall-clock
seconds, the start of Python included, and its largest resident memory (and that of its largest worker) are the figures.

Coverage. Each scenario draws data from a known truth again and again and counts how often the interval holds it. The
figure of an interval is its worst scenario.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from redink.evaluation import accuracy, comparison, self_correction, stability
from redink.evaluation.outcomes import read_tally
from redink.evaluation.statistics import (
    Estimate,
    clustered_proportion,
    macro,
    paired_bootstrap,
    paired_difference,
    problem_bootstrap,
    proportion,
)
from redink.progress import progress
from redink.rows import write_rows
from redink.stages.shards import repeat_name
from redink.types import Attempt, Outcome, Problem, Step, Verdict

SHARD = 256
QUICK_PROBLEMS, QUICK_REPEATS = 500, 32
QUICK_DRAWS, FULL_DRAWS = 1_000, 10_000
CHEAP = 10
"""Times as many draws where an interval costs no simulation of its own."""
NOMINAL = 93.0

# attempts


def make_problems(count: int) -> list[Problem]:
    """Seven subjects, five levels; every other answer is a LaTeX expression."""
    return [
        Problem(id=f"p{n}", question=f"question {n}", answer=f"{n}" if n % 2 else rf"\frac{{{n + 1}}}{{7}}",
                subject=f"subject {n % 7}", level=f"Level {n % 5 + 1}")
        for n in range(count)
    ]  # fmt: skip


def wrong_answer(number: int, rng: random.Random) -> str:
    """One of about thirty, some likely; expressions in one of two writings."""
    off = min(30, int(rng.expovariate(0.2))) + 1
    if number % 2:
        return f"{number + off:,}" if rng.random() < 0.5 else f"{number + off}.0"
    above, below = number + 1, 7 + off
    return rng.choice([rf"\frac{{{above}}}{{{below}}}", rf"\dfrac{{{above}}}{{{below}}}", rf"{off}\sqrt{{3}}"])


def make_attempt(problem: Problem, number: int, repeat: int, chance: float, rng: random.Random) -> Attempt:
    """An attempt of about 700 characters whose verdict is known as it is made."""
    steps = tuple(
        Step(number=n, text=f"First we look at part {n} of {problem.question}: " + "so x = y. " * 9)
        for n in range(1, 6)
    )
    drawn = rng.random()
    answer = problem.answer if drawn < chance else None if drawn > 0.98 else wrong_answer(number, rng)
    outcome: Outcome = "right" if drawn < chance else "ungradable" if answer is None else "wrong"
    text = "\n".join(f"<Step{step.number}>{step.text}</Step{step.number}>" for step in steps)
    return Attempt(
        problem_id=problem.id, sample=repeat, text=text, steps=steps, answer=answer,
        verdict=Verdict(outcome=outcome, method="exact"), truncated=answer is None, tokens=rng.randrange(150, 250),
    )  # fmt: skip


def write_attempts(folder: Path, problems: Sequence[Problem], repeats: int) -> None:
    """Every shard; each problem has a chance of its own to be solved."""
    chances = np.random.default_rng(0).beta(0.7, 0.7, len(problems)).tolist()
    with progress("writing", repeats * len(problems), "attempts") as advance:
        for repeat in range(repeats):
            rng = random.Random(repeat)
            for start in range(0, len(problems), SHARD):
                part = range(start, min(start + SHARD, len(problems)))
                rows = [make_attempt(problems[n], n, repeat, chances[n], rng) for n in part]
                write_rows(folder / repeat_name(repeat) / f"{start // SHARD:06d}.jsonl", rows)
                advance(len(rows))


def aggregate(folder: Path, count: int) -> dict[str, float]:
    """Every figure over the repeats from the shards; what they came to, and what it took."""
    outcomes = read_tally("model", make_problems(count), sorted(folder.glob("r*/*.jsonl"))).outcomes()
    right = outcomes.right
    found = accuracy.accuracy(outcomes)
    at_k = accuracy.at_k(outcomes)
    steady = stability.stability(outcomes)
    baseline = self_correction.majority_baseline(outcomes, 700.0, right[:, 0].tolist())
    halves = [slice(0, None, 2), slice(1, None, 2)]
    two = comparison.compare_outcomes(*(outcomes.repeated(half) for half in halves))
    used = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "attempts": right.size, "rss_mb": sum(used), "p": two.p_value, "accuracy": found.micro.value or 0,
        "maj": at_k.majority_at[outcomes.repeats].value or 0, "variance": steady.variance or 0,
        "votes": baseline.votes if baseline else 0,
    }  # fmt: skip


def measure(folder: Path, problems: int, repeats: int) -> None:
    """Write the attempts unless they are there whole, aggregate them in a process of its own, print the figures."""
    done = folder / "done"
    if not done.exists():
        write_attempts(folder, make_problems(problems), repeats)
        done.touch()
    size = sum(path.stat().st_size for path in folder.glob("r*/*.jsonl"))
    command = [sys.executable, "-m", "benchmarks.evaluation", "--aggregate", str(folder), "--problems", str(problems)]
    start = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    found = json.loads(said.splitlines()[-1])
    print(f"{found['attempts']:.0f} attempts, {size / 1e9:.2f} GB on disk, {found['attempts'] / seconds:.0f} a second")
    print(f"accuracy {found['accuracy']:.4f}, maj@{repeats} {found['maj']:.4f}, p of the two halves {found['p']:.2f}")
    print(f"figure aggregate_s = {seconds:.1f} s (goal <= 180)")
    print(f"figure rss_mb = {found['rss_mb']:.0f} MB (goal <= 1000)")


# coverage

Draw = Callable[[np.random.Generator], tuple[float, Estimate]]
"""Draws data once: the truth and its estimate."""


@dataclass(frozen=True)
class Scenario:
    """An interval under one truth."""

    interval: str
    setting: str
    draw: Draw
    times: int = 1

    def coverage(self, draws: int, seed: int = 0) -> float:
        """How often, in percent, the interval holds the truth in `draws` · `times` draws."""
        rng = np.random.default_rng(seed)
        return 100 * float(np.mean([holds(*self.draw(rng)) for _ in range(draws * self.times)]))


def holds(truth: float, estimate: Estimate) -> bool:
    """The interval holds the truth."""
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def _wilson(n: int, p: float, rng: np.random.Generator) -> tuple[float, Estimate]:
    return p, _proportion(int(rng.binomial(n, p)), n)


_proportion = cache(proportion)
_paired = cache(paired_difference)


def _difference(n: int, gain: float, loss: float, rng: np.random.Generator) -> tuple[float, Estimate]:
    gained, lost, _ = rng.multinomial(n, [gain, loss, 1 - gain - loss])
    return gain - loss, _paired(int(gained), int(lost), n)


def _clustered(n: int, repeats: int, a: float, b: float, rng: np.random.Generator) -> tuple[float, Estimate]:
    hits = rng.binomial(repeats, rng.beta(a, b, n))
    return a / (a + b), clustered_proportion(hits.tolist(), [repeats] * n)


def _bootstrap(n: int, repeats: int, a: float, b: float, rng: np.random.Generator) -> tuple[float, Estimate]:
    hits = rng.binomial(repeats, rng.beta(a, b, n))
    return a / (a + b), problem_bootstrap(hits / repeats, int(rng.integers(2**31)), 2_000)


def _paired_bootstrap(
    n: int, repeats: int, gain: float, noise: float, rng: np.random.Generator
) -> tuple[float, Estimate]:
    """Chances of the first uniform in [.2, .8], of the second `gain` more and differing by up to `noise`."""
    first = rng.uniform(0.2, 0.8, n)
    second = first + gain + rng.uniform(-noise, noise, n)
    rights = [rng.binomial(repeats, chances) / repeats for chances in (first, second)]
    return gain, paired_bootstrap(rights[0], rights[1], int(rng.integers(2**31)), 2_000)


def _macro(sizes: tuple[int, ...], shares: tuple[float, ...], rng: np.random.Generator) -> tuple[float, Estimate]:
    hits = rng.binomial(sizes, shares)
    return float(np.mean(shares)), macro(_proportion(int(x), n) for x, n in zip(hits, sizes, strict=True))


def scenarios() -> Iterator[Scenario]:
    """Every interval under several truths."""
    for n, p in ((30, 0.2), (30, 0.5), (100, 0.05), (100, 0.5), (500, 0.02), (500, 0.9), (1319, 0.7)):
        yield Scenario("wilson", f"n {n}, p {p}", partial(_wilson, n, p), CHEAP)
    for n, gain, loss in ((50, 0.1, 0.05), (100, 0.02, 0.02), (200, 0.05, 0.01), (200, 0.3, 0.2), (1000, 0.06, 0.03)):
        yield Scenario("paired_difference", f"n {n}, +{gain} −{loss}", partial(_difference, n, gain, loss), CHEAP)
    for n, repeats, a, b in (
        (20, 8, 1, 1),
        (30, 16, 0.5, 0.5),
        (30, 64, 0.1, 2),
        (100, 4, 2, 2),
        (100, 16, 0.3, 2.7),
        (500, 8, 0.7, 0.7),
    ):
        setting = f"{n} problems × {repeats}, beta({a}, {b})"
        yield Scenario("clustered", setting, partial(_clustered, n, repeats, a, b))
        yield Scenario("problem_bootstrap", setting, partial(_bootstrap, n, repeats, a, b))
    for n, p in ((30, 0.5), (100, 0.9)):
        yield Scenario(
            "problem_bootstrap", f"{n} problems × 1, p {p}", partial(_bootstrap, n, 1, 1000 * p, 1000 * (1 - p))
        )
    for n, repeats, gain, noise in ((30, 16, 0.05, 0.1), (100, 1, 0.1, 0.1), (100, 8, 0.0, 0.0), (500, 4, 0.02, 0.1)):
        setting = f"{n} problems × {repeats}, gain {gain} ± {noise}"
        yield Scenario("paired_bootstrap", setting, partial(_paired_bootstrap, n, repeats, gain, noise))
    sizes = (124, 82, 62, 56, 41, 38, 97)
    yield Scenario(
        "macro", "7 subjects of MATH500", partial(_macro, sizes, (0.8, 0.4, 0.6, 0.5, 0.3, 0.55, 0.9)), CHEAP
    )
    yield Scenario("macro", "5 small ones", partial(_macro, (10, 12, 15, 20, 25), (0.1, 0.5, 0.9, 0.95, 0.3)), CHEAP)


def report_coverage(draws: int) -> None:
    """Every scenario in a line, the worst of each interval as its figure."""
    worst: dict[str, float] = {}
    for scenario in scenarios():
        found = scenario.coverage(draws)
        worst[scenario.interval] = min(found, worst.get(scenario.interval, 100.0))
        print(f"{scenario.interval:18} {scenario.setting:36} {found:.2f} %")
    for name, found in worst.items():
        print(f"figure coverage_{name} = {found:.2f} % (goal >= {NOMINAL:.0f})")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Aggregation of stored attempts, and coverage of the intervals.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PROBLEMS} × {QUICK_REPEATS}, {QUICK_DRAWS} draws")
    parser.add_argument("--problems", type=int, help="problems (default 5000)")
    parser.add_argument("--repeats", type=int, help="attempts at each (default 256)")
    parser.add_argument(
        "--draws", type=int, help="draws per scenario (default 10000), ten times as many of the cheap ones; 0 for none"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/benchmarks/evaluation"), help="where attempts are written"
    )
    parser.add_argument("--keep", action="store_true", help="keep them for another run")
    parser.add_argument("--aggregate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    problems = options.problems or (QUICK_PROBLEMS if options.quick else 5_000)
    if options.aggregate:
        print(json.dumps(aggregate(options.aggregate, problems)))
        return
    repeats = options.repeats or (QUICK_REPEATS if options.quick else 256)
    attempts = options.folder / f"attempts-{problems}x{repeats}"
    measure(attempts, problems, repeats)
    if not options.keep:
        shutil.rmtree(attempts)
    draws = options.draws if options.draws is not None else QUICK_DRAWS if options.quick else FULL_DRAWS
    if draws:
        report_coverage(draws)


if __name__ == "__main__":
    main()
