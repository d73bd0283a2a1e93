"""The tally: what is kept of rows as they stream, and which files it reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made import attempt, outcomes, problem

from redink.evaluation.outcomes import Tally, read_tally
from redink.failures import BadInput, Failure
from redink.rows import write_rows
from redink.stages.unfinished import tagged
from redink.types import Problem, Quarantined, Rejected, Review, Verdict

PROBLEMS = [problem("a", "4", "add", "1"), problem("b", "9", "mul")]
FIRST = [attempt("a", "4", "right"), attempt("b", "8", "wrong", cut=True, tokens=30)]
SECOND = [attempt("b", None, "ungradable", 1), attempt("a", "4.0", "right", 1)]
THIRD = [attempt("a", "five", "ungradable", 2), attempt("b", "8.0", "wrong", 2)]


def test_every_attempt_becomes_numbers() -> None:
    """a: right, right, not gradable; b: 8 (cut), no answer, 8 again, written 8.0."""
    tally = Tally("m", PROBLEMS)
    for repeat, rows in ((2, THIRD), (0, FIRST), (1, SECOND)):
        tally.add(repeat, rows)
    found = tally.outcomes()
    assert (found.model, found.problem_ids, found.problems, found.repeats) == ("m", ("a", "b"), 2, 3)
    assert (found.subjects, found.levels) == (("add", "mul"), ("1", None))
    assert found.group.tolist() == [[0, 0, 1], [1, -1, 1]]
    assert found.right.tolist() == [[True, True, False], [False, False, False]]
    assert found.ungradable.tolist() == [[False, False, True], [False, True, False]]
    assert found.no_answer.tolist() == [[False, False, False], [False, True, False]]
    assert found.truncated.tolist() == [[False, False, False], [True, False, False]]
    assert found.tokens.tolist() == [[7, 7, 7], [30, 7, 7]]
    assert found.shares.tolist() == [pytest.approx(2 / 3), 0]


def test_a_row_may_bring_its_own_repeat() -> None:
    one, other = Tally("m", PROBLEMS), Tally("m", PROBLEMS)
    one.add(None, FIRST + SECOND + THIRD)
    for repeat, rows in enumerate((FIRST, SECOND, THIRD)):
        other.add(repeat, rows)
    assert one.outcomes().group.tolist() == other.outcomes().group.tolist()


def test_reviews_count_as_attempts_do() -> None:
    tally = Tally("m", PROBLEMS[:1])
    tally.add(0, [Review(problem_id="a", text="", answer="4", verdict=Verdict(outcome="right"))])
    assert tally.outcomes().right.tolist() == [[True]]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([attempt("c", "4", "right")], "'c', which is not among the problems"),
        ([FIRST[0], FIRST[0]], "two attempts at 'a'"),
    ],
)
def test_rows_that_do_not_belong_are_refused(rows, what) -> None:
    with pytest.raises(Failure, match=what):
        Tally("m", PROBLEMS).add(0, rows)


def test_attempts_that_are_missing_are_not_made_up() -> None:
    tally = Tally("m", PROBLEMS)
    with pytest.raises(Failure, match="there are no attempts"):
        tally.outcomes()
    tally.add(0, FIRST[:1])
    with pytest.raises(Failure, match="1 of 2 attempts are missing"):
        tally.outcomes()


def test_two_problems_of_one_name_are_refused() -> None:
    with pytest.raises(Failure, match="same id"):
        Tally("m", [PROBLEMS[0], PROBLEMS[0]])


def test_some_problems_and_some_repeats() -> None:
    found = outcomes("RRa-", "abRR", "tttt")
    part = found.of([2, 0])
    assert (part.problem_ids, part.right.tolist()) == (("p2", "p0"), [[False] * 4, [True, True, False, False]])
    assert part.truncated.tolist() == [[True] * 4, [False] * 4]
    half = found.repeated(slice(1, None, 2))
    assert half.group.tolist() == [[0, -1], [2, 0], [5, 5]]
    assert half.no_answer.tolist() == [[False, True], [False, False], [False, False]]


# files


def test_shards_of_repeats_and_files_of_samples_give_the_same(tmp_path: Path) -> None:
    for repeat, rows in enumerate((FIRST, SECOND, THIRD)):
        for number, row in enumerate(rows):
            write_rows(tmp_path / "m" / f"r{repeat:03d}" / f"{number:06d}.jsonl", [row])
    together = tmp_path / "attempts.jsonl"
    together.write_text("".join(map(tagged, FIRST + SECOND + THIRD)))
    tally = Tally("m", PROBLEMS)
    tally.add(None, FIRST + SECOND + THIRD)
    expected = tally.outcomes()
    counted: list[int] = []
    for paths in (sorted((tmp_path / "m").glob("*/*.jsonl")), [together]):
        found = read_tally("m", PROBLEMS, paths, advance=lambda units=1, note="": counted.append(units)).outcomes()
        for name in ("group", "ungradable", "no_answer", "truncated", "tokens"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert sum(counted) == 12


def test_the_folder_names_the_repeat_not_the_row(tmp_path: Path) -> None:
    path = tmp_path / "r004" / "000000.jsonl"
    write_rows(path, FIRST)
    write_rows(tmp_path / "r002" / "000000.jsonl", FIRST)
    tally = read_tally("m", PROBLEMS, [path, tmp_path / "r002" / "000000.jsonl"])
    assert tally.outcomes().repeats == 2


@pytest.mark.parametrize(
    "row",
    [
        Quarantined(problem_id="a", sample=0, stage="attempts", reason="cut_off"),
        Rejected(problem_id="a", sample=0, stage="attempts", reason="too_long"),
    ],
)
def test_a_row_that_could_not_be_made_is_an_attempt_without_an_answer(tmp_path: Path, row) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(tagged(row) + tagged(FIRST[1]))
    found = read_tally("m", PROBLEMS, [path]).outcomes()
    assert (found.group[0, 0], found.ungradable[0, 0], found.no_answer[0, 0], found.right[0, 0]) == (
        -1,
        True,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"problem_id": "a"}', "2, field 'text'"),
        ('{"problem_id": "a", "text": "", "verdict": {"outcome": "good"}}', "2, field 'verdict.outcome'"),
        ('{"problem_id": "a", "text": "", "verdict": {"outcome": "right"}, "tokens": -1}', "2, field 'tokens'"),
        ('{"kind": "Attempt", "row": []}', ":2"),
        ("{torn", ":2"),
        (json.dumps(FIRST[0].model_dump(mode="json")), "two attempts at 'a'"),
        (json.dumps(FIRST[0].model_dump(mode="json")).replace('"a"', '"z"'), "'z', which is not among"),
    ],
)
def test_what_is_no_attempt_is_named_with_its_place(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(FIRST[0].model_dump(mode="json")) + "\n" + line + "\n")
    with pytest.raises(BadInput, match=r"rows\.jsonl") as failure:
        read_tally("m", PROBLEMS, [path])
    assert what in str(failure.value)


def test_texts_are_let_go_of(tmp_path: Path) -> None:
    """A megabyte of text in each of forty rows, all of them as one stream: less than two are held at a time."""
    import tracemalloc

    def rows():  # type: ignore[no-untyped-def]
        for sample in range(40):
            yield attempt("a", str(sample), "wrong", sample).model_copy(update={"text": "x" * 1_000_000})

    tally = Tally("m", [Problem(id="a", question="q", answer="1")])
    tracemalloc.start()
    tally.add(None, rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
    assert tally.outcomes().group.tolist() == [list(range(1, 41))]
