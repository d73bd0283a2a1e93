"""The three problem sets of a run: for thoughts, for the error set and for evaluation; no question stands in two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import Failure
from redink.problems.folds import held_out
from redink.problems.published import PUBLISHED
from redink.problems.questions import question_key
from redink.problems.sets import refuse_overlap
from redink.problems.sources import load_problems
from redink.types import Problem, Quarantined


@dataclass(frozen=True)
class Sizes:
    """How many problems each set gets."""

    thoughts: int
    errors: int
    evaluation: int


@dataclass(frozen=True)
class ProblemSets:
    """Disjoint by normalised question and by id."""

    thoughts: list[Problem]
    errors: list[Problem]
    evaluation: list[Problem]


def draw_sets(
    sources: Sequence[str],
    evaluation_sources: Sequence[str],
    sizes: Sizes,
    *,
    held_out_only: bool = False,
    seed: int = 0,
    data_dir: Path | None = None,
    set_aside: list[Quarantined] | None = None,
) -> ProblemSets:
    """Draw the sets, each mixed evenly from its sources, the same for the same seed.

    Published sets give their train split to thoughts and errors and their test split to evaluation. With
    `held_out_only` the evaluation set holds only questions that the bundled student's pre-training never saw. Rows of
    the sources that cannot serve are added to `set_aside`, each once.
    Raises `Failure` if the sources have too few distinct questions or two sets would overlap.
    """
    taken: set[str] = set()
    tests = list(evaluation_sources or sources)
    held: list[Quarantined] = []
    evaluation = _mixed(tests, sizes.evaluation, "test", taken, seed, data_dir, held_out_only, held)
    thoughts = _mixed(sources, sizes.thoughts, "train", taken, seed, data_dir, False, held)
    errors = _mixed(sources, sizes.errors, "train", taken, seed, data_dir, False, held)
    if set_aside is not None:
        set_aside.extend({row.problem_id: row for row in held}.values())
    sets = ProblemSets(thoughts, errors, evaluation)
    refuse_overlap(thoughts=thoughts, errors=errors, evaluation=evaluation)
    return sets


def draw_evaluation(
    sources: Sequence[str],
    count: int,
    *,
    held_out_only: bool = False,
    seed: int = 0,
    data_dir: Path | None = None,
) -> list[Problem]:
    """The evaluation set alone, as `draw_sets` draws it: it comes first, so it does not depend on the other two."""
    return _mixed(sources, count, "test", set(), seed, data_dir, held_out_only, [])


def _mixed(
    sources: Sequence[str],
    count: int,
    split: str,
    taken: set[str],
    seed: int,
    data_dir: Path | None,
    fold: bool,
    held: list[Quarantined],
) -> list[Problem]:
    """`count` problems, in even parts from each source as far as it reaches, none of them in `taken` (which grows).

    What a source lacks of its part comes from the others. Raises `Failure` if all of them together have too few.
    """
    chosen: list[Problem] = []
    giving = list(sources)
    while giving and len(chosen) < count:
        each, more = divmod(count - len(chosen), len(giving))
        parts = [each + (index < more) for index in range(len(giving))]
        drawn = [
            _from_source(source, part, split, taken, seed, data_dir, fold, held)
            for source, part in zip(giving, parts, strict=True)
        ]
        chosen += [problem for found in drawn for problem in found]
        giving = [source for source, part, found in zip(giving, parts, drawn, strict=True) if len(found) == part]
    if len(chosen) < count:
        raise Failure(
            f"{', '.join(sources)} ({split}) has only {len(chosen)} distinct questions left of {count} asked for.",
            "Ask for fewer in [problems], or add a source.",
        )
    random.Random(seed).shuffle(chosen)
    return chosen


def _from_source(
    source: str,
    count: int,
    split: str,
    taken: set[str],
    seed: int,
    data_dir: Path | None,
    fold: bool,
    held: list[Quarantined],
) -> list[Problem]:
    """`count` problems of one source, or all it has left."""
    pool = _pool(source, count, split, taken, seed, data_dir, fold, held)
    chosen: list[Problem] = []
    for problem in pool:
        if len(chosen) == count:
            break
        key = question_key(problem.question)
        if key not in taken and (not fold or held_out(problem.question)):
            taken.add(key)
            chosen.append(problem)
    return chosen


def _pool(
    source: str,
    count: int,
    split: str,
    taken: set[str],
    seed: int,
    data_dir: Path | None,
    fold: bool,
    held: list[Quarantined],
) -> list[Problem]:
    """Enough candidates: all of a published split or a file, shuffled; a generous draw from a generator."""
    if source in PUBLISHED or source.endswith(".jsonl"):
        pool = load_problems(source, data_dir=data_dir, split=split, set_aside=held)
        random.Random(seed).shuffle(pool)
        return pool
    return load_problems(source, limit=(count * (6 if fold else 1)) + len(taken) + 50, seed=seed)
