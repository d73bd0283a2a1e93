"""Evaluations as users meet them: stored once, resumed, extended, recomputed, refused where they would mix."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny import tiny_folder

from redink.failures import Failure, MissingModel
from redink.models.student import Student
from redink.pipelines.evaluation import evaluate, gold_chain, regrade
from redink.pipelines.results import (
    EvaluationResults,
    Results,
    evaluation_tables,
    read_results,
    tables_of,
    write_results,
)
from redink.recipe import EvaluationRecipe, evaluation_recipe, kept_recipe
from redink.rows import read_rows, write_rows
from redink.run import Run
from redink.types import Attempt, Problem, Verdict

SMALL: dict[str, Any] = {"limit": 5, "max_new_tokens": 6, "batch_rows": 4, "checker": "exact"}


def recipe(students: list[str], **changes: object) -> EvaluationRecipe:
    values = SMALL | {"name": "e", "students": students, "benchmarks": ["stories:ledger"]} | changes
    return evaluation_recipe("reference", values)


def done(
    folder: Path, students: list[str], recompute: bool = False, screen: io.StringIO | None = None, **changes: object
) -> EvaluationResults:
    console = Console(file=screen or io.StringIO(), width=300)
    may_change = ("checker",) if recompute else ()
    with Run(folder, recipe(students, **changes), console, may_change=may_change) as run:
        return evaluate(run, recompute=recompute)


def files(folder: Path, kinds: tuple[str, ...] = (".jsonl",)) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in kinds
    }


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    made = tmp_path_factory.mktemp("students")
    return [str(tiny_folder(made / name, seed=seed)) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, students: list[str]) -> Path:
    """Two students, two benchmarks, two repeats, in one go."""
    folder = tmp_path_factory.mktemp("whole") / "e"
    done(folder, students, benchmarks=["stories:ledger", "stories:compare"], repeats=2)
    return folder


@pytest.mark.slow
def test_every_figure_of_every_student_on_every_benchmark(whole: Path, students: list[str]) -> None:
    results = read_results(whole)
    assert isinstance(results, EvaluationResults)
    assert [(panel.benchmark, panel.model) for panel in results.panels] == [
        (name, student) for name in ("stories:ledger", "stories:compare") for student in students
    ]
    for panel in results.panels:
        assert panel.accuracy_t1.n == panel.accuracy_t2.n == 5
        assert panel.at_k is not None and set(panel.at_k.pass_at) == {1, 2}
        assert panel.stability is not None and panel.stability.repeats == 2
        assert panel.rates["t1"].truncated.n == 5
        assert panel.majority is not None and panel.perplexity is not None
    assert all(check.ok and check.rows == 5 for check in results.sets)
    assert all(row.balanced for row in results.counts)
    stages = {row.stage: row.inputs for row in results.counts if row.stage.startswith("attempts.")}
    assert len(stages) == 4 and set(stages.values()) == {5 * 3}, "one greedy pass and two repeats"


@pytest.mark.slow
def test_what_is_extended_step_by_step_ends_with_the_same_files(
    tmp_path: Path, whole: Path, students: list[str]
) -> None:
    done(tmp_path / "e", students[:1])
    done(tmp_path / "e", students[:1], repeats=1)
    done(tmp_path / "e", students, benchmarks=["stories:ledger", "stories:compare"], repeats=2)
    assert files(tmp_path / "e", (".jsonl", ".json")) == files(whole, (".jsonl", ".json"))


@pytest.mark.slow
def test_what_is_stored_is_computed_again_without_any_model(
    tmp_path: Path, whole: Path, students: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "e")

    def unloadable(name: str) -> Student:
        raise AssertionError(f"{name} is loaded")

    monkeypatch.setattr(Student, "load", unloadable)
    done(tmp_path / "e", students, benchmarks=["stories:ledger", "stories:compare"], repeats=2)
    assert files(tmp_path / "e", (".jsonl", ".json")) == files(whole, (".jsonl", ".json"))


@pytest.mark.slow
def test_a_kill_costs_a_shard(tmp_path: Path, whole: Path, students: list[str]) -> None:
    """As if killed while the second repeat of the second student was written: that and what follows is made again."""
    shutil.copytree(whole, tmp_path / "e")
    lost = [path for path in (tmp_path / "e").rglob("*.jsonl") if path.parent.name == "r001"]
    assert len(lost) == 4
    for path in lost:
        path.rename(path.with_name(path.name + ".part"))
    (tmp_path / "e" / "results.json").unlink()
    done(tmp_path / "e", students, benchmarks=["stories:ledger", "stories:compare"], repeats=2)
    assert files(tmp_path / "e") == files(whole)


@pytest.mark.slow
def test_other_settings_and_other_weights_are_refused(tmp_path: Path, whole: Path, students: list[str]) -> None:
    shutil.copytree(whole, tmp_path / "e")
    with pytest.raises(Failure, match="differs in temperature"):
        done(tmp_path / "e", students, repeats=2, temperature=1.0)
    with pytest.raises(Failure, match="differs in checker"):
        done(tmp_path / "e", students, checker="math")
    moved = tmp_path / "student"
    shutil.copytree(students[0], moved)
    done(tmp_path / "f", [str(moved)])
    shutil.rmtree(moved)
    tiny_folder(moved, seed=9)
    with pytest.raises(Failure, match=r"drawn otherwise \(weights "):
        done(tmp_path / "f", [str(moved)])


@pytest.mark.slow
def test_recomputing_grades_the_stored_replies_by_another_checker(
    tmp_path: Path, whole: Path, students: list[str]
) -> None:
    """Replies are made to say '42.0' where the gold is made 42: wrong to 'exact', right to 'math'."""
    shutil.copytree(whole, tmp_path / "e")
    problems = next((tmp_path / "e").glob("problems.stories-ledger-????.jsonl"))
    write_rows(problems, [row.model_copy(update={"answer": "42"}) for row in read_rows(problems, Problem)])
    for path in (tmp_path / "e" / "attempts").rglob("*.jsonl"):
        said = {"text": "<Answer>42.0</Answer>", "answer": "42.0", "verdict": Verdict(outcome="wrong")}
        write_rows(path, [row.model_copy(update=said) for row in read_rows(path, Attempt)])
    for path in (tmp_path / "e" / "attempts").rglob("series.json"):
        path.unlink()
    before = done(tmp_path / "e", students)
    assert before.panels[0].accuracy_t1.value == 0
    after = done(tmp_path / "e", students, recompute=True, checker="math")
    assert [panel.accuracy_t1.value for panel in after.panels] == [1, 1]
    assert after.checker == "math"
    assert not (tmp_path / "e" / "regrading").exists()
    again = done(tmp_path / "e", students, checker="math")
    assert again.panels == after.panels


@pytest.mark.slow
def test_a_grading_that_was_cut_off_is_done_again(
    tmp_path: Path, whole: Path, students: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "e")
    from redink.pipelines import evaluation as module

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "regrade", killed)
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path / "e", students, recompute=True, checker="math")
    graded = []
    monkeypatch.setattr(module, "regrade", lambda path, *rest: graded.append(path))
    done(tmp_path / "e", students, checker="math", repeats=2)
    assert graded, "the next run grades, asked or not"


def test_regrading_writes_only_what_changed(tmp_path: Path) -> None:
    problem = Problem(id="p", question="?", answer="42")
    from redink.answers.checkers import checker_of

    rows = [Attempt(problem_id="p", text="<Answer>42</Answer>", answer="42",
                    verdict=Verdict(outcome="right", method="exact"))]  # fmt: skip
    path = tmp_path / "000000.jsonl"
    write_rows(path, rows)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    regrade(path, Attempt, {"p": problem}, checker_of("exact"))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    write_rows(path, [rows[0].model_copy(update={"text": "I do not know."})])
    regrade(path, Attempt, {"p": problem}, checker_of("exact"))
    (row,) = read_rows(path, Attempt)
    assert row.answer is None and row.verdict.outcome == "ungradable"


def test_a_missing_student_is_one_failure(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no-such"):
        done(tmp_path / "e", ["./no-such"])


# ---------------------------------------------------------------- recipes


def test_a_name_is_made_of_what_replies_depend_on() -> None:
    def name(**changes: object) -> str:
        return evaluation_recipe("reference", {"students": ["a"], "benchmarks": ["b"]} | changes).name

    assert name() == name(students=["a", "c"], benchmarks=["d"], repeats=4, ks=[2])
    others = [name(), name(seed=1), name(limit=5), name(temperature=1.0), name(prompt="style_cot"), name(split="train"),
              name(results_only=True), name(checker="exact"), name(max_new_tokens=9), name(batch_rows=9)]  # fmt: skip
    assert len(set(others)) == len(others)
    assert name(name="mine") == "mine"


def test_a_recipes_teacher_locates_the_errors() -> None:
    made = evaluation_recipe("supercorrect", {"students": ["a"], "benchmarks": ["b"]}, 2.5)
    assert (made.teacher.kind, made.inspector.kind) == ("openai", "openai")
    assert made.budget.max_usd is not None and float(made.budget.max_usd) == 2.5
    assert evaluation_recipe("reference", {"students": ["a"], "benchmarks": ["b"]}).inspector.kind == "none"


def test_the_kept_recipe_is_of_its_kind(tmp_path: Path) -> None:
    with Run(tmp_path / "e", recipe(["a"]), Console(file=io.StringIO())):
        pass
    assert kept_recipe(tmp_path / "e") == recipe(["a"])


# ---------------------------------------------------------------- what is shown


def test_the_gold_chain_has_a_step_per_line_and_no_annotations() -> None:
    problem = Problem(id="1", question="?", answer="5", solution="2 + 2 = <<2+2=4>>4\n\n4 + 1 = <<4+1=5>>5\n#### 5")
    assert gold_chain(problem) == "<Step1>2 + 2 = 4</Step1>\n<Step2>4 + 1 = 5</Step2>\n<Answer>5</Answer>"
    assert gold_chain(Problem(id="1", question="?", answer="5", solution="#### 5")) == ""


@pytest.mark.slow
def test_tables_name_n_interval_and_seed(whole: Path) -> None:
    results = read_results(whole)
    assert isinstance(results, EvaluationResults)
    tables = evaluation_tables(results)
    assert tables == tables_of(results)
    titles = " ".join(table.title for table in tables)
    assert "stories:ledger: 5 problems, greedy, seed 0; %, [95 %]" in titles
    assert "2 repeats" in titles
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


def test_results_from_before_these_figures_can_still_be_shown(tmp_path: Path) -> None:
    """The panel as `redink run` wrote it until now."""
    share = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 4}
    names = (
        "accuracy_t1",
        "accuracy_t2",
        "delta",
        "wrong_to_right",
        "right_to_wrong",
        "locate",
        "correct",
        "false_alarms",
    )
    panel = dict.fromkeys(names, share) | {
        "model": "base", "unlocated": 0, "ungradable_t1": 0, "ungradable_t2": 0, "truncated": 0, "by_subject": {},
    }  # fmt: skip
    old = {"recipe": "demo", "student": "bundled", "seed": 0, "problems": 4, "panels": [panel], "counts": []}
    (tmp_path / "results.json").write_text(json.dumps(old))
    results = read_results(tmp_path)
    assert isinstance(results, Results)
    (main,) = tables_of(results)
    assert main.title == "demo: 4 held-out problems, seed 0; %, [95 %]"
    assert ("t1", "50.0 [10.0, 90.0]") in main.rows
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path) == results


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"results\.json: there is no such file"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"recipe": 1}')
    with pytest.raises(Failure, match="cannot be read as results"):
        read_results(tmp_path)
