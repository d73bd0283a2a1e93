"""One training stage from files, for `accelerate launch`: several processes train, nothing else is repeated.

    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml -m redink.training \\
        cross-dpo --student runs/x/hsft --rows runs/x/pairs.jsonl --out runs/x/cross_dpo --recipe recipes/paper-7b.toml

`cross-dpo` reads preference pairs; `hsft` reads lines with `prompt`, `reply` and `ends`. Settings come from the
section [cross_dpo] or [hsft] of a recipe, or are the defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError

from redink.failures import BadInput, BadRecipe, Failure
from redink.models.student import Student
from redink.rows import read_json_lines, read_rows
from redink.training.cross_dpo import train_cross_dpo
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft
from redink.training.settings import CrossDPOSettings, HSFTSettings, TrainSettings
from redink.types import PreferencePair

S = TypeVar("S", bound=TrainSettings)


def settings_of(recipe: Path | None, section: str, kind: type[S]) -> S:
    """The settings of one stage, of a recipe or a run's recipe.json; raises `BadRecipe` naming the key at fault."""
    try:
        read = json.loads if recipe and recipe.suffix == ".json" else tomllib.loads
        values = read(recipe.read_text("utf-8")).get(section, {}) if recipe else {}
        return kind.model_validate(values)
    except (OSError, tomllib.TOMLDecodeError, json.JSONDecodeError) as failure:
        raise BadRecipe(f"{recipe}: cannot be read ({failure}).", "Check the path and its text.") from None
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join([section, *(str(part) for part in first["loc"])])
        raise BadRecipe(f"{recipe}: {key}: {first['msg']}.") from None


def read_lessons(path: Path) -> list[Lesson]:
    """Lines with `prompt`, `reply` and optionally `ends`; raises `BadInput` naming file, line and field."""
    return [_lesson(path, number, value) for number, value in read_json_lines(path)]


def _lesson(path: Path, number: int, value: dict[str, Any]) -> Lesson:
    for field in ("prompt", "reply"):
        if not isinstance(value.get(field), str):
            raise BadInput(path, "a text is expected.", line=number, field=field)
    if not isinstance(value.get("ends", True), bool):
        raise BadInput(path, "true or false is expected.", line=number, field="ends")
    return Lesson(value["prompt"], value["reply"], value.get("ends", True))


def main(arguments: list[str] | None = None) -> None:
    """Train; a failure is one line on the error stream and exit code 2."""
    given = _parser().parse_args(arguments)
    _take_device()
    try:
        _train(given)
    except Failure as failure:
        print(f"redink: {failure}", file=sys.stderr)
        sys.exit(2)


def _take_device() -> None:
    """One of several launched processes loads its model on its own GPU; where none is there, accelerate is told to
    share the CPU (gloo).
    """
    if (rank := os.environ.get("LOCAL_RANK")) is None:
        return
    if torch.accelerator.is_available():
        torch.accelerator.set_device_index(int(rank))
    else:
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")


def _train(given: argparse.Namespace) -> None:
    if given.stage == "hsft":
        hsft = settings_of(given.recipe, "hsft", HSFTSettings)
        lessons = read_lessons(given.rows)
        train_hsft(Student.load(given.student), lessons, hsft, given.out, given.seed)
    else:
        dpo = settings_of(given.recipe, "cross_dpo", CrossDPOSettings)
        pairs = read_rows(given.rows, PreferencePair)
        replayed = read_lessons(given.lessons) if given.lessons and dpo.replay else ()
        train_cross_dpo(Student.load(given.student), pairs, dpo, given.out, given.seed, lessons=replayed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("redink.training", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=("hsft", "cross-dpo"))
    parser.add_argument("--student", required=True, help="a folder, a hub id, bundled or smollm2")
    parser.add_argument("--rows", required=True, type=Path, help="a .jsonl file")
    parser.add_argument("--out", required=True, type=Path, help="where the trained model goes")
    parser.add_argument("--lessons", type=Path, default=None, help="for cross_dpo.replay: what HSFT taught, .jsonl")
    parser.add_argument("--recipe", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
