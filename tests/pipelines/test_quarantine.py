"""Rows that could not be made: listed, and given another try, alone, with everything that rests on them made anew."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from loopback import Answer, Asked, completion, refusal, serving
from marking import teacher_reply
from rich.console import Console

from redink.failures import BadInput, Failure
from redink.pipelines.methods import made_from
from redink.pipelines.quarantine import Reopened, quarantined_rows, requeue
from redink.pipelines.supercorrect import supercorrect
from redink.recipe import Recipe, load_recipe
from redink.rows import read_rows, write_rows
from redink.run import Run
from redink.types import (
    CorrectionRow,
    CorrectionTrace,
    Problem,
    Quarantined,
    Rejected,
    Row,
    StageCounts,
    Step,
    Thought,
    ThoughtRow,
)

STEPS = (Step(number=1, text="t"),)


class Moody:
    """A server whose first question of the run is refused by its filter and whose second is answered with garbage."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.well = False

    def __call__(self, asked: Asked) -> Answer:
        question = asked.prompt.partition("<Problem>")[2].partition("</Problem>")[0]
        if question not in self.asked:
            self.asked.append(question)
        number = self.asked.index(question)
        if not self.well and number == 0:
            return refusal(400, "blocked", code="content_filter")
        return completion("I will not.") if not self.well and number == 1 else teacher_reply(asked)


def wanted(url: str) -> Recipe:
    narrow = "teacher.limits={max_in_flight = 1, start_in_flight = 1}"
    chat = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={url}", "inspector.kind=none", narrow]
    return load_recipe("demo", chat).limited(6)


def think(folder: Path, recipe: Recipe) -> StageCounts:
    with Run(folder, recipe, Console(file=io.StringIO())) as run:
        supercorrect(run, until="thoughts")
        return next(books for books in run.counts() if books.stage == "thoughts")


def reasons(folder: Path) -> Counter[str]:
    return Counter(row.reason for rows in quarantined_rows(folder).values() for row in rows)


def test_only_the_requeued_rows_are_asked_for_again_and_the_books_balance(tmp_path: Path) -> None:
    """One refused row (1 call), one of garbage (3 calls), four good ones (4 calls)."""
    folder, moody = tmp_path / "run", Moody()
    with serving(moody) as server:
        recipe = wanted(server.base_url)
        books = think(folder, recipe)
        assert (books.accepted, books.quarantined, books.balanced) == (4, 2, True)
        assert books.reasons == {"no_steps": 1, "refused": 1}
        assert len(server.asked) == 8
        moody.well = True
        assert requeue(folder, "no_steps") == [Reopened(stage="thoughts", rows=1, removed=())]
        assert reasons(folder) == {"refused": 1}
        books = think(folder, recipe)
        assert (books.accepted, books.quarantined, books.inputs, books.balanced) == (5, 1, 6, True)
        assert len(server.asked) == 9, "one call for the requeued row, none for the others"
        assert "no_steps" in server.asked[-1].prompt, "it is told why, or the journal would replay the garbage"
        requeue(folder, "refused")
        books = think(folder, recipe)
    assert (books.accepted, books.quarantined) == (6, 0)
    thoughts, problems = (
        read_rows(folder / "thoughts.jsonl", ThoughtRow),
        read_rows(folder / "problems.thoughts.jsonl", Problem),
    )
    assert [row.problem_id for row in thoughts] == [problem.id for problem in problems], "in the order of the problems"


def test_a_row_that_fails_again_keeps_all_its_tries(tmp_path: Path) -> None:
    with serving(Moody()) as server:
        recipe = wanted(server.base_url)
        think(tmp_path, recipe)
        requeue(tmp_path, "no_steps")
        think(tmp_path, recipe)
        ((row,),) = quarantined_rows(tmp_path, "no_steps").values()
        assert len(row.tries) == 5, "three tries and three more, the last of which is the row's own"
        assert {tried.raw for tried in row.tries} == {"I will not."}
        assert len({asked.prompt for asked in server.asked}) == len(server.asked), "no request is made twice"


# ---------------------------------------------------------------- what rests on the rows


