"""The journal: nothing bought is lost to a kill, a flipped byte, a cut file or a second process."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.failures import Failure
from redink.models.chat import Usage
from redink.models.journal import Charge, Entry, Journal, call_key
from redink.models.ledger import Ledger, Price

URL = "https://api.example.com/v1/chat/completions"
PRICE = Price(prompt=Decimal("0.15"), completion=Decimal("0.60"))


def key_of(number: int) -> bytes:
    return call_key(URL, b"%d" % number)


def entry_of(number: int, size: int = 200) -> Entry:
    """An entry whose every field follows from its number."""
    body = random.Random(number).randbytes(size + number % 7)
    usage = Usage(prompt_tokens=number, cached_tokens=number // 2, completion_tokens=3, reasoning_tokens=1)
    return Entry(body, usage, tries=number % 5, made_at=number / 4, via="batch" if number % 3 else "online")


def charge_of(number: int) -> Charge:
    return Charge("w", "run", "stage", "model", "online", "", False, Usage(prompt_tokens=number))


def fill(path: Path, numbers: range, size: int = 200) -> None:
    with Journal(path) as journal:
        for number in numbers:
            journal.put(key_of(number), entry_of(number, size), charge_of(number))


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize(
    "other",
    [(URL + "/", b"{}", 0), (URL, b"{} ", 0), (URL, b"{}", 1), (URL[:-1], b"s{}", 0)],
)
def test_a_key_is_of_address_request_and_sample(other: tuple[str, bytes, int]) -> None:
    assert len(call_key(URL, b"{}", 0)) == 32
    assert call_key(URL, b"{}", 0) == call_key(URL, b"{}")
    assert call_key(*other) != call_key(URL, b"{}", 0)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.builds(
            Entry,
            body=st.binary(max_size=20_000),
            usage=st.builds(Usage, prompt_tokens=st.integers(0, 2**40), completion_tokens=st.integers(0, 2**31)),
            tries=st.integers(0, 2**20),
            made_at=st.floats(0, 2**40),
            via=st.sampled_from(["online", "batch"]),
        ),
        max_size=8,
    )
)
def test_what_is_put_is_got_before_and_after_reopening(tmp_path_factory: pytest.TempPathFactory, entries) -> None:
    path = tmp_path_factory.mktemp("journal") / "deep" / "journal.sqlite"
    with Journal(path) as journal:
        for number, entry in enumerate(entries):
            journal.put(key_of(number), entry)
            assert journal.get(key_of(number)) == entry
        journal.flush()
        assert [journal.get(key_of(number)) for number in range(len(entries))] == entries
    with Journal(path) as journal:
        assert journal.get_many([key_of(number) for number in range(-2, len(entries) + 2)]) == {
            key_of(number): entry for number, entry in enumerate(entries)
        }
        assert journal.damaged == 0


def test_the_first_entry_of_a_key_stays(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put(key_of(1), entry_of(1))
        journal.put(key_of(1), entry_of(2))
        assert journal.get(key_of(1)) == entry_of(1)
        journal.flush()
        journal.put(key_of(1), entry_of(3))
        journal.flush()
        assert journal.get(key_of(1)) == entry_of(1)


def test_an_entry_is_on_disk_soon_without_a_flush(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal, Journal(tmp_path / "j.sqlite") as other:
        taken = []
        for number in range(11):
            started = time.monotonic()
            journal.put(key_of(number), entry_of(number))
            while other.get(key_of(number)) is None:
                time.sleep(0.001)
            taken.append(time.monotonic() - started)
        assert min(taken) < 0.05, taken  # the median too on an idle machine; the minimum does not hang on neighbours


def test_a_person_can_read_the_file_with_sqlite(tmp_path: Path) -> None:
    fill(tmp_path / "j.sqlite", range(3))
    rows = (
        sqlite3.connect(tmp_path / "j.sqlite").execute("SELECT prompt_tokens, body FROM entries ORDER BY id").fetchall()
    )
    assert rows == [(number, entry_of(number).body) for number in range(3)]


def test_notes_are_on_disk_when_kept_and_gone_when_taken_away(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal, Journal(tmp_path / "j.sqlite") as other:
        journal.note("batch", "one", b"1")
        journal.note("batch", "two", b"2" * 10_000)
        journal.note("else", "one", b"3")
        journal.note("batch", "one", b"1 again")
        assert other.notes("batch") == {"two": b"2" * 10_000, "one": b"1 again"}
        journal.note("batch", "two", None)
        assert other.notes("batch") == {"one": b"1 again"}
        assert other.notes("nothing") == {}


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.close()
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.put(key_of(1), entry_of(1))
    with pytest.raises(Failure, match="closed"):
        journal.get(key_of(1))


# what is not a journal


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.execute("INSERT INTO people VALUES ('Ada')")
    connection.close()


@pytest.mark.parametrize("make", [other_database, lambda path: path.write_text('{"id": "p1"}\n' * 2000)])
def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path: Path, make) -> None:
    path = tmp_path / "mine"
    make(path)
    before = path.read_bytes()
    with pytest.raises(Failure, match="no journal of redink"):
        Journal(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*salvage*"))


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "j.sqlite", range(2))
    connection = sqlite3.connect(tmp_path / "j.sqlite")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(Failure, match="newer redink"):
        Journal(tmp_path / "j.sqlite")


def test_a_folder_or_an_impossible_place_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Failure, match="cannot be used"):
        Journal(tmp_path)
    with pytest.raises(Failure, match="cannot be used"):
        Journal(tmp_path / "file" / "j.sqlite")


def test_a_full_disk_stops_buying_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own page limit stands in for the disk: SQLITE_FULL is what a full disk gives, too."""
    journal = Journal(tmp_path / "j.sqlite")
    writer = journal._store._connections[1]
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    journal.put(key_of(0), entry_of(0, size=50_000))
    with pytest.raises(Failure, match=r"cannot be used \(database or disk is full\)"):
        journal.flush()
    with pytest.raises(Failure, match="disk is full"):
        journal.put(key_of(1), entry_of(1))
    assert journal.get(key_of(0)) == entry_of(0, size=50_000)
    writer.execute("PRAGMA max_page_count = 1000000")
    journal.close()
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.get_many([key_of(0), key_of(1)]) == {key_of(0): entry_of(0, size=50_000), key_of(1): entry_of(1)}


