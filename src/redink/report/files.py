"""What a run directory says of the run as a whole: recipe, figures, books, logs, costs and times."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redink.evaluation.statistics import Estimate
from redink.failures import BadInput
from redink.types import StageCounts

B = TypeVar("B", bound=BaseModel)


class Lenient(BaseModel):
    """A part of a file that other versions may have written: what it does not know it leaves out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RatesRead(Lenient):
    """What could not be counted as an answer."""

    ungradable: Estimate = Field(description="The checker could not say.")
    no_answer: Estimate = Field(description="No answer could be read.")
    truncated: Estimate = Field(description="Cut by the token limit.")


class AtKRead(Lenient):
    """pass@k and maj@k."""

    repeats: int = Field(0, description="Draws of each problem.")
    problems: int = Field(0, description="How many problems.")
    pass_at: dict[int, Estimate] = Field(default_factory=dict, description="Per k: one of k draws is right.")
    majority_at: dict[int, Estimate] = Field(default_factory=dict, description="Per k: a vote of k draws is right.")


class HistogramRead(Lenient):
    """Counts between edges."""

    edges: tuple[float, ...] = Field((), description="One more than bins.")
    counts: tuple[int, ...] = Field((), description="How many in each bin.")


class StabilityRead(Lenient):
    """How steady several draws are."""

    repeats: int = Field(0, description="Draws of each problem.")
    problems: int = Field(0, description="How many problems.")
    mean: Estimate = Field(description="Mean accuracy over the draws.")
    always: Estimate = Field(description="Share of problems solved in every draw.")
    never: Estimate = Field(description="Share of problems solved in none.")
    by_problem: HistogramRead = Field(default_factory=HistogramRead, description="Problems by share of draws solved.")


class MajorityRead(Lenient):
    """A vote for the tokens of a solution and its review."""

    accuracy: Estimate = Field(description="How often the vote is right.")
    votes: float = Field(0.0, description="Draws that the tokens buy.")


class PanelRead(Lenient):
    """The figures of one model (`evaluation.panel.Panel`); what a run has not measured is None or empty."""

    model: str = Field(description="base, hsft, cross_dpo, …; or the student's name.")
    benchmark: str = Field("", description="The set of problems, of `redink evaluate`; '': the run's held-out ones.")
    accuracy_t1: Estimate = Field(description="Acc@t1.")
    accuracy_t2: Estimate = Field(description="Acc@t2.")
    delta: Estimate = Field(description="Acc@t2 − Acc@t1.")
    wrong_to_right: Estimate = Field(description="Share that the review repaired.")
    right_to_wrong: Estimate = Field(description="Share that the review broke.")
    fixed: Estimate | None = Field(None, description="Of those wrong at t1, right at t2.")
    broken: Estimate | None = Field(None, description="Of those right at t1, wrong at t2.")
    edited: Estimate | None = Field(None, description="Share with another answer at t2.")
    locate: Estimate = Field(description="Of wrong solutions, the teacher's step was marked.")
    correct: Estimate = Field(description="Of wrong solutions, the step was marked and repaired.")
    given_location: Estimate | None = Field(None, description="Of wrong solutions, repaired once shown the step.")
    false_alarms: Estimate = Field(description="Of right solutions, a step was marked.")
    unlocated: int = Field(0, description="Wrong solutions in which the teacher finds no wrong step.")
    ungradable_t1: int = Field(0, description="Solutions without a gradable answer.")
    ungradable_t2: int = Field(0, description="Reviews without a gradable answer.")
    truncated: int = Field(0, description="Texts cut by the token limit.")
    rates: dict[str, RatesRead] = Field(default_factory=dict, description="Ungradable, unparsed, cut; at t1 and t2.")
    macro_t1: Estimate | None = Field(None, description="Mean over subjects of Acc@t1.")
    macro_t2: Estimate | None = Field(None, description="Mean over subjects of Acc@t2.")
    by_subject: dict[str, dict[str, Estimate]] = Field(default_factory=dict, description="t1, t2 and Δ per subject.")
    by_level: dict[str, dict[str, Estimate]] = Field(default_factory=dict, description="t1, t2 and Δ per level.")
    at_k: AtKRead | None = Field(None, description="pass@k and maj@k.")
    stability: StabilityRead | None = Field(None, description="How steady the draws are.")
    majority: MajorityRead | None = Field(None, description="A vote at the same price.")


class ResultsRead(Lenient):
    """results.json (`pipelines.results.Results`, or `EvaluationResults`)."""

    student: str = Field("", description="The base student.")
    seed: int | None = Field(None, description="The recipe's seed.")
    problems: int = Field(0, description="Evaluation problems.")
    panels: tuple[PanelRead, ...] = Field((), description="One for each model, on each benchmark.")

    @property
    def by_benchmark(self) -> dict[str, list[PanelRead]]:
        """The panels of each set of problems."""
        groups: dict[str, list[PanelRead]] = {}
        for panel in self.panels:
            groups.setdefault(panel.benchmark, []).append(panel)
        return groups


