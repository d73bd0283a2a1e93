"""The run directory: killed, it continues to the same files; its books balance; nothing made is lost."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from redink import run as module
from redink.failures import BadInput, Failure
from redink.progress import Advance
from redink.recipe import Recipe, validated
from redink.run import Run, changed_keys, start_anew
from redink.stages.chunks import Chunked
from redink.types import OwnCorrection, Problem, Quarantined, Rejected, Row, StageCounts, Tried

SIZES = {"sources": ["stories:ledger"], "thoughts": 1, "errors": 1, "evaluation": 1}


def recipe(**values: object) -> Recipe:
    return validated({"name": "small", "problems": SIZES} | values, "test")


def opened(folder: Path, wanted: Recipe | None = None, screen: io.StringIO | None = None) -> Run:
    return Run(folder, wanted or recipe(), Console(file=screen or io.StringIO(), width=300))


class Killed(BaseException):
    """Nothing in the program catches it, as nothing catches a kill."""


def dying(call: int, does: Callable[..., object] = lambda *given: None) -> Callable[..., None]:
    """Stands in for a function or a method, and dies at its n-th call (from 1)."""
    left = iter(range(call - 1, -1, -1))

    def stand_in(*given: object, **named: object) -> None:
        if next(left, 1) == 0:
            raise Killed
        does(*given, **named)

    return stand_in


def outcome(number: int) -> Row:
    """Every fifth input is rejected, every seventh quarantined."""
    name = f"p{number}"
    if number % 5 == 0:
        return Rejected(problem_id=name, stage="work", reason="fifth")
    if number % 7 == 0:
        return Quarantined(problem_id=name, stage="work", reason="seventh", raw="ü\u2028")
    return OwnCorrection(problem_id=name, text=f"text {number} — ü")


class Work:
    """Makes outcomes, remembers which chunks it was asked for, and dies at a given call."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at, self.asked = dies_at, list[int]()

    def __call__(self, chunk: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
        if len(self.asked) == self.dies_at:
            raise Killed
        self.asked.append(number)
        advance(len(chunk))
        return [outcome(value) for value in chunk]


def do(run: Run, work: Callable[..., Sequence[Row]], count: int = 23) -> list[OwnCorrection]:
    return run.stage(Chunked("work", OwnCorrection, work, 4), range(count))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    with opened(tmp_path / "whole") as run:
        do(run, Work())
    return files(tmp_path / "whole")


# ---------------------------------------------------------------- stages


def test_a_stage_returns_its_accepted_rows_in_order_and_keeps_the_books(tmp_path: Path) -> None:
    """Of 0..22: 0, 5, 10, 15, 20 are fifths; 7, 14, 21 sevenths; 15 rows remain."""
    screen = io.StringIO()
    with opened(tmp_path / "run", screen=screen) as run:
        rows = do(run, Work())
        (books,) = run.counts()
    others = [1, 2, 3, 4, 6, 8, 9, 11, 12, 13, 16, 17, 18, 19, 22]
    assert [row.problem_id for row in rows] == [f"p{n}" for n in others]
    assert books == StageCounts(
        stage="work", inputs=23, accepted=15, rejected=5, quarantined=3, reasons={"fifth": 5, "seventh": 3}
    )
    assert books.balanced
    line = "work: 15 accepted + 5 rejected + 3 quarantined = 23 inputs (fifth 5, seventh 3)"
    assert screen.getvalue().splitlines() == [line]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        ".lock", "recipe.json", "work.counts.json", "work.jsonl", "work.quarantine.jsonl", "work.rejected.jsonl",
    ]  # fmt: skip


def test_a_finished_stage_is_read_and_not_made_again(tmp_path: Path) -> None:
    screen, again = io.StringIO(), Work()
    with opened(tmp_path / "run", screen=screen) as run:
        first = do(run, Work())
        assert do(run, again) == first
    assert again.asked == []
    assert len(set(screen.getvalue().splitlines())) == 1
    assert len(screen.getvalue().splitlines()) == 2, "the books are shown each time"


def test_no_input_is_a_stage_too(tmp_path: Path) -> None:
    screen = io.StringIO()
    with opened(tmp_path / "run", screen=screen) as run:
        assert do(run, Work(), count=0) == []
    assert screen.getvalue() == "work: 0 accepted + 0 rejected + 0 quarantined = 0 inputs\n"


