"""A journal file on disk: made whole or not at all, looked over when it is opened, replaced when it is damaged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from redink.failures import Failure
from redink.models.journal_rows import TABLES, add_entry, checksum, insert
from redink.models.salvage import MAGIC, PAGE, Found, Value, found_rows, is_zeros, lost_inside, wal_of

VERSION = 1
APPLICATION_ID = 0x7265646B
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_FORMAT,
}
DAMAGE_AT_OPENING = _DAMAGE | {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY}


class Damaged(Exception):
    """The file's structure cannot be trusted."""


def is_damage(failure: Exception, codes: Collection[int] = _DAMAGE) -> bool:
    """True if SQLite, or we, found the file's structure broken; `codes` are the primary result codes that say so."""
    code = getattr(failure, "sqlite_errorcode", 0)
    return isinstance(failure, Damaged) or code & 0xFF in codes or code == sqlite3.SQLITE_IOERR_SHORT_READ


def beside(path: Path, ending: str) -> Path:
    """The file that belongs to `path` under a longer name."""
    return path.with_name(path.name + ending)


def connection_to(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that reads text which is no UTF-8, too: its checksum will tell."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def close_all(connections: Iterable[sqlite3.Connection]) -> None:
    """Close them."""
    for connection in connections:
        connection.close()


def create_or_inspect(path: Path) -> None:
    """Create a file that is not there yet; raises `Damaged` for a log that SQLite would lose rows of."""
    wal = wal_of(path)
    log = wal.read_bytes() if wal.exists() else b""
    if not path.exists() or (path.stat().st_size == 0 and not log):
        with closing(_new_file(path)) as new:
            new.execute("PRAGMA journal_mode = WAL")
        wal.unlink(missing_ok=True)
        _put_in_place(beside(path, "-salvage"), path)
    elif path.stat().st_size == 0 or lost_inside(log):
        raise Damaged("its log is broken in the middle")


def _new_file(path: Path) -> sqlite3.Connection:
    """An open file with empty tables under another name, so that a kill leaves no half-made journal."""
    fresh = beside(path, "-salvage")
    for ending in ("", "-wal", "-shm", "-journal"):
        beside(fresh, ending).unlink(missing_ok=True)
    new = connection_to(fresh)
    new.execute(f"PRAGMA page_size = {PAGE}")
    new.execute("PRAGMA journal_mode = OFF")
    new.execute("BEGIN")
    for table in TABLES.values():
        new.execute(table)
    new.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    new.execute(f"PRAGMA user_version = {VERSION}")
    new.execute("COMMIT")
    return new


def _put_in_place(fresh: Path, path: Path) -> None:
    _sync(fresh)
    os.replace(fresh, path)
    _sync(path.parent)


def prepare(connection: sqlite3.Connection) -> None:
    """Set a connection up; raises `Damaged` where the header does not hold what every journal's does."""
    connection.execute("PRAGMA synchronous = FULL")
    pragmas = {"page_size": PAGE, "encoding": "UTF-8", "journal_mode": "wal"}
    if any(connection.execute(f"PRAGMA {name}").fetchone()[0] != value for name, value in pragmas.items()):
        raise Damaged("its header is not a journal's")


def check(path: Path, connection: sqlite3.Connection) -> None:
    """Look at what every look-up goes through: header, schema and the index of keys.

    Entries are not looked at: each is checked when it is read.
    """
    is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if is_ours and VERSION < version < VERSION + 100:
        raise Failure(f"The journal {path} was made by a newer redink.", "Update redink, or name another file.")
    schema = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    if not is_ours or version != VERSION or any(schema.get(name) != sql for name, sql in TABLES.items()):
        raise Damaged("its header or schema is not a journal's")
    for table in ("calls", "notes"):
        if connection.execute(f"PRAGMA integrity_check('{table}')").fetchone()[0] != "ok":
            raise Damaged(f"the table {table} is broken")


def salvage(path: Path) -> tuple[int, int]:
    """Write what can be read into a new file, ready to be swapped in: (entries saved, entries known to be lost).

    Raises `Failure` if the file is something else than a journal: it stays as it is.
    """
    with closing(_new_file(path)) as new:
        new.execute("CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY)")
        new.execute("BEGIN")
        ours = sum(_take(new, row) for row in found_rows(path))
        new.execute("COMMIT")
        saved = int(new.execute("SELECT count(*) FROM entries").fetchone()[0])
        lost = int(new.execute("SELECT count(*) FROM seen WHERE id NOT IN (SELECT id FROM entries)").fetchone()[0])
        new.execute("PRAGMA journal_mode = WAL")
    if not ours and not _looks_ours(path):
        beside(path, "-salvage").unlink()
        raise Failure(f"{path} is no journal of redink.", "Name another file; this one was left as it is.")
    _put_in_place(beside(path, "-salvage"), beside(path, "-salvaged"))
    return saved, lost


def _take(new: sqlite3.Connection, found: Found) -> bool:
    """Copy a row that is whole and ours; True if it is."""
    number, row = found.rowid, found.columns
    if len(row) == 2 and isinstance(row[1], bytes) and len(row[1]) == 32:
        new.execute("INSERT OR IGNORE INTO seen VALUES (?)", (number,))
        return True
    if len(row) == 11:
        row = (*row[:7], _as_float(row[7]), *row[8:])
    if len(row) not in (5, 11, 13) or checksum(row[1:-1]) != row[-1]:
        return False
    if len(row) == 11:
        add_entry(new, row[1:-1], number)
    else:
        insert(new, "charges" if len(row) == 13 else "notes", number, row[1:-1])
    return True


def _as_float(value: Value) -> Value:
    """SQLite stores a whole REAL as an integer."""
    return float(value) if isinstance(value, int) else value


def finish_swap(path: Path) -> Path | None:
    """Swap in a salvaged file that is ready; the name under which the damaged one is kept, None if nothing was ready.

    A kill at any point leaves what the next call needs to finish.
    """
    ready = beside(path, "-salvaged")
    if not ready.exists():
        return None
    kept = _free_name(path)
    for ending in ("-wal", ""):
        if beside(path, ending).exists():
            os.replace(beside(path, ending), beside(kept, ending))
    beside(path, "-shm").unlink(missing_ok=True)
    _put_in_place(ready, path)
    return kept


def _free_name(path: Path) -> Path:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = (path.with_name(f"{path.stem}.damaged-{stamp}-{number}{path.suffix}") for number in range(1, 1000))
    return next(name for name in names if not name.exists() and not wal_of(name).exists())


def _looks_ours(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(100)
    return (header[:16] == MAGIC and header[68:72] == APPLICATION_ID.to_bytes(4, "big")) or is_zeros(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