class Spent(Lenient):
    """A line of ledger.json."""

    stage: str = Field(description="The stage that asked.")
    model: str = Field(description="Whom.")
    calls: int = Field(0, description="Replies bought.")
    prompt_tokens: int = Field(0, description="Tokens sent.")
    completion_tokens: int = Field(0, description="Tokens received.")
    usd: float = Field(0.0, description="What it cost.")
    priced: bool = Field(True, description="False where a price is not known.")


class RunFiles(Lenient):
    """A run directory without its rows."""

    name: str = Field(description="The recipe's name.")
    recipe: dict[str, Any] = Field(description="recipe.json.")
    manifest: dict[str, Any] = Field(description="manifest.json; empty while the run is under way.")
    results: ResultsRead | None = Field(description="results.json; None while there is none.")
    counts: tuple[StageCounts, ...] = Field(
        description="The books of every finished stage, in the order they were done."
    )
    logs: dict[str, tuple[dict[str, float], ...]] = Field(description="The training log of each trained model.")
    spent: tuple[Spent, ...] = Field(description="What chat models cost, per stage and model.")
    seconds: dict[str, float] = Field(description="Time between the end of a stage and of the one before it.")
    under_way: tuple[str, ...] = Field(description="Stages that are begun and not finished.")
    notes: tuple[str, ...] = Field(description="What could not be read.")


def read_run(folder: Path) -> RunFiles:
    """Read what is there; what is missing or unreadable is left out, and said in `notes`.

    Raises `BadInput` if `folder` is no run directory.
    """
    if not (folder / "recipe.json").is_file():
        raise BadInput(folder, "is no run directory (no recipe.json).", "Name one such as runs/demo.")
    notes: list[str] = []
    recipe = _object(folder / "recipe.json", notes)
    results = _read(ResultsRead, _object(folder / "results.json", notes), folder / "results.json", notes)
    ledger = _object(folder / "ledger.json", notes)
    ended = _ends(folder)
    return RunFiles(
        name=str(recipe.get("name") or folder.name),
        recipe=recipe,
        manifest=_object(folder / "manifest.json", notes),
        results=results,
        counts=_counts(folder, ended, notes),
        logs={
            path.parent.name: _log(path, notes)
            for path in sorted(folder.glob("*/training_log.jsonl"), key=_training_order)
        },
        spent=tuple(
            filter(None, (_read(Spent, total, folder / "ledger.json", notes) for total in ledger.get("totals", [])))
        ),
        seconds=_seconds(folder, ended),
        under_way=tuple(
            sorted(path.name.removesuffix(".unfinished.jsonl") for path in folder.glob("*.unfinished.jsonl"))
        ),
        notes=tuple(notes),
    )


def _object(path: Path, notes: list[str]) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none, with a note where it cannot be read."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as failure:
        notes.append(f"{path.name} cannot be read ({failure}).")
        return {}
    return value if isinstance(value, dict) else {}


def _read(kind: type[B], value: dict[str, Any], path: Path, notes: list[str]) -> B | None:
    try:
        return kind.model_validate(value) if value else None
    except ValidationError as failure:
        notes.append(f"{path.name}: {failure.errors()[0]['loc']}: {failure.errors()[0]['msg']}.")
        return None


def _counts(folder: Path, ended: dict[str, float], notes: list[str]) -> tuple[StageCounts, ...]:
    files = sorted(folder.glob("*.counts.json"), key=lambda path: (ended.get(_stage(path), 0.0), path.name))
    read = (_read(StageCounts, _object(path, notes), path, notes) for path in files)
    return tuple(row for row in read if row is not None)


def _stage(path: Path) -> str:
    return path.name.removesuffix(".counts.json") if path.name.endswith(".counts.json") else path.parent.name


def _log(path: Path, notes: list[str]) -> tuple[dict[str, float], ...]:
    """The numbers of a training log, line by line."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as failure:
        notes.append(f"{path.parent.name}/{path.name} cannot be read ({failure}).")
        return ()
    return tuple({key: float(v) for key, v in line.items() if isinstance(v, int | float)} for line in lines)


def _training_order(path: Path) -> tuple[float, str]:
    """Models in the order they were trained: HSFT is there before Cross-DPO begins."""
    return path.stat().st_mtime, path.parent.name


def _ends(folder: Path) -> dict[str, float]:
    """When each stage ended, by the times of the files: seconds since 1970."""
    files = [*folder.glob("*.counts.json"), *folder.glob("*/training_report.json")]
    return {_stage(path): path.stat().st_mtime for path in files}


def _seconds(folder: Path, ended: dict[str, float]) -> dict[str, float]:
    """Time from the end of one stage to the end of the next; empty where the files all have one time, as in a copy."""
    starts = [path.stat().st_mtime for path in folder.glob("problems.*.jsonl")]
    order = sorted(ended.items(), key=lambda item: item[1])
    times = [min(starts, default=order[0][1] if order else 0.0), *(time for _, time in order)]
    if times[-1] - times[0] < 1:
        return {}
    return {name: after - before for (name, _), (before, after) in zip(order, pairwise(times), strict=True)}
