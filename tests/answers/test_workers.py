"""The worker processes: real ones, slow mathematics, killed from outside, short of memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from redink.answers.worker import look
from redink.answers.workers import Pool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool() -> Pool:
    made = Pool(most=2, seconds=20.0)
    assert made.warm_up(120)
    return made


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("\\int_0^1 x dx", "\\frac{1}{2}", "right"),
        ("\\int_0^1 x dx", "\\frac{1}{3}", "wrong"),
        ("\\lim_{x\\to 0} \\frac{\\sin x}{x}", "1", "right"),
        ("\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}", "-2", "right"),
        ("\\frac{d}{dx} x^2", "2x", "right"),
        ("\\frac{d}{dx} x^2", "2y", "wrong"),
    ],
)
def test_sympy_decides_what_it_can(pool: Pool, one: str, other: str, outcome: str) -> None:
    assert pool.look(one, other).outcome == outcome
    assert pool.look(other, one).outcome == outcome


def test_what_takes_too_long_is_killed_and_the_next_is_answered() -> None:
    pool = Pool(most=1, seconds=1.5)
    assert pool.warm_up(120)
    started = time.monotonic()
    verdict = pool.look("9^{9^{9^{9}}}", "2")
    assert verdict.outcome == "ungradable" and time.monotonic() - started < 10
    pool.seconds = 20.0
    assert pool.look("\\int_0^1 x dx", "\\frac{1}{2}").right
    pool.close()


def test_memory_is_limited() -> None:
    pool = Pool(most=1, seconds=20.0, memory_bytes=300 << 20)
    assert pool.warm_up(120)
    assert pool.look("9^{9^{9}}", "2").outcome == "ungradable"
    pool.close()


def test_a_worker_killed_from_outside_is_replaced(pool: Pool) -> None:
    (worker,) = pool.idle[:1]
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    assert pool.warm_up(120) or pool.warm_up(120)
    assert pool.look("\\int_0^1 x dx", "\\frac{1}{2}").right


def test_threads_share_the_pool(pool: Pool) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(pool.look(f"\\int_0^1 {n} x dx", f"\\frac{{{n}}}{{2}}").outcome)
        )
        for n in range(2, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {"right", "ungradable"} and "right" in found


def test_a_script_without_a_main_guard_may_ask() -> None:
    """Nothing of the caller's main module runs again in the worker."""
    script = "from redink.answers import compare, warm_up\nprint('once')\nwarm_up()\nprint(compare('\\\\lim_{x\\\\to 2} x', '2').outcome)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.split()[0] == "once" and done.stdout.count("once") == 1
    assert done.stdout.split()[1] in {"right", "ungradable"}


@pytest.mark.parametrize("text", ["__import__('os').system('echo hi')", "\\x", "", "\\int", "q", "\\frac{1}{0}"])
def test_nothing_is_right_that_sympy_cannot_read_in_full(text: str) -> None:
    assert look(text, "2")[0] != "right"
