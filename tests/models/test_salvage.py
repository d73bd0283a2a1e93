"""Reading a damaged SQLite file page by page, checked against what SQLite itself reads."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.models.salvage import PAGE, Found, found_rows, is_zeros, lost_inside, wal_of

values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, -1, 127, 128, -129, 2**15, 2**23, -(2**31), 2**47]),
    st.floats(allow_nan=False),
    st.text(max_size=100),
    st.binary(max_size=50),
    st.sampled_from([0, 1, 4000, 4030, 4061, 4062, 8000, 8153, 30_000]).map(lambda size: b"x" * size),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2**62), values, values), unique_by=lambda row: row[0], max_size=30), st.booleans()
)
def test_every_row_of_a_whole_file_is_found(tmp_path_factory: pytest.TempPathFactory, rows, logged: bool) -> None:
    """Rows of any kinds and sizes, overflow pages included; in the file, or still in the log."""
    path = tmp_path_factory.mktemp("salvage") / "db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, one, two, mark)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, 'mark')", rows)
    if not logged:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (wal_of(path).stat().st_size > 0) == logged
    found = {row.rowid: row for row in found_rows(path) if row.columns[-1] == "mark"}
    connection.close()
    assert found == {number: Found(number, (None, one, two, "mark")) for number, one, two in rows}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3 * PAGE), st.binary(max_size=3 * PAGE))
def test_any_bytes_can_be_searched(tmp_path_factory: pytest.TempPathFactory, data: bytes, wal: bytes) -> None:
    path = tmp_path_factory.mktemp("salvage") / "db"
    path.write_bytes((b"\x0d" + data) if data else data)
    wal_of(path).write_bytes(wal)
    assert isinstance(list(found_rows(path)), list)
    lost_inside(wal)


def logged(path: Path) -> bytes:
    """The log of a file with twenty transactions, none of them in the file proper."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, one)")
    for number in range(20):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, b"x" * 3000))
    data = wal_of(path).read_bytes()
    connection.close()
    return data


def test_a_log_is_broken_exactly_where_sqlite_would_stop(tmp_path: Path) -> None:
    """Each frame in turn is damaged; SQLite then reads fewer rows than were committed, but for the last one."""
    data = logged(tmp_path / "db")
    frames = (len(data) - 32) // (24 + PAGE)
    assert not lost_inside(data)
    assert not lost_inside(data[: -PAGE // 2]), "a torn tail is what a kill leaves"
    for number in range(frames):
        at = 32 + number * (24 + PAGE) + 24 + 100
        assert lost_inside(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == (number < frames - 1)


def test_a_log_that_began_anew_over_an_old_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, one)")
    for number in range(30):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, b"x" * 3000))
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.execute("INSERT INTO t VALUES (99, 'y')")
    shutil.copy(wal_of(path), tmp_path / "wal")
    connection.close()
    data = (tmp_path / "wal").read_bytes()
    assert len(data) > 30 * PAGE
    assert not lost_inside(data)


@pytest.mark.parametrize(("data", "zeros"), [(b"", True), (bytes(5000), True), (bytes(5000) + b"\1", False)])
def test_a_file_of_zeros(tmp_path: Path, data: bytes, zeros: bool) -> None:
    (tmp_path / "file").write_bytes(data)
    assert is_zeros(tmp_path / "file") == zeros
