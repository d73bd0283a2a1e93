"""Chunks on disk: what goes in comes out, books first; the index finds every problem; damage is named."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import ATTEMPT

from redink.failures import BadInput
from redink.stages.store import Index, Store, added, key_of, opened
from redink.types import Attempt, Problem, Quarantined, Rejected, StageCounts

LEFT_OUT = Rejected(problem_id="p2", stage="attempts", reason="dull")
HELD = Quarantined(problem_id="p3", stage="attempts", reason="torn", raw="\u2028 line\nends } ")


def store(folder: Path) -> Store[Attempt]:
    return Store(folder, "attempts", Attempt)


def test_outcomes_come_back_in_order_with_their_books(tmp_path: Path) -> None:
    kept = store(tmp_path)
    assert 7 not in kept
    counts = kept.write(7, 3, [ATTEMPT, LEFT_OUT, HELD])
    assert counts == StageCounts(
        stage="attempts", inputs=3, accepted=1, rejected=1, quarantined=1, reasons={"dull": 1, "torn": 1}
    )
    assert 7 in kept
    assert kept.outcomes(7) == [ATTEMPT, LEFT_OUT, HELD]
    assert kept.rows(7) == [ATTEMPT]
    assert kept.books(7) == counts
    assert [path.name for path in (tmp_path / "attempts").iterdir()] == ["000007.jsonl.zst"]


@given(text=st.text(max_size=60))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    kept = Store(tmp_path_factory.mktemp("any"), "problems", Problem)
    row = Problem(id="1", question=f"Q{text}", answer=f"A{text}")
    kept.write(0, 1, [row])
    assert kept.rows(0) == [row]


def test_a_chunk_is_json_lines_that_any_reader_of_zstd_reads(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.write(0, 1, [ATTEMPT])
    with pa.CompressedInputStream(pa.OSFile(str(kept.path(0))), "zstd") as file:
        lines = [json.loads(line) for line in file.read().decode().splitlines()]
    assert [line["kind"] for line in lines] == ["StageCounts", "Attempt"]
    assert lines[1]["row"]["problem_id"] == "p1"


def test_books_that_do_not_balance_are_a_defect(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="2 rows went in, 1 came out"):
        store(tmp_path).write(0, 2, [ATTEMPT])
    assert 0 not in store(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [(b'{"kind":"Attempt","row":{"problem_id":1}}\n', "valid string"), (b"torn", "no row of this stage")],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    kept = store(tmp_path)
    kept.write(0, 0, [])
    with opened(kept.path(0)) as file:
        books = file.read()
    kept.path(0).write_bytes(pa.Codec("zstd").compress(books + line, asbytes=True))
    with pytest.raises(BadInput, match=f"000000.jsonl.zst:2: .*{said}"):
        kept.outcomes(0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        opened(tmp_path / "none.jsonl.zst")


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_inputs_are_unpacked_by_their_ending(tmp_path: Path, ending: str) -> None:
    path, data = tmp_path / f"rows.{ending}", b"one\ntwo\n"
    packed = {"jsonl": data, "jsonl.gz": gzip.compress(data), "jsonl.zst": pa.compress(data, "zstd", asbytes=True)}
    path.write_bytes(packed[ending])
    with opened(path) as file:
        assert list(file) == [b"one\n", b"two\n"]


@given(sizes=st.lists(st.integers(0, 5), max_size=6))
def test_the_index_finds_every_problem_in_its_chunk_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    ids = [(f"p{chunk}-{place}", chunk) for chunk, size in enumerate(sizes) for place in range(size)]
    keys, chunks = [key_of(name) for name, _ in ids], [chunk for _, chunk in ids]
    path = tmp_path_factory.mktemp("index") / "index.npy"
    index = Index.build(path, np.array(keys, np.uint64), np.array(chunks, np.uint32))
    assert [index.chunks(name) for name, _ in ids] == [[chunk] for _, chunk in ids]
    assert index.chunks("no such problem") == []
    assert len(index) == len(ids)
    assert list(index.shared()) == []


def test_an_id_that_stands_twice_is_seen(tmp_path: Path) -> None:
    keys = np.array([key_of(name) for name in ("a", "b", "a")], np.uint64)
    index = Index.build(tmp_path / "index.npy", keys, np.array([0, 1, 2], np.uint32))
    assert list(index.shared()) == [(0, 2)]
    assert index.chunks("a") == [0, 2]


def test_a_key_is_blake2b_as_the_system_tool_computes_it() -> None:
    said = subprocess.run(["b2sum", "-l", "64"], input=b"p\xc3\xa9", capture_output=True, check=True).stdout
    assert key_of("pé") == int.from_bytes(bytes.fromhex(said.split()[0].decode()), "little")


def test_books_add_up() -> None:
    parts = [
        StageCounts(stage="x", inputs=3, accepted=1, rejected=2, reasons={"dull": 2}),
        StageCounts(stage="x", inputs=2, accepted=0, rejected=1, quarantined=1, reasons={"dull": 1, "torn": 1}),
    ]
    total = StageCounts(stage="x", inputs=5, accepted=1, rejected=3, quarantined=1, reasons={"dull": 3, "torn": 1})
    assert added("x", parts) == total
    assert added("x", []) == StageCounts(stage="x", inputs=0, accepted=0)
