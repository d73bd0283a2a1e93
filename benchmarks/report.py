"""The report of a large run, measured in a real browser: how soon it opens, how soon a filter answers.

    python -m benchmarks.report [--quick] [--attempts 100000] [--folder DIR]

Makes a run directory of N attempts (five of each problem, one of five corrected if it is wrong, hierarchical solutions
of about 700 bytes), writes its report and serves it, and drives Chromium headless (Debian's `chromium`). `open`: from
the navigation to the list of cases being there, the median of five. `filter`: from the change of a filter or of the
search words to the next frame with the new list, over all filters below in turn; the median and the slowest.
`--quick`: 10,000 attempts.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from redink.report.building import write_report
from redink.rows import write_rows, write_text
from redink.types import (
    Attempt,
    CorrectionRow,
    CorrectionTrace,
    LocatedError,
    OwnCorrection,
    Problem,
    StageCounts,
    Step,
    Verdict,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import ABSENT, PROGRAM, Browser

SAMPLES, REPEATS, SEED = 5, 5, 0
FILTERS: tuple[dict[str, str], ...] = (
    {"words": "apples"}, {"words": "apples twelve"}, {"words": ""}, {"subject": "groups"}, {"outcome": "wrong"},
    {"step": "2"}, {"outcome": "missed"}, {"words": "e"}, {"words": "no such words anywhere"},
    {"words": "", "outcome": "", "subject": "", "step": ""},
)  # fmt: skip
TIMED = """
(async (values) => {
  const form = document.getElementById('find'), desk = document.getElementById('desk'), before = desk.dataset.answered;
  const began = performance.now();
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.elements.words.dispatchEvent(new Event('input', { bubbles: true }));
  const turn = (done) => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0); };
  while (desk.dataset.answered === before) await new Promise(turn);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
})
"""


def make_run(folder: Path, attempts: int) -> None:
    """A run directory whose error set has this many attempts."""
    rng = random.Random(SEED)
    problems = [_problem(number, rng) for number in range(attempts // SAMPLES)]
    write_text(folder / "recipe.json", json.dumps({"name": "large", "seed": SEED, "student": "made"}))
    write_rows(folder / "problems.errors.jsonl", problems)
    drawn = [_attempt(problem, sample, rng) for problem in problems for sample in range(SAMPLES)]
    write_rows(folder / "attempts.jsonl", drawn)
    wrong = [row for row in drawn if not row.verdict.right and row.sample == 1]
    write_rows(folder / "corrections.jsonl", (_correction(row, rng) for row in wrong))
    write_rows(
        folder / "own_corrections.jsonl",
        (OwnCorrection(problem_id=r.problem_id, sample=1, text="<Step2>?</Step2>") for r in wrong),
    )
    counts = StageCounts(stage="attempts", inputs=len(drawn), accepted=len(drawn))
    write_text(folder / "attempts.counts.json", counts.model_dump_json())


def _problem(number: int, rng: random.Random) -> Problem:
    things, subject = rng.choice(("apples", "cards", "shells", "coins")), rng.choice(("ledger", "groups", "compare"))
    question = (
        f"Ann has {rng.randrange(2, 99)} {things} and finds {rng.randrange(2, 99)} more in box {number}. How many now?"
    )
    return Problem(id=f"{subject}/{number}", question=question, answer="12", solution="#### 12", subject=subject)


def _attempt(problem: Problem, sample: int, rng: random.Random) -> Attempt:
    steps = tuple(
        Step(
            number=n,
            text=f"{rng.randrange(99)} + {rng.randrange(99)}",
            key=f"take the tens, {rng.randrange(99)}, then twelve ones",
        )
        for n in range(1, 7)
    )
    text = (
        "\n".join(f"<Step{s.number}>{s.text}<Key>{s.key}</Key></Step{s.number}>" for s in steps)
        + "\n<Answer>12</Answer>"
    )
    outcome = rng.choice(("right", "wrong"))
    verdict = Verdict(outcome=outcome, method="exact")  # type: ignore[arg-type]
    return Attempt(
        problem_id=problem.id, sample=sample, text=text, steps=steps, answer="12", verdict=verdict, tokens=180
    )


def _correction(row: Attempt, rng: random.Random) -> CorrectionRow:
    error = LocatedError(step=rng.randrange(1, 7), cause="the ones are lost", correction="6 + 6 = 12")
    trace = CorrectionTrace(steps=row.steps, error=error, answer="12")
    return CorrectionRow(problem_id=row.problem_id, sample=row.sample, trace=trace)


def measured(browser: Browser, address: str) -> tuple[float, list[float]]:
    """Seconds to open (median), and milliseconds of every filter."""
    ready = "document.querySelectorAll('#hits a').length > 0"
    opening = [browser.open(f"{address}#work=1", ready) for _ in range(REPEATS)]
    times = [browser.run(f"{TIMED}({json.dumps(values)})") for _ in range(REPEATS) for values in FILTERS]
    return statistics.median(opening), times


def show(name: str, opened: float, times: list[float]) -> None:
    print(f"figure {name}_open_s = {opened:.2f} s (goal <= 2)")
    print(f"figure {name}_filter_ms = {statistics.median(times):.0f} ms (goal <= 200)")
    print(f"figure {name}_filter_slowest_ms = {max(times):.0f} ms (goal <= 200)", flush=True)


class Served:
    """`redink view` in a process of its own, as a user runs it."""

    def __init__(self, folder: Path) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "redink.cli", "view", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = next(self._addresses(self._process.stdout))
        self.seconds = time.perf_counter() - began

    @staticmethod
    def _addresses(lines: Iterator[str]) -> Iterator[str]:
        yield from (word for line in lines for word in line.split() if word.startswith("http://"))

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10,000 attempts.")
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Keep the run directory here.")
    given = parser.parse_args()
    if PROGRAM is None:
        raise SystemExit(ABSENT)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="redink-report-"))
    try:
        _measure(folder / "large", 10_000 if given.quick else given.attempts)
    finally:
        if not given.folder:
            shutil.rmtree(folder)


def _measure(folder: Path, attempts: int) -> None:
    if not folder.exists():
        make_run(folder, attempts)
    began = time.perf_counter()
    done = write_report(folder)
    print(f"{attempts:,} attempts at {done.problems:,} problems; {done.shown:,} problems inlined")
    print(f"figure report_write_s = {time.perf_counter() - began:.1f} s")
    print(f"figure report_mb = {done.path.stat().st_size / 1e6:.2f} MB")
    with Browser() as browser:
        browser.size(1280, 900)
        show("report", *measured(browser, done.path.as_uri()))
        served = Served(folder)
        try:
            print(f"figure view_ready_s = {served.seconds:.1f} s")
            show("view", *measured(browser, served.address))
            print(f"figure view_rss_mb = {served.memory_mb():.0f} MB")
        finally:
            served.close()


if __name__ == "__main__":
    main()
