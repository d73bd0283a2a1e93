"""The fuzz of `python -m benchmarks.answers --fuzz N`: string number n of a seed is always the same string.

So any process may check any share of the count (`--share 1/2` and `--share 2/2`, at the same time), and one that was
stopped goes on after the last string in its tally file. A tally names what it is of; `total` adds up those of one fuzz.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from redink.answers import compare, extract, warm_up
from redink.answers.checking import INTERNAL
from redink.progress import progress
from redink.rows import write_text

LIMIT_S, LIMIT_BYTES = 5.0, 2 * 1024**3
WORK_S = 1.0
"""Processor time under which a string that took too long by the clock, without a worker, met a busy machine."""
SAVE_EVERY = 500
SHOWN_FAILURES = 1000
PARTS = (
    "\\frac{", "}{", "}", "{", "\\sqrt{", "\\sqrt[3]{", "^{", "^", "_", "(", ")", "[", "]", ",", "+", "-", "*", "/",
    "=", "<", "\\le ", "\\pm ", "\\cup ", "\\in ", "\\infty", "\\pi", "x", "y", "n", "i", "e", "!", "\\binom{",
    "\\text{", "\\boxed{", "<Answer>", "</Answer>", "#### ", "The answer is ", "\\begin{pmatrix}",
    "\\end{pmatrix}", "&", "\\\\", "\\%", "%", "$", "^\\circ", "\\log_", "\\sin", "|", "0", "1", "2", "10", "99",
    "1e9", "10^{10^{10}}", "9" * 30, ".", " ", "\n", "\\left(", "\\right)", "and", "or", "\u0660", "\u00b2", "\x00",
    "\ud7ff", "\U0001f600", "__import__('os')", "lambda: 0", "Question:", "\\sum_{k=1}^{n} ", "\\text{cm}", "1 1/2",
)  # fmt: skip
FOR_A_WORKER = (
    "\\int_0^1 x dx", "\\lim_{x\\to 0} \\frac{\\sin x}{x}", "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}",
    "\\frac{d}{dx} x^2", "\\int_0^{\\infty} e^{-x^2} dx", "\\int x^x dx", "\\sum_{k} k", "\\det A", "x \\mod 7",
)  # fmt: skip


@dataclass
class Tally:
    """How far one share of a fuzz has come, and what it found."""

    seed: int
    count: int
    share: tuple[int, int]
    golds: int
    checked: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    seconds: float = 0.0
    stalls: int = 0
    failed: int = 0
    failures: list[dict[str, object]] = field(default_factory=list)

    @property
    def whole(self) -> int:
        """How many strings the share has."""
        part, parts = self.share
        return len(range(part - 1, self.count, parts))


def fuzzed(golds: Sequence[str], rng: random.Random) -> str:
    """One hostile string: a mutated gold, LaTeX parts in any order, one part many times, noise, a worker's formula."""
    kind = rng.random()
    if kind < 0.4:
        return mutated(rng.choice(golds), rng, rng.randint(1, 4))
    if kind < 0.8:
        return "".join(rng.choices(PARTS, k=rng.randint(1, 25)))
    if kind < 0.85:
        return rng.choice(PARTS) * rng.randint(2, 400)
    if kind < 0.86:
        return mutated(rng.choice(FOR_A_WORKER), rng, rng.randint(0, 2))
    return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xD7FF)))) for _ in range(rng.randint(0, 40)))


def mutated(text: str, rng: random.Random, times: int) -> str:
    """A text with parts put in, in place of up to two characters each."""
    letters = list(text)
    for _ in range(times):
        place = rng.randrange(len(letters) + 1)
        letters[place : place + rng.randint(0, 2)] = rng.choice(PARTS)
    return "".join(letters)


def strings(golds: Sequence[str], seed: int, number: int) -> tuple[str, str]:
    """(answer, gold) number `number` of a seed."""
    rng = random.Random(f"{seed}:{number}")
    return fuzzed(golds, rng), rng.choice((rng.choice(golds), fuzzed(golds, rng)))


def fuzz(
    golds: Sequence[str], count: int, seed: int, share: tuple[int, int] = (1, 1), file: Path | None = None
) -> Tally:
    """Check one share of `count` strings, going on from the tally in `file` if that is of the same fuzz.

    A failure is a string that raised, took `LIMIT_S`, or came with more than `LIMIT_BYTES` in this process or a worker.
    """
    tally = read_tally(file, Tally(seed, count, share, len(golds)))
    warm_up()
    started, before = time.perf_counter(), tally.seconds
    part, parts = share
    with progress(f"fuzz {part}/{parts}", tally.whole, "strings", done=tally.checked) as advance:
        while tally.checked < tally.whole:
            for _ in range(min(SAVE_EVERY, tally.whole - tally.checked)):
                check(tally, *strings(golds, seed, part - 1 + parts * tally.checked))
                advance(1, f"slowest {tally.slowest_s:.2f} s, {tally.failed} failed")
            tally.seconds = before + time.perf_counter() - started
            look_at_memory(tally)
            if file is not None:
                write_text(file, json.dumps(asdict(tally), indent=1) + "\n")
    return tally


