"""Scripts of the tests that run as processes of their own, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def started(script: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """A script of this folder, with the paths of this process and one thread."""
    paths = os.pathsep.join([str(script.parent), str(script.parents[1]), *sys.path])
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that must end well."""
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said.decode()[-3000:]


def wait_for(what: Callable[[], Sequence[Path]], count: int, process: subprocess.Popen[bytes]) -> list[Path]:
    """The first so many files, once they are there."""
    until = time.monotonic() + 400
    while len(found := what()) < count:
        assert time.monotonic() < until and process.poll() is None, process.stderr and process.stderr.read()[-3000:]
        time.sleep(0.02)
    return list(found)
