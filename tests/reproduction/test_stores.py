"""Arms of kind "store": rows per problem by hand, what a kill leaves, what is refused, and the real tiny student."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from redink.failures import Failure, ReplyFailure
from redink.models.bundled import bundled_folder
from redink.models.chat import ChatRequest, Reply, Usage
from redink.models.student import Sampling, Student
from redink.prompts import load_prompt
from redink.recipe import Recipe, load_recipe
from redink.reproduction import __main__ as child
from redink.reproduction.arms import Job
from redink.reproduction.claims import CLAIMS, judge
from redink.reproduction.jobs import Order, is_done
from redink.reproduction.samples import Archive
from redink.reproduction.stores import StoreRow, measure_stores
from redink.rows import read_rows, write_rows
from redink.run import Run
from redink.solving.backends import ChatBackend
from redink.solving.presets import redink_preset
from redink.solving.solver import Solver
from redink.stages.attempts import attempt
from redink.types import Problem, Step, Thought, ThoughtRow

ASKED = re.compile(r"(\d+) and (\d+)\?")


class Counting:
    """Adds an even first number to the second, and an odd one only if a thought says so; 'bad' is refused."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        self.calls += 1
        text = request.messages[-1].content
        found = ASKED.search(text)
        if "bad" in text or found is None:
            raise ReplyFailure("refused", "no", "raw")
        first, second = map(int, found.groups())
        knows = first % 2 == 0 or "Add." in text
        answer = f"<Answer>{first + second}</Answer>" if knows else ""
        return Reply(text=f"<Step1>so</Step1>{answer}", usage=Usage(prompt_tokens=10, completion_tokens=first))


QUESTIONS = ("2 and 1?", "3 and 1?", "5 and 1?", "bad")
ANSWERS = ("3", "4", "6", "7")
STORE = ["store.thoughts=1", "store.rounds=0"]


def taught(runs: Path, *settings: str) -> Path:
    """An arm that is done: evaluation problems, a thought, two students."""
    folder = runs / "supercorrect-s0"
    with Run(folder, load_recipe("demo", list(settings)), Console(file=io.StringIO())):
        pass
    rows = zip(QUESTIONS, ANSWERS, strict=True)
    problems = [Problem(id=f"p{n}", question=question, answer=answer) for n, (question, answer) in enumerate(rows)]
    write_rows(folder / "problems.evaluation.jsonl", problems)
    write_rows(folder / "problems.thoughts.jsonl", [Problem(id="t", question="8 and 9?", answer="17")])
    thought = Thought(steps=(Step(number=1, text="8 + 9 = 17"),), generalized="Add.", answer="17")
    write_rows(folder / "thoughts.jsonl", [ThoughtRow(problem_id="t", thought=thought)])
    for model in ("hsft", "cross_dpo"):
        (folder / model).mkdir()
    (folder / "results.json").write_text("{}")
    return folder


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Counting:
    found = Counting()

    def load(name: str, *, rounds: int, thoughts: int, **_: object) -> Solver:
        return Solver(ChatBackend(found), redink_preset(chat=True), rounds, thoughts=thoughts)

    monkeypatch.setattr("redink.reproduction.stores.Solver.load", load)
    return found


def recipe(*settings: str) -> Recipe:
    return load_recipe("demo", [*STORE, *settings])


def measured(runs: Path, *settings: str) -> list[StoreRow]:
    with Run(runs / "store-s0", recipe(*settings), Console(file=io.StringIO())) as run:
        measure_stores(run, runs, ["supercorrect"])
    return read_rows(runs / "store-s0" / "store.jsonl", StoreRow)


def test_every_problem_has_a_row_for_each_student_without_and_with_the_store(tmp_path: Path, backend: Counting) -> None:
    taught(tmp_path)
    rows = measured(tmp_path)
    assert [row.name for row in rows[::4]] == [
        f"supercorrect/{model}/{way}" for model in ("hsft", "cross_dpo") for way in ("off", "on")
    ]
    off, on = rows[:4], rows[4:8]
    assert [(row.problem_id, row.right_t1, row.ungradable_t1, row.tokens) for row in off] == [
        ("p0", True, False, 12), ("p1", False, True, 13), ("p2", False, True, 15), ("p3", False, True, 0),
    ]  # fmt: skip
    assert [row.right_t2 for row in on] == [True, True, True, False]
    assert {row.thoughts for row in off} == {0} and {row.thoughts for row in on} == {1}
    assert "no" in off[3].failed and not off[0].failed
    assert backend.calls == 4 * 4


def test_the_tables_and_the_claims_read_it(tmp_path: Path, backend: Counting) -> None:
    """Two of four gained, none lost, in one seed: McNemar's exact p = 2/2² = ½."""
    taught(tmp_path)
    measured(tmp_path)
    archive = Archive(tmp_path, (0, 1), {"called": "supercorrect"})

    def values(model: str, metric: str) -> list[float]:
        return list(archive.samples("store", model, metric)[0].values)

    assert values("supercorrect/hsft/off", "t2") == [1, 0, 0, 0]
    assert values("called/hsft/on", "t2") == [1, 1, 1, 0]
    assert values("supercorrect/hsft/on", "delta") == [0, 0, 0, 0]
    assert values("supercorrect/hsft/off", "unanswered") == [0, 1, 1, 1]
    assert values("supercorrect/hsft/off", "tokens") == [12, 13, 15, 0]
    for model, metric in (("supercorrect/base/on", "t1"), ("supercorrect/hsft/on", "locate")):
        assert archive.samples("store", model, metric) == {}
    found = {claim.id: judge(claim, archive) for claim in CLAIMS if claim.where == "store"}
    assert set(found) == {"store-hsft", "store-cross-dpo"}
    for each in found.values():
        assert (each.p_value, each.higher, each.lower, each.effect.value) == (0.5, 2, 0, 0.5)
        assert each.claim.paper == "in neither paper"


