"""From a solver to a service: batches, name, bounds."""

from __future__ import annotations

from pathlib import Path

from redink.serving.batching import Batching
from redink.serving.connection import Bounds
from redink.serving.desk import Desk
from redink.serving.gate import Queue, Token
from redink.serving.service import Service
from redink.solving.backends import ChatBackend
from redink.solving.solver import Solver


def service_for(
    solver: Solver,
    *,
    name: str | None = None,
    token: str | None = None,
    longest: int = 1024,
    queue: int = 256,
    timeout_s: float = 300.0,
    body_bytes: int = 512_000,
    batch_rows: int = 32,
    open_to_all: bool = False,
    bounds: Bounds | None = None,
) -> Service:
    """A service for one solver; a model in this process gets its requests in shared batches.

    One behind another server has its own batches there, and is asked for each request apart.
    """
    desk = Desk(solver, name=name or short_name(solver.backend.name), longest=longest)
    service = Service(
        desk,
        Token(token) if token else None,
        bounds or Bounds(body_bytes=body_bytes),
        Queue(queue),
        timeout_s,
        open_to_all,
    )
    if not isinstance(solver.backend, ChatBackend):
        solver.backend = Batching(solver.backend, batch_rows, told=service.books.batches.observe)
    return service


def short_name(model: str) -> str:
    """What clients call a model: a folder by its last part, so that no path of this machine is told.

    >>> short_name("org/model"), short_name("/home/me/runs/demo/cross_dpo")
    ('org/model', 'cross_dpo')
    """
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() or folder.is_absolute() else model
