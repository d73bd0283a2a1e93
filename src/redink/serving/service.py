"""What the endpoints share: the desk, the queue, the token, the bounds and the books."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from redink.serving import metrics
from redink.serving.connection import Bounds
from redink.serving.desk import Desk, Outcome
from redink.serving.gate import Queue, Token


class Books:
    """What is counted."""

    def __init__(self, queue: Queue) -> None:
        self.requests = metrics.Counter("redink_requests_total", "Requests, by address and status.")
        self.refused = metrics.Counter("redink_refused_total", "Requests that got no reply, by reason.")
        self.gone = metrics.Counter("redink_gone_total", "Requests whose client left before the reply.")
        self.tokens = metrics.Counter("redink_tokens_total", "Tokens of prompts and of texts.")
        self.stopped = metrics.Counter("redink_self_corrections_total", "How self-correction ended.")
        self.seconds = metrics.Histogram(
            "redink_completion_seconds", "From the whole request to the end of its reply.", metrics.SECONDS
        )
        self.first = metrics.Histogram(
            "redink_first_piece_seconds", "From the whole request to the first text.", metrics.SECONDS
        )
        self.batches = metrics.Histogram("redink_batch_rows", "Rows generated together.", metrics.ROWS)
        self.gauges = (
            metrics.Gauge("redink_requests_inside", "Requests taken and not answered yet.", lambda: queue.inside),
            metrics.Gauge("redink_queue_room", "Requests that would still be taken.", lambda: queue.room),
            metrics.Gauge("redink_resident_bytes", "Memory of the process.", resident_bytes),
        )

    def took(self, outcome: Outcome) -> None:
        """A completion that came to its end."""
        self.tokens.add(outcome.usage.prompt_tokens, kind="prompt")
        self.tokens.add(outcome.usage.completion_tokens, kind="completion")
        if outcome.solved is not None:
            self.stopped.add(stopped=outcome.solved.stopped)

    def exposed(self) -> str:
        """For Prometheus."""
        counted = (self.requests, self.refused, self.gone, self.tokens, self.stopped)
        return metrics.exposed((*counted, self.seconds, self.first, self.batches, *self.gauges))


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not tell (no /proc)."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


@dataclass
class Service:
    """A model that is served, and the rules of the house."""

    desk: Desk
    token: Token | None = None
    bounds: Bounds = field(default_factory=Bounds)
    queue: Queue = field(default_factory=lambda: Queue(256))
    timeout_s: float = 300.0
    """From the whole request to the end of its reply, the wait included."""
    open_to_all: bool = False
    """Other machines may ask; only ever with a token."""
    started: int = field(default_factory=lambda: int(time.time()))
    books: Books = field(init=False)

    def __post_init__(self) -> None:
        self.books = Books(self.queue)
