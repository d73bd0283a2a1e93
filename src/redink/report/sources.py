"""Which files of a run directory hold which rows, and whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from redink.failures import BadInput
from redink.types import (
    Attempt,
    ChainRow,
    CorrectionRow,
    ExposedError,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    RefinedChain,
    Rejected,
    Review,
    Row,
    ThoughtRow,
)

SETS = ("evaluation", "errors", "thoughts")
MODELS = ("base", "sft", "long_sft", "hsft", "orion", "dpo", "step_dpo", "reflexion", "cross_dpo", "error_prone")
GREEDY, REPEATS = "greedy", "repeats"
_KINDS: dict[str, tuple[str, type[Row]]] = {
    "attempts": ("attempt", Attempt),
    "reviews": ("review", Review),
    "alarms": ("review", Review),
    "corrections": ("correction", CorrectionRow),
    "own_corrections": ("own", OwnCorrection),
    "pairs": ("pair", PreferencePair),
    "confirmations": ("pair", PreferencePair),
    "counterparts": ("pair", PreferencePair),
    "thoughts": ("thought", ThoughtRow),
    "trained_attempts": ("attempt", Attempt),
    "exposure": ("exposed", ExposedError),
    "long_chains": ("chain", ChainRow),
    "plain_chains": ("chain", ChainRow),
    "refinement": ("tried_chain", RefinedChain),
    "refined": ("refined", RefinedChain),
}
_SIDES: dict[str, tuple[str, type[Row]]] = {
    ".rejected": ("left_out", Rejected),
    ".quarantine": ("held", Quarantined),
}
_STAGE = re.compile(
    r"(?:(?P<where>evaluate|replay|exposure|round\d+)\.(?:(?P<model>\w+)\.)?)?"
    rf"(?P<what>{'|'.join(_KINDS)})(?P<side>{'|'.join(map(re.escape, _SIDES))})?"
)

_CORRECTIONS = re.compile(rf"(?P<what>^corrections)\..*?(?P<side>{'|'.join(map(re.escape, _SIDES))})?\.jsonl$")
_WRITTEN_BY_THE_TEACHER = ("thoughts", "long_chains", "plain_chains", "refinement", "refined")


class Source(NamedTuple):
    """One file of rows."""

    path: Path
    kind: type[Row]
    part: str
    """A field of `Work`, or 'thought', or 'problem'."""
    group: str
    """The set of a problem; else which stage drew the solution that the row is about."""
    model: str
    run: str
    """Which of several runs that are read together; '' if it is one."""


def sources_of(folder: Path, run: str = "") -> list[Source]:
    """The files of a run directory: problems first, then solutions in the order in which they are shown.

    Raises `BadInput` if `folder` is no run directory.
    """
    if not (folder / "recipe.json").is_file():
        raise BadInput(folder, "is no run directory (no recipe.json).", "Name one such as runs/demo.")
    found = [*_problems(folder, run), *_rows(folder, run), *_located(folder, run), *_series(folder, run)]
    return sorted(found, key=_shown_order)


def _problems(folder: Path, run: str) -> Iterator[Source]:
    for path in folder.glob("problems.*.jsonl"):
        name = path.name.removeprefix("problems.").removesuffix(".jsonl")
        if name != "quarantine" and not name.endswith(".check"):
            yield Source(path, Problem, "problem", name, "", run)


def _rows(folder: Path, run: str) -> Iterator[Source]:
    taught, retrained = _taught(folder), (folder / "exposure.trained_attempts.jsonl").exists()
    for path in folder.glob("*.jsonl"):
        match = _STAGE.fullmatch(path.name.removesuffix(".jsonl"))
        if match:
            yield _source(path, match, *_whose(match, taught, retrained), run)


def _source(path: Path, match: re.Match[str], group: str, model: str, run: str) -> Source:
    part, kind = _SIDES.get(match["side"] or "", _KINDS[match["what"]])
    return Source(path, kind, part, group, model, run)


def _located(folder: Path, run: str) -> Iterator[Source]:
    """What `redink evaluate` had a teacher locate: `corrections.<set>.<model>.<teacher>`."""
    for place in sorted(folder.glob("attempts/*/*/")):
        for path in folder.glob(f"corrections.{place.parent.name}.{place.name}.*.jsonl"):
            if match := _CORRECTIONS.search(path.name):
                yield _source(path, match, "evaluate", place.name, run)


def _taught(folder: Path) -> str:
    """The model whose mistakes are corrected first."""
    recipe = json.loads((folder / "recipe.json").read_text("utf-8"))
    return "orion" if str(recipe.get("method", "")).startswith("orion") else "hsft"


def _series(folder: Path, run: str) -> Iterator[Source]:
    """Solutions and reviews that lie in shards: `attempts/<set>/<model>/<pass>/<chunk>.jsonl`, one pass per draw."""
    for what in ("attempts", "reviews"):
        part, kind = _KINDS[what]
        for path in folder.glob(f"{what}/*/*/*/*.jsonl"):
            model, drawn = path.parts[-3], path.parts[-2]
            yield Source(path, kind, part, "evaluate" if drawn == GREEDY else f"{REPEATS}.{drawn}", model, run)


def _whose(match: re.Match[str], taught: str, retrained: bool) -> tuple[str, str]:
    """(group, model) of a stage; `retrained` where errors were drawn by a model trained to make them."""
    where, what = match["where"] or "", match["what"]
    if where == "evaluate":
        return f"evaluate.{match['model']}", match["model"]
    if where == "replay":
        return "replay", "base"
    if where == "exposure" or what == "exposure":
        first = retrained and what == "attempts"
        return ("exposure.first", "base") if first else ("exposure", "error_prone" if retrained else "base")
    if where:
        return where, _student_of(int(where.removeprefix("round")) - 1)
    return ("thoughts", "") if what in _WRITTEN_BY_THE_TEACHER else ("attempts", taught)


def _student_of(rounds: int) -> str:
    """The student after so many rounds of Cross-DPO."""
    return "cross_dpo" if rounds == 1 else f"cross_dpo_{rounds}"


def _shown_order(source: Source) -> tuple[bool, str, int, int, str, str]:
    sets = SETS.index(source.group) if source.group in SETS and source.part == "problem" else len(SETS)
    model = MODELS.index(source.model) if source.model in MODELS else len(MODELS)
    return source.part != "problem", source.run, sets, model, source.group, source.path.name