def check(tally: Tally, text: str, gold: str) -> None:
    """Extract and compare one string; what it does is added to the tally."""
    start, work, failure, method = time.perf_counter(), time.process_time(), "", ""
    try:
        extract(text)
        verdict = compare(text, gold)
        method = verdict.method
        tally.outcomes[verdict.outcome] = tally.outcomes.get(verdict.outcome, 0) + 1
        failure = verdict.reason if verdict.reason.startswith(INTERNAL) else ""
    except Exception as raised:
        failure = f"{type(raised).__name__}: {raised}"
    took, worked = time.perf_counter() - start, time.process_time() - work
    tally.checked += 1
    stalled = took > LIMIT_S and worked < WORK_S and method not in {"", "sympy"}
    tally.stalls += stalled
    if not stalled:
        tally.slowest_s = max(tally.slowest_s, took)
    if took > LIMIT_S and not stalled:
        failure = f"{took:.1f} s, {worked:.1f} s of processor time"
    if failure:
        fail(tally, text=text, gold=gold, failure=failure)


def look_at_memory(tally: Tally) -> None:
    """Note the most memory ever held; more than the limit is a failure, told of once."""
    before, tally.peak_bytes = tally.peak_bytes, max(tally.peak_bytes, peak_bytes())
    if before <= LIMIT_BYTES < tally.peak_bytes:
        fail(tally, failure=f"{tally.peak_bytes / 2**30:.2f} GB")


def fail(tally: Tally, **what: object) -> None:
    tally.failed += 1
    tally.failures = [*tally.failures, what][:SHOWN_FAILURES]


def read_tally(file: Path | None, fresh: Tally) -> Tally:
    """The tally in a file, if there is one of the same seed, count, share and number of golds; else the fresh one."""
    if file is None or not file.exists():
        return fresh
    fields = json.loads(file.read_text("utf-8"))
    found = Tally(**{**fields, "share": tuple(fields["share"])})
    same = (found.seed, found.count, found.share, found.golds) == (fresh.seed, fresh.count, fresh.share, fresh.golds)
    return found if same else fresh


def total(tallies: Sequence[Tally]) -> Tally:
    """Several shares of one fuzz as one."""
    first = tallies[0]
    names = sorted({name for tally in tallies for name in tally.outcomes})
    return Tally(
        seed=first.seed,
        count=first.count,
        share=(1, 1),
        golds=first.golds,
        checked=sum(tally.checked for tally in tallies),
        outcomes={name: sum(tally.outcomes.get(name, 0) for tally in tallies) for name in names},
        slowest_s=max(tally.slowest_s for tally in tallies),
        peak_bytes=max(tally.peak_bytes for tally in tallies),
        seconds=sum(tally.seconds for tally in tallies),
        stalls=sum(tally.stalls for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        failures=[failure for tally in tallies for failure in tally.failures],
    )


def report(folder: Path, own: Tally) -> None:
    """Print what one share found, and the sum over all shares as soon as their tallies are complete."""
    print_tally(f"fuzz, share {own.share[0]}/{own.share[1]}", own)
    parts = own.share[1]
    shares = [(part, parts) for part in range(1, parts + 1)]
    tallies = [
        own if share == own.share else read_tally(path(folder, share), Tally(own.seed, own.count, share, own.golds))
        for share in shares
    ]
    everything = total(tallies)
    if parts > 1:
        print_tally("fuzz, all shares so far", everything)
    if everything.checked == own.count:
        print(f"figure fuzz_strings = {everything.checked} strings")
        print(f"figure fuzz_failures = {everything.failed} strings (goal <= 0)")
    for failure in everything.failures[:20]:
        print(json.dumps(failure)[:400])


def print_tally(name: str, tally: Tally) -> None:
    shown = ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.outcomes.items()))
    rate = tally.checked / tally.seconds if tally.seconds else 0.0
    print(
        f"{name}: {tally.checked} strings ({shown}), {tally.failed} failed, slowest {tally.slowest_s:.2f} s "
        f"({tally.stalls} that the machine stalled left out), "
        f"{tally.peak_bytes / 2**30:.2f} GB at most, {rate:.0f} strings/s a process"
    )


def path(folder: Path, share: tuple[int, int]) -> Path:
    """Where the tally of a share is."""
    return folder / f"answers.fuzz.{share[0]}of{share[1]}.json"


def peak_bytes() -> int:
    """The most memory that this process, or a living descendant of it, has ever held (Linux)."""
    family, found = {os.getpid()}, True
    parents = dict(_parents())
    while found:
        found = {pid for pid, parent in parents.items() if parent in family and pid not in family}
        family |= found
    return max(_high_water(pid) for pid in family)


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