# damage


def flip(path: Path, offset: int, mask: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def survivors(path: Path, numbers: range, size: int = 200) -> tuple[set[int], list[str], int]:
    """Which entries are still there (each must be exact), what was said, and the count of damaged ones."""
    said: list[str] = []
    with Journal(path, notice=said.append) as journal:
        found = {number: journal.get(key_of(number)) for number in numbers}
        list(journal.charges())
        damaged = journal.damaged
    for number, entry in found.items():
        assert entry in (None, entry_of(number, size))
    return {number for number, entry in found.items() if entry}, said, damaged


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "j.sqlite"
    fill(path, range(300), size=1500)
    return path


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_costs_at_most_what_lies_in_its_page(tmp_path: Path, whole: Path, seed: int) -> None:
    """A page of 4096 bytes holds at most 2 of these entries; one of keys is made anew from the entries' own."""
    draw = random.Random(seed)
    for _ in range(12):
        path = tmp_path / "j.sqlite"
        shutil.copy(whole, path)
        flip(path, draw.randrange(whole.stat().st_size), 1 << draw.randrange(8))
        left, said, damaged = survivors(path, range(300), size=1500)
        assert len(left) >= 300 - 3
        assert (len(left) < 300) <= (damaged > 0)
        assert all(str(next(tmp_path.glob("j.damaged-*"))) in line for line in said)
        fill_again(path, size=1500)
        for file in tmp_path.iterdir():
            file.unlink()


def fill_again(path: Path, size: int) -> None:
    """What was lost can be bought anew, and is then whole for good."""
    with Journal(path, notice=quiet) as journal:
        for number in range(300):
            if journal.get(key_of(number)) is None:
                journal.put(key_of(number), entry_of(number, size))
    assert survivors(path, range(300), size) == (set(range(300)), [], 0)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 6, 7])
def test_a_page_of_zeros_or_garbage_costs_only_itself(tmp_path: Path, whole: Path, page: int) -> None:
    """The first pages hold header, schema and the roots of all trees: none of them may cost more than its own rows."""
    for filling in (bytes(4096), random.Random(page).randbytes(4096)):
        path = tmp_path / f"{filling[0]}.sqlite"
        shutil.copy(whole, path)
        with path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(filling)
        left, _, _ = survivors(path, range(300), size=1500)
        assert len(left) >= 297


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_cut_file_keeps_what_lies_before_the_cut(tmp_path: Path, whole: Path, share: float) -> None:
    path = tmp_path / "j.sqlite"
    shutil.copy(whole, path)
    os.truncate(path, int(whole.stat().st_size * share))
    left, said, damaged = survivors(path, range(300), size=1500)
    assert len(left) >= 300 * share - 20
    assert damaged
    assert len(said) == 1
    fill_again(path, size=1500)


def test_a_file_of_zeros_is_kept_beside_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(bytes(9000))
    left, said, _ = survivors(path, range(2))
    assert (left, len(said)) == (set(), 1)
    assert [file.read_bytes() for file in tmp_path.glob("j.damaged-*.sqlite")] == [bytes(9000)]


