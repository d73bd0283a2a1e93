"""`redink grade`, `evaluate-steps` and `stream` by a Ray cluster: the rows of one process, after kills too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.scripted_student import write_problems
from started import finish, started, wait_for
from tiny import tiny_folder

from redink.answers.checkers import checker_of
from redink.pipelines.grading import grade_predictions, read_predictions
from redink.pipelines.measuring import StepQuestion, steps
from redink.progress import Advance
from redink.stages.engine import Engine, EngineSettings, Job, Work
from redink.stages.engines import engine_of
from redink.types import LabelledSolution, Step

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "ray_stream.py"
OWN = EngineSettings(kind="ray", address="local", workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    pytest.importorskip("ray")
    engine = engine_of(OWN)
    yield engine
    engine.close()


class Interrupted:
    """Ends after so many chunks."""

    def __init__(self, engine: Engine, chunks: int) -> None:
        self.engine, self.left = engine, chunks

    def make(self, work: Work, jobs: list[Job], keep: Callable[[Job, str], None], advance: Advance) -> None:  # type: ignore[type-arg]
        def kept(job: Job, text: str) -> None:  # type: ignore[type-arg]
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            keep(job, text)

        self.engine.make(work, jobs, kept, advance)

    def close(self) -> None:
        self.engine.close()


def test_grading(cluster: Engine, tmp_path: Path) -> None:
    """Exactly, by structure and in the workers of the checker; two of three parts are made, then the third here."""
    texts = ["4", "\\boxed{\\frac{8}{2}}", "no", "\\int_0^2 x dx", "five"]
    lines = [{"id": str(n % 700), "prediction": texts[n % 5], "gold": ["4", "2"][n % 3 == 1]} for n in range(2100)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = read_predictions(tmp_path / "p.jsonl")
    checker, parts = checker_of("math"), tmp_path / "parts"
    expected = grade_predictions(rows, checker)
    with pytest.raises(KeyboardInterrupt):
        grade_predictions(rows, checker, engine=Interrupted(cluster, 2), parts=parts)
    assert len(list(parts.rglob("*.jsonl"))) == 2
    assert grade_predictions(rows, checker, parts=parts) == expected
    assert grade_predictions(rows, checker, engine=cluster, parts=tmp_path / "other") == expected


def test_first_wrong_steps(cluster: Engine, tmp_path: Path) -> None:
    student = tiny_folder(tmp_path / "student")
    rows = [
        LabelledSolution(
            id=str(n), question=f"{n} + 1?", steps=(Step(number=1, text=f"{n} + 1 = {n}"),), first_wrong=1,
            answer=str(n + 1), answer_right=False,
        )
        for n in range(260)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    asked = StepQuestion(f"jsonl:{tmp_path / 'rows.jsonl'}", [str(student)], max_new_tokens=3, batch_rows=130)
    results = [steps(asked, tmp_path / kind, engine=engine)[0] for kind, engine in (("local", None), ("ray", OWN))]
    assert results[0] == results[1] and len(results[0].given_location) == 1
    one, other = (files(tmp_path / kind) for kind in ("local", "ray"))
    assert one == other and sum(len(text.splitlines()) == 256 for text in one.values()) == 2


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "recipe.json"
    }  # fmt: skip


def start(engine: str, folder: Path, problems: Path, pause_s: float = 0.0) -> subprocess.Popen[bytes]:
    return started(SCRIPT, engine, folder, problems, pause_s)


def test_a_stream_though_a_worker_and_then_the_command_were_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    problems = tmp_path / "problems.jsonl"
    write_problems(problems, 60)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    finish(start("local", tmp_path / "a" / "run", problems))
    run = tmp_path / "b" / "run"
    process = start("ray", run, problems, pause_s=0.5)
    worker = int(wait_for(lambda: sorted(run.parent.glob("*.pid")), 1, process)[0].stem)
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    made = run / "chunks" / "attempts"
    wait_for(lambda: sorted(made.glob("*.zst")), 2, process)
    process.kill()
    process.wait()
    assert not (run / "attempts.counts.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in made.glob("*.zst")}
    finish(start("ray", run, problems))
    assert (
        1 < len(before) < 8
        and before.items() <= {path.name: path.stat().st_mtime_ns for path in made.glob("*.zst")}.items()
    )
    assert files(run) == files(tmp_path / "a" / "run")
