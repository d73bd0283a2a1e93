"""Problems whose gold is empty: kept aside with their raw text, shown, and never given another try."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from loopback import Answer, Asked, completion, serving
from rich.console import Console
from typer.testing import CliRunner

from redink.cli import app
from redink.failures import Failure
from redink.pipelines.quarantine import quarantined_rows, requeue
from redink.pipelines.supercorrect import supercorrect
from redink.recipe import load_recipe
from redink.rows import read_rows
from redink.run import Run
from redink.types import Problem, Quarantined

EMPTY = {"problem": "Nobody knows.", "solution": "So \\boxed{}.", "answer": "", "level": "Level 4", "type": "Algebra"}


def math_rows(count: int, start: int) -> list[dict[str, str]]:
    return [EMPTY | {"problem": f"Find $x - {n}$.", "answer": str(n)} for n in range(start, start + count)]


def thought(asked: Asked) -> Answer:
    """The answer n to "Find $x - n$."."""
    found = re.findall(r"Find \$x - (\d+)\$", asked.prompt)[-1]
    return completion(f"<Step1>It is {found}.</Step1>\n<Generalized>Look.</Generalized>\n<Answer>{found}</Answer>")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run up to its thoughts over a set of which one row has no gold."""
    for name, rows in (("math_train", [*math_rows(11, 0), EMPTY]), ("math_test", math_rows(6, 50))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with serving(thought) as server:
        wanted = ["problems.sources=['math']", "problems.held_out=false", "inspector.kind=none"]
        chat = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.base_url}"]
        recipe = load_recipe("demo", [*wanted, *chat]).limited(4)
        with Run(tmp_path / "run", recipe, Console(file=io.StringIO())) as run:
            supercorrect(run, data_dir=tmp_path, until="thoughts")
    return tmp_path / "run"


def test_a_problem_without_a_gold_is_kept_aside_with_its_raw_text(folder: Path) -> None:
    (row,) = read_rows(folder / "problems.quarantine.jsonl", Quarantined)
    assert (row.problem_id, row.stage, row.reason) == ("math/train/11", "problems", "empty_gold")
    assert json.loads(row.raw) == EMPTY
    drawn = [
        problem for name in ("thoughts", "errors") for problem in read_rows(folder / f"problems.{name}.jsonl", Problem)
    ]
    assert drawn, "the rest of the set serves"
    assert row.problem_id not in {problem.id for problem in drawn}
    assert all(problem.answer.strip() for problem in drawn)


def test_it_is_listed_beside_the_rows_of_the_stages(folder: Path) -> None:
    assert {stage: [row.reason for row in rows] for stage, rows in quarantined_rows(folder).items()} == {
        "problems": ["empty_gold"]
    }
    assert quarantined_rows(folder, stage="thoughts") == {}


def test_it_has_no_other_try(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for stage in (None, "problems"):
        for remake in (False, True):
            with pytest.raises(Failure, match="no other try"):
                requeue(folder, "empty_gold", stage, remake)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_the_command_refuses_in_one_line(folder: Path) -> None:
    done = CliRunner().invoke(app, ["quarantine", "requeue", str(folder), "--reason", "empty_gold"])
    assert done.exit_code != 0
    said = str(done.exception) if done.exception and not isinstance(done.exception, SystemExit) else done.output
    assert "rows of the problem sources have no other try" in " ".join(said.split())
