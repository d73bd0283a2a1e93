"""What each seed says: one value per problem, for a model of an arm and a metric, read from the run directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from redink.evaluation.outcomes import Outcomes
from redink.evaluation.self_correction import votes_of
from redink.evaluation.statistics import Floats
from redink.evaluation.step_errors import step_errors
from redink.evaluation.teacher_quality import Piece
from redink.failures import Failure
from redink.pipelines.measured import Measured, measured
from redink.pipelines.results import Results, read_results
from redink.reproduction.arms import job_name
from redink.reproduction.chains import FILE as CHAINS
from redink.reproduction.chains import ChainRead
from redink.reproduction.stores import FILE as STORE
from redink.reproduction.stores import StoreRow
from redink.rows import read_rows
from redink.types import CorrectionRow, Row

R = TypeVar("R", bound=Row)
RESULTS = "results.json"
TEACHER = "pieces.jsonl"


class Sample(NamedTuple):
    """One value per problem (aligned); `ids` name the problems."""

    ids: tuple[str, ...]
    values: Floats

    def of(self, ids: Sequence[str]) -> Sample:
        """The values of some of the problems, in this order."""
        places = {name: place for place, name in enumerate(self.ids)}
        return Sample(tuple(ids), self.values[[places[name] for name in ids]])


class TeacherPiece(Row):
    """A piece of a teacher's work with its kind."""

    kind: str
    piece: Piece


def done_with(folder: Path, kind: str) -> bool:
    """Whether a job of this kind has come to its figures in a run directory."""
    return (folder / {"run": RESULTS, "teacher": TEACHER, "chains": CHAINS, "store": STORE}[kind]).exists()


class Told:
    """What one run directory of a method tells; read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._samples: dict[tuple[str, str], Sample | None] = {}

    @cached_property
    def results(self) -> Results | None:
        """Its results.json."""
        found = read_results(self.folder)
        return found if isinstance(found, Results) else None

    @cached_property
    def models(self) -> dict[str, Measured]:
        """Every model that it evaluated."""
        return {each.model: each for each in measured(self.folder)}

    def groups(self, model: str, by: str) -> dict[str, tuple[str, ...]]:
        """The problems' ids by 'subject' or 'source'."""
        found: dict[str, list[str]] = {}
        for problem in self.models[model].problems:
            found.setdefault(str(getattr(problem, by)), []).append(problem.id)
        return {label: tuple(ids) for label, ids in found.items()}

    def accuracies(self, model: str) -> list[float]:
        """The accuracy of each repeat; none where there are no repeats."""
        outcomes = self.models[model].repeats() if model in self.models else None
        return [float(share) for share in outcomes.right.mean(axis=0)] if outcomes else []

    def sample(self, model: str, metric: str) -> Sample | None:
        """One value per problem; None where this model or this metric is not there."""
        key = model, metric
        if key not in self._samples:
            self._samples[key] = self._read(model, metric) if model in self.models else None
        return self._samples[key]

    def _read(self, model: str, metric: str) -> Sample | None:
        found = self.models[model]
        if metric in STEP_METRICS:
            return self._steps(found, metric)
        if metric in REPEAT_METRICS:
            outcomes = found.repeats()
            values = self._of_repeats(model, metric, outcomes) if outcomes else None
            return Sample(outcomes.problem_ids, values) if outcomes and values is not None else None
        ids = tuple(problem.id for problem in found.problems)
        return Sample(ids, GREEDY_METRICS[metric](np.array(found.t1, float), np.array(found.t2, float)))

    def _steps(self, found: Measured, metric: str) -> Sample:
        """Of the wrong solutions in which the teacher located the error (n of each is 0 or 1)."""
        attempts, reviews = found.greedy()
        path = self.folder / f"evaluate.{found.model}.corrections.jsonl"
        truth = {row.problem_id: row for row in read_rows(path, CorrectionRow)} if path.exists() else {}
        counted = {
            review.problem_id: step_errors([review], truth)
            for attempt, review in zip(attempts, reviews, strict=True) if not attempt.verdict.right
        }  # fmt: skip
        ids = tuple(name for name, (_, _, n) in counted.items() if n)
        return Sample(ids, np.array([counted[name][STEP_METRICS.index(metric)] for name in ids], float))

    def _of_repeats(self, model: str, metric: str, outcomes: Outcomes) -> Floats | None:
        if metric == "repeats":
            return outcomes.shares
        if metric == "unsteady":
            n = outcomes.repeats
            return outcomes.shares * (1 - outcomes.shares) * n / (n - 1) if n > 1 else None
        panels = {panel.model: panel for panel in self.results.panels} if self.results else {}
        vote = panels[model].majority if model in panels else None
        return votes_of(outcomes, vote.votes, vote.seed) if vote else None


