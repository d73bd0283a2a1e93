"""A Ray cluster makes the rows that one process makes, also after a worker, a row or the whole command was killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from started import finish, started, wait_for
from tiny import tiny_folder

from redink.failures import Failure
from redink.models.shelf import Shelf, placed
from redink.progress import Advance
from redink.stages.engine import LOCAL, EngineSettings, Job, Key
from redink.stages.engines import engine_of
from redink.stages.ray_engine import RayEngine, _pickled_fault, _read, _Said, _Shown, _Tally

SCRIPT = Path(__file__).parents[1] / "ray_run.py"
PROBLEMS = 48
PAUSE_S = 0.03


def start(engine: str, folder: Path, student: Path, pause_s: float = 0.0) -> subprocess.Popen[bytes]:
    return started(SCRIPT, engine, folder, student, PROBLEMS, pause_s)


def rows(folder: Path) -> dict[str, str]:
    """Every file of the stage: rows, rejected, quarantined, books."""
    return {path.name: path.read_text() for path in sorted(folder.glob("attempts.*")) if path.is_file()}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def by_one_process(student: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    pytest.importorskip("ray")
    folder = tmp_path_factory.mktemp("local") / "run"
    finish(start("local", folder, student))
    made = rows(folder)
    assert made["attempts.jsonl"].count("\n") == PROBLEMS - 1
    assert made["attempts.quarantine.jsonl"].count("not_made") == 1
    return made


@pytest.mark.slow
def test_two_workers_make_the_rows_of_one_process_though_one_is_killed(
    student: Path, tmp_path: Path, by_one_process: dict[str, str]
) -> None:
    process = start("ray", tmp_path / "run", student, PAUSE_S)
    first = wait_for(lambda: sorted((tmp_path / "run").glob("*.pid")), 1, process)[0]
    os.kill(int(first.stem), signal.SIGKILL)
    finish(process)
    assert len(list((tmp_path / "run").glob("*.pid"))) > 1
    assert rows(tmp_path / "run") == by_one_process


@pytest.mark.slow
def test_after_the_command_was_killed_the_other_engine_goes_on(
    student: Path, tmp_path: Path, by_one_process: dict[str, str]
) -> None:
    process = start("ray", tmp_path / "run", student, PAUSE_S)
    wait_for(lambda: list((tmp_path / "run" / "attempts.parts").glob("*.jsonl")), 1, process)
    process.kill()
    process.wait()
    assert not rows(tmp_path / "run")
    finish(start("local", tmp_path / "run", student))
    assert rows(tmp_path / "run") == by_one_process


class Ends:
    """Work that ends its process at one row."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal

    def __call__(self, rows: Sequence[int], key: Key, advance: Advance) -> str:
        if self.fatal in rows:
            os._exit(9)
        return "".join(f"{key}:{row}\n" for row in rows)

    def lost(self, row: int, key: Key) -> str:
        return f"{key}:{row} lost\n"


@pytest.mark.slow
def test_a_row_that_no_process_survives_costs_only_itself() -> None:
    pytest.importorskip("ray")
    made: dict[Key, str] = {}
    units: list[int] = []
    engine = engine_of(EngineSettings(kind="ray", address="local", workers=2))
    try:
        engine.make(
            Ends(5), [Job(n, [3 * n, 3 * n + 1, 3 * n + 2], 3) for n in range(4)],
            lambda job, text: made.update({job.key: text}), lambda done=1, note="": units.append(done),
        )  # fmt: skip
    finally:
        engine.close()
    assert made == {0: "0:0\n0:1\n0:2\n", 1: "1:3\n1:4\n1:5 lost\n", 2: "2:6\n2:7\n2:8\n", 3: "3:9\n3:10\n3:11\n"}
    assert sum(units) == 12


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Failure, match=r"Ray is not installed\. pip install 'redink\[ray\]', or use --engine local"):
        RayEngine(EngineSettings(kind="ray"))
    assert engine_of(EngineSettings()) is LOCAL


def test_progress_of_a_chunk_that_is_begun_again_counts_once() -> None:
    tally, shown = _Tally(), list[int]()
    show = _Shown(lambda units=1, note="": shown.append(units), 10)
    for key, done in ((0, 3), (1, 4), (0, 1), (0, 5), (1, 9)):
        tally.say(key, done)
        show(tally.total())
    assert shown == [3, 4, 2, 1]  # 3, 7, 5 (begun again), 9, 14: never back, never beyond 10


def test_a_worker_tells_its_progress_now_and_then() -> None:
    class Handle:
        said: ClassVar[list[int]] = []

        class say:  # noqa: N801
            @staticmethod
            def remote(key: Key, units: int) -> None:
                Handle.said.append(units)

    said = _Said(Handle, 0)
    for _ in range(1000):
        said()
    said.all(1000)
    assert Handle.said == [1000]


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (Failure("no model.", "Name one."), Failure, "no model. Name one."),
        (ValueError("odd"), ValueError, "odd"),
        (Unpicklable("a", "b"), RuntimeError, "Unpicklable: a b\nwhere"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_raised_here(fault: Exception, kind: type[Exception], text: str) -> None:
    fault.add_note("where")
    with pytest.raises(kind) as raised:
        _read(_pickled_fault(0, fault))
    assert str(raised.value) == text


def test_a_shelf_travels_empty_and_a_folder_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    shelf._held = object()  # type: ignore[assignment]
    assert pickle.loads(pickle.dumps(shelf))._held is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hsft").mkdir()
    (tmp_path / "bundled").mkdir()
    assert [placed(name) for name in ("hsft", "bundled", "org/model")] == [
        str(tmp_path / "hsft"),
        "bundled",
        "org/model",
    ]
