"""What training costs: tokens a second, as computed and as an ordinary trainer would have, and memory."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

STATUS = Path("/proc/self/status")


class Measured(Trainer):
    """A trainer that logs how many tokens a second it computes, and the most memory it held.

    `tokens_per_second` counts what was computed, `tokens_per_second_unshared` what an ordinary trainer would have
    computed in the same time. Memory is the device's, on a CPU the process's, in MiB since the start.
    """

    _counted = (0, 0)
    _since: float | None = None

    def count_tokens(self, computed: int, unshared: int) -> None:
        """Add one batch to what the next log line reports (this process's share)."""
        self._since = self._since or time.perf_counter()
        self._counted = (self._counted[0] + computed, self._counted[1] + unshared)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with throughput where this is a line about training."""
        if "loss" in logs and self._since is not None:
            seconds = max(time.perf_counter() - self._since, 1e-9)
            computed, unshared = (count * self.accelerator.num_processes / seconds for count in self._counted)
            logs |= {
                "tokens_per_second": computed,
                "tokens_per_second_unshared": unshared,
                "peak_memory_mib": peak_memory_mib(),
            }
            self._counted, self._since = (0, 0), time.perf_counter()
        super().log(logs, *args, **kwargs)


def peak_memory_mib() -> float:
    """The most memory held so far in MiB: the GPU's if there is one, else this process's (not a number on Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if STATUS.exists():  # Linux; getrusage would count what the parent process held
        held = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) / 2**10
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
