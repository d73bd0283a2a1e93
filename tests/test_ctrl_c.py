"""Ctrl-C at the terminal: the command ends with 130 once what is paid for has come, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Answer, Asked, Loopback, serving
from marking import teacher_reply

from redink.rows import read_rows
from redink.types import ThoughtRow

pytestmark = pytest.mark.slow

ROWS, IN_FLIGHT, LATENCY_S = 12, 2, 0.3
PATIENCE_S = 120
REDINK = [sys.executable, "-c", "from redink.cli import main; main()"]


def slow_teacher(asked: Asked) -> Answer:
    return replace(teacher_reply(asked), delay_s=LATENCY_S)


def command(server: Loopback, folder: Path) -> list[str]:
    keys = {
        "teacher.kind": "openai",
        "teacher.model": "m",
        "teacher.base_url": server.base_url,
        "teacher.limits": f"{{max_in_flight = {IN_FLIGHT}, start_in_flight = {IN_FLIGHT}}}",
        "inspector.kind": "none",
    }
    sets = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    return [*REDINK, "thoughts", "demo", *sets, "--limit", str(ROWS), "--run-dir", str(folder)]


@contextmanager
def started(server: Loopback, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in a process that takes Ctrl-C as at a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command(server, folder), env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt_at(process: subprocess.Popen[str], server: Loopback, calls: int) -> None:
    """Ctrl-C once the server has been asked so often."""
    deadline = time.monotonic() + PATIENCE_S
    while len(server.asked) < calls:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the calls never came"
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)


def test_one_ctrl_c_is_exit_code_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with serving(slow_teacher) as server:
        with started(server, tmp_path) as process:
            interrupt_at(process, server, ROWS // 2)
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, said
        last = said.strip().splitlines()[-1]
        assert last == "redink: stopped; what was bought is kept. The same command goes on from here."
        assert "Traceback" not in said
        assert len(server.asked) <= ROWS // 2 + IN_FLIGHT, "calls were begun after Ctrl-C"
        with started(server, tmp_path) as process:
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert set(Counter(asked.prompt for asked in server.asked).values()) == {1}, "a reply was bought twice"
    assert len(server.asked) == ROWS
    assert len(read_rows(tmp_path / "demo" / "thoughts.jsonl", ThoughtRow)) == ROWS
