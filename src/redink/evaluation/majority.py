"""maj@k: how often the most frequent of k answers is the right one, ties and the choice of the k averaged over."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt

from redink.evaluation.grouping import RIGHT, Groups

SUBSETS = 1_000
"""Subsets of the repeats over which maj@k is averaged: every one if there are no more of them, else so many, seeded."""
Floats = npt.NDArray[np.float64]


def exact(repeats: int, k: int) -> bool:
    """Whether maj@k of so many repeats is averaged over every subset."""
    return math.comb(repeats, k) <= SUBSETS


def majority_at(group: Groups, k: int, seed: int) -> Floats:
    """maj@k of each problem, [problems], from the groups of its answers [problems, repeats].

    The chance that a vote of k of the repeats elects the right answer: a group's votes are its answers, no answer is no
    vote, and groups that tie for the most votes are elected with equal chance, so a right one among t of them
    counts 1/t. Raises `ValueError` unless 1 ≤ k ≤ repeats.
    """
    repeats = group.shape[1]
    if not 1 <= k <= repeats:
        raise ValueError(f"maj@{k} of {repeats} repeats")
    chosen = subsets(repeats, k, seed)
    return np.array([_elected(answers, chosen) for answers in group])


def subsets(repeats: int, k: int, seed: int) -> npt.NDArray[np.float32]:
    """Which repeats vote, [subsets, repeats] of 0 and 1: every k-subset if `exact`, else `SUBSETS` drawn ones."""
    if exact(repeats, k):
        places = np.array(list(combinations(range(repeats), k)))
    else:
        places = np.random.default_rng((seed, repeats, k)).random((SUBSETS, repeats)).argsort(axis=1)[:, :k]
    votes = np.zeros((len(places), repeats), np.float32)
    np.put_along_axis(votes, places, 1, axis=1)
    return votes


def _elected(answers: Groups, chosen: npt.NDArray[np.float32]) -> float:
    """Share of the subsets in which the right answer of one problem is elected."""
    found = np.unique(answers[answers > RIGHT])
    right = answers == RIGHT
    if not right.any():
        return 0.0
    votes = chosen @ right
    if not len(found):
        return float((votes > 0).mean())
    others = chosen @ (answers[:, None] == found).astype(np.float32)
    most = others.max(axis=1)
    ties = (others == votes[:, None]).sum(axis=1)
    won = np.where(votes > most, 1.0, np.where((votes == most) & (votes > 0), 1 / (1 + ties), 0.0))
    return float(won.mean())
