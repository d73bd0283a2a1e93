"""What runs of one seed share: files of a finished part of a run are taken over by another instead of made again.

A part may be shared only where both recipes agree in every key that it, and every part that it rests on, depends on.
Then the files are those that the other run would have made itself, byte for byte; a test holds that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import BadRecipe, Failure
from redink.pipelines.methods import models_of
from redink.recipe import Recipe, kept_recipe
from redink.run import changed_keys
from redink.stages.styles import STAGE as STYLED
from redink.stages.styles import style_prompt

WHO = ("teacher", "inspector")
DRAWN = ("student", "sampling.top_p", "sampling.max_new_tokens", "sampling.batch_rows", "sampling.continuous")
REVIEWED = (*DRAWN, "sampling.max_review_tokens", "prompts.correct", "review.results_only")
REPLAYED = (*REVIEWED, "prompts.base", "hsft.replay", "hsft.replay_gold", "hsft.replay_missteps",
            "hsft.replay_temperature")  # fmt: skip
CORRECTED = (*WHO, "prompts.correct_with_solution", "prompts.inspect_trace")
THINKING = frozenset({"supercorrect", "hsft", "dpo", "step-dpo", "reflexion"})
"""Methods that begin with thoughts and HSFT."""
CORRECTING = frozenset({"supercorrect", "step-dpo"})
REFINING = frozenset({"orion", "orion-supercorrect"})
CHAINING = REFINING | {"long-sft"}
BASE = "base"
ASKED = "the prompt of solutions"
"""No key of its own: what `style`, `prompts.solve` and `prompts.style` come to."""


@dataclass(frozen=True)
class Part:
    """A part of a run.

    `files`: patterns of the names of its rows and books; `folders`: models; `keys`: of the recipe, that it depends on;
    `needs`: the parts it is made of; `methods`: those that have it.
    """

    files: tuple[str, ...]
    keys: tuple[str, ...]
    needs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()


def _stage(*names: str) -> tuple[str, ...]:
    """The files of stages, none of those whose names only begin so."""
    endings = ("jsonl", "rejected.jsonl", "quarantine.jsonl", "counts.json")
    return tuple(f"{name}.{ending}" for name in names for ending in endings)


PARTS = {
    "problems": Part(("problems.*.jsonl",), ("seed", "problems"), methods=THINKING | CHAINING | {"sft"}),
    "thoughts": Part(
        _stage("thoughts"), (*WHO, "prompts.extract_thought", "prompts.inspect_thought"), ("problems",), (), THINKING
    ),
    "replay": Part(_stage("replay.attempts", "replay.reviews"), REPLAYED,
                   ("thoughts",), (), THINKING),
    "hsft": Part(_stage(STYLED), ("student", "hsft", "style", ASKED), ("thoughts", "replay"), ("hsft",), THINKING),
    "attempts": Part(_stage("attempts"), (*DRAWN, "sampling.temperature", "sampling.samples"), ("hsft",), (),
                     CORRECTING | {"dpo"}),
    "corrections": Part(_stage("corrections"), (*CORRECTED, "pairs.per_problem", "review.results_only"), ("attempts",),
                        (), CORRECTING),
    "pairs": Part(_stage("own_corrections", "pairs", "alarms", "confirmations", "made_alarms", "counterparts"),
                  (*REVIEWED, "sampling.correction_temperature", "review", "pairs"), ("corrections",), (),
                  frozenset({"supercorrect"})),
    "cross_dpo": Part((), ("cross_dpo",), ("pairs",), ("cross_dpo",), frozenset({"supercorrect"})),
    "long_chains": Part(_stage("long_chains"), ("teacher", "prompts.long_chain"), ("problems",), (), CHAINING),
    "chain_replay": Part(_stage("replay.attempts", "replay.reviews"), REPLAYED,
                         ("long_chains",), (), CHAINING),
    "exposure.attempts": Part(_stage("exposure.attempts"),
                              (*DRAWN, "sampling.temperature", "prompts.base", "exposure.samples"), ("long_chains",),
                              (), REFINING),
    "exposure": Part(_stage("exposure", "exposure.scores", "exposure.pairs", "exposure.trained_attempts"),
                     ("exposure",), ("exposure.attempts",), ("error_prone",), REFINING),
    "exposure.corrections": Part(_stage("exposure.corrections"), CORRECTED, ("exposure",), (), REFINING),
    "refinement": Part(_stage("refinement", "refinement.scores", "refined", "learned"),
                       ("refinement", "prompts.refine", "prompts.refine_unexposed", "prompts.refine_as_teacher",
                        "prompts.rewrite", "prompts.chain", *CORRECTED), ("exposure",), (), REFINING),
    "orion": Part((), ("student", "hsft", "prompts.chain"), ("refinement", "chain_replay"), ("orion",), REFINING),
}  # fmt: skip
MODELS = ("hsft", "cross_dpo", "orion")
EVALUATED = "evaluate."
EVALUATION = (*REVIEWED, *CORRECTED, "evaluation", "prompts.base", ASKED)


def part(name: str) -> Part:
    """A part by name: one of `PARTS`, or `evaluate.<model>`; raises `BadRecipe` for a name that is none."""
    model = name.removeprefix(EVALUATED)
    if name.startswith(EVALUATED) and model in (BASE, *MODELS):
        files = (f"{name}.*.jsonl", f"{name}.*.counts.json")
        return Part(files, EVALUATION, ("problems", *([] if model == BASE else [model])))
    if name not in PARTS:
        known = ", ".join((*PARTS, f"{EVALUATED}base", f"{EVALUATED}<model>"))
        raise BadRecipe(f"{name!r} is no part of a run that can be shared.", f"Parts: {known}.")
    return PARTS[name]


def closure(names: Iterable[str]) -> list[str]:
    """Some parts and all those that they rest on."""
    found: dict[str, None] = {}
    for name in names:
        for below in closure(part(name).needs):
            found[below] = None
        found[name] = None
    return list(found)


def agreed(source: Recipe, taker: Recipe, stages: Sequence[str], names: tuple[str, str]) -> None:
    """Raise `BadRecipe` unless both recipes agree in all that these parts depend on; `names` are source and taker."""
    for stage in closure(stages):
        found = part(stage)
        for recipe, name in zip((source, taker), names, strict=True):
            if not _has(recipe, stage, found):
                raise BadRecipe(f"arm {name!r} has no {stage!r} (method {recipe.method!r}).", _REMEDY)
        differing = [key for key in found.keys if _value(source, key) != _value(taker, key)]
        if differing:
            keys = _differing(source, taker, differing)
            raise BadRecipe(
                f"arms {names[0]!r} and {names[1]!r} cannot share {stage!r}: they differ in {', '.join(keys)}.", _REMEDY
            )


_REMEDY = "Change the arm's `shares`, or what it sets."


def _has(recipe: Recipe, stage: str, found: Part) -> bool:
    if stage.startswith(EVALUATED):
        return stage.removeprefix(EVALUATED) in models_of(recipe)
    return recipe.method in found.methods


def _differing(source: Recipe, taker: Recipe, keys: Sequence[str]) -> list[str]:
    return [
        name for key in keys
        for name in changed_keys(_value(source, key), _value(taker, key), key)
    ]  # fmt: skip


def _value(recipe: Recipe, key: str) -> object:
    if key == ASKED:
        return style_prompt(recipe.style, recipe.prompts.solve, recipe.prompts.style)
    value: object = recipe.model_dump(mode="json")
    for name in key.split("."):
        value = value[name] if isinstance(value, dict) else None
    return value


def take_over(source: Path, taker: Path, recipe: Recipe, stages: Sequence[str]) -> list[str]:
    """Take these parts of one run directory over into another of `recipe`, as far as they are done; returns which were.

    A source that was made by a recipe which does not agree, such as an earlier one, gives nothing. Files are hard links
    where the disk has them, else copies; none that is there is touched. Books come last and folders at once, so a
    kill leaves a part whole or open.
    """
    try:
        made_by = kept_recipe(source)
        if not isinstance(made_by, Recipe):
            return []
        agreed(made_by, recipe, stages, (source.name, taker.name))
    except Failure:
        return []
    done = [stage for stage in stages if _done(source, stage)]
    for stage in done:
        _take(source, taker, stage)
    return done


def _done(source: Path, stage: str) -> bool:
    if stage in MODELS:
        return (source / stage).is_dir()
    return _last(source, stage).exists()


def _last(source: Path, stage: str) -> Path:
    """The file that a part is done with."""
    if stage.startswith(EVALUATED):
        return source / f"{stage}.perplexity.counts.json"
    return source / _LAST.get(stage, f"{stage}.counts.json")


_LAST = {
    "problems": "problems.evaluation.jsonl", "replay": "replay.reviews.counts.json",
    "chain_replay": "replay.reviews.counts.json", "refinement": "learned.jsonl",
}  # fmt: skip


def _take(source: Path, taker: Path, stage: str) -> None:
    found = part(stage)
    taker.mkdir(parents=True, exist_ok=True)
    files = {path for pattern in found.files for path in source.glob(pattern)}
    for path in sorted(files, key=lambda path: (path.name.endswith(".counts.json"), path.name)):
        _link(path, taker / path.name)
    for name in found.folders:
        _copy_folder(source / f"{name}.reference", taker / f"{name}.reference", _copy)
        _copy_folder(source / name, taker / name, _link)
    if stage.startswith(EVALUATED):
        _link_repeats(source, taker, stage.removeprefix(EVALUATED))


def _link_repeats(source: Path, taker: Path, model: str) -> None:
    """The shards of a model's repeats that are not there yet; each is a file that was written whole."""
    for path in _files(source / "attempts" / "evaluation" / model):
        _link(path, taker / path.relative_to(source))


def _copy_folder(source: Path, taker: Path, put: Callable[[Path, Path], None]) -> None:
    if taker.exists() or not source.is_dir():
        return
    whole = taker.with_name(f"{taker.name}.part")
    shutil.rmtree(whole, ignore_errors=True)
    for path in _files(source):
        put(path, whole / path.relative_to(source))
    whole.rename(taker)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".part"))


def _link(source: Path, taker: Path) -> None:
    """A hard link, for files that are never written in place, else a copy."""
    if taker.exists():
        return
    taker.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, taker)
    except OSError:
        _copy(source, taker)


def _copy(source: Path, taker: Path) -> None:
    """A copy, for logs that are appended to, such as the reference's log-probabilities."""
    taker.parent.mkdir(parents=True, exist_ok=True)
    copy = taker.with_name(f"{taker.name}.part")
    shutil.copyfile(source, copy)
    copy.replace(taker)
