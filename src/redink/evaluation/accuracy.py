"""Accuracy by problem, subject and level (SuperCorrect figure 4), pass@k and maj@k, from the outcomes of attempts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from redink.evaluation.majority import SUBSETS, exact, majority_at
from redink.evaluation.outcomes import Answered, Bools, Outcomes
from redink.evaluation.statistics import (
    Estimate,
    Floats,
    macro,
    pass_at_k,
    problem_bootstrap,
    proportion,
)
from redink.types import Row

NOT_STATED = "not stated"


class Rates(Row):
    """What stands beside an accuracy; each is a share of all attempts, and counts as not right."""

    ungradable: Estimate = Field(description="The checker could not say; no answer is ungradable too.")
    no_answer: Estimate = Field(description="No answer could be read out of the reply (unparsed).")
    truncated: Estimate = Field(description="Cut by the token limit.")


class Accuracy(Row):
    """The accuracy of one model; with several attempts per problem the intervals are over problems."""

    model: str = Field(description="The model's name.")
    problems: int = Field(description="How many problems.")
    repeats: int = Field(description="Attempts at each problem.")
    micro: Estimate = Field(description="Share of all attempts that is right (pass@1): every problem counts once.")
    macro: Estimate = Field(description="Mean of the subjects' accuracies: every subject counts once.")
    by_subject: dict[str, Estimate] = Field(description="Per subject, in alphabetical order.")
    by_level: dict[str, Estimate] = Field(description="Per level, in order; empty where no problem states one.")
    rates: Rates = Field(description="Shares of ungradable, unparsed and truncated attempts.")
    seed: int = Field(0, description="Seed of the bootstraps.")


def accuracy(outcomes: Outcomes, seed: int = 0) -> Accuracy:
    """Micro and macro accuracy, per subject and level, and the rates beside them.

    Wilson's interval for one attempt per problem, else a bootstrap over problems.
    """
    by_subject = estimates_by(outcomes.subjects, outcomes.right, seed)
    return Accuracy(
        model=outcomes.model,
        problems=outcomes.problems,
        repeats=outcomes.repeats,
        micro=share_of(outcomes.right, seed),
        macro=macro(by_subject.values()),
        by_subject=by_subject,
        by_level=by_level(outcomes.levels, outcomes.right, seed),
        rates=Rates(
            ungradable=share_of(outcomes.ungradable, seed),
            no_answer=share_of(outcomes.no_answer, seed),
            truncated=share_of(outcomes.truncated, seed),
        ),
        seed=seed,
    )


def share_of(hits: Bools, seed: int) -> Estimate:
    """Share of true cells in [problems, repeats]; `n` counts problems, over which the interval is.

    Wilson's for one repeat, else `problem_bootstrap`.
    """
    if hits.shape[1] == 1:
        return proportion(int(hits.sum()), len(hits))
    return problem_bootstrap(hits.mean(axis=1), seed)


def estimates_by(labels: Sequence[str], hits: Bools, seed: int) -> dict[str, Estimate]:
    """The share of each label's problems, labels in their natural order; `hits` is [problems, repeats]."""
    return {label: share_of(hits[places], seed) for label, places in places_by(labels).items()}


def by_level(levels: Sequence[str | None], hits: Bools, seed: int) -> dict[str, Estimate]:
    """The share of each level's problems; empty where no problem states one."""
    return estimates_by(named_levels(levels), hits, seed)


def named_levels(levels: Sequence[str | None]) -> list[str]:
    """The levels, 'not stated' where there is none; empty where no problem states one."""
    return [level or NOT_STATED for level in levels] if any(levels) else []


def places_by(labels: Iterable[str]) -> dict[str, list[int]]:
    """Where each label stands, labels in their natural order: level 2 before level 10."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return {label: places[label] for label in sorted(places, key=_natural)}


def _natural(label: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]


def rates_of(rows: Sequence[Answered]) -> Rates:
    """The rates of one attempt or review per problem, with Wilson's intervals."""
    n = len(rows)
    return Rates(
        ungradable=proportion(sum(row.verdict.outcome == "ungradable" for row in rows), n),
        no_answer=proportion(sum(row.answer is None for row in rows), n),
        truncated=proportion(sum(row.truncated for row in rows), n),
    )


class AtK(Row):
    """pass@k and maj@k of one model from its repeats; intervals are bootstraps over problems."""

    problems: int = Field(description="How many problems.")
    repeats: int = Field(description="Attempts at each problem.")
    pass_at: dict[int, Estimate] = Field(description="Per k: at least one of k attempts is right (unbiased).")
    majority_at: dict[int, Estimate] = Field(description="Per k: a vote of k attempts elects the right answer.")
    subsets: dict[int, int] = Field(description="Per k: subsets of the repeats over which maj@k is averaged.")
    every_subset: dict[int, bool] = Field(description="Per k: these are all subsets there are; else drawn, seeded.")
    seed: int = Field(description="Seed of the drawn subsets and of the bootstrap.")


def at_k(outcomes: Outcomes, ks: Sequence[int] = (), seed: int = 0) -> AtK:
    """pass@k and maj@k for those k that the repeats allow; by default 1, 2, 4, … and the number of repeats."""
    repeats = outcomes.repeats
    wanted = sorted({k for k in ks or default_ks(repeats) if 1 <= k <= repeats})
    right = outcomes.right.sum(axis=1)
    return AtK(
        problems=outcomes.problems,
        repeats=repeats,
        pass_at={k: problem_bootstrap(_pass_at(repeats, k)[right], seed) for k in wanted},
        majority_at={k: problem_bootstrap(majority_at(outcomes.group, k, seed), seed) for k in wanted},
        subsets={k: min(SUBSETS, math.comb(repeats, k)) for k in wanted},
        every_subset={k: exact(repeats, k) for k in wanted},
        seed=seed,
    )


def default_ks(repeats: int) -> list[int]:
    """The powers of two up to the number of repeats, and that number.

    >>> default_ks(12)
    [1, 2, 4, 8, 12]
    """
    return sorted({*(2**power for power in range(repeats.bit_length())), repeats})


def _pass_at(repeats: int, k: int) -> Floats:
    """pass@k for 0, 1, … `repeats` right attempts."""
    return np.array([pass_at_k(repeats, right, k) for right in range(repeats + 1)])
