"""One arm for one seed, as `redink reproduce` starts it: an `Order` on standard input, nothing else.

Where standard input closes, the one who gave the order is gone, and the arm stops as after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from redink.failures import Failure, StoppedByHand
from redink.pipelines.measuring import teacher_quality_rows
from redink.pipelines.methods import follow_recipe
from redink.reproduction.chains import compare_chains
from redink.reproduction.jobs import Order
from redink.reproduction.samples import TEACHER, TeacherPiece
from redink.reproduction.sharing import take_over
from redink.reproduction.stores import measure_stores
from redink.rows import write_rows
from redink.run import Run


def obey(order: Order) -> None:
    """Do a job: take over what it shares, then what its kind says. Raises `Failure` as that does."""
    job, folder = order.job, order.runs / order.job.name
    for share in job.shares:
        source = order.runs / f"{share.source}-s{job.seed}"
        taken = take_over(source, folder, job.recipe, share.stages)
        print(f"from {source.name}: {', '.join(taken) or 'nothing'}", flush=True)
    with Run(folder, job.recipe) as run:
        if job.kind == "run":
            follow_recipe(run, order.data_dir)
        elif job.kind == "teacher":
            _teacher(order, folder)
        elif job.kind == "store":
            measure_stores(run, order.runs, job.of)
        else:
            compare_chains(job.recipe, order.runs, job.of, folder)


def _teacher(order: Order, folder: Path) -> None:
    found = teacher_quality_rows(order.job.recipe, folder, order.data_dir)
    write_rows(
        folder / TEACHER, (TeacherPiece(kind=kind, piece=piece) for kind, pieces in found.items() for piece in pieces)
    )


def _stop_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


def main() -> int:
    """Read the order and obey it; the exit code is that of a command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    order = Order.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        obey(order)
    except (KeyboardInterrupt, StoppedByHand):
        print("stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
