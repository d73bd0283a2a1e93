"""ORION and both methods together, whole, with the bundled student and a handful of problems."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from redink.answers import grade
from redink.models.fake_script import Script
from redink.models.fake_server import Asked, Refused, Said, serving
from redink.models.student import Student
from redink.pipelines.methods import follow_recipe
from redink.pipelines.orion import _workshop
from redink.pipelines.quarantine import quarantined_rows
from redink.recipe import load_recipe
from redink.rows import read_rows
from redink.run import Run
from redink.teaching.chains import rewritten
from redink.teaching.served import Classroom
from redink.types import (
    Attempt,
    ChainRow,
    CorrectionRow,
    ExposedError,
    LocatedError,
    PreferencePair,
    Problem,
    RefinedChain,
    Rejected,
    StageCounts,
)

pytestmark = pytest.mark.slow
SMALL = ["hsft.epochs=1", "cross_dpo.epochs=1", "exposure.samples=3", "sampling.max_new_tokens=120",
         "sampling.max_review_tokens=120", "refinement.max_new_tokens=60"]  # fmt: skip


def done(folder: Path, *settings: str, until: str = "refinement", limit: int = 6) -> dict[str, StageCounts]:
    """The books of a small run up to a stage."""
    recipe = load_recipe("orion-demo", [*SMALL, *settings]).limited(limit)
    with Run(folder, recipe, Console(file=io.StringIO())) as run:
        follow_recipe(run, until=until)
        return {row.stage: row for row in run.counts()}


def test_by_rule_from_problems_to_figures(tmp_path: Path) -> None:
    books = done(tmp_path, until="evaluate")
    assert all(row.balanced for row in books.values())
    problems = {row.id: row for row in read_rows(tmp_path / "problems.thoughts.jsonl", Problem)}
    attempts = {(row.problem_id, row.sample): row for row in read_rows(tmp_path / "exposure.attempts.jsonl", Attempt)}
    errors = read_rows(tmp_path / "exposure.jsonl", ExposedError)
    assert len({error.problem_id for error in errors}) == len(errors) > 0, "one error is kept per problem"
    assert all(attempts[error.problem_id, error.sample].verdict.outcome == "wrong" for error in errors)
    refined = {row.problem_id: row for row in read_rows(tmp_path / "refined.jsonl", RefinedChain)}
    stands = {row.problem_id for row in read_rows(tmp_path / "refined.rejected.jsonl", Rejected)}
    learned = read_rows(tmp_path / "learned.jsonl", ChainRow)
    teachers = {row.problem_id: row.text for row in read_rows(tmp_path / "long_chains.jsonl", ChainRow)}
    assert {*refined, *stands} == set(teachers) == {row.problem_id for row in learned}
    assert all(grade(row.text, problems[row.problem_id].answer)[1].right for row in learned)
    assert {row.problem_id for row in learned if row.text == teachers[row.problem_id]} == stands
    assert all(row.text == refined[row.problem_id].text for row in learned if row.problem_id in refined)
    located: dict[str, list[LocatedError]] = {problem: [] for problem in teachers}
    for row in read_rows(tmp_path / "exposure.corrections.jsonl", CorrectionRow):
        located[row.problem_id] += [row.trace.error] if row.trace.error else []
    assert any(located.values())
    assert all(row.text == rewritten(teachers[name], located[name]) for name, row in refined.items())
    assert (tmp_path / "orion" / "model.safetensors").exists()
    assert (tmp_path / "results.json").exists()
    assert quarantined_rows(tmp_path) == {}


def test_a_student_that_cannot_reflect_learns_the_teachers_chains(tmp_path: Path) -> None:
    """The bundled student was never taught to rewrite: what it fails is counted, and the teacher's chains stand."""
    books = done(tmp_path, "refinement.by=student", "refinement.tries=2", "exposure.strategy=probable")
    assert books["refinement"].inputs == 12
    assert books["refined"].inputs == 6
    assert books["refined"].rejected == books["refined"].reasons["teachers_chain_stands"]
    errors = read_rows(tmp_path / "exposure.jsonl", ExposedError)
    assert all(error.nll is not None and error.nll > 0 for error in errors)


