"""The teacher engine against a fake server: CPU per call, occupancy, memory, hidden limits, makespan.

    python -m benchmarks.teacher_engine [--quick] [--peer-python PATH]

Client and server are processes of their own on one machine. CPU is what the client process uses (getrusage, user and
system, all threads), for the same prompts in the same order; each client is started and warmed up once, the arms take
turns, figures are medians. Peers are imported by the python of `--peer-python`; to make one:

    python3 -m venv peers && peers/bin/pip install openai bespokelabs-curator

A peer that cannot be imported is reported as not measured. The whole takes about twenty minutes. With --quick windows
and times are smaller (each line says which), the parts that mostly wait (hidden limit, makespan) run beside each other
while the peers are imported, and the whole ends within a minute on two idle cores; its figures are indications. CPU and
occupancy are measured last, each alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.story_attempts import story_problems
from redink.models.fake_script import HiddenLimits, Latency, Script
from redink.models.fake_server import launched
from redink.rows import write_rows

REPLY = "<Step1>The pens are counted first, then shared.</Step1>\n" * 10 + "<Answer>42</Answer>"
SEED = 7
ERROR_RATE = 0.15


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    rounds: int  # of the arms that take turns
    calls: int  # a round
    window: int  # of those arms
    in_flight: int
    latency_s: float
    rows: int  # of the many in flight
    early_rows: int  # memory is first taken here
    per_minute: int  # hidden limit; halved later
    limits: tuple[str, ...]
    first_s: float  # a first phase, not counted
    then_s: float  # the phase that is counted
    halved_s: float  # with half the limit
    chain_rows: int
    chain_window: int
    chain_median_s: float
    side_by_side: bool  # what mostly waits


FULL = Sizes(
    rounds=7,
    calls=2000,
    window=64,
    in_flight=5000,
    latency_s=10.0,
    rows=200_000,
    early_rows=10_000,
    per_minute=6000,
    limits=("bucket", "retry_after", "sliding"),
    first_s=60,
    then_s=120,
    halved_s=90,
    chain_rows=10_000,
    chain_window=128,
    chain_median_s=0.5,
    side_by_side=False,
)
QUICK = Sizes(
    rounds=2,
    calls=600,
    window=64,
    in_flight=500,
    latency_s=5.0,
    rows=1500,
    early_rows=1000,
    per_minute=3000,
    limits=("bucket",),
    first_s=5,
    then_s=7,
    halved_s=9,
    chain_rows=120,
    chain_window=10,
    chain_median_s=0.3,
    side_by_side=True,
)


class Client:
    """A client process that does one job after the other."""

    def __init__(self, command: Sequence[str]) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
        self._name: dict[str, Any] | None = None

    def name(self) -> dict[str, Any]:
        """Who it is, or why it is missing; waits for its imports."""
        if self._name is None:
            self._name = self._answer()
        return self._name

    def do(self, **job: Any) -> dict[str, Any]:
        """Do one job."""
        if "missing" in self.name():
            return self.name()
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"missing": "the process ended"}
        return answer

    def end(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def client(kind: str, python: str = sys.executable) -> Iterator[Client]:
    """One of redink's clients, or a peer."""
    module = ["-m", "benchmarks.teacher_engine_clients"]
    peers = [str(Path(__file__).with_name("teacher_engine_peers.py"))]
    started = Client([python, *(peers if kind in ("asyncopenai", "curator") else module), kind])
    try:
        yield started
    finally:
        started.end()


def figure(name: str, value: float | str, unit: str, goal: str = "") -> None:
    """One line of result."""
    shown = f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:.0f}"
    print(f"figure {name} = {shown} {unit}" + (f" (goal {goal})" if goal else ""), flush=True)


def start_arms(stack: ExitStack, peer_python: str) -> dict[str, Client]:
    """Those whose CPU is compared, by kind; they run until the stack is left."""
    pythons = {"engine": sys.executable, "bare": sys.executable, "asyncopenai": peer_python, "curator": peer_python}
    return {kind: stack.enter_context(client(kind, python)) for kind, python in pythons.items()}


def calls_per_second(sizes: Sizes, arms: dict[str, Client]) -> None:
    """Calls per second of client CPU, redink and peers taking turns."""
    cpu: dict[str, list[float]] = {kind: [] for kind in arms}
    missing: dict[str, str] = {}
    first = 0
    with launched(Script(), "redink.models.fake_server", "--reply", REPLY) as server:
        for number in range(-1, sizes.rounds):
            calls = sizes.calls if number >= 0 else 64
            for kind, arm in arms.items():
                done = arm.do(url=server.base_url, calls=calls, window=sizes.window, first=first)
                if done.get("replies") != calls:
                    missing[kind] = done.get("missing", f"{done.get('replies')} of {calls} replies")
                elif number >= 0:
                    cpu[kind].append(1000 * done["cpu_s"] / calls)
            first += calls
        names = {kind: arm.name().get("name", kind) for kind, arm in arms.items()}
    for kind in arms:
        spread = "" if kind in missing else f" ({min(cpu[kind]):.3f} to {max(cpu[kind]):.3f})"
        told = missing.get(kind) or f"{median(cpu[kind]):.3f} ms of client CPU a call{spread}"
        print(f"{names[kind]}: {told}; {sizes.rounds} rounds of {sizes.calls} calls, {sizes.window} in flight")
    _print_ratios(cpu, missing)


