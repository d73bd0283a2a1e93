"""The opened journal file: look-ups, transactions, and the lock under which one process at a time writes or mends."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redink.failures import Failure
from redink.models.journal_file import (
    DAMAGE_AT_OPENING,
    Damaged,
    beside,
    check,
    close_all,
    connection_to,
    create_or_inspect,
    finish_swap,
    is_damage,
    prepare,
    salvage,
)
from redink.models.journal_rows import FIND, Charge, Entry, Job, as_charge, as_entry, checksum, delete_damaged, do

_CHARGES_AT_ONCE = 5000


class Store:
    """The file: one connection that reads, one that writes, and a lock file that lets one process write at a time.

    SQLite's own locks live in the file that salvage replaces; ours does not.
    """

    def __init__(self, path: Path, notice: Callable[[str], None]) -> None:
        self.path, self._notice = path, notice
        self.damaged = 0
        self._condemned: dict[bytes, int] = {}
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._connections: tuple[sqlite3.Connection, ...] = ()
        with self._usable():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(None, "it may not be written")
            self._lock = os.open(beside(path, "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                with self._alone():
                    self._open()
            except BaseException:
                os.close(self._lock)
                raise

    def find(self, key: bytes) -> Entry | None:
        """The whole entry of a key; mends the file, and looks again, if its structure is found broken."""
        try:
            return self._find(key)
        except (Damaged, sqlite3.DatabaseError) as failure:
            self._mend(failure)
        with self._usable():
            return self._find(key)

    def charges(self, after: int) -> Iterator[tuple[int, Charge]]:
        """See `Journal.charges`; a damaged one is counted and left out."""
        query = f"SELECT * FROM charges WHERE id > ? ORDER BY id LIMIT {_CHARGES_AT_ONCE}"
        while rows := self._read(query, after):
            after = rows[-1][0]
            whole = [row for row in rows if checksum(row[1:-1]) == row[-1]]
            self.damaged += len(rows) - len(whole)
            yield from ((row[0], as_charge(row)) for row in whole)

    def notes(self, topic: str) -> dict[str, bytes]:
        """See `Journal.notes`; damaged ones are left out."""
        rows = self._read("SELECT * FROM notes WHERE topic = ? ORDER BY id", topic)
        return {row[2]: row[3] for row in rows if checksum(row[1:-1]) == row[-1]}

    def write(self, jobs: Sequence[Job]) -> Failure | None:
        """Commit all or nothing; what stood in the way is returned."""
        try:
            with self._usable(), self._alone():
                self._follow()
                self._write(jobs)
        except Failure as failure:
            return failure
        return None

    def close(self) -> None:
        """Close connections and lock."""
        with self._writing:
            self._disconnect()
            os.close(self._lock)

    def _write(self, jobs: Sequence[Job]) -> None:
        try:
            self._transaction(jobs)
        except sqlite3.DatabaseError as failure:
            if not is_damage(failure):
                raise
            self._rescue()
            self._transaction(jobs)

    def _transaction(self, jobs: Sequence[Job]) -> None:
        writer = self._connections[1]
        condemned = dict(self._condemned)
        writer.execute("BEGIN IMMEDIATE")
        try:
            delete_damaged(writer, condemned)
            for job in jobs:
                do(writer, job)
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        for key in condemned:
            del self._condemned[key]

    def _find(self, key: bytes) -> Entry | None:
        row = next(iter(self._rows(FIND, key)), None)
        if row is None:
            return None
        if row[1] is None:
            raise Damaged("an entry is missing")
        if row[2] == key and checksum(row[2:-1]) == row[-1]:
            return as_entry(row[1:])
        self.damaged += key not in self._condemned
        self._condemned[key] = row[0]
        return None

    def _read(self, query: str, value: object) -> list[Any]:
        try:
            return self._rows(query, value)
        except sqlite3.DatabaseError as failure:
            self._mend(failure)
        with self._usable():
            return self._rows(query, value)

    def _rows(self, query: str, value: object) -> list[Any]:
        with self._reading:
            if not self._connections:
                raise Failure(f"The journal {self.path} is closed.")
            return self._connections[0].execute(query, (value,)).fetchall()

    def _mend(self, failure: Exception) -> None:
        """Replace the damaged file by what can be read of it, unless another process just has."""
        with self._usable(), self._alone():
            if not is_damage(failure):
                raise failure
            if not self._follow():
                self._rescue()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock: no other process writes to the file or replaces it meanwhile."""
        with self._writing:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError, OverflowError, Damaged) as failure:
            said = getattr(failure, "strerror", "") or failure
            raise Failure(
                f"The journal {self.path} cannot be used ({said}).",
                "Free some space, or name another file; what was bought before is kept.",
            ) from None

    def _follow(self) -> bool:
        """Open the file anew if another process has replaced it; True if so."""
        if self._connections and self.path.exists() and self.path.stat().st_ino == self._inode:
            return False
        self._open()
        return True

    def _open(self) -> None:
        """Connect, creating or mending the file first where needed."""
        finish_swap(self.path)
        try:
            self._connect()
        except (Damaged, sqlite3.DatabaseError) as failure:
            if not is_damage(failure, DAMAGE_AT_OPENING):
                raise
            self._rescue()

    def _connect(self) -> None:
        self._disconnect()
        create_or_inspect(self.path)
        connections = (connection_to(self.path), connection_to(self.path))
        try:
            for connection in connections:
                prepare(connection)
            check(self.path, connections[0])
        except BaseException:
            close_all(connections)
            raise
        with self._reading:
            self._connections = connections
            self._inode = self.path.stat().st_ino

    def _disconnect(self) -> None:
        with self._reading:
            close_all(self._connections)
            self._connections = ()

    def _rescue(self) -> None:
        """Put a new file with every row that can be read in the place of the damaged one, and say so."""
        with self._reading:
            self._disconnect()
            saved, lost = salvage(self.path)
            kept = finish_swap(self.path)
            self._connect()
        self.damaged += max(1, lost)
        self._notice(
            f"The journal {self.path} was damaged: {saved} replies were saved, {lost} are known to be lost and will be"
            f" bought anew. The damaged file is kept as {kept}."
        )