def made_run(folder: Path) -> None:
    """A run directory as a finished run leaves it, with a row quarantined in each stage of teacher and inspector."""
    trace = CorrectionTrace(steps=STEPS, answer="1")
    stages: dict[str, Row] = {
        "thoughts": ThoughtRow(problem_id="a", thought=Thought(steps=STEPS, answer="1")),
        "corrections": CorrectionRow(problem_id="a", trace=trace),
        "evaluate.base.corrections": CorrectionRow(problem_id="a", trace=trace),
        "evaluate.hsft.corrections": CorrectionRow(problem_id="a", trace=trace),
    }
    with Run(folder, load_recipe("demo"), Console(file=io.StringIO())) as run:
        for stage, row in stages.items():
            held = Quarantined(problem_id="b", stage=stage, reason="cut")
            run.settle(stage, type(row), [row, held, Rejected(problem_id="c", stage=stage, reason="no")])
        for stage in ("replay.attempts", "attempts", "own_corrections", "pairs", "evaluate.cross_dpo.attempts"):
            run.settle(stage, ThoughtRow, [])
        for model in ("hsft", "cross_dpo"):
            (folder / model).mkdir()
            (folder / f"{model}.checkpoints").mkdir()
        (folder / "own_corrections.parts").mkdir()
        write_rows(folder / "problems.errors.jsonl", [])
        (folder / "results.json").write_text("{}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def finished(folder: Path) -> set[str]:
    return {name.removesuffix(".counts.json") for name in names(folder) if name.endswith(".counts.json")}


@pytest.mark.parametrize("stage", ["thoughts", "corrections", "evaluate.base.corrections"])
def test_what_rests_on_the_rows_is_named_and_nothing_is_changed(tmp_path: Path, stage: str) -> None:
    made_run(tmp_path)
    before = names(tmp_path)
    with pytest.raises(Failure, match=r"results\.json rest on the rows of .*--remake") as caught:
        requeue(tmp_path, "cut", stage)
    assert ("cross_dpo" in str(caught.value)) == (stage in ("thoughts", "corrections"))
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("stage", "left", "models"),
    [
        ("thoughts", {"evaluate.base.corrections"}, set()),
        (
            "corrections",
            {"thoughts", "replay.attempts", "attempts", "evaluate.base.corrections", "evaluate.hsft.corrections"},
            {"hsft", "hsft.checkpoints"},
        ),
        (
            "evaluate.hsft.corrections",
            {
                "thoughts", "corrections", "replay.attempts", "attempts", "own_corrections", "pairs",
                "evaluate.base.corrections", "evaluate.cross_dpo.attempts",
            },
            {"hsft", "hsft.checkpoints", "cross_dpo", "cross_dpo.checkpoints", "own_corrections.parts"},
        ),
    ],
)  # fmt: skip
def test_remake_removes_what_rests_on_the_rows_and_no_more(
    tmp_path: Path, stage: str, left: set[str], models: set[str]
) -> None:
    made_run(tmp_path)
    (done,) = requeue(tmp_path, "cut", stage, remake=True)
    assert (done.stage, done.rows) == (stage, 1)
    assert finished(tmp_path) == left
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == models
    assert "problems.errors.jsonl" in names(tmp_path) and "results.json" not in names(tmp_path)


def test_without_a_stage_those_that_are_made_anew_as_a_whole_are_not_requeued_too(tmp_path: Path) -> None:
    made_run(tmp_path)
    done = requeue(tmp_path, "cut", remake=True)
    assert [row.stage for row in done] == ["evaluate.base.corrections", "thoughts"]
    assert finished(tmp_path) == set()
    assert {name for name in names(tmp_path) if "unfinished" in name} == {
        "evaluate.base.corrections.unfinished.jsonl", "thoughts.unfinished.jsonl",
    }  # fmt: skip


def test_a_stage_under_way_is_listed_and_must_be_finished_first(tmp_path: Path) -> None:
    made_run(tmp_path)
    requeue(tmp_path, "cut", "corrections", remake=True)
    line = {"key": "d/0", "kind": "Quarantined", "row": {"problem_id": "d", "stage": "s", "reason": "new"}}
    with (tmp_path / "corrections.unfinished.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert [row.problem_id for row in quarantined_rows(tmp_path, "new")["corrections"]] == ["d"]
    with pytest.raises(Failure, match="corrections is under way"):
        requeue(tmp_path, "new")


def test_the_rows_asked_for_are_listed_by_stage(tmp_path: Path) -> None:
    made_run(tmp_path)
    assert sorted(quarantined_rows(tmp_path)) == sorted(
        made_from(load_recipe("demo")).keys() - {"evaluate.cross_dpo.corrections"}
    )
    assert list(quarantined_rows(tmp_path, stage="thoughts")) == ["thoughts"]
    assert quarantined_rows(tmp_path, "other") == {}


def test_an_unknown_reason_names_those_there_are(tmp_path: Path) -> None:
    made_run(tmp_path)
    with pytest.raises(Failure, match=r"no row is quarantined as 'cute'\. Reasons here: cut\."):
        requeue(tmp_path, "cute")


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_that_is_no_run_directory_is_one_line(tmp_path: Path, made: bool) -> None:
    folder = tmp_path if made else tmp_path / "none"
    with pytest.raises(BadInput, match="is no run directory"):
        quarantined_rows(folder)
    assert made or not folder.exists()