def test_an_exposure_model_is_trained_towards_errors_and_the_teacher_refines(tmp_path: Path) -> None:
    books = done(tmp_path, "exposure.by=trained", "refinement.by=teacher", "exposure.strategy=all")
    pairs = read_rows(tmp_path / "exposure.pairs.jsonl", PreferencePair)
    answers = {row.id: row.answer for row in read_rows(tmp_path / "problems.thoughts.jsonl", Problem)}
    assert pairs
    for pair in pairs:
        assert not grade(pair.chosen, answers[pair.problem_id])[1].right
        assert grade(pair.rejected, answers[pair.problem_id])[1].right
    assert (tmp_path / "error_prone" / "model.safetensors").exists()
    assert books["exposure.trained_attempts"].inputs == 18
    assert books["refinement"].inputs == 6
    assert not (tmp_path / "exposure.corrections.jsonl").exists()


@pytest.mark.parametrize("setting", ["exposure.by=nobody", "refinement.reflect=false"])
def test_the_ablations_only_leave_the_detours_out(tmp_path: Path, setting: str) -> None:
    done(tmp_path, setting)
    for row in read_rows(tmp_path / "learned.jsonl", ChainRow):
        assert "wrong step" not in row.text and "Review" not in row.text


def test_without_refinement_the_teachers_chains_are_learnt(tmp_path: Path) -> None:
    books = done(tmp_path, "refinement.by=nobody", "exposure.by=nobody")
    assert set(books) == {"long_chains"}


def test_an_llm_teacher_writes_and_refines_the_chains(tmp_path: Path) -> None:
    """The reference teacher behind HTTP, spoken to through the prompts: the same chains as without them."""
    done(tmp_path / "rule", "refinement.by=teacher")

    @cache
    def classroom() -> Classroom:
        return Classroom(read_rows(tmp_path / "llm" / "problems.thoughts.jsonl", Problem))

    def answer(asked: Asked) -> Said | Refused:
        return classroom()(asked)

    with serving(answer, Script()) as server:
        teacher = [
            "teacher.kind=openai",
            "teacher.model=m",
            f"teacher.base_url={server.base_url}",
            "inspector.kind=none",
        ]
        done(tmp_path / "llm", "refinement.by=teacher", *teacher)
    for name in ("long_chains.jsonl", "refinement.jsonl", "learned.jsonl"):
        assert (tmp_path / "llm" / name).read_text() == (tmp_path / "rule" / name).read_text()
    assert (tmp_path / "llm" / "ledger.json").exists()


def test_both_methods_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refined chains, then two rounds of Cross-DPO; the second begins with the student of the first."""
    loaded: list[str] = []
    load = Student.load
    monkeypatch.setattr(Student, "load", lambda name: loaded.append(Path(name).name) or load(name))
    books = done(tmp_path, "method=orion-supercorrect", "rounds=2", until="evaluate", limit=8)
    assert all(row.balanced for row in books.values())
    assert books["round2.attempts"].inputs <= 4
    assert "orion" in loaded and "cross_dpo" in loaded
    assert (tmp_path / "cross_dpo").exists()


def test_students_that_learnt_chains_are_asked_for_chains_after_cross_dpo(tmp_path: Path) -> None:
    """Another prompt than the one they learnt would cost them their answers."""
    chosen = load_recipe("orion-demo", ["method=orion-supercorrect", "rounds=2", "name=both"]).limited(4)
    assert chosen.prompts.chain != chosen.prompts.solve
    with Run(tmp_path, chosen) as run, _workshop(run, None, ()) as shop:
        asked = {model: shop.prompt_of(model).name for model in ("base", "orion", "cross_dpo", "cross_dpo_2")}
    assert asked == {"base": chosen.prompts.base} | dict.fromkeys(
        ("orion", "cross_dpo", "cross_dpo_2"), chosen.prompts.chain
    )