def test_damage_found_in_mid_run_is_mended_and_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    fill(path, range(300), size=1500)
    said: list[str] = []
    with Journal(path, notice=said.append) as journal:
        root = (
            journal._store._connections[0]
            .execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'")
            .fetchone()[0]
        )
        with path.open("r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(bytes(4096))
        journal.put(key_of(1000), entry_of(1000))
        found = [journal.get(key_of(number)) for number in range(300)]
        journal.flush()
        assert found == [entry_of(number, 1500) for number in range(300)]
    assert len(said) == 1
    assert survivors(path, range(1000, 1001))[0] == {1000}


def test_an_entry_that_is_gone_though_its_key_is_there_is_bought_anew(tmp_path: Path) -> None:
    """What a tree that leads astray looks like: the key is found, its entry is not."""
    path = tmp_path / "j.sqlite"
    fill(path, range(300))
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM entries WHERE id = 5")
    connection.commit()
    connection.close()
    left, said, damaged = survivors(path, range(300))
    assert (len(left), len(said), damaged) == (299, 1, 1)
    fill_again(path, size=200)


def test_the_second_to_find_the_damage_does_not_salvage_again(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    fill(path, range(3))
    said: list[str] = []
    with Journal(path, notice=said.append) as one, Journal(path, notice=said.append) as two:
        for journal in (one, two):
            journal._store._mend(sqlite3_corrupt())
            assert journal.get(key_of(1)) == entry_of(1)
    assert len(said) == len(list(tmp_path.glob("j.damaged-*.sqlite"))) == 1


# the write-ahead log


def unclosed(path: Path, numbers: range, folder: Path) -> Path:
    """A copy of the files as a killed process leaves them: the last entries are in the log only."""
    with Journal(path) as journal:
        for number in numbers:
            journal.put(key_of(number), entry_of(number))
            journal.flush()
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", folder / f"copy{ending}")
    return folder / "copy"


def test_a_torn_log_loses_its_last_transaction_only(tmp_path: Path) -> None:
    copy = unclosed(tmp_path / "j.sqlite", range(20), tmp_path)
    wal = Path(f"{copy}-wal")
    os.truncate(wal, wal.stat().st_size - 100)
    left, said, damaged = survivors(copy, range(20))
    assert (left, said, damaged) == (set(range(19)), [], 0)


def test_a_byte_flipped_inside_the_log_does_not_cost_what_lies_behind(tmp_path: Path) -> None:
    copy = unclosed(tmp_path / "j.sqlite", range(60), tmp_path)
    wal = Path(f"{copy}-wal")
    draw, size = random.Random(5), wal.stat().st_size
    for number in range(25):
        path = tmp_path / f"flip{number}"
        shutil.copy(copy, path)
        shutil.copy(wal, f"{path}-wal")
        flip(Path(f"{path}-wal"), draw.randrange(size - 6 * 4120), 1 << draw.randrange(8))
        left, said, _ = survivors(path, range(60))
        assert len(left) >= 59
        assert len(said) == 1


@pytest.mark.parametrize("moment", ["before", "halfway"])
def test_a_kill_in_mid_salvage_is_made_good_by_the_next_opening(tmp_path: Path, whole: Path, moment: str) -> None:
    """The salvaged file is ready; the damaged one still stands in its place, or has just been moved away."""
    path, ready = tmp_path / "j.sqlite", tmp_path / "j.sqlite-salvaged"
    shutil.copy(whole, ready)
    if moment == "before":
        path.write_bytes(b"damaged")
    assert survivors(path, range(300), size=1500)[0] == set(range(300))
    assert not ready.exists()
    assert [file.read_bytes() for file in tmp_path.glob("j.damaged-*")] == [b"damaged"] * (moment == "before")


# processes

WRITER = """
import sys, time
from decimal import Decimal
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_journal import PRICE, entry_of, key_of
from redink.models.journal import Journal
from redink.models.ledger import Ledger
journal = Journal(Path(sys.argv[1]))
ledger = Ledger(journal, {"m": PRICE}, run="r")
first, step = map(int, sys.argv[2].split(","))
for number in range(first, 10**9, step):
    if journal.get(key_of(number)) is None:
        ledger.buy(key_of(number), entry_of(number), "thoughts", "m")
        print(number, time.monotonic(), flush=True)
    time.sleep(0.0005)
"""


def writing(path: Path, first: int, step: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), f"{first},{step}", str(Path(__file__).parent)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], lines: int, delay_s: float) -> tuple[list[tuple[int, float]], float]:
    """Let it write `lines` lines, kill it a little later: what it said it put, and the moment of the kill."""
    assert process.stdout
    said = [process.stdout.readline() for _ in range(lines)]
    time.sleep(delay_s)
    moment = time.monotonic()
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    puts = [line.split() for line in said if len(line.split()) == 2]
    return [(int(number), float(when)) for number, when in puts], moment


