"""A stream: the rows of `redink run`, chunk by chunk; cut off it goes on; its rows are found, exported and shown."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.scripted_student import ScriptedStudent, solution, write_problems
from datasets import load_dataset

from redink.failures import BadInput, BadRecipe, Failure
from redink.models.student import Completion, Request, Sampling
from redink.pipelines.apart import Apart, key_of_question
from redink.pipelines.exporting import export_pairs, extract, first_ids, rows_of
from redink.pipelines.streaming import STAGES, Stream
from redink.pipelines.workshop import first_wrong
from redink.problems.draw import Sizes, draw_sets
from redink.progress import Advance, quiet
from redink.recipe import Recipe, load_recipe
from redink.report.archive import Archive
from redink.rows import read_rows
from redink.run import Run
from redink.stages.attempts import attempt
from redink.types import Problem, StageCounts

PROBLEMS, SIZE, SAMPLES = 60, 16, 3


def recipe(*more: str) -> Recipe:
    return load_recipe(
        "demo", [f"sampling.samples={SAMPLES}", "pairs.confirmations=0", "name='stream'", "seed=3", *more]
    )


class Counting(ScriptedStudent):
    """Counts what it is asked, and stops after so many calls."""

    def __init__(self, calls: int = 10**9) -> None:
        self.left = calls
        self.asked: list[int] = []

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.asked.append(len(requests))
        return super().generate(requests, sampling, advance)


def follow(
    folder: Path, problems: Path, solver: ScriptedStudent | None = None, until: str = "pairs"
) -> list[StageCounts]:
    with Run(folder, recipe()) as run:
        return Stream(run, solver or ScriptedStudent()).follow(problems, until, SIZE)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    write_problems(path, PROBLEMS)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, problems: Path) -> Path:
    folder = tmp_path_factory.mktemp("done") / "run"
    follow(folder, problems)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_problem_is_solved_and_every_first_error_becomes_a_pair(done: Path, problems: Path) -> None:
    """The wrong attempts are told by the arithmetic of the script, not by our checker."""
    with Run(done, recipe()) as run:
        stream = Stream(run)
        attempts = [row for number in range(4) for row in stream.attempts.rows(number)]
        pairs = [row for number in range(4) for row in stream.pairs.rows(number)]
    golds = {row.id: row.answer for row in read_rows(problems, Problem)}
    wrong = [row for row in attempts if not row.text.endswith(f"<Answer>{golds[row.problem_id]}</Answer>")]
    assert len(attempts) == PROBLEMS * SAMPLES
    assert 5 < len(wrong) < 60
    first = {row.problem_id: row.sample for row in reversed(wrong)}
    assert [(row.problem_id, row.sample) for row in pairs] == [(name, first[name]) for name in golds if name in first]
    assert all("<Correction>" in row.chosen and "<Correction>" not in row.rejected for row in pairs)


def test_attempts_are_those_that_redink_run_draws_chunk_by_chunk(done: Path, problems: Path) -> None:
    with Run(done, recipe()) as run:
        stream = Stream(run)
        from redink.models.student import derived_seed
        from redink.prompts import load_prompt

        rows = read_rows(problems, Problem)[SIZE : 2 * SIZE]
        seed = derived_seed(derived_seed(3, "attempts"), 1)
        sampling = Sampling(temperature=1.0, max_new_tokens=200, seed=seed, samples=SAMPLES, batch_rows=96)
        ask = load_prompt("compact/solve_hierarchical")
        expected = attempt(
            [row.model_copy(update={"source": "jsonl:problems.jsonl"}) for row in rows],
            ScriptedStudent(),
            ask,
            sampling,
        )
        assert stream.attempts.rows(1) == expected
        assert stream.errors.rows(1) == first_wrong(expected, 1)


def test_books_balance_and_are_those_of_a_run(done: Path) -> None:
    books = {row.stage: row for row in Run(done, recipe()).counts()}
    assert set(books) == set(STAGES)
    assert books["problems"].accepted == PROBLEMS
    assert books["attempts"].inputs == PROBLEMS * SAMPLES
    assert books["corrections"].inputs == books["errors"].accepted
    manifest = json.loads((done / "manifest.json").read_text())
    assert manifest["counts"]["pairs"]["accepted"] == books["pairs"].accepted


@pytest.mark.parametrize("calls", [0, 2, 5])
def test_cut_off_anywhere_it_goes_on_to_the_same_files(tmp_path: Path, done: Path, problems: Path, calls: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        follow(tmp_path / "run", problems, Counting(calls))
    solver = Counting()
    follow(tmp_path / "run", problems, solver)
    made, expected = files(tmp_path / "run"), files(done)
    assert made == expected
    with Run(done, recipe()) as run:
        own = [Stream(run).own_corrections.books(number).inputs for number in range(4)]
    assert solver.asked == [16, 16, 16, 12, *own][calls:]


def test_a_lost_chunk_is_made_anew_alone(tmp_path: Path, done: Path, problems: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run/chunks/attempts/000002.jsonl.zst").unlink()
    solver = Counting()
    follow(tmp_path / "run", problems, solver)
    assert solver.asked == [SIZE]
    assert files(tmp_path / "run") == files(done)


def test_other_problems_are_refused(tmp_path: Path, done: Path) -> None:
    other = tmp_path / "other.jsonl"
    write_problems(other, 3, seed=9)
    with pytest.raises(Failure, match="made of other problems"):
        follow(done, other)


def test_bad_lines_are_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    write_problems(path, 2)
    path.write_text(path.read_text() + "\nno json\n" + '{"question": "Q?"}\n')
    (books,) = follow(tmp_path / "run", path, until="problems")
    assert (books.inputs, books.accepted, books.quarantined) == (4, 2, 2)
    with Run(tmp_path / "run", recipe()) as run:
        held = Stream(run).problems.outcomes(0)[2:]
    assert [(row.problem_id, row.raw) for row in held] == [  # type: ignore[attr-defined]
        ("mixed.jsonl:4", "no json"), ("mixed.jsonl:5", '{"question": "Q?"}'),
    ]  # fmt: skip


def apart(more: Sequence[str] = (), evaluation: str = "stories:ledger") -> Apart:
    given = [f"problems.evaluation_sources=['{evaluation}']", "problems.evaluation=5", "problems.held_out=false"]
    return Apart(recipe(*given), tuple(more))


def test_questions_of_evaluation_sets_are_left_out_and_counted(tmp_path: Path, problems: Path) -> None:
    """Of 60, those that another file asks too, in other words of the same question, and those that the recipe asks."""
    rows = [json.loads(line) for line in problems.read_text().splitlines()]
    other = [{"question": f" {row['question'].upper()} ", "answer": "1"} for row in rows[3:7]]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*other, *other[:1]]))
    asked = [json.loads(row.model_dump_json()) for row in draw_sets(
        ["stories:groups"], ["stories:ledger"], Sizes(1, 1, 5), seed=3).evaluation]  # fmt: skip
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *asked]))
    with Run(tmp_path / "run", recipe()) as run:
        stream = Stream(run, ScriptedStudent(), apart([str(tmp_path / "other.jsonl")]))
        books = {row.stage: row for row in stream.follow(path, size=SIZE)}
        taught = {row.problem_id for number in range(5) for row in stream.attempts.rows(number)}
    assert (books["problems"].inputs, books["problems"].accepted) == (65, 56)
    assert books["problems"].reasons == {"in_evaluation": 9}
    assert books["attempts"].inputs == 56 * SAMPLES
    keys = sorted(key_of_question(row["question"])[:16] for row in [*rows[3:7], *asked])
    expected = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["fingerprints"]["apart_questions"] == expected
    assert taught == {row["id"] for row in rows} - {row["id"] for row in rows[3:7]}
    assert [type(row).__name__ for row in rows_of(tmp_path / "run", rows[3]["id"])["problems"]] == ["Rejected"]
    extract(tmp_path / "run", tmp_path / "part", [rows[3]["id"], rows[8]["id"]])
    assert [row.id for row in read_rows(tmp_path / "part/problems.errors.jsonl", Problem)] == [rows[8]["id"]]


def test_a_stream_stays_apart_from_what_it_was_begun_apart_from(tmp_path: Path, problems: Path) -> None:
    for given, said in ((apart(), ""), (None, "from stories:ledger, not from none"),
                        (apart(["stories:ledger"]), "not from stories:ledger, stories:ledger"), (apart(), "")):  # fmt: skip
        with Run(tmp_path / "run", recipe()) as run:
            stream = Stream(run, ScriptedStudent(), given)
            if said:
                with pytest.raises(Failure, match=said):
                    stream.take(problems)
            else:
                assert stream.take(problems).apart == ("stories:ledger",)


def test_nothing_but_evaluation_questions_is_refused(tmp_path: Path, problems: Path) -> None:
    with (
        Run(tmp_path / "run", recipe()) as run,
        pytest.raises(BadInput, match=r"holds no problem beside those of evaluation sets \(stories:ledger, "),
    ):
        Stream(run, None, apart([str(problems)])).take(problems)


def test_of_a_published_set_the_whole_test_split_is_kept_apart(tmp_path: Path) -> None:
    for split, count in (("test", 30), ("train", 3)):
        rows = [{"question": f"{split} {n}?", "answer": f"#### {n}"} for n in range(count)]
        (tmp_path / f"gsm8k_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = replace(apart(evaluation="gsm8k"), data_dir=tmp_path).keys()
    assert keys == {key_of_question(f"Test {n}") for n in range(30)}
    assert all(len(key) == 16 for key in keys)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"id": "a", "question": "Q", "answer": "1"}'] * 2, "'a' stands twice"),
        (["", "no json"], "holds no problem"),
    ],
)
def test_files_that_cannot_serve_are_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInput, match=said):
        follow(tmp_path / "run", path)


def test_packed_problems_are_the_same_problems(tmp_path: Path, done: Path, problems: Path) -> None:
    path = tmp_path / "problems.jsonl.zst"
    path.write_bytes(pa.compress(problems.read_bytes(), "zstd", asbytes=True))
    follow(tmp_path / "run", path, until="problems")
    with Run(done, recipe()) as one, Run(tmp_path / "run", recipe()) as other:
        assert [row.id for row in Stream(other).problems.rows(3)] == [row.id for row in Stream(one).problems.rows(3)]


@pytest.mark.parametrize("more", ["rounds=2", "pairs.confirmations=1", "method='sft'"])
def test_switches_that_are_not_streamed_are_named(tmp_path: Path, more: str) -> None:
    with Run(tmp_path / "run", recipe(more)) as run, pytest.raises(BadRecipe, match="redink run"):
        Stream(run)


# ---------------------------------------------------------------- export, and a look


def test_pairs_are_exported_as_trl_reads_them(tmp_path: Path, done: Path) -> None:
    with Run(done, recipe()) as run:
        expected = [row for number in range(4) for row in Stream(run).pairs.rows(number)]
    assert (
        export_pairs(done, tmp_path / "pairs.parquet") == export_pairs(done, tmp_path / "pairs.jsonl") == len(expected)
    )
    parquet = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert parquet == [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    for row, pair in zip(parquet, expected, strict=True):
        assert row["prompt"] == pair.prompt
        assert (row["chosen"], row["rejected"]) == (pair.prefix + pair.chosen, pair.prefix + pair.rejected)
    loaded = load_dataset("parquet", data_files=str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path))["train"]
    assert loaded["prompt"] == [row["prompt"] for row in parquet]


def test_an_export_of_another_form_or_too_early_is_refused(tmp_path: Path, done: Path, problems: Path) -> None:
    with pytest.raises(Failure, match=r"\.parquet or \.jsonl"):
        export_pairs(done, tmp_path / "pairs.csv")
    follow(tmp_path / "run", problems, until="errors")
    with pytest.raises(BadInput, match="not made yet"):
        export_pairs(tmp_path / "run", tmp_path / "pairs.jsonl")
    assert not (tmp_path / "pairs.jsonl").exists()


def test_the_rows_of_a_problem_are_found(done: Path) -> None:
    found = rows_of(done, "made-37")
    assert list(found) == list(STAGES)
    assert found["problems"][0].id == "made-37"  # type: ignore[attr-defined]
    assert [row.sample for row in found["attempts"]] == [0, 1, 2]  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="no problem 'made-60'"):
        rows_of(done, "made-60")
    with pytest.raises(BadInput, match="is no stream"):
        rows_of(done.parent, "made-37")


def test_a_part_of_a_stream_is_a_run_that_the_report_reads(tmp_path: Path, done: Path) -> None:
    ids = first_ids(done, 20)
    assert ids == [f"made-{number}" for number in range(20)]
    extract(done, tmp_path / "part", ids)
    with Archive({"": tmp_path / "part"}) as archive:
        assert list(archive.folders) == ids
        assert not archive.faults
        works = [work for case in archive.cases(ids) for work in case.works]
    assert len(works) == 20 * SAMPLES
    assert sum(work.pair is not None for work in works) == sum(len(rows_of(done, name)["pairs"]) for name in ids) > 0
    with pytest.raises(Failure, match="there already"):
        extract(done, tmp_path / "part", ids)


def test_the_script_errs_where_it_says() -> None:
    assert "5 + 6 = 11" in solution(5, 6, 2) and "<Answer>9</Answer>" in solution(5, 6, 2)
    assert "5 + 6 = 21" in solution(5, 6, 2, wrong=1) and "<Answer>19</Answer>" in solution(5, 6, 2, wrong=1)
    assert "11 - 2 = 19" in solution(5, 6, 2, wrong=2)