STEP_METRICS = ("locate", "correct")
REPEAT_METRICS = ("repeats", "unsteady", "vote")
GREEDY_METRICS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "t1": lambda t1, t2: t1,
    "t2": lambda t1, t2: t2,
    "delta": lambda t1, t2: t2 - t1,
    "repaired": lambda t1, t2: t2 * (1 - t1),
    "broken": lambda t1, t2: t1 * (1 - t2),
}
"""From right at t1 and right at t2, both [problems] of 0 and 1."""
TEACHER_METRICS: Mapping[str, Callable[[Piece], float | None]] = {
    "delivered": lambda piece: float(piece.made),
    "answer": lambda piece: float(piece.by_answer) if piece.made else None,
    "strict": lambda piece: float(piece.strict) if piece.made and piece.strict is not None else None,
    "rounds": lambda piece: float(piece.rounds) if piece.made else None,
}
STORE_METRICS: Mapping[str, Callable[[StoreRow], float]] = {
    "tokens": lambda row: float(row.tokens),
    "unanswered": lambda row: float(row.ungradable_t1),
}
CHAIN_METRICS = ("words", "tokens", "nats", "coherent", "consistent")
ENDS: Mapping[str, tuple[float, float] | None] = {
    "delta": (-1.0, 1.0), "unsteady": None, "rounds": None, "words": None, "tokens": None, "nats": None,
}  # fmt: skip
"""Between what the values of a metric lie, where that is not 0 and 1."""
UNPAIRED = STEP_METRICS
"""Metrics of cases that differ from model to model."""


class Archive:
    """All the runs of a reproduction: what each arm tells for each seed."""

    def __init__(self, runs: Path, seeds: Sequence[int], aliases: Mapping[str, str] | None = None) -> None:
        """`aliases` are the arms that are called otherwise in the tables."""
        self.runs, self.seeds, self.aliases = runs, tuple(seeds), aliases or {}
        self.faults: dict[str, str] = {}
        """Run directories that are done and cannot be read, with the reason; their figures are missing."""
        self._told: dict[str, Told | None] = {}
        self._rows: dict[Path, Sequence[Row]] = {}

    def name(self, arm: str, seed: int) -> str:
        """The run directory's name of an arm for a seed."""
        return job_name(self.aliases.get(arm, arm), seed)

    def told(self, arm: str, seed: int) -> Told | None:
        """A run that is done and can be read, else None."""
        name = self.name(arm, seed)
        if name not in self._told and (self.runs / name / RESULTS).exists():
            self._told[name] = self._read(name)
        return self._told.get(name)

    def _read(self, name: str) -> Told | None:
        told = Told(self.runs / name)
        try:
            return told if told.models else None
        except Failure as failure:
            self.faults[name] = str(failure)
            return None

    def samples(self, arm: str, model: str, metric: str) -> dict[int, Sample]:
        """By seed, of those that are done and have it."""
        found = {seed: self.sample(arm, seed, model, metric) for seed in self.seeds}
        return {seed: sample for seed, sample in found.items() if sample is not None and len(sample.ids)}

    def sample(self, arm: str, seed: int, model: str, metric: str) -> Sample | None:
        """One seed's values; None where they are not there."""
        if (self.runs / self.name(arm, seed) / STORE).exists():
            return self._of_store(arm, seed, model, metric)
        if metric in TEACHER_METRICS:
            return self._of_teacher(arm, seed, model, metric)
        if metric in CHAIN_METRICS:
            return self._of_chains(arm, seed, model, metric)
        told = self.told(arm, seed)
        return told.sample(model, metric) if told else None

    def _of_teacher(self, arm: str, seed: int, model: str, metric: str) -> Sample | None:
        """`model` is 'thoughts/inspected': kind of work and arm of the teacher."""
        kind, _, how = model.partition("/")
        rows = self._kept(self.runs / self.name(arm, seed) / TEACHER, TeacherPiece)
        pieces = [row.piece for row in rows if row.kind == kind and row.piece.arm == how]
        return _sample([(f"{row.problem_id}/{row.sample}", TEACHER_METRICS[metric](row)) for row in pieces])

    def _of_chains(self, arm: str, seed: int, model: str, metric: str) -> Sample | None:
        """`model` is the arm whose chains were read."""
        rows = self._kept(self.runs / self.name(arm, seed) / CHAINS, ChainRead)
        return _sample(
            [(row.problem_id, getattr(row, metric)) for row in rows if row.arm == self.aliases.get(model, model)]
        )

    def _of_store(self, arm: str, seed: int, model: str, metric: str) -> Sample | None:
        """`model` is 'supercorrect/hsft/on': arm, student, and whether the store is consulted."""
        source, _, student = model.partition("/")
        name = f"{self.aliases.get(source, source)}/{student}"
        kept = self._kept(self.runs / self.name(arm, seed) / STORE, StoreRow)
        rows = [row for row in kept if row.name == name]
        if metric in STORE_METRICS:
            return _sample([(row.problem_id, STORE_METRICS[metric](row)) for row in rows])
        if not rows or metric not in GREEDY_METRICS:
            return None
        t1, t2 = (np.array([getattr(row, right) for row in rows], float) for right in ("right_t1", "right_t2"))
        return Sample(tuple(row.problem_id for row in rows), GREEDY_METRICS[metric](t1, t2))

    def _kept(self, path: Path, kind: type[R]) -> list[R]:
        if path not in self._rows and path.exists():
            try:
                self._rows[path] = read_rows(path, kind)
            except Failure as failure:
                self._rows[path] = ()
                self.faults[path.parent.name] = str(failure)
        return [row for row in self._rows.get(path, ()) if isinstance(row, kind)]


def _sample(pairs: Sequence[tuple[str, float | None]]) -> Sample | None:
    known = [(name, value) for name, value in pairs if value is not None]
    if not known:
        return None
    return Sample(tuple(name for name, _ in known), np.array([value for _, value in known], float))
