"""Rows on disk: what is written is read, every complaint names its place, and a kill leaves no half file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from redink.failures import BadInput, Failure, Interrupted, MarkupFailure, RowFailure
from redink.rows import read_json_lines, read_rows, unwritable, write_rows, write_text
from redink.types import Attempt, CorrectionTrace, Problem, StageCounts, Step, Thought, Verdict

GOOD = '{"id": "a", "question": "1 + 1?", "answer": "2"}'
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# ---------------------------------------------------------------- round trips


@given(st.lists(st.builds(Problem, id=TEXT, question=TEXT, answer=TEXT, solution=st.none() | TEXT), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Problem]) -> None:
    path = tmp_path_factory.mktemp("rows") / "deep" / "down" / "rows.jsonl"
    write_rows(path, rows)
    assert read_rows(path, Problem) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


def test_blank_lines_and_windows_line_ends_are_let_be(tmp_path: Path) -> None:
    path = file(tmp_path, f"\n{GOOD}\r\n   \n{GOOD}")
    assert [number for number, _ in read_json_lines(path)] == [2, 4]


def test_line_separators_of_unicode_do_not_cut_a_row(tmp_path: Path) -> None:
    rows = [Problem(id="a", question="one\u2028two\x85three\x0b", answer="2")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl", Problem) == rows


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "line", "field", "said"),
    [
        (f"{GOOD}\n{{", 2, None, "is not JSON"),
        (f"{GOOD}\n\n[1]", 3, None, "holds a list, not an object"),
        ("null", 1, None, "holds a NoneType"),
        (b"\xff\xfe", 1, None, "is not JSON"),
        ("[" * 100_000, 1, None, "is not JSON"),
        ('{"id": "a", "question": "q"}', 1, "answer", "Field required"),
        ('{"id": "", "question": "q", "answer": "2"}', 1, "id", "at least 1 character"),
        ('{"id": "a", "question": "q", "answer": 2}', 1, "answer", "valid string"),
        (GOOD[:-1] + ', "anser": "3"}', 1, "anser", "Extra inputs"),
    ],
)
def test_a_bad_line_names_file_line_and_field(
    tmp_path: Path, content: str | bytes, line: int, field: str | None, said: str
) -> None:
    path = file(tmp_path, content)
    with pytest.raises(BadInput) as caught:
        read_rows(path, Problem)
    assert str(caught.value).startswith(f"{path}:{line}")
    assert said in str(caught.value)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl: there is no such file\. Check the path\."):
        read_rows(tmp_path / "none.jsonl", Problem)
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        read_rows(tmp_path, Problem)


# ---------------------------------------------------------------- writing


class Killed(BaseException):
    pass


def test_a_kill_half_way_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    write_text(path, "old\n")

    def killed(fd: int) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(Killed):
            write_text(path, "new\n")
    assert path.read_text() == "old\n"
    write_text(path, "new\n")
    assert path.read_text() == "new\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    write_text(path, "old\n")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match=r"rows\.jsonl: cannot be written \(No space left on device\)\. Free some space"):
        write_rows(path, [Problem(id="a", question="q", answer="2")])
    assert path.read_text() == "old\n"


def test_no_permission_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Failure, match=r"cannot be written \(Permission denied\)\. .*another folder"):
        write_text(tmp_path / "rows.jsonl", "text")


def test_a_file_where_a_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("I am a file")
    with pytest.raises(Failure, match="cannot be written"):
        write_text(tmp_path / "run" / "rows.jsonl", "text")


def test_a_failure_without_a_reason_of_the_system_shows_its_own(tmp_path: Path) -> None:
    assert "(odd)" in str(unwritable(tmp_path, OSError("odd")))


# ---------------------------------------------------------------- rows and failures themselves


def test_rows_are_frozen_and_know_no_other_fields() -> None:
    problem = Problem(id="a", question="q", answer="2")
    with pytest.raises(ValidationError):
        problem.answer = "3"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Problem(id="a", question="q", answer="2", topic="algebra")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Thought(steps=(), answer="1"),
        lambda: Thought(steps=(Step(number=1, text="a"),), answer=""),
        lambda: Step(number=0, text="a"),
        lambda: CorrectionTrace(steps=(), answer="1"),
        lambda: Attempt(problem_id="a", sample=-1, text="", verdict=Verdict(outcome="right")),
        lambda: Verdict(outcome="maybe"),
    ],
)
def test_impossible_rows_are_refused(make: object) -> None:
    with pytest.raises(ValidationError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(("outcome", "right"), [("right", True), ("wrong", False), ("ungradable", False)])
def test_only_right_is_right(outcome: str, right: bool) -> None:
    assert Verdict(outcome=outcome).right is right  # type: ignore[arg-type]


@pytest.mark.parametrize(("rejected", "balanced"), [(1, True), (0, False), (2, False)])
def test_books_balance_when_nothing_is_lost(rejected: int, balanced: bool) -> None:
    assert StageCounts(stage="s", inputs=6, accepted=3, rejected=rejected, quarantined=2).balanced is balanced


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure("no disk.", "Buy one."), "no disk. Buy one."),
        (Failure("no disk."), "no disk."),
        (BadInput("f.jsonl", "odd.", line=3, field="answer"), "f.jsonl:3, field 'answer': odd."),
        (BadInput("f.jsonl", "odd.", field="answer"), "f.jsonl, field 'answer': odd."),
        (Interrupted("stopped."), "stopped."),
        (RowFailure("no_steps"), "no_steps"),
        (RowFailure("no_steps", "none at all"), "no_steps: none at all"),
        (MarkupFailure("no_steps", 7, "there"), "no_steps: at character 7: there"),
        (MarkupFailure("no_steps", 7), "no_steps: at character 7"),
    ],
)
def test_failures_say_what_and_what_to_do(failure: Exception, text: str) -> None:
    assert str(failure) == text