def test_a_killed_arm_goes_on_with_what_is_missing_alone(tmp_path: Path, backend: Counting) -> None:
    taught(tmp_path)
    measured(tmp_path)
    folder, asked = tmp_path / "store-s0", backend.calls
    whole = (folder / "store.jsonl").read_bytes()
    (folder / "store.jsonl").unlink()
    next(folder.glob("store.supercorrect.hsft.on.*.jsonl")).unlink()
    measured(tmp_path)
    assert backend.calls == asked + 4
    assert (folder / "store.jsonl").read_bytes() == whole


def test_what_a_part_rests_on_is_in_its_name(tmp_path: Path, backend: Counting) -> None:
    """The arm's thoughts changed: what was asked with the store is asked again, what was asked without it is not."""
    folder = taught(tmp_path)
    measured(tmp_path)
    asked = backend.calls
    rows = [row.model_copy(update={"problem_id": "t2"}) for row in read_rows(folder / "thoughts.jsonl", ThoughtRow)]
    write_rows(folder / "problems.thoughts.jsonl", [Problem(id="t2", question="6 and 1?", answer="7")])
    write_rows(folder / "thoughts.jsonl", rows)
    measured(tmp_path)
    assert backend.calls == asked + 2 * 4


def test_the_first_so_many_problems(tmp_path: Path, backend: Counting) -> None:
    taught(tmp_path)
    assert len(measured(tmp_path, "store.problems=2")) == 2 * 2 * 2


def test_a_job_with_other_settings_is_not_done(tmp_path: Path, backend: Counting) -> None:
    taught(tmp_path)
    measured(tmp_path)
    job = Job(arm="store", seed=0, kind="store", recipe=recipe(), of=("supercorrect",))
    assert is_done(job, tmp_path)
    assert not is_done(job.model_copy(update={"recipe": recipe("store.problems=2")}), tmp_path)


def unfinished(folder: Path) -> None:
    (folder / "results.json").unlink()


def without_thoughts(folder: Path) -> None:
    write_rows(folder / "thoughts.jsonl", [])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (unfinished, "is not done. It is an arm that must be done first."),
        (without_thoughts, "there is no thought to store."),
        (shutil.rmtree, "is no run directory"),
    ],
)
def test_an_arm_that_gives_nothing_is_one_line(
    tmp_path: Path, backend: Counting, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(taught(tmp_path))
    with pytest.raises(Failure, match=re.escape(says)):
        measured(tmp_path)


def test_a_file_that_cannot_be_read_is_missing_and_said(tmp_path: Path, backend: Counting) -> None:
    taught(tmp_path)
    measured(tmp_path)
    (tmp_path / "store-s0" / "store.jsonl").write_text("{\n")
    archive = Archive(tmp_path, (0,))
    assert archive.samples("store", "supercorrect/hsft/on", "t2") == {}
    assert "store.jsonl" in archive.faults["store-s0"]


@pytest.mark.slow
def test_the_tiny_student_is_asked_as_its_run_asked_it(tmp_path: Path) -> None:
    """As `redink reproduce` starts it; without the store its first solutions are those of the evaluation's stage."""
    shown = ["sampling.max_new_tokens=60", "sampling.max_review_tokens=60", "prompts.solve=compact/solve_hierarchical"]
    source = taught(tmp_path, *shown)
    problems = [
        Problem(id=f"p{n}", question=f"Ann has {n} pens and buys 4. How many?", answer=str(n + 4)) for n in (3, 14)
    ]
    write_rows(source / "problems.evaluation.jsonl", problems)
    (source / "cross_dpo").rmdir()
    shutil.copytree(bundled_folder("bundled"), source / "hsft", dirs_exist_ok=True)
    job = Job(arm="store", seed=0, kind="store", recipe=recipe(*shown, "store.rounds=1"), of=("supercorrect",))
    child.obey(Order(job=job, runs=tmp_path))
    rows = read_rows(tmp_path / "store-s0" / "store.jsonl", StoreRow)
    assert [row.name for row in rows] == ["supercorrect/hsft/off"] * 2 + ["supercorrect/hsft/on"] * 2
    greedy = Sampling(temperature=0.0, max_new_tokens=60, stop=("</Answer>",))
    alone = attempt(problems, Student.load("bundled"), load_prompt("compact/solve_hierarchical"), greedy)
    assert [(row.right_t1, row.ungradable_t1) for row in rows[:2]] == [
        (row.verdict.right, row.verdict.outcome == "ungradable") for row in alone
    ]
    assert all(row.tokens > 0 and not row.failed for row in rows)
