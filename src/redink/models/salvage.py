"""Read what is left of a damaged SQLite file: every row of every leaf page that can still be parsed.

Nothing is trusted: a row is handed out as it was found, and the caller checks it by a checksum of its own. Format:
https://www.sqlite.org/fileformat2.html, sections 1.6 (pages), 2.1 (records) and 4 (the write-ahead log). Only what the
journal writes is understood: pages of `PAGE` bytes without a reserved tail, rowid tables, texts in UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PAGE = 4096
MAGIC = b"SQLite format 3\x00"
Value = int | float | str | bytes | None

_LEAF = 0x0D
_MOST_LOCAL = PAGE - 35
_LEAST_LOCAL = (PAGE - 12) * 32 // 255 - 23
_WAL_HEADER, _FRAME_HEADER = 32, 24
_FRAME = _FRAME_HEADER + PAGE
_WORD_ORDER = {0x377F0682: "<II", 0x377F0683: ">II"}
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class Found:
    """One row as it lay in the file: its rowid, and its columns (that of the rowid itself is None)."""

    rowid: int
    columns: tuple[Value, ...]


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a database file."""
    return path.with_name(path.name + "-wal")


def found_rows(path: Path) -> Iterator[Found]:
    """Every row that can be parsed in any table of the file and of its write-ahead log; in no order, some twice."""
    wal = wal_of(path)
    with path.open("rb") as file:
        pages = _Pages(file, _Wal(wal.read_bytes() if wal.exists() else b""))
        for number in range(1, pages.count + 1):
            yield from _rows_of_page(pages, pages.read(number))


def is_zeros(path: Path) -> bool:
    """True if the file is empty or holds nothing but zero bytes, which is what some power cuts leave."""
    with path.open("rb") as file:
        return not any(block.strip(b"\0") for block in iter(lambda: file.read(1 << 20), b""))


def lost_inside(wal: bytes) -> bool:
    """True if a write-ahead log has a broken frame, and frames of the same log behind it.

    SQLite stops reading at the broken one and would lose those behind it without a word. A broken last frame is what a
    kill leaves, and no loss: its transaction was not committed.
    """
    return _Wal(wal).lost_inside()


class _Wal:
    """A write-ahead log: frames of one page each; those of an earlier round of the log carry other salts."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._count = max(0, len(data) - _WAL_HEADER) // _FRAME
        self._order = _WORD_ORDER.get(int.from_bytes(data[:4], "big"), "<II")
        self._sums = _sums(self._order, data[:24], (0, 0)) if self._count else (0, 0)
        self._header_holds = bool(self._count) and struct.unpack(">II", data[24:32]) == self._sums
        self._salts = data[16:24] if self._header_holds else data[_WAL_HEADER + 8 : _WAL_HEADER + 16]

    def lost_inside(self) -> bool:
        """True if frames of this round lie behind one that is broken."""
        broken = self._first_broken() if self._header_holds else -1
        return any(self._is_of_this_round(number) for number in range(broken + 1, self._count))

    def pages(self) -> dict[int, int]:
        """Where in `data` the latest committed version of each page lies, by page number."""
        rounds = [number for number in range(self._count) if self._is_of_this_round(number)]
        last = max((number for number in rounds if self._word(number, 1)), default=-1)
        return {self._word(number, 0): self._at(number) + _FRAME_HEADER for number in rounds if number <= last}

    def _first_broken(self) -> int:
        sums = self._sums
        for number in range(self._count):
            at = self._at(number)
            sums = _sums(self._order, self.data[at : at + 8], sums)
            sums = _sums(self._order, self.data[at + _FRAME_HEADER : at + _FRAME], sums)
            if not self._is_of_this_round(number) or (self._word(number, 4), self._word(number, 5)) != sums:
                return number
        return self._count

    def _at(self, number: int) -> int:
        return _WAL_HEADER + number * _FRAME

    def _word(self, number: int, place: int) -> int:
        at = self._at(number) + 4 * place
        return int.from_bytes(self.data[at : at + 4], "big")

    def _is_of_this_round(self, number: int) -> bool:
        at = self._at(number)
        return self.data[at + 8 : at + 16] == self._salts


class _Pages:
    """The pages of a database: those of its file, overlaid by those of its log."""

    def __init__(self, file: BinaryIO, wal: _Wal) -> None:
        self._file, self._wal, self._newer = file, wal.data, wal.pages()
        self.count = max(-(-file.seek(0, 2) // PAGE), *self._newer, 0)

    def read(self, number: int) -> bytes:
        """Page `number`, from 1; fewer than `PAGE` bytes where the file ends."""
        at = self._newer.get(number)
        if at is not None:
            return self._wal[at : at + PAGE]
        self._file.seek((number - 1) * PAGE)
        return self._file.read(PAGE)


def _sums(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """The running checksum of the log (section 4.2 of the format) over whole pairs of words."""
    first, second = sums
    for one, other in struct.iter_unpack(order, data):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def _rows_of_page(pages: _Pages, page: bytes) -> Iterator[Found]:
    if len(page) < 8 or page[0] != _LEAF:
        return
    count = min(int.from_bytes(page[3:5], "big"), (len(page) - 8) // 2)
    for at in struct.unpack_from(f">{count}H", page, 8):
        with suppress(IndexError, ValueError, struct.error):
            yield _row(pages, page, at)


def _row(pages: _Pages, page: bytes, at: int) -> Found:
    size, at = _varint(page, at)
    rowid, at = _varint(page, at)
    return Found(rowid, _columns(_payload(pages, page, at, size)))


def _payload(pages: _Pages, page: bytes, at: int, size: int) -> bytes:
    """The bytes of a record, its overflow pages included; raises ValueError where some are missing."""
    if size <= _MOST_LOCAL:
        return _whole(page[at : at + size], size)
    local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE - 4)
    local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
    parts, left = [page[at : at + local]], size - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while left > 0 and 0 < following <= pages.count:
        overflow = pages.read(following)
        parts.append(overflow[4 : 4 + left])
        left -= PAGE - 4
        following = int.from_bytes(overflow[:4], "big")
    return _whole(b"".join(parts), size)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError("part of a record is missing")
    return data


def _columns(record: bytes) -> tuple[Value, ...]:
    end, at = _varint(record, 0)
    kinds = []
    while at < end:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        size = _size(kind)
        values.append(_value(kind, _whole(record[at : at + size], size)))
        at += size
    return tuple(values)


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else 0 if kind in (8, 9) else _INTEGER_BYTES[kind]


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind >= 12:
        return data.decode("utf-8") if kind % 2 else data
    if kind == 7:
        return float(struct.unpack(">d", data)[0])
    return kind - 8 if kind in (8, 9) else int.from_bytes(data, "big", signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer of 1 to 9 bytes, unsigned, and where the next begins."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9
