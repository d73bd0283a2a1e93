"""What a run directory has to share: its models, its rows with their problems, and names without machine paths."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redink.failures import Failure
from redink.models.bundled import NAMED
from redink.pipelines.methods import models_of
from redink.pipelines.results import Results, read_results
from redink.recipe import EvaluationRecipe, Recipe, kept_recipe
from redink.rows import read_rows
from redink.training.settings import LoRASettings
from redink.types import Problem, Row, StageCounts

R = TypeVar("R", bound=Row)
SETS = ("thoughts", "errors", "evaluation")
_ROUND = re.compile(r"(?:round\d+\.)?(?P<stage>[a-z_]+)")


@dataclass(frozen=True)
class SharedRun:
    """A run directory of one method, read only."""

    folder: Path
    recipe: Recipe

    @classmethod
    def open(cls, folder: Path) -> SharedRun:
        """Raises `BadInput` if `folder` is no run directory, `Failure` if it is one of `redink evaluate`."""
        recipe = kept_recipe(folder)
        if isinstance(recipe, EvaluationRecipe):
            raise Failure(f"{folder} is an evaluation: it has no models or data of its own.", "Name a run of a recipe.")
        return cls(folder, recipe)

    def models(self) -> list[str]:
        """The models that this run has trained so far, in the order of its method."""
        return [name for name in models_of(self.recipe) if (self.folder / name / "config.json").exists()]

    def model(self, name: str | None) -> str:
        """The model of that name, by default the last one; raises `Failure` naming those that there are."""
        known = self.models()
        if not known:
            raise Failure(f"{self.folder} has trained no model yet.", "Type the command of the run again.")
        if name is not None and name not in known:
            raise Failure(f"{self.folder} has no model {name!r}.", f"It has {', '.join(known)}.")
        return name or known[-1]

    def lora(self, model: str) -> list[LoRASettings | None]:
        """The adapters of each training stage between the base student and a model; None: full weights."""
        recipe, supervised = self.recipe, self.recipe.hsft.lora
        if model in {"hsft", "sft", "long_sft", "orion"}:
            return [supervised]
        rounds = int(model.removeprefix("cross_dpo_")) if model.startswith("cross_dpo_") else 1
        return [supervised, *([recipe.cross_dpo.lora] * rounds)]

    def problems(self, *names: str) -> dict[str, Problem]:
        """The problems of these sets by id; all three sets by default."""
        files = [self.folder / f"problems.{name}.jsonl" for name in names or SETS]
        return {row.id: row for file in files if file.exists() for row in read_rows(file, Problem)}

    def stages(self, *endings: str) -> list[str]:
        """The finished stages so called, those of later rounds too; stages of the evaluation are none of them."""
        found = [path.name.removesuffix(".jsonl") for path in self.folder.glob("*.jsonl")]
        named = [name for name in found if (match := _ROUND.fullmatch(name)) and match["stage"] in endings]
        return sorted(named, key=lambda name: (_round(name), endings.index(name.rpartition(".")[2])))

    def rows(self, stage: str, kind: type[R]) -> list[R]:
        """The accepted rows of a stage."""
        return read_rows(self.folder / f"{stage}.jsonl", kind)

    def counts(self) -> list[StageCounts]:
        """The books of every finished stage, by name."""
        files = sorted(self.folder.glob("*.counts.json"))
        return [StageCounts.model_validate_json(file.read_text("utf-8")) for file in files]

    def results(self) -> Results | None:
        """What the run measured; None while it has not."""
        found = read_results(self.folder) if (self.folder / "results.json").exists() else None
        return found if isinstance(found, Results) else None

    def manifest(self) -> dict[str, Any]:
        """Versions, seeds and fingerprints; empty where it has not been written."""
        return _object(self.folder / "manifest.json")

    def report(self, model: str) -> dict[str, Any]:
        """What the training of a model did; empty where that was not kept."""
        return _object(self.folder / model / "training_report.json")


def _round(stage: str) -> int:
    return int(stage.removeprefix("round").partition(".")[0]) if stage.startswith("round") else 1


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def public_name(name: str) -> str:
    """A student or a source as others may read it: of a local path, only its last part.

    >>> public_name("jsonl:/home/me/problems.jsonl"), public_name("Qwen/Qwen2.5-0.5B"), public_name("~/models/mine")
    ('jsonl:problems.jsonl', 'Qwen/Qwen2.5-0.5B', 'mine')
    """
    kind, mark, path = name.partition(":")
    if mark and kind == "jsonl":
        return f"{kind}:{Path(path).name}"
    return Path(name).name if is_local(name) else name


def is_local(student: str) -> bool:
    """Whether a student is a folder, as `Student.load` tells it from a hub id."""
    looks = student.startswith((".", "/", "~")) or Path(student).exists() or student.count("/") != 1
    return student not in NAMED and looks


def free_folder(out: Path) -> Path:
    """`out`, where nothing is yet; raises `Failure` if something is."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Failure(f"{out}: there is something already.", "Choose another --out, or remove it.")
    return out