def _print_ratios(cpu: dict[str, list[float]], missing: dict[str, str]) -> None:
    if "engine" in missing:
        raise SystemExit(f"the engine failed: {missing['engine']}")
    ours = median(cpu["engine"])
    figure("client_cpu_per_call", ours, "ms", "<= 0.5 ms")
    figure("calls_per_client_core_second", 1000 / ours, "calls/s", ">= 2000 calls/s")
    if "bare" not in missing:
        figure("calls_per_client_core_second_without_journal", 1000 / median(cpu["bare"]), "calls/s")
    for kind in ("asyncopenai", "curator"):
        if kind in missing:
            print(f"figure ratio_vs_{kind} = not measured ({missing[kind]})")
        else:
            figure(f"ratio_vs_{kind}", median(cpu[kind]) / ours, "x", ">= 3 x")


def occupancy(sizes: Sizes) -> None:
    """Share of the window that is in flight at the server, and the client's memory."""
    script = Script(latency=Latency(median_s=sizes.latency_s))
    with launched(script, "redink.models.fake_server", "--reply", REPLY) as server, client("window") as arm:
        done = arm.do(url=server.base_url, window=sizes.in_flight, rows=sizes.rows, early_rows=sizes.early_rows)
    if done.get("replies") != sizes.rows:
        raise SystemExit(f"{sizes.in_flight} in flight: {done}")
    print(
        f"{sizes.in_flight} in flight at {sizes.latency_s:g} s, {sizes.rows} rows, counted at the server for "
        f"{done['spanned_s']:.0f} s; client CPU {1000 * done['cpu_s'] / sizes.rows:.2f} ms a row"
    )
    figure("occupancy", 100 * done["occupancy"], "%", ">= 98 %")
    figure("rss_mb", done["late_mb"], "MB", "<= 300 MB")
    growth = done["late_mb"] - done["early_mb"]
    figure("rss_growth_mb", growth, f"MB from row {sizes.early_rows} to {sizes.rows}", "<= 20 MB")


@dataclass(frozen=True)
class Pressed:
    """How a hidden limit was met."""

    share_of_allowed: float
    share_429: float
    settle_s: float
    blocked_s: float  # of those, while a sliding window was still full: whatever is asked then is refused
    lost: int


def hidden_limit(sizes: Sizes, kind: str) -> Pressed:
    """Press against one kind of limit, halved on the way."""
    limits = HiddenLimits(
        requests_per_minute=sizes.per_minute,
        kind="sliding" if kind == "sliding" else "bucket",
        retry_after=kind == "retry_after",
    )
    script = Script(seed=SEED, limits=limits, latency=Latency(kind="lognormal", median_s=0.5))
    with launched(script, "redink.models.fake_server", "--reply", REPLY) as server, client("limit") as arm:
        done = arm.do(
            url=server.base_url,
            window=256,
            halve_after_s=sizes.first_s + sizes.then_s,
            then_per_minute=sizes.per_minute / 2,
            seconds=sizes.first_s + sizes.then_s + sizes.halved_s,
        )
        if "missing" in done:
            raise SystemExit(f"hidden limit: {done['missing']}")
        seconds = {int(second): counts for second, counts in server.books()["seconds"].items()}
    return pressed(seconds, done, sizes)


def pressed(seconds: dict[int, list[int]], done: dict[str, Any], sizes: Sizes) -> Pressed:
    """Read the server's counts of [served, refused] in each second; the clock is the machine's, hence shared."""
    halved, stop, left = int(done["halved"]), int(done["stop"]), sizes.per_minute / 2
    counted = range(int(done["start"] + sizes.first_s), halved)
    served, refused = (sum(seconds.get(second, [0, 0])[part] for second in counted) for part in (0, 1))
    return Pressed(
        share_of_allowed=served / (len(counted) * sizes.per_minute / 60),
        share_429=refused / max(1, served + refused),
        settle_s=settling([seconds.get(second, [0, 0]) for second in range(halved, stop)], left / 60),
        blocked_s=full_for([seconds.get(second, [0, 0])[0] for second in range(halved - 60, stop)], left),
        lost=done["lost"],
    )


def full_for(served: Sequence[int], allowed: float, window: int = 60) -> float:
    """Seconds for which a window that slides on over `served` (calls in each second) holds what is allowed, or more."""
    full = (sum(served[end - window : end]) >= allowed for end in range(window, len(served)))
    return float(sum(takewhile(bool, full)))