def reached(puts: list[tuple[int, float]]) -> range:
    """Every number that can be on disk: those that were said, and a few that were put and not said any more."""
    return range(max(number for number, _ in puts) + 100)


def balanced(path: Path, numbers: range) -> set[int]:
    """Entries on disk after a kill; the ledger must hold exactly their charges."""
    with Journal(path) as journal:
        there = {number for number in numbers if journal.get(key_of(number))}
        ledger = Ledger(journal, run="r")
        assert ledger.spent == sum(
            (PRICE.cost(entry_of(number).usage, entry_of(number).via) for number in there), Decimal(0)
        )
        assert journal.damaged == 0
    return there


@pytest.mark.slow
def test_sigkill_costs_at_most_the_last_window_and_the_ledger_agrees(tmp_path: Path) -> None:
    draw = random.Random(11)
    for _ in range(6):
        puts, moment = killed(writing(tmp_path / "j.sqlite", 0, 1), 20, draw.uniform(0, 0.1))
        there = balanced(tmp_path / "j.sqlite", reached(puts))
        lost = [when for number, when in puts if number not in there]
        assert there == set(range(len(there))), "a hole"
        assert all(moment - when < 0.25 for when in lost)  # 50 ms on an idle machine


@pytest.mark.slow
def test_two_processes_share_a_file_and_each_outlives_the_others_kill(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    one, two = writing(path, 0, 2), writing(path, 1, 2)
    first, _ = killed(one, 50, 0.5)
    assert two.stdout
    for _ in range(20):
        two.stdout.readline()
    second, moment = killed(two, 30, 0.0)
    there = balanced(path, reached([*first, *second]))
    assert {number % 2 for number in there} == {0, 1}
    assert all(moment - when < 0.25 for number, when in second if number not in there)
    assert len(there) >= 60
    assert first


def test_a_process_follows_when_another_replaces_a_damaged_file(tmp_path: Path) -> None:
    """One opened journal has the old file open; what it puts afterwards must be in the new one, log and all."""
    path = tmp_path / "j.sqlite"
    old = Journal(path)
    old.put(key_of(1), entry_of(1))
    old.flush()
    new = Journal(path, notice=quiet)
    new._store._mend(sqlite3_corrupt())
    old.put(key_of(2), entry_of(2))
    old.flush()
    new.put(key_of(3), entry_of(3))
    new.flush()
    assert [journal.get(key_of(number)) for journal in (old, new) for number in (1, 2, 3)] == [
        entry_of(number) for number in (1, 2, 3)
    ] * 2
    new.close()
    old.close()
    assert survivors(path, range(1, 4))[0] == {1, 2, 3}


def test_closing_the_old_file_leaves_the_log_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    old, new = Journal(path), Journal(path, notice=quiet)
    new._store._mend(sqlite3_corrupt())
    new.put(key_of(1), entry_of(1))
    new.flush()
    old.close()
    new.put(key_of(2), entry_of(2))
    new.flush()
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", tmp_path / f"copy{ending}")
    new.close()
    assert survivors(tmp_path / "copy", range(1, 3))[0] == {1, 2}


def sqlite3_corrupt() -> sqlite3.DatabaseError:
    failure = sqlite3.DatabaseError("database disk image is malformed")
    failure.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return failure


def test_committed_returns_when_everything_is_on_disk_and_leaves_the_loop_free(tmp_path: Path) -> None:
    async def fifty_writers(journal: Journal) -> int:
        async def one(number: int) -> None:
            journal.put(key_of(number), entry_of(number))
            await journal.committed()
            with closing(sqlite3.connect(tmp_path / "j.sqlite")) as reader:
                assert reader.execute("SELECT count(*) FROM entries").fetchone()[0] > 0

        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        await asyncio.gather(*map(one, range(50)))
        beating.cancel()
        return beats

    with Journal(tmp_path / "j.sqlite") as journal:
        assert asyncio.run(fifty_writers(journal)) > 2
        asyncio.run(journal.committed())  # nothing is left: at once, in another loop
    with closing(sqlite3.connect(tmp_path / "j.sqlite")) as reader:
        assert reader.execute("SELECT count(*) FROM entries").fetchone()[0] == 50


def test_committed_raises_while_the_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        with monkeypatch.context() as patched:
            patched.setattr(journal._store, "write", lambda jobs: Failure("the disk is full."))
            journal.put(key_of(1), entry_of(1))
            with pytest.raises(Failure, match="disk is full"):
                asyncio.run(journal.committed())
        asyncio.run(journal.committed())
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.get(key_of(1)) is not None
