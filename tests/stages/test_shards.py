"""Shards: whole or not at all, made once, extended with more passes, the same after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from redink.failures import BadInput
from redink.progress import Advance, quiet
from redink.stages.shards import GREEDY, Shards, repeat_name
from redink.types import OwnCorrection


class Killed(BaseException):
    """Nothing in the program catches it."""


class Making:
    """Makes rows, remembers what it was asked for, and dies at a given call."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at, self.asked = dies_at, list[tuple[str, int]]()

    def __call__(self, rows: Sequence[int], name: str, chunk: int, advance: Advance) -> list[OwnCorrection]:
        if len(self.asked) == self.dies_at:
            raise Killed
        self.asked.append((name, chunk))
        advance(len(rows))
        return [OwnCorrection(problem_id=f"p{row}", text=f"{name} {row} ü\u2028") for row in rows]


def shards(folder: Path, making: Making) -> Shards[int, OwnCorrection]:
    return Shards(folder, OwnCorrection, making, 4)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("inputs", "names"), [(0, []), (1, ["000000"]), (4, ["000000"]), (5, ["000000", "000001"])])
def test_a_pass_has_a_file_per_chunk(tmp_path: Path, inputs: int, names: list[str]) -> None:
    """Chunks of 4: ⌈0/4⌉ = 0, ⌈1/4⌉ = ⌈4/4⌉ = 1, ⌈5/4⌉ = 2."""
    kept = shards(tmp_path, Making())
    kept.fill([GREEDY], range(inputs), quiet)
    assert sorted(files(tmp_path)) == [f"greedy/{name}.jsonl" for name in names]
    assert kept.paths([GREEDY], inputs) == [tmp_path / "greedy" / f"{name}.jsonl" for name in names]
    assert [row.problem_id for row in kept.rows(GREEDY, range(inputs))] == [f"p{number}" for number in range(inputs)]


@pytest.mark.parametrize("dies_at", range(6))
def test_a_kill_costs_a_chunk_and_the_files_end_the_same(tmp_path: Path, dies_at: int) -> None:
    """9 inputs in chunks of 4 are 3 files a pass, 6 in two passes; those before the kill are not made again."""
    passes = [repeat_name(number) for number in range(2)]
    shards(tmp_path / "whole", Making()).fill(passes, range(9), quiet)
    with pytest.raises(Killed):
        shards(tmp_path / "cut", Making(dies_at)).fill(passes, range(9), quiet)
    rest = Making()
    shards(tmp_path / "cut", rest).fill(passes, range(9), quiet)
    assert len(rest.asked) == 6 - dies_at
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_more_passes_leave_what_is_there(tmp_path: Path) -> None:
    shards(tmp_path, Making()).fill(["r000"], range(9), quiet)
    before, more, done = files(tmp_path), Making(), list[int]()
    shards(tmp_path, more).fill(["r000", "r001"], range(9), lambda units=1, note="": done.append(units))
    assert {name for name, _ in more.asked} == {"r001"}
    assert before.items() < files(tmp_path).items()
    assert sum(done) == 18, "progress counts what is there too"


def test_a_shard_that_lost_rows_is_named(tmp_path: Path) -> None:
    kept = shards(tmp_path, Making())
    kept.fill([GREEDY], range(6), quiet)
    path = tmp_path / "greedy" / "000001.jsonl"
    path.write_text(path.read_text().split("\n")[0] + "\n")
    with pytest.raises(BadInput, match=r"000001\.jsonl: holds 1 rows of 2\. Remove this file"):
        kept.rows(GREEDY, range(6))


def test_repeats_beyond_a_thousand_have_names_too() -> None:
    assert [repeat_name(number) for number in (0, 42, 999, 1000)] == ["r000", "r042", "r999", "r1000"]
