"""Counters, gauges and histograms, and how Prometheus reads them (its text format 0.0.4)."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
TEXT = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows, one for each combination of labels."""

    kind = "counter"

    def __init__(self, name: str, words: str) -> None:
        self.name, self.words = name, words
        self.values: dict[Labels, float] = defaultdict(float)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count; labels must come from a small fixed set of values."""
        self.values[tuple(sorted(labels.items()))] += amount

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Name, labels and value of each."""
        for labels, value in (self.values or {(): 0.0}).items():
            yield self.name, labels, value


class Gauge:
    """A number that is read when it is asked for."""

    kind = "gauge"

    def __init__(self, name: str, words: str, read: Callable[[], float]) -> None:
        self.name, self.words, self.read = name, words, read

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """The one value."""
        yield self.name, (), float(self.read())


class Histogram:
    """How many observations were at most so large."""

    kind = "histogram"

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        self.name, self.words, self.bounds = name, words, tuple(bounds)
        self.counts, self.total = [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """One observation."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Buckets, each with all that is below it, then sum and count."""
        seen = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            yield f"{self.name}_bucket", (("le", bound),), float(seen)
        yield f"{self.name}_sum", (), self.total
        yield f"{self.name}_count", (), float(seen)


Measure = Counter | Gauge | Histogram


def exposed(measures: Sequence[Measure]) -> str:
    """All of them in Prometheus' text format."""
    return "".join(line for measure in measures for line in _lines(measure))


def _lines(measure: Measure) -> Iterator[str]:
    yield f"# HELP {measure.name} {measure.words}\n# TYPE {measure.name} {measure.kind}\n"
    for name, labels, value in measure.samples():
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"{name}{{{inside}}} {value!r}\n" if inside else f"{name} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
