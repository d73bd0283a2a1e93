"""Sharing: what may be taken over, how it is taken, and that it is what would have been made."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from redink.failures import BadRecipe
from redink.pipelines.methods import follow_recipe
from redink.recipe import Recipe, load_recipe
from redink.reproduction.sharing import PARTS, agreed, closure, part, take_over
from redink.run import Run

SMALL = ["hsft.epochs=1", "cross_dpo.epochs=1", "sampling.max_new_tokens=60", "sampling.max_review_tokens=60",
         "evaluation.repeats=2", "evaluation.repeat_problems=2"]  # fmt: skip


def recipe(*settings: str) -> Recipe:
    return load_recipe("demo", [*SMALL, *settings])


def made_by(folder: Path, *settings: str) -> Path:
    with Run(folder, recipe(*settings), Console(file=io.StringIO())):
        pass
    return folder


def test_a_part_rests_on_all_below_it() -> None:
    assert closure(["corrections"]) == ["problems", "thoughts", "replay", "hsft", "attempts", "corrections"]
    assert closure(["evaluate.base"]) == ["problems", "evaluate.base"]
    assert set(closure(PARTS)) == set(PARTS)


@pytest.mark.parametrize("name", ["evaluate.nobody", "report", "evaluate."])
def test_what_is_no_part_is_refused(name: str) -> None:
    with pytest.raises(BadRecipe, match="is no part of a run that can be shared"):
        part(name)


@pytest.mark.parametrize(
    ("other", "stage", "key"),
    [
        (["seed=1"], "problems", "seed"), (["problems.errors=9"], "evaluate.base", "problems.errors"),
        (["student=x"], "hsft", "student"), (["prompts.solve=style_text"], "hsft", "the prompt of solutions"),
        (["sampling.continuous=false"], "attempts", "sampling.continuous"),
        (["sampling.samples=2"], "corrections", "sampling.samples"), (["review.recheck=false"], "pairs", "review.recheck"),
        (["cross_dpo.beta=0.2"], "cross_dpo", "cross_dpo.beta"), (["evaluation.repeats=3"], "evaluate.hsft", "evaluation.repeats"),
        (["hsft.replay=0"], "attempts", "hsft.replay"), (["inspector.kind=none"], "thoughts", "inspector.kind"),
    ],
)  # fmt: skip
def test_parts_are_shared_only_where_their_keys_agree(other: list[str], stage: str, key: str) -> None:
    agreed(recipe(), recipe(), [stage], ("a", "b"))
    with pytest.raises(BadRecipe) as caught:
        agreed(recipe(), recipe(*other), [stage], ("a", "b"))
    assert key in str(caught.value)


def test_keys_below_do_not_matter_to_what_stands_above() -> None:
    agreed(recipe(), recipe("cross_dpo.beta=0.2", "method=step-dpo", "name=other"), ["corrections"], ("a", "b"))


def test_files_are_taken_over_books_and_models_whole(tmp_path: Path) -> None:
    source = made_by(tmp_path / "a")
    for name in ("thoughts.jsonl", "thoughts.counts.json", "hsft/model.safetensors", "attempts.jsonl",
                 "cross_dpo/model.safetensors", "cross_dpo.reference/x.txt", "hsft.part/half"):  # fmt: skip
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(name)
    taker = tmp_path / "b"
    wanted = ["problems", "thoughts", "hsft", "attempts", "cross_dpo"]
    assert take_over(source, taker, recipe(), wanted) == ["thoughts", "hsft", "cross_dpo"], "attempts have no books"
    assert os.path.samefile(source / "hsft/model.safetensors", taker / "hsft/model.safetensors")
    assert not os.path.samefile(source / "cross_dpo.reference/x.txt", taker / "cross_dpo.reference/x.txt"), (
        "appended to"
    )
    assert sorted(path.name for path in taker.iterdir()) == [
        "cross_dpo", "cross_dpo.reference", "hsft", "thoughts.counts.json", "thoughts.jsonl",
    ]  # fmt: skip


def test_what_is_there_is_not_touched_and_a_disk_without_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, taker = made_by(tmp_path / "a"), tmp_path / "b"
    (source / "thoughts.jsonl").write_text("theirs")
    (source / "thoughts.counts.json").write_text("{}")
    taker.mkdir()
    (taker / "thoughts.jsonl").write_text("mine")

    def no_links(one: object, other: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr("redink.reproduction.sharing.os.link", no_links)
    assert take_over(source, taker, recipe(), ["thoughts"]) == ["thoughts"]
    assert (taker / "thoughts.jsonl").read_text() == "mine"
    assert (taker / "thoughts.counts.json").read_text() == "{}"
    assert not list(taker.glob("*.part"))


def test_a_run_by_an_earlier_recipe_gives_nothing(tmp_path: Path) -> None:
    source = made_by(tmp_path / "a", "seed=3")
    (source / "thoughts.counts.json").write_text("{}")
    assert take_over(source, tmp_path / "b", recipe(), ["thoughts"]) == []
    assert take_over(tmp_path / "nowhere", tmp_path / "b", recipe(), ["thoughts"]) == []
    assert not (tmp_path / "b").exists()


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "training_args.bin")
    }


@pytest.mark.slow
def test_a_run_that_takes_over_ends_with_the_same_files(tmp_path: Path) -> None:
    """Reflexion after SuperCorrect's HSFT, and alone: byte for byte the same."""

    def done(folder: str, *settings: str, take: list[str] | None = None) -> Path:
        chosen = recipe("name=r", *settings).limited(3)
        if take:
            assert take_over(tmp_path / "source", tmp_path / folder, chosen, take) == take
        with Run(tmp_path / folder, chosen, Console(file=io.StringIO())) as run:
            follow_recipe(run)
        return tmp_path / folder

    reflexion = ["method=reflexion", "reflexion.max_new_tokens=10"]
    done("source", "method=hsft")
    taken = done("taken", *reflexion, take=["problems", "thoughts", "replay", "hsft", "evaluate.base", "evaluate.hsft"])
    alone = done("alone", *reflexion)
    assert files_of(taken) == files_of(alone)
    assert os.path.samefile(taken / "hsft/model.safetensors", tmp_path / "source/hsft/model.safetensors")
