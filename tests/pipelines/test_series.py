"""Series: known by what they were drawn with, never continued with another; names of folders; weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from redink.failures import BadInput, Failure
from redink.models.student import Sampling
from redink.pipelines.series import Series, Store, kept_series, weights_of
from redink.progress import Advance
from redink.rows import slug
from redink.types import Attempt, Problem, Verdict

PROBLEMS = [Problem(id=f"p{number}", question=f"{number} + 1?", answer=str(number + 1)) for number in range(5)]


def series(**changes: object) -> Series:
    values = {
        "model": "m", "weights": "w", "benchmark": "b", "problems": "f", "prompt": "p", "prompt_text": "t",
        "temperature": 0.7, "top_p": 1.0, "max_new_tokens": 8, "batch_rows": 2, "chunk": 2, "seed": 3,
    }  # fmt: skip
    return Series.model_validate(values | changes)


class Drawing:
    """Solves the even problems in even repeats; remembers how it was asked to sample."""

    def __init__(self) -> None:
        self.asked: list[Sampling] = []

    def __call__(self, rows: Sequence[Problem], sampling: Sampling, advance: Advance) -> list[Attempt]:
        self.asked.append(sampling)
        advance(len(rows))
        right = Verdict(outcome="right")
        return [Attempt(problem_id=row.id, text="x", answer=row.answer, verdict=right, tokens=3) for row in rows]


def test_every_chunk_of_every_pass_has_a_seed_of_its_own(tmp_path: Path) -> None:
    """5 problems in chunks of 2 are 3 chunks; the greedy pass and 2 repeats are 9 draws."""
    drawing, store = Drawing(), Store(tmp_path, series(), PROBLEMS)
    attempts = store.greedy(drawing)
    outcomes = store.repeats(drawing, 2)
    assert [row.problem_id for row in attempts] == ["p0", "p1", "p2", "p3", "p4"]
    assert outcomes is not None and outcomes.right.shape == (5, 2) and bool(outcomes.right.all())
    assert len({sampling.seed for sampling in drawing.asked}) == 9
    assert [sampling.temperature for sampling in drawing.asked] == [0.0] * 3 + [0.7] * 6


def test_seeds_depend_on_seed_benchmark_pass_and_chunk_and_not_on_the_model(tmp_path: Path) -> None:
    def seeds(folder: str, **changes: object) -> list[int]:
        drawing = Drawing()
        Store(tmp_path / folder, series(**changes), PROBLEMS).greedy(drawing)
        return [sampling.seed for sampling in drawing.asked]

    first = seeds("a")
    assert seeds("b", model="other", weights="others") == first
    assert not set(seeds("c", seed=4)) & set(first)
    assert not set(seeds("d", benchmark="c")) & set(first)


def test_more_repeats_leave_those_that_are_there(tmp_path: Path) -> None:
    store, more = Store(tmp_path, series(), PROBLEMS), Drawing()
    store.repeats(Drawing(), 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    outcomes = store.repeats(more, 3)
    assert len(more.asked) == 3, "three chunks of the third repeat"
    assert outcomes is not None and outcomes.repeats == 3
    assert all(path.read_bytes() == text for path, text in before.items())
    assert {path.parent.name for path in tmp_path.rglob("*.jsonl")} == {"r000", "r001", "r002"}


def test_no_repeats_are_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path, series(), PROBLEMS).repeats(Drawing(), 0) is None
    assert list(tmp_path.iterdir()) == []


CHANGES = [("temperature", 1.0, "temperature 0.7, not 1.0"), ("weights", "v", "weights w, not v"),
           ("prompt_text", "u", "prompt_text t, not u"), ("problems", "g", "problems f, not g")]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "said"), CHANGES)
def test_another_series_is_refused_with_what_differs(tmp_path: Path, key: str, value: object, said: str) -> None:
    Store(tmp_path, series(), PROBLEMS).greedy(Drawing())
    with pytest.raises(Failure, match="drawn otherwise") as caught:
        Store(tmp_path, series(**{key: value}), PROBLEMS).greedy(Drawing())
    assert said in str(caught.value)
    assert "--name" in str(caught.value)
    assert kept_series(tmp_path) == series()


def test_a_torn_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "series.json").write_text('{"model": ')
    with pytest.raises(BadInput, match=r"series\.json"):
        kept_series(tmp_path)


SLUGS = ["gsm8k", "SmolLM2-135M_x.y"]


@pytest.mark.parametrize("name", SLUGS)
def test_a_name_that_is_safe_stays(name: str) -> None:
    assert slug(name) == name


STRANGE = [
    "stories:ledger",
    "stories-ledger",
    "a/b",
    "a-b",
    "../..",
    "..",
    ".",
    "/",
    "~/x",
    "ü",
    "a b",
    "x" * 300,
    "-",
    ".a",
]


def test_strange_names_become_folders_that_differ() -> None:
    made = [slug(name) for name in STRANGE]
    assert len(set(made)) == len(STRANGE)
    assert all(0 < len(name) <= 80 and "/" not in name and not name.startswith(".") for name in made)


def test_weights_are_known_by_their_content_wherever_it_differs(tmp_path: Path) -> None:
    """A change of one block in the middle of the file is another model; the same bytes elsewhere are the same."""
    size = 3_000_000
    for name, place in (("one", None), ("same", None), ("middle", size // 2), ("last", size - 1)):
        data = bytearray(size)
        if place is not None:
            data[place] = 1
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(data)
    one, same, middle, last = (weights_of(str(tmp_path / name)) for name in ("one", "same", "middle", "last"))
    assert one == same
    assert len({one, middle, last}) == 3


def test_without_a_folder_of_weights_the_name_stands_for_them(tmp_path: Path) -> None:
    assert weights_of("bundled") == "bundled"
    assert weights_of(str(tmp_path)) == str(tmp_path)
