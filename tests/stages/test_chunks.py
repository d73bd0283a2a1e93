"""Chunks made ahead are the chunks that the stage makes: same rows, same numbers, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import tiny_student

from redink.models.student import Request, Sampling
from redink.progress import Advance, quiet
from redink.stages.chunks import Ahead, Chunked, chunk_path
from redink.stages.engine import LOCAL
from redink.types import OwnCorrection, Row


class Maker:
    """Makes a row per input, and remembers which chunks it made, of what, in which thread."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.made: list[tuple[int, tuple[int, ...]]] = []
        self.threads: set[int] = set()

    def __call__(self, rows: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
        if number == self.fails_at:
            raise MemoryError("out of memory")
        self.threads.add(threading.get_ident())
        self.made.append((number, tuple(rows)))
        return [OwnCorrection(problem_id=f"p{row}", text=f"chunk {number}") for row in rows]


def chunked(make: Maker, size: int = 3) -> Chunked[int, OwnCorrection]:
    return Chunked("own", OwnCorrection, make, size)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def test_whole_chunks_are_made_in_order_in_one_other_thread_and_the_rest_is_left(tmp_path: Path) -> None:
    make = Maker()
    with Ahead(chunked(make), tmp_path, lambda: None) as ahead:
        for row in range(8):
            ahead.feed(row)
    assert make.made == [(0, (0, 1, 2)), (1, (3, 4, 5))]
    assert len(make.threads) == 1 and threading.get_ident() not in make.threads


def test_what_is_made_ahead_is_what_the_stage_makes(tmp_path: Path) -> None:
    with Ahead(chunked(Maker()), tmp_path / "ahead", lambda: None) as ahead:
        for row in range(6):
            ahead.feed(row)
    own = chunked(Maker())
    own.fill(LOCAL, tmp_path / "stage", range(6), quiet)
    assert files(tmp_path / "ahead") == files(tmp_path / "stage")


def test_chunks_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    first, second = Maker(), Maker()
    for make, rows in ((first, 3), (second, 6)):
        with Ahead(chunked(make), tmp_path, lambda: None) as ahead:
            for row in range(rows):
                ahead.feed(row)
    assert first.made == [(0, (0, 1, 2))]
    assert second.made == [(1, (3, 4, 5))]


def test_the_rows_are_on_disk_before_anything_is_made_of_them(tmp_path: Path) -> None:
    synced: list[bool] = []
    with Ahead(chunked(Maker()), tmp_path, lambda: synced.append(chunk_path(tmp_path, len(synced)).exists())) as ahead:
        for row in range(6):
            ahead.feed(row)
    assert synced == [False, False]


@pytest.mark.slow
def test_a_student_samples_ahead_in_a_thread_what_it_samples_in_its_place(tmp_path: Path) -> None:
    student = tiny_student(tmp_path / "student")

    def make(rows: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
        sampling = Sampling(temperature=1.0, max_new_tokens=12, seed=number, batch_rows=2)
        drawn = student.generate([Request(f"{row} + {row} =") for row in rows], sampling, advance)
        return [OwnCorrection(problem_id=str(row), text=each[0].text) for row, each in zip(rows, drawn, strict=True)]

    chunked = Chunked("own", OwnCorrection, make, 4)
    with Ahead(chunked, tmp_path / "ahead", lambda: None) as ahead:
        for row in range(12):
            ahead.feed(row)
    chunked.fill(LOCAL, tmp_path / "stage", range(12), quiet)
    assert len(files(tmp_path / "ahead")) == 3
    assert files(tmp_path / "ahead") == files(tmp_path / "stage")


def test_what_goes_wrong_in_the_thread_is_raised_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), Ahead(chunked(Maker(fails_at=1)), tmp_path, lambda: None) as ahead:
        for row in range(6):
            ahead.feed(row)
    assert list(files(tmp_path)) == ["000000.jsonl"]


def test_after_a_failure_chunks_that_have_not_begun_are_left(tmp_path: Path) -> None:
    begun, go_on, made = threading.Event(), threading.Event(), Maker()

    def slow(rows: Sequence[int], number: int, advance: Advance) -> Sequence[Row]:
        begun.set()
        assert go_on.wait(5)
        return made(rows, number, advance)

    def run() -> None:
        with Ahead(Chunked("own", OwnCorrection, slow, 3), tmp_path, lambda: None) as ahead:
            for row in range(9):
                ahead.feed(row)
            assert begun.wait(5)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [number for number, _ in made.made] == [0]
