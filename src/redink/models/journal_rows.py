"""What a journal file holds: its tables, and how entries, charges and notes become rows with a checksum, and back."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from redink.models.chat import Usage

Via = Literal["online", "batch"]

_TOKENS = "prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, reasoning_tokens INTEGER"
TABLES = {
    "calls": "CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE)",
    "entries": f"CREATE TABLE entries (id INTEGER PRIMARY KEY, key BLOB, {_TOKENS},"
    " tries INTEGER, made_at REAL, via TEXT, body BLOB, checksum INTEGER)",
    "charges": "CREATE TABLE charges (id INTEGER PRIMARY KEY, writer TEXT, run TEXT, stage TEXT, model TEXT, via TEXT,"
    f" price TEXT, failed INTEGER, {_TOKENS}, checksum INTEGER)",
    "notes": "CREATE TABLE notes (id INTEGER PRIMARY KEY, topic TEXT, name TEXT, value BLOB, checksum INTEGER,"
    " UNIQUE (topic, name))",
}
FIND = "SELECT calls.id, entries.* FROM calls LEFT JOIN entries ON entries.id = calls.id WHERE calls.key = ?"
_MOST_TOKENS = 2**53


def call_key(endpoint_url: str, body: bytes, sample: int = 0) -> bytes:
    """The name of a call, 32 bytes: SHA-256 over address, canonical request and index of the draw.

    Nothing that reads the reply has a part in it, so a changed parser replays and a changed prompt buys.
    """
    return hashlib.sha256(b"%d %d %b%b" % (sample, len(url := endpoint_url.encode()), url, body)).digest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One bought reply."""

    body: bytes
    """The server's response as it came."""
    usage: Usage = field(default_factory=Usage)
    tries: int = 1
    """How many tries it took, this one included."""
    made_at: float = 0.0
    """Seconds since 1970 (UTC)."""
    via: Via = "online"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one try is charged for; `Ledger` makes them."""

    writer: str
    """Which opened ledger made it."""
    run: str
    """Whose budget it is, where several runs share a file."""
    stage: str
    model: str
    via: Via
    price: str
    """The price it was bought at (`Price.text`); empty where none was known."""
    failed: bool
    usage: Usage


@dataclass(frozen=True, slots=True)
class Job:
    """What the writer is to commit: an entry with its charge, or one of them, or a note."""

    key: bytes = b""
    entry: Entry | None = None
    charge: Charge | None = None
    note: tuple[str, str, bytes | None] | None = None


def checksum(columns: Iterable[object]) -> int:
    """CRC-32 over the columns of a row."""
    plain, value = [], 0
    for column in columns:
        if type(column) is bytes:
            value = zlib.crc32(column, value)
        else:
            plain.append(column)
    return zlib.crc32(repr(plain).encode("utf-8", "replace"), value)


def do(writer: sqlite3.Connection, job: Job) -> None:
    """Write what a job holds, inside a transaction."""
    is_new = not job.entry or add_entry(writer, entry_row(job.key, job.entry))
    if job.charge and (is_new or not _is_batched(writer, job)):
        insert(writer, "charges", None, charge_row(job.charge))
    if job.note:
        topic, name, value = job.note
        writer.execute("DELETE FROM notes WHERE topic = ? AND name = ?", (topic, name))
        if value is not None:
            insert(writer, "notes", None, (topic, name, value))


def _is_batched(writer: sqlite3.Connection, job: Job) -> bool:
    """True if the entry came by batch, as the one that is there did: two processes have read the same batch."""
    row = writer.execute(FIND, (job.key,)).fetchone()
    return bool(job.entry and job.entry.via == "batch" and row[9] == "batch")


def delete_damaged(writer: sqlite3.Connection, condemned: Mapping[bytes, int]) -> None:
    """Make room for entries that are bought anew, unless another process has done so."""
    for key, number in condemned.items():
        if writer.execute("DELETE FROM calls WHERE id = ? AND key = ?", (number, key)).rowcount:
            writer.execute("DELETE FROM entries WHERE id = ?", (number,))


def add_entry(writer: sqlite3.Connection, row: Sequence[object], number: int | None = None) -> bool:
    """Add an entry unless its key has one; True if it was added."""
    cursor = writer.execute("INSERT OR IGNORE INTO calls VALUES (?, ?)", (number, row[0]))
    if cursor.rowcount:
        insert(writer, "entries", cursor.lastrowid, row)
    return bool(cursor.rowcount)


def insert(writer: sqlite3.Connection, table: str, number: int | None, row: Sequence[object]) -> None:
    """Add a row with its checksum, under a number of SQLite's choice if there is none."""
    places = ", ?" * (len(row) + 1)
    writer.execute(f"INSERT OR IGNORE INTO {table} VALUES (?{places})", (number, *row, checksum(row)))


def entry_row(key: bytes, entry: Entry) -> tuple[object, ...]:
    """The columns of an entry, without number and checksum."""
    return (key, *_tokens(entry.usage), entry.tries, float(entry.made_at), entry.via, entry.body)


def as_entry(row: Sequence[Any]) -> Entry:
    """The entry of a row with number and checksum."""
    return Entry(body=row[9], usage=_usage(row[2:6]), tries=row[6], made_at=row[7], via=row[8])


def charge_row(charge: Charge) -> tuple[object, ...]:
    """The columns of a charge, without number and checksum."""
    names = (charge.writer, charge.run, charge.stage, charge.model, charge.via, charge.price)
    return (*names, int(charge.failed), *_tokens(charge.usage))


def as_charge(row: Sequence[Any]) -> Charge:
    """The charge of a row with number and checksum."""
    writer, run, stage, model, via, price, failed = row[1:8]
    return Charge(writer, run, stage, model, via, price, bool(failed), _usage(row[8:12]))


def _tokens(usage: Usage) -> tuple[int, ...]:
    counts = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens)
    return tuple(min(count, _MOST_TOKENS) for count in counts)


def _usage(tokens: Sequence[int]) -> Usage:
    prompt, cached, completion, reasoning = tokens
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=reasoning)
