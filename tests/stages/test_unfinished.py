"""A stage under way on disk: whatever a kill tears costs only itself; order is that of the inputs."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.failures import Failure
from redink.stages.unfinished import REQUEUED, Unfinished, held_so_far, row_key, tagged
from redink.types import (
    Attempt,
    CorrectionRow,
    OwnCorrection,
    Problem,
    Quarantined,
    Rejected,
    Row,
    ThoughtRow,
    Verdict,
)


def outcome(number: int) -> Row:
    name = f"p{number}"
    if number % 5 == 0:
        return Rejected(problem_id=name, stage="s", reason="fifth")
    if number % 7 == 0:
        return Quarantined(problem_id=name, stage="s", reason="seventh", raw="ü\u2028\n\t")
    return OwnCorrection(problem_id=name, text=f"text {number} — ü\n")


def opened(path: Path, count: int = 9) -> Unfinished[int]:
    return Unfinished(path, OwnCorrection, range(count), lambda number: f"p{number}/0")


def test_outcomes_come_back_in_the_order_of_the_inputs(tmp_path: Path) -> None:
    places = list(range(9))
    random.Random(3).shuffle(places)
    with opened(tmp_path / "s") as rows:
        for done, place in enumerate(places):
            assert rows.decided == done
            rows.add(place, outcome(place))
            assert rows[place] == outcome(place)
        assert list(rows) == [outcome(place) for place in range(9)]
        assert list(rows.open_places()) == []


def test_what_was_decided_is_taken_up_again_and_the_rest_is_open(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as rows:
        for place in (7, 2, 5):
            rows.add(place, outcome(place))
    with opened(tmp_path / "s") as rows:
        assert list(rows) == [outcome(2), outcome(5), outcome(7)]
        assert list(rows.open_places()) == [0, 1, 3, 4, 6, 8]
        assert 5 in rows and 4 not in rows
        rows.add(4, outcome(4))
    with opened(tmp_path / "s") as rows:
        assert rows.decided == 4


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(0, 2000), junk=st.binary(max_size=30))
def test_a_file_torn_anywhere_costs_the_torn_rows_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "s"
    with opened(path) as rows:
        for place in range(9):
            rows.add(place, outcome(place))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + junk)
    kept = whole[:cut].count(b"\n")
    with opened(path) as rows:
        assert list(rows)[:kept] == [outcome(place) for place in range(kept)]
        for place in list(rows.open_places()):
            rows.add(place, outcome(place))
    with opened(path) as rows:
        assert list(rows) == [outcome(place) for place in range(9)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\x00\x00\x00",
        b"\xff",
        b"[]",
        b"null",
        b'{"kind": "OwnCorrection", "row": {"problem_id": "p3", "text": "no key"}}',
        b'{"key": "p3/0", "kind": "OwnCorrection", "row": {"problem_id": "p3"}}',
        b'{"key": "p3/0", "kind": "Problem", "row": {"id": "p3", "question": "q", "answer": "1"}}',
    ],
)
def test_a_line_that_is_no_outcome_is_as_if_it_were_not_there(tmp_path: Path, line: bytes) -> None:
    good = tagged(outcome(1), key="p1/0").encode()
    (tmp_path / "s").write_bytes(good + line + b"\n" + tagged(outcome(2), key="p2/0").encode())
    with opened(tmp_path / "s") as rows:
        assert list(rows) == [outcome(1), outcome(2)]


def test_a_requeued_row_is_open_and_remembers_how_it_ended(tmp_path: Path) -> None:
    held = Quarantined(problem_id="p3", stage="s", reason="cut", raw="…")
    (tmp_path / "s").write_text(tagged(outcome(1), key="p1/0") + tagged(held, key="p3/0", kind=REQUEUED))
    with opened(tmp_path / "s") as rows:
        assert (rows.before(3), rows.before(1), rows.before(4)) == (held, None, None)
        assert 3 not in rows
        rows.add(3, outcome(3))
    with opened(tmp_path / "s") as rows:
        assert list(rows) == [outcome(1), outcome(3)]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    class Full:
        def write(self, line: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    with opened(tmp_path / "s") as rows:
        rows._out.close()
        rows._out = Full()  # type: ignore[assignment]
        with pytest.raises(Failure, match="No space left on device"):
            rows.add(0, outcome(0))
        assert 0 not in rows


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be written"):
        opened(tmp_path / "none" / "s")


def test_what_is_held_so_far_can_be_read_while_the_stage_is_under_way(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as rows:
        for place in (7, 2, 5):
            rows.add(place, outcome(place))
        with (tmp_path / "s").open("ab") as file:
            file.write(b'{"key": "p0')
        assert held_so_far(tmp_path / "s") == [outcome(7)]


ATTEMPT = Attempt(problem_id="a/b", sample=3, text="", verdict=Verdict(outcome="wrong"))


@pytest.mark.parametrize(
    ("rows", "key"),
    [
        ((Problem(id="a/b", question="q", answer="1"), Rejected(problem_id="a/b", stage="s", reason="r")), "a/b/0"),
        ((ATTEMPT, Quarantined(problem_id="a/b", sample=3, stage="s", reason="r")), "a/b/3"),
    ],
)
def test_an_input_and_its_outcomes_have_the_same_key(rows: Sequence[Row], key: str) -> None:
    assert {row_key(row) for row in rows} == {key}


def test_accepted_rows_have_the_key_of_their_input() -> None:
    made = {"steps": [{"number": 1, "text": "t"}], "answer": "1"}
    assert row_key(ThoughtRow.model_validate({"problem_id": "a", "thought": made})) == "a/0"
    assert row_key(CorrectionRow.model_validate({"problem_id": "a", "sample": 3, "trace": made})) == "a/3"
