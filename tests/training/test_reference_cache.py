"""The reference's log-probabilities on disk: exact, keyed by what matters, and proof against damage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Failure
from redink.training import reference_cache
from redink.training.prefix import PairTokens
from redink.training.reference_cache import ReferenceCache, pair_key, weights_hash

ENTRIES = {"a" * 32: (-1.25, -2.5), "b" * 32: (-0.1, -1e-300), "c" * 32: (-3.0, -4.0)}


def filled(folder: Path) -> ReferenceCache:
    cache = ReferenceCache(folder, "weights", "float32")
    cache.add(ENTRIES.items())
    return cache


def test_values_come_back_to_the_last_bit(tmp_path: Path) -> None:
    path = filled(tmp_path).path
    again = ReferenceCache(tmp_path, "weights", "float32")
    assert again.path == path
    assert again.known == ENTRIES
    assert again.corrupt == 0
    assert "a" * 32 in again
    assert "d" * 32 not in again
    assert again["b" * 32] == (-0.1, -1e-300)


@pytest.mark.parametrize(("weights", "precision"), [("other", "float32"), ("weights", "bfloat16")])
def test_other_weights_or_another_precision_share_nothing(tmp_path: Path, weights: str, precision: str) -> None:
    filled(tmp_path)
    assert ReferenceCache(tmp_path, weights, precision).known == {}


def test_what_is_there_is_not_written_twice(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    size = cache.path.stat().st_size
    cache.add(ENTRIES.items())
    assert cache.path.stat().st_size == size


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b"b" * 32, b"b" * 31 + b"d"),  # another key
        lambda text: text.replace(b"-0x1.999999999999ap-4", b"-0x1.999999999999bp-4"),  # another value
        lambda text: text.replace(text.split(b"\n")[1], b"\xff\x00"),  # no text at all
        lambda text: text.replace(text.split(b"\n")[1], b"b c d"),
    ],
    ids=["key", "value", "bytes", "words"],
)
def test_a_damaged_entry_is_absent_and_the_others_stay(tmp_path: Path, damage: object) -> None:
    path = filled(tmp_path).path
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    again = ReferenceCache(tmp_path, "weights", "float32")
    assert again.known == {key: ENTRIES[key] for key in ("a" * 32, "c" * 32)}
    assert again.corrupt == 1
    again.add([("b" * 32, ENTRIES["b" * 32])])
    assert ReferenceCache(tmp_path, "weights", "float32").known == ENTRIES


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_torn_last_line_costs_only_itself(tmp_path: Path, cut: int) -> None:
    path = filled(tmp_path).path
    path.write_bytes(path.read_bytes()[:-cut])
    again = ReferenceCache(tmp_path, "weights", "float32")
    assert again.known.keys() >= {"a" * 32, "b" * 32}
    again.add([("c" * 32, ENTRIES["c" * 32]), ("d" * 32, (0.0, -7.0))])
    assert ReferenceCache(tmp_path, "weights", "float32").known == {**ENTRIES, "d" * 32: (0.0, -7.0)}


def test_an_unwritable_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot be written"):
        ReferenceCache(tmp_path / "file", "weights", "float32")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    cache = filled(tmp_path / "cache")
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(Failure, match=r"cannot be written \(No space left on device\)"):
        cache.add([("d" * 32, (0.0, 0.0))])


def test_the_references_used_last_are_kept_and_other_files_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_cache, "KEPT_FILES", 2)
    (tmp_path / "notes.txt").write_text("mine")
    caches = [ReferenceCache(tmp_path, f"weights {number}", "float32") for number in range(4)]
    for age, cache in enumerate(reversed(caches)):
        cache.add(ENTRIES.items())
        os.utime(cache.path, (1000 - age, 1000 - age))
    caches[0].prune(ENTRIES)  # the oldest, used again
    kept = {caches[0].path.name, caches[3].path.name, "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(
    ("used", "kept"),
    [
        ("ab", "dab"),  # those in use, and the newest of the others
        ("abcd", "abcd"),  # never fewer than are in use
        ("d", "bcd"),
    ],
)
def test_the_pairs_of_a_reference_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: str, kept: str
) -> None:
    monkeypatch.setattr(reference_cache, "KEPT_PAIRS", 3)
    cache = ReferenceCache(tmp_path, "weights", "float32")
    entries = {letter * 32: (-1.0 * number, -0.1) for number, letter in enumerate("abcd")}
    cache.add(entries.items())
    cache.prune(letter * 32 for letter in used)
    again = ReferenceCache(tmp_path, "weights", "float32")
    assert again.known == cache.known == {letter * 32: entries[letter * 32] for letter in kept}
    assert list(again.known) == [letter * 32 for letter in kept]


token = st.lists(st.integers(0, 2), max_size=3)
pairs = st.builds(PairTokens, token, token, token)


@given(pairs, pairs)
def test_keys_differ_exactly_when_pairs_do(one: PairTokens, other: PairTokens) -> None:
    assert (pair_key(one) == pair_key(other)) == (one == other)


def test_the_hash_is_of_names_types_shapes_and_values_but_not_of_adapters() -> None:
    weights = {"model.a.weight": torch.arange(4.0), "model.b.weight": torch.ones(2, 2, dtype=torch.bfloat16)}
    same = weights_hash(dict(reversed(weights.items())))
    assert weights_hash(weights) == same
    adapted = {
        "base_model.model.model.a.base_layer.weight": weights["model.a.weight"],
        "base_model.model.model.a.lora_A.default.weight": torch.rand(2, 2),
        "base_model.model.model.b.weight": weights["model.b.weight"],
    }
    assert weights_hash(adapted) == same
    changes = [
        {"model.a.weight": torch.tensor([0.0, 1.0, 2.0, 3.5])},
        {"model.a.weight": torch.arange(4.0).double()},
        {"model.a.weight": torch.arange(4.0).reshape(2, 2)},
        {"model.c.weight": torch.arange(4.0)},
    ]
    assert len({weights_hash(weights | change) for change in changes} | {same}) == 5
