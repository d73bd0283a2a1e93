"""The baselines, whole, with the bundled student and a handful of problems; all begin with the same problems."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from redink.answers import grade
from redink.pipelines.methods import follow_recipe, models_of
from redink.recipe import load_recipe
from redink.rows import read_rows
from redink.run import Run
from redink.types import ChainRow, PreferencePair, Problem, Reflection, Review

pytestmark = pytest.mark.slow
SMALL = ["hsft.epochs=1", "cross_dpo.epochs=1", "sampling.max_new_tokens=120", "sampling.max_review_tokens=120",
         "hsft.replay=0", "reflexion.max_new_tokens=20"]  # fmt: skip


def done(folder: Path, *settings: str, until: str = "evaluate") -> None:
    recipe = load_recipe("orion-demo", [*SMALL, *settings]).limited(6)
    with Run(folder, recipe, Console(file=io.StringIO())) as run:
        results = follow_recipe(run, until=until)
        assert all(row.balanced for row in run.counts())
    if until == "evaluate":
        assert results is not None
        assert [panel.model for panel in results.panels] == list(models_of(recipe))


def test_hsft_alone_teaches_what_supercorrect_teaches_first(tmp_path: Path) -> None:
    done(tmp_path / "alone", "method=hsft", until="hsft")
    done(tmp_path / "first", "method=supercorrect", until="hsft")
    weights = [(tmp_path / run / "hsft" / "model.safetensors").read_bytes() for run in ("alone", "first")]
    assert weights[0] == weights[1]


def test_hsft_in_another_style_learns_and_is_graded_by_it(tmp_path: Path) -> None:
    done(tmp_path, "method=hsft", "style=text")
    answers = {row.id: row.answer for row in read_rows(tmp_path / "problems.thoughts.jsonl", Problem)}
    chains = read_rows(tmp_path / "styled.jsonl", ChainRow)
    assert chains
    for chain in chains:
        assert chain.text.startswith("Step 1: ") and chain.text.endswith(f"\nAnswer: {answers[chain.problem_id]}")


def test_sft_learns_the_gold_solutions_and_long_sft_the_teachers_chains(tmp_path: Path) -> None:
    done(tmp_path / "plain", "method=sft")
    done(tmp_path / "long", "method=long-sft", until="sft")
    plain = {row.problem_id: row.text for row in read_rows(tmp_path / "plain" / "plain_chains.jsonl", ChainRow)}
    long = {row.problem_id: row.text for row in read_rows(tmp_path / "long" / "long_chains.jsonl", ChainRow)}
    assert plain.keys() == long.keys()
    assert all(len(long[name]) > len(plain[name]) for name in plain)
    assert (tmp_path / "long" / "long_sft" / "model.safetensors").exists()


def test_dpo_prefers_whole_right_solutions(tmp_path: Path) -> None:
    done(tmp_path, "method=dpo", "sampling.samples=3", until="dpo")
    answers = {row.id: row.answer for row in read_rows(tmp_path / "problems.errors.jsonl", Problem)}
    pairs = read_rows(tmp_path / "pairs.jsonl", PreferencePair)
    assert pairs
    for pair in pairs:
        assert grade(pair.chosen, answers[pair.problem_id])[1].right
        assert not grade(pair.rejected, answers[pair.problem_id])[1].right
        assert pair.prefix == "" and pair.kind == "solution"


def test_step_dpo_prefers_the_right_next_step_without_a_cause(tmp_path: Path) -> None:
    done(tmp_path, "method=step-dpo", until="dpo")
    pairs = read_rows(tmp_path / "pairs.jsonl", PreferencePair)
    assert pairs
    for pair in pairs:
        assert "<Cause>" not in pair.chosen and pair.chosen != pair.rejected
        step = f"<Step{pair.prefix.count('</Step') + 1}>"
        assert pair.chosen.startswith(step) and pair.rejected.startswith(step)


def test_reflexion_tries_again_and_trains_nothing_more(tmp_path: Path) -> None:
    done(tmp_path, "method=reflexion", "reflexion.trials=2")
    for trial in (0, 1):
        said = read_rows(tmp_path / f"evaluate.reflexion.reflections.{trial}.jsonl", Reflection)
        assert [row.trial for row in said] == [trial] * 6
    assert len(read_rows(tmp_path / "evaluate.reflexion.reviews.jsonl", Review)) == 6
    first = (tmp_path / "evaluate.hsft.attempts.jsonl").read_text()
    assert (tmp_path / "evaluate.reflexion.attempts.jsonl").read_text() == first, "the same weights, greedy"
    assert not (tmp_path / "reflexion").exists()
