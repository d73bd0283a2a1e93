"""Hardware by name: how fast it multiplies, how fast it reads its memory, how much it holds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches

from redink.failures import Failure

GIB = 2**30
_FORM = re.compile(r"(?:(\d+)\s*[x×]\s*)?([a-z][a-z0-9. -]*)(?::(\d+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Device:
    """One GPU, or the cores of a machine together: dense bfloat16 (a CPU: single precision) FLOP/s, bytes/s, bytes."""

    name: str
    flops: float
    bandwidth: float
    memory: float
    cpu: bool = False

    @property
    def bytes_per_weight(self) -> int:
        """A student is loaded in bfloat16 on a GPU and in single precision on a CPU."""
        return 4 if self.cpu else 2


@dataclass(frozen=True)
class Hardware:
    """So many devices of one kind in one machine."""

    count: int
    device: Device

    @property
    def text(self) -> str:
        """As it is given: '8xA100-40GB', 'cpu:2'."""
        return self.device.name if self.count == 1 else f"{self.count}x{self.device.name}"


def _gpu(name: str, teraflops: float, gigabytes_per_second: float, gigabytes: float) -> Device:
    """From a data sheet: teraFLOP/s dense, GB/s, and memory in GiB as the card is sold."""
    return Device(name, teraflops * 1e12, gigabytes_per_second * 1e9, gigabytes * GIB)


GPUS = {
    gpu.name.lower(): gpu
    for gpu in (
        _gpu("A100-40GB", 312, 1555, 40),
        _gpu("A100-80GB", 312, 2039, 80),
        _gpu("H100-80GB", 989, 3350, 80),
        _gpu("H200", 989, 4800, 141 / 1.073741824),
        _gpu("B200", 2250, 8000, 180),
        _gpu("A40", 150, 696, 48),
        _gpu("A6000", 155, 768, 48),
        _gpu("A10", 125, 600, 24),
        _gpu("L4", 121, 300, 24),
        _gpu("L40S", 362, 864, 48),
        _gpu("RTX3090", 71, 936, 24),
        _gpu("RTX4090", 165, 1008, 24),
    )
}
"""NVIDIA's data sheets: dense bfloat16 with single-precision sums (half of the figure 'with sparsity')."""

CPU_CORE_FLOPS, CPU_BANDWIDTH = 25e9, 15e9
"""A core of a server and what its machine reads, when nothing was measured: orders of magnitude, not promises."""


def hardware_of(text: str) -> Hardware:
    """'8xA100-40GB', 'H200', 'cpu', 'cpu:2' (cores); '' is this machine. Raises `Failure` for a name not known."""
    if not text.strip():
        return this_machine()
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise _unknown(text)
    count, name = int(found[1] or 1), re.sub(r"[ _]", "", found[2].lower()).removeprefix("nvidia-")
    if name == "cpu":
        return Hardware(1, cpu(int(found[3] or 0) or _cores()))
    if name not in GPUS or found[3] or not count:
        raise _unknown(text)
    return Hardware(count, GPUS[name])


def cpu(cores: int) -> Device:
    """A CPU with so many cores, and this machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        memory = 16 * GIB
    return Device(f"cpu:{cores}", cores * CPU_CORE_FLOPS, CPU_BANDWIDTH, float(memory), cpu=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> Hardware:
    """The GPUs that are here, by their own word about their memory; else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return Hardware(1, cpu(_cores()))
    own = torch.cuda.get_device_properties(0)
    known = _by_own_name(own.name, own.total_memory)
    return Hardware(torch.cuda.device_count(), known)


def _by_own_name(name: str, memory: int) -> Device:
    """The GPU that calls itself so: 'NVIDIA A100-SXM4-40GB' → A100-40GB, with the memory that it says it has."""
    words = re.sub(r"[^a-z0-9]", "", name.lower())
    fitting = [gpu for key, gpu in GPUS.items() if re.sub(r"[^a-z0-9]", "", key.split("-")[0]) in words]
    if not fitting:
        raise Failure(f"this machine's GPU ({name}) is not in the table.", f"Name one like it: --hardware {_names()}.")
    nearest = min(fitting, key=lambda gpu: (-len(gpu.name.split("-")[0]), abs(gpu.memory - memory)))
    return Device(nearest.name, nearest.flops, nearest.bandwidth, float(memory))


def _unknown(text: str) -> Failure:
    near = get_close_matches(text.lower().rpartition("x")[2], GPUS, 1, cutoff=0.4)
    hint = f"Did you mean '{GPUS[near[0]].name}'? " if near else ""
    return Failure(f"--hardware {text}: not known.", f"{hint}For example 8xA100-40GB; known: cpu, {_names()}.")


def _names() -> str:
    return ", ".join(gpu.name for gpu in GPUS.values())