def test_several_outcomes_per_input_are_counted(tmp_path: Path) -> None:
    def twice(chunk: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
        return [OwnCorrection(problem_id=f"p{n}", sample=sample, text="x") for n in chunk for sample in (0, 1)]

    with opened(tmp_path / "run") as run:
        rows = run.stage(Chunked("work", OwnCorrection, twice, 2), range(5), per_input=2)
        assert [(row.problem_id, row.sample) for row in rows[-2:]] == [("p4", 0), ("p4", 1)]
        assert run.counts()[0].inputs == 10


@pytest.mark.parametrize("made", [3, 5])
def test_a_stage_that_loses_or_invents_a_row_is_a_defect_of_ours(tmp_path: Path, made: int) -> None:
    with opened(tmp_path / "run") as run, pytest.raises(AssertionError, match=f"work: 4 rows went in, {made} came out"):
        do(run, lambda chunk, number, advance: [outcome(1)] * made, count=4)


# ---------------------------------------------------------------- kills


@pytest.mark.parametrize("dies_at", [0, 1, 3, 5])
def test_a_kill_between_chunks_continues_to_the_same_files(
    tmp_path: Path, whole: dict[str, bytes], dies_at: int
) -> None:
    first, second = Work(dies_at), Work()
    with pytest.raises(Killed), opened(tmp_path / "run") as run:
        do(run, first)
    with opened(tmp_path / "run") as run:
        do(run, second)
    assert first.asked + second.asked == [0, 1, 2, 3, 4, 5]
    assert files(tmp_path / "run") == whole
    assert not (tmp_path / "run" / "work.parts").exists()


@pytest.mark.parametrize("write", range(1, 12))
def test_a_kill_in_any_write_continues_to_the_same_files(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Eleven files are written and flushed: recipe, six chunks, three lists of rows, the books."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying(write))
        with pytest.raises(Killed), opened(tmp_path / "run") as run:
            do(run, Work())
    with opened(tmp_path / "run") as run:
        do(run, Work())
    assert files(tmp_path / "run") == whole


def test_a_kill_between_the_books_and_the_tidying_continues_to_the_same_files(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", dying(1))
        with pytest.raises(Killed), opened(tmp_path / "run") as run:
            do(run, Work())
    assert (tmp_path / "run" / "work.counts.json").exists()
    work = Work()
    with opened(tmp_path / "run") as run:
        do(run, work)
    assert work.asked == []
    assert files(tmp_path / "run") == whole
    assert not (tmp_path / "run" / "work.parts").exists()


def test_torn_part_files_do_no_harm(tmp_path: Path, whole: dict[str, bytes]) -> None:
    parts = tmp_path / "run" / "work.parts"
    parts.mkdir(parents=True)
    for torn in (parts / "000001.jsonl.part", tmp_path / "run" / "work.jsonl.part"):
        torn.write_text('{"kind": "OwnCorr')
    with opened(tmp_path / "run") as run:
        do(run, Work())
    assert files(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": "Problem", "row": {}}', "holds a row of kind 'Problem'"),
        ('{"kind": "OwnCorrection", "row": {"problem_id": "p"}}', "Field required"),
        ('{"kind": "OwnCorrection"}', "Input should be"),
        ("{", "is not JSON"),
    ],
)
def test_a_damaged_chunk_names_its_file(tmp_path: Path, line: str, said: str) -> None:
    chunk = tmp_path / "run" / "work.parts" / "000000.jsonl"
    chunk.parent.mkdir(parents=True)
    chunk.write_text(line + "\n")
    with opened(tmp_path / "run") as run, pytest.raises(BadInput, match=said) as caught:
        do(run, Work())
    assert str(caught.value).startswith(f"{chunk}:1")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


# ---------------------------------------------------------------- streams


class Rows:
    """Makes outcomes one by one, in a shuffled order of completion; dies at a given row."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.asked: list[int] = []
        self.before: dict[int, Sequence[Tried]] = {}

    async def __call__(self, number: int, before: Sequence[Tried]) -> Row:
        self.asked.append(number)
        if before:
            self.before[number] = before
        for _ in range(number * 7919 % 5):
            await asyncio.sleep(0)
        if number == self.dies_at:
            raise Killed
        return outcome(number)


def flow_of(run: Run, work: Rows, count: int = 23, **more: Any) -> StageCounts:
    return run.stream("work", OwnCorrection, range(count), work, lambda number: f"p{number}/0", window=4, **more)


def test_a_stream_leaves_what_a_stage_leaves(tmp_path: Path, whole: dict[str, bytes]) -> None:
    screen = io.StringIO()
    with opened(tmp_path / "run", screen=screen) as run:
        books = flow_of(run, Rows())
    assert files(tmp_path / "run") == whole
    assert (books.accepted, books.rejected, books.quarantined) == (15, 5, 3)
    assert screen.getvalue().startswith("work: 15 accepted + 5 rejected + 3 quarantined = 23 inputs")


@pytest.mark.parametrize("dies_at", [0, 3, 11, 22])
def test_a_stream_killed_at_a_row_continues_to_the_same_files(
    tmp_path: Path, whole: dict[str, bytes], dies_at: int
) -> None:
    first, second = Rows(dies_at), Rows()
    with pytest.raises(Killed), opened(tmp_path / "run") as run:
        flow_of(run, first)
    with opened(tmp_path / "run") as run:
        flow_of(run, second)
    assert len(first.asked) + len(second.asked) <= 23 + 4, "no more is made twice than was under way"
    assert files(tmp_path / "run") == whole


@pytest.mark.parametrize("write", range(1, 6))
def test_a_kill_in_any_write_of_a_stream_continues_to_the_same_files(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Five files are flushed: recipe, three lists of rows, the books."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying(write))
        with pytest.raises(Killed), opened(tmp_path / "run") as run:
            flow_of(run, Rows())
    second = Rows()
    with opened(tmp_path / "run") as run:
        flow_of(run, second)
    assert second.asked == [] or write == 1
    assert files(tmp_path / "run") == whole


def test_a_finished_stream_is_left_as_it_is(tmp_path: Path) -> None:
    again = Rows()
    with opened(tmp_path / "run") as run:
        assert flow_of(run, Rows()) == flow_of(run, again)
    assert again.asked == []


def test_a_stream_of_nothing_is_a_stage_too(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        assert flow_of(run, Rows(), count=0).inputs == 0


def test_the_work_of_a_stream_is_done_inside_what_it_is_given(tmp_path: Path) -> None:
    said: list[str] = []
    stage: ContextVar[str] = ContextVar("stage", default="none")

    @asynccontextmanager
    async def within() -> AsyncIterator[None]:
        token = stage.set("work")
        yield
        stage.reset(token)
        said.append("closed")

    async def work(number: int, before: Sequence[Tried]) -> Row:
        said.append(stage.get())
        return outcome(number)

    with opened(tmp_path / "run") as run:
        run.stream("work", OwnCorrection, range(3), work, lambda n: f"p{n}/0", within=within())
    assert said == ["work"] * 3 + ["closed"]


def test_memory_of_a_stream_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    """Eight bytes a row, beside what is under way: 50 kB of text for each of 400 rows would be 20 MB."""

    async def long(number: int, before: Sequence[Tried]) -> Row:
        return OwnCorrection(problem_id=f"p{number}", text=str(number) * 50_000)

    with opened(tmp_path / "run") as run:
        tracemalloc.start()
        run.stream("work", OwnCorrection, range(400), long, lambda n: f"p{n}/0", window=4)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6e6


# ---------------------------------------------------------------- the next stage, begun early


def own(work: Callable[..., Sequence[Row]]) -> Chunked[OwnCorrection, OwnCorrection]:
    return Chunked("own", OwnCorrection, work, 4)


class Echo:
    """The next stage: a row for each accepted row, and which chunks were made of what."""

    def __init__(self) -> None:
        self.made: dict[int, list[str]] = {}

    def __call__(self, rows: Sequence[OwnCorrection], number: int, advance: Advance) -> Sequence[Row]:
        self.made[number] = [row.problem_id for row in rows]
        return [row.model_copy(update={"text": f"{row.text} in chunk {number}"}) for row in rows]


@pytest.mark.parametrize("dies_at", [None, 2, 13])
def test_the_next_stage_is_fed_in_order_and_ends_as_if_it_had_waited(tmp_path: Path, dies_at: int | None) -> None:
    """15 accepted rows in chunks of 4: three are made ahead, the last is left to the stage."""
    waited, fed, rest = Echo(), Echo(), Echo()
    with opened(tmp_path / "waited") as run:
        flow_of(run, Rows())
        run.stage(own(waited), run.rows("work", OwnCorrection))
    if dies_at is not None:
        with pytest.raises(Killed), opened(tmp_path / "run") as run:
            flow_of(run, Rows(dies_at), onward=own(fed))
    with opened(tmp_path / "run") as run:
        flow_of(run, Rows(), onward=own(fed))
        assert sorted(fed.made) == [0, 1, 2]
        run.stage(own(rest), run.rows("work", OwnCorrection))
    assert fed.made | rest.made == waited.made
    assert list(rest.made) == [3]
    assert files(tmp_path / "run") == files(tmp_path / "waited")


def test_the_next_stage_begins_while_rows_are_still_under_way(tmp_path: Path) -> None:
    begun = threading.Event()

    def make(rows: Sequence[OwnCorrection], number: int, advance: Advance) -> Sequence[Row]:
        begun.set()
        return rows

    async def work(number: int, before: Sequence[Tried]) -> Row:
        while number == 22 and not begun.is_set():
            await asyncio.sleep(0.001)
        return outcome(number)

    with opened(tmp_path / "run") as run:
        run.stream("work", OwnCorrection, range(23), work, lambda n: f"p{n}/0", window=4, onward=own(make))
    assert begun.is_set()


# ---------------------------------------------------------------- requeued rows


def test_requeued_rows_and_only_these_are_made_anew_and_know_how_they_failed(tmp_path: Path) -> None:
    """7, 14 and 21 are quarantined; 7 and 21 get another try, and 21 fails again."""
    again = Rows()

    async def better(number: int, before: Sequence[Tried]) -> Row:
        await again(number, before)
        return OwnCorrection(problem_id=f"p{number}", text="at last") if number == 7 else outcome(number)

    with opened(tmp_path / "run") as run:
        flow_of(run, Rows())
        assert run.requeue("work", OwnCorrection, lambda row: row.problem_id in ("p7", "p21")) == 2
        assert not run.finished("work") and run.counts() == []
        books = run.stream("work", OwnCorrection, range(23), better, lambda n: f"p{n}/0")
        rows = run.rows("work", OwnCorrection)
    assert sorted(again.asked) == [7, 21]
    assert again.before == {number: (Tried(reason="seventh", raw="ü\u2028"),) for number in (7, 21)}
    assert books == StageCounts(
        stage="work", inputs=23, accepted=16, rejected=5, quarantined=2, reasons={"fifth": 5, "seventh": 2}
    )
    assert [row.problem_id for row in rows].index("p7") == 5, "in its place: after 1, 2, 3, 4, 6"
    assert not list((tmp_path / "run").glob("*.unfinished*"))


def test_nothing_to_requeue_changes_nothing(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with opened(tmp_path / "run") as run:
        flow_of(run, Rows())
        assert run.requeue("work", OwnCorrection, lambda row: False) == 0
    assert files(tmp_path / "run") == whole


@pytest.mark.parametrize("removed", range(1, 5))
def test_a_kill_while_requeuing_leaves_the_stage_done_or_requeued(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    with opened(tmp_path / "run") as run:
        flow_of(run, Rows())
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "unlink", dying(removed, Path.unlink))
            run.requeue("work", OwnCorrection, lambda row: True)
    again = Rows()
    with opened(tmp_path / "run") as run:
        flow_of(run, again)
    assert sorted(again.asked) == ([] if removed == 1 else [7, 14, 21])
    after = files(tmp_path / "run")
    assert after == whole


def test_outcomes_at_hand_are_settled_with_books(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with opened(tmp_path / "run") as run:
        rows = run.settle("work", OwnCorrection, [outcome(number) for number in range(23)])
        assert run.settle("work", OwnCorrection, []) == rows, "a finished stage is read"
    assert files(tmp_path / "run") == whole


def test_starting_anew_keeps_the_journal_only(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    opened(folder).close()
    (folder / "work.parts").mkdir()
    (folder / "journal.sqlite").write_text("bought")
    (folder / "journal.sqlite-wal").write_text("bought")
    start_anew(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["journal.sqlite", "journal.sqlite-wal"]
    start_anew(tmp_path / "none")


@pytest.mark.parametrize("key", ["budget.max_usd=3", "journal=j.sqlite", "teacher.limits.max_in_flight=3"])
def test_what_a_run_may_cost_and_how_fast_it_goes_may_change(tmp_path: Path, key: str) -> None:
    name, _, value = key.partition("=")
    table: Any = int(value) if value.isdigit() else value
    for part in reversed(name.split(".")[1:]):
        table = {part: table}
    opened(tmp_path / "run").close()
    changed = recipe(**{name.split(".")[0]: table})
    opened(tmp_path / "run", changed).close()
    assert Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text()) == changed


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    path = tmp_path / "run" / "recipe.json"
    old = json.loads(path.read_text())
    del old["budget"], old["journal"], old["teacher"]["limits"]
    path.write_text(json.dumps(old))
    opened(tmp_path / "run").close()


# ---------------------------------------------------------------- disk


def test_a_full_disk_is_one_line_and_nothing_made_is_lost(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def full(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:  # the recipe and three chunks fit
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    second = Work()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with (
            opened(tmp_path / "run") as run,
            pytest.raises(Failure, match=r"No space left on device.*is kept") as caught,
        ):
            do(run, Work())
    assert "\n" not in str(caught.value)
    with opened(tmp_path / "run") as run:
        do(run, second)
    assert second.asked == [3, 4, 5]
    assert files(tmp_path / "run") == whole


@pytest.mark.parametrize("method", ["mkdir", "open"])
def test_a_folder_without_write_permission_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def refuse(self: Path, *args: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(Failure, match=r"run: cannot be written \(Permission denied\)\. .*--run-dir"):
        opened(tmp_path / "run")


def test_a_file_where_the_run_directory_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("I am a file")
    with pytest.raises(Failure, match="cannot be written"):
        opened(tmp_path / "run")


# ---------------------------------------------------------------- one process, one recipe


def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    with opened(tmp_path / "run"), pytest.raises(Failure, match=r"run: another process is working in this run"):
        opened(tmp_path / "run")
    opened(tmp_path / "run").close()


def test_another_recipe_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    other = recipe(seed=3, hsft={"epochs": 2}, cross_dpo={"lora": {"rank": 2}})
    with pytest.raises(Failure, match=r"differs in cross_dpo\.lora, hsft\.epochs, seed\)\. .*--name.*--fresh"):
        opened(tmp_path / "run", other)
    opened(tmp_path / "run").close()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda kept: kept["cross_dpo"].pop("replay"), None),
        (lambda kept: kept.update(unknown=1), "unknown"),
        (lambda kept: kept["cross_dpo"].update(beta=2.0), "cross_dpo.beta"),
    ],
    ids=["a key is younger than the run", "a key is gone", "a value differs"],
)
def test_a_recipe_kept_by_another_version(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], refused: str | None
) -> None:
    opened(tmp_path / "run").close()
    path = tmp_path / "run" / "recipe.json"
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))
    with pytest.raises(Failure, match=f"differs in {refused}") if refused else nullcontext():
        opened(tmp_path / "run").close()


def test_the_refusal_lets_go_of_the_directory(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    with pytest.raises(Failure, match="another recipe") as held:
        opened(tmp_path / "run", recipe(seed=3))
    opened(tmp_path / "run").close()
    assert held.value.remedy


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": 1, "c": [1]}}, {"a": {"b": 1, "c": [2]}}, ["a.c"]),
        ({"a": None}, {"a": {"b": 1}}, ["a"]),
        ({"a": 1}, {"b": 1}, ["a", "b"]),
    ],
)
def test_changed_keys_are_dotted(before: object, after: object, keys: list[str]) -> None:
    assert changed_keys(before, after) == keys


# ---------------------------------------------------------------- the rest of the directory


def test_rows_that_are_kept_are_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> list[Problem]:
        made.append(1)
        return [Problem(id="a", question="q", answer="2")]

    with opened(tmp_path / "run") as run:
        assert run.keep("problems.errors", make, Problem) == run.keep("problems.errors", make, Problem)
    assert made == [1]


def test_the_manifest_holds_versions_seeds_fingerprints_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("pytest", "no-such-package"))
    with opened(tmp_path / "run", recipe(seed=5)) as run:
        do(run, Work())
        run.write_manifest({"errors": "abc"}, {"hsft": 7})
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest == {
        "recipe": "small",
        "seed": 5,
        "seeds": {"hsft": 7},
        "versions": {"pytest": pytest.__version__, "no-such-package": "not installed"},
        "fingerprints": {"errors": "abc"},
        "counts": {
            "work": {
                "inputs": 23, "accepted": 15, "rejected": 5, "quarantined": 3, "reasons": {"fifth": 5, "seventh": 3},
            }
        },
    }  # fmt: skip


def test_the_recipe_as_run_is_kept(tmp_path: Path) -> None:
    wanted = recipe(seed=5)
    opened(tmp_path / "run", wanted).close()
    assert Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text()) == wanted


def test_asynchronous_work_runs_on_one_loop(tmp_path: Path) -> None:
    async def loop_id() -> int:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    with opened(tmp_path / "run") as run:
        assert run.wait(loop_id()) == run.wait(loop_id())


def test_what_is_said_is_not_taken_for_markup(tmp_path: Path) -> None:
    screen = io.StringIO()
    with opened(tmp_path / "run", screen=screen) as run:
        run.say("[bold]as it is[/]")
    assert screen.getvalue() == "[bold]as it is[/]\n"
