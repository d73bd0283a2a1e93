"""Other people's data: each format by hand, hostile rows, real files, and books that always balance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redink.failures import BadInput, Failure
from redink.rows import read_rows
from redink.sharing.imports import FORMATS, import_rows
from redink.types import LabelledSolution, PreferencePair, Problem, Quarantined, Rejected

DATA = Path(__file__).parents[3] / "shared" / "data"
STEP = {
    "prompt": "What is 2 + 2 · 3?", "initial_reason_steps": "Step 1: 2 · 3 = 6.\nStep 2:", "chosen": " 2 + 6 = 8.",
    "rejected": " 2 + 6 = 9.", "answer": "8", "dataset": "x", "full_chosen": "…", "full_rejected": "…",
}  # fmt: skip


def rated(*ratings: tuple[str, int | None], chosen: int | None = 0, human: object = None) -> dict[str, Any]:
    parts = [{"text": text, "rating": rating, "flagged": None} for text, rating in ratings]
    return {"completions": parts, "human_completion": human, "chosen_completion": chosen}


def prm(*steps: dict[str, Any], finish: str = "solution", **question: Any) -> dict[str, Any]:
    about = {"problem": "2 + 2?", "ground_truth_answer": "4", **question}
    return {"question": about, "label": {"steps": list(steps), "finish_reason": finish}}


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def test_step_dpo_keeps_the_space_at_the_seams(tmp_path: Path) -> None:
    done = import_rows("step-dpo", written(tmp_path / "in.jsonl", STEP), tmp_path / "out.jsonl")
    [pair] = read_rows(tmp_path / "out.jsonl", PreferencePair)
    assert (pair.prompt, pair.prefix + pair.chosen) == (STEP["prompt"], "Step 1: 2 · 3 = 6.\nStep 2: 2 + 6 = 8.")
    assert (pair.rejected, pair.kind, pair.problem_id) == (" 2 + 6 = 9.", "step", "step-dpo/0")
    [problem] = read_rows(tmp_path / "out.problems.jsonl", Problem)
    assert (problem.id, problem.answer, done.problems) == ("step-dpo/0", "8", 1)


def test_questions_may_be_put_into_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "ask.md").write_text("Solve: {{question}}")
    source = written(tmp_path / "in.jsonl", STEP)
    import_rows("step-dpo", source, tmp_path / "out.jsonl", prompt=str(tmp_path / "ask.md"), source="mine")
    [pair] = read_rows(tmp_path / "out.jsonl", PreferencePair)
    assert (pair.prompt, pair.problem_id) == ("Solve: What is 2 + 2 · 3?", "mine/0")


WRONG_AT_2 = prm(
    rated(("I add.", 0)), rated(("2 + 2 = 5", -1), ("2 + 2 = 4", 1), chosen=None), finish="found_error",
    pre_generated_steps=["I add.", "2 + 2 = 5", "# Answer\n\n5"], pre_generated_answer="5",
)  # fmt: skip


def test_prm800k_solutions_are_whole_where_they_were_written_before(tmp_path: Path) -> None:
    by_hand = prm(rated(("2 + 2 = 3", -1), chosen=None, human={"text": "2 + 2 = 4", "rating": 1}))
    rows = (WRONG_AT_2, prm(rated(("2 + 2 = 4", 1))), by_hand, prm(rated(("x", 1)), finish="give_up"))
    done = import_rows("prm800k", written(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    wrong, right, mended = read_rows(tmp_path / "out.jsonl", LabelledSolution)
    assert ([step.text for step in wrong.steps], wrong.first_wrong) == (["I add.", "2 + 2 = 5", "# Answer\n\n5"], 2)
    assert (wrong.answer_right, wrong.answer) == (False, "4")
    assert (right.first_wrong, right.answer_right) == (None, None)
    assert ([step.text for step in mended.steps], mended.first_wrong) == (["2 + 2 = 4"], None)
    assert [row.reason for row in read_rows(tmp_path / "out.rejected.jsonl", Rejected)] == ["give_up"]
    assert (done.counts.accepted, done.counts.rejected, done.counts.inputs) == (3, 1, 4)


def test_prm800k_pairs_prefer_a_right_step_after_the_same_steps(tmp_path: Path) -> None:
    rows = (WRONG_AT_2, prm(rated(("2 + 2 = 4", 1))))
    done = import_rows("prm800k-pairs", written(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    [pair] = read_rows(tmp_path / "out.jsonl", PreferencePair)
    assert (pair.prefix, pair.chosen, pair.rejected) == ("I add.\n", "2 + 2 = 4", "2 + 2 = 5")
    assert done.counts.reasons == {"no_preference": 1}


def test_stepwise_labels_name_the_first_false_one(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Q", "completions": ["a", "b", "c"], "labels": [True, False, False]},
        {"prompt": "Q", "completions": ["a"], "labels": [True]},
        {"prompt": "Q", "completions": ["a"], "labels": [True, False]},
    ]
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    import_rows("stepwise", path, tmp_path / "out.jsonl")
    assert [row.first_wrong for row in read_rows(tmp_path / "out.jsonl", LabelledSolution)] == [2, None]
    assert [row.reason for row in read_rows(tmp_path / "out.quarantine.jsonl", Quarantined)] == ["bad_labels"]


def said(*turns: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, turns, strict=False)]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "chosen": "yes", "rejected": "no"},
        {"prompt": said("Q"), "chosen": said("Q", "yes"), "rejected": said("Q", "no")},
        {"prompt": "Q", "chosen": said("Q", "yes"), "rejected": said("Q", "no")},
        {"chosen": said("Q", "yes"), "rejected": said("Q", "no")},
    ],
)
def test_preferences_are_texts_or_messages(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "in.json").write_text(json.dumps([row]))
    import_rows("preference", tmp_path / "in.json", tmp_path / "out.jsonl")
    [pair] = read_rows(tmp_path / "out.jsonl", PreferencePair)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.kind) == ("Q", "yes", "no", "solution")


def test_bad_rows_are_kept_with_their_text_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = (
        STEP,
        "{broken",
        "[1]",
        STEP | {"chosen": 7},
        STEP | {"rejected": STEP["chosen"]},
        STEP | {"prompt": "\ud800"},
    )
    done = import_rows("step-dpo", written(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    held = read_rows(tmp_path / "out.quarantine.jsonl", Quarantined)
    assert [row.reason for row in held] == ["no_object", "no_object", "bad_chosen", "bad_prompt"]
    assert held[0].raw == "{broken"
    assert (done.counts.accepted, done.counts.rejected, done.counts.quarantined) == (1, 1, 4)


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "x", "\ud800", "user"])
INNER = st.dictionaries(
    st.sampled_from(["text", "rating", "role", "content", "steps", "completions"]), SCALARS, max_size=3
)
ANYTHING = SCALARS | INNER | st.lists(SCALARS | INNER, max_size=3)
FIELDS = ("prompt", "chosen", "rejected", "initial_reason_steps", "completions", "labels", "question", "label", "steps")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(sorted(FORMATS)), rows=st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), min_size=1)
)
def test_whatever_comes_the_books_balance(tmp_path_factory: Any, form: str, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("import")
    source = written(folder / "in.jsonl", *rows)
    counts = import_rows(form, source, folder / "out.jsonl").counts
    assert (counts.inputs, counts.balanced) == (len(rows), True)


def test_a_file_that_is_none_and_a_format_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        import_rows("prm800k", tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(BadInput, match="holds no rows"):
        import_rows("prm800k", written(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    with pytest.raises(Failure, match="no format 'prm'"):
        import_rows("prm", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(BadInput, match="cannot be read"):
        import_rows("stepwise", tmp_path / "bad.parquet", tmp_path / "out.jsonl")


@pytest.mark.skipif(not DATA.exists(), reason="needs the published sets in ../shared/data")
@pytest.mark.parametrize(("form", "file", "rows"), [
    ("processbench", "processbench_gsm8k.jsonl", 400), ("processbench", "processbench_math.jsonl", 1000),
    ("bigbench-mistake", "bigbench_mistake_multistep_arithmetic.jsonl", 300),
])  # fmt: skip
def test_the_published_sets_come_in_whole(tmp_path: Path, form: str, file: str, rows: int) -> None:
    done = import_rows(form, DATA / file, tmp_path / "out.jsonl")
    assert (done.counts.accepted, done.rows) == (rows, rows)