def settling(seconds: Sequence[Sequence[int]], allowed: float, span: int = 5) -> float:
    """Seconds after which every `span` of seconds has 90 % of what is allowed served and at most 2 % refused."""
    settled = len(seconds)
    for start in range(len(seconds) - span, -1, -1):
        served, refused = (sum(second[part] for second in seconds[start : start + span]) for part in (0, 1))
        if served < 0.9 * allowed * span or refused > 0.02 * (served + refused):
            break
        settled = start
    return float(settled)


def print_limits(sizes: Sizes, results: dict[str, Pressed]) -> None:
    """The worst of the kinds is the figure."""
    for kind, row in results.items():
        print(
            f"hidden limit, {kind}: {sizes.per_minute} requests a minute, {sizes.first_s:g} s not counted, "
            f"{sizes.then_s:g} s counted: {100 * row.share_of_allowed:.1f} % of what is allowed, "
            f"{100 * row.share_429:.2f} % refused; halved, it settled in {row.settle_s:g} s"
            + (f" (its window was full for {row.blocked_s:g} s)" if kind == "sliding" else "")
            + f"; {row.lost} rows lost"
        )
    rows = results.values()
    figure("share_of_allowed_rate", 100 * min(row.share_of_allowed for row in rows), "%", ">= 95 %")
    figure("share_429", 100 * max(row.share_429 for row in rows), "%", "<= 1 %")
    figure("settle_seconds", max(row.settle_s for row in rows), "s", "<= 30 s")
    figure("rows_lost", sum(row.lost for row in rows), "rows", "= 0 rows")


def chain(sizes: Sizes, barriers: bool) -> dict[str, Any]:
    """Correction chains with lognormal latencies: flowing, or with a barrier after each stage."""
    latency = Latency(kind="lognormal", median_s=sizes.chain_median_s)
    with TemporaryDirectory(prefix="teacher-engine-") as folder:
        problems = Path(folder) / "problems.jsonl"
        write_rows(problems, story_problems(sizes.chain_rows, SEED))
        options = ("--problems", str(problems), "--error-rate", str(ERROR_RATE))
        script = Script(seed=SEED, latency=latency)
        with launched(script, "redink.teaching.served", *options) as server, client("chain") as arm:
            return arm.do(
                url=server.base_url,
                rows=sizes.chain_rows,
                window=sizes.chain_window,
                seed=SEED,
                server_seed=SEED,
                latency=latency.model_dump(),
                barriers=barriers,
            )


def print_makespan(sizes: Sizes, flowing: dict[str, Any], barred: dict[str, Any]) -> None:
    """The chain beside its lower bound, and beside the same work with barriers."""
    if "missing" in flowing or "missing" in barred:
        raise SystemExit(f"correction chain: {flowing} {barred}")
    print(
        f"correction chain: {sizes.chain_rows} rows ({flowing['accepted']} accepted), {sizes.chain_window} in flight, "
        f"median {sizes.chain_median_s:g} s: {flowing['makespan_s']:.1f} s, with stage barriers "
        f"{barred['makespan_s']:.1f} s; lower bound {flowing['bound_s']:.1f} s "
        f"(all latencies over the window; longest chain {flowing['longest_s']:.1f} s)"
    )
    figure("makespan_ratio", flowing["makespan_s"] / flowing["bound_s"], "x", "<= 1.1 x")
    figure("barrier_ratio", barred["makespan_s"] / flowing["bound_s"], "x")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the teacher engine beside its peers.")
    parser.add_argument("--quick", action="store_true", help="smaller, within a minute")
    parser.add_argument("--peer-python", default=sys.executable, help="a python that can import the peers")
    parser.add_argument("--only", choices=["cpu", "occupancy", "limit", "makespan"], help="one part alone")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    wanted = [options.only] if options.only else ["limit", "makespan", "cpu", "occupancy"]
    with ExitStack() as stack:
        arms = start_arms(stack, options.peer_python) if "cpu" in wanted else {}
        wait_mostly(sizes, wanted, arms)
        if "cpu" in wanted:
            calls_per_second(sizes, arms)
        if "occupancy" in wanted:
            occupancy(sizes)


def wait_mostly(sizes: Sizes, wanted: Sequence[str], arms: dict[str, Client]) -> None:
    """Limits and makespan, which use little CPU, while the arms are imported: that is in time which is not counted."""
    with ThreadPoolExecutor() as pool:
        limits = {kind: pool.submit(hidden_limit, sizes, kind) for kind in sizes.limits if "limit" in wanted}
        for arm in arms.values():
            arm.name()
        if not sizes.side_by_side:
            wait(limits.values())
        chains: dict[bool, Future[dict[str, Any]]] = {}
        for barriers in (False, True) if "makespan" in wanted else ():
            chains[barriers] = pool.submit(chain, sizes, barriers)
            if not sizes.side_by_side:
                wait(chains.values())
    if chains:
        print_makespan(sizes, chains[False].result(), chains[True].result())
    if limits:
        print_limits(sizes, {kind: future.result() for kind, future in limits.items()})


if __name__ == "__main__":
    main()
