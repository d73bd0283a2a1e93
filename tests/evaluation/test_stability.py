"""Stability over repeats, worked out by hand and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from made import outcomes

from redink.evaluation.stability import Stability, histogram_of_counts, histogram_of_shares, stability
from redink.evaluation.statistics import problem_bootstrap, proportion


def test_four_problems_by_hand() -> None:
    """Right per repeat: 3, 2, 2, 1 of 4; mean ½; variance over 3: (1/16 + 0 + 0 + 1/16)/3 = 1/24.

    Per problem 4, 3, 0, 1 of 4: p(1−p)·4/3 = 0, 3/16·4/3 = ¼, 0, ¼; mean 1/8; over 4 problems 1/32.
    """
    found = stability(outcomes("RRRR", "RRRa", "aaaa", "R-ab"))
    per_repeat = [3, 2, 2, 1]
    assert found.mean.value == pytest.approx(sum(per_repeat) / 16)
    assert found.variance == pytest.approx(1 / 24)
    assert found.problem_variance == pytest.approx(1 / 8)
    assert found.independent_variance == pytest.approx(1 / 32)
    assert (found.lowest, found.highest) == (1 / 4, 3 / 4)
    assert (found.always, found.never) == (proportion(1, 4), proportion(1, 4))
    assert (found.by_repeat.edges, found.by_repeat.counts) == ((1, 2, 3, 4), (1, 2, 1))
    assert sum(found.by_problem.counts) == 4
    assert (found.by_problem.counts[0], found.by_problem.counts[5], found.by_problem.counts[15]) == (1, 1, 1)
    assert found.by_problem.counts[-1] == 1
    assert found.mean == problem_bootstrap([1, 0.75, 0, 0.25], 0)


def test_independent_attempts_vary_as_expected() -> None:
    """400 problems of known chances × 300 repeats: the variance over repeats is Σp(1−p)/n², within 25 %."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.7, 0.7, 400)
    words = ["".join("Ra"[int(u >= p)] for u in rng.random(300)) for p in chances]
    found = stability(outcomes(*words))
    expected = (chances * (1 - chances)).sum() / 400**2
    assert found.independent_variance == pytest.approx(expected, rel=0.02)
    assert found.variance == pytest.approx(expected, rel=0.25)


def test_one_repeat_has_no_variance() -> None:
    found = stability(outcomes("R", "a"))
    assert (found.variance, found.problem_variance, found.independent_variance) == (None, None, None)
    assert Stability.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("counts", "bins", "edges", "expected"),
    [
        ([5, 5, 5], 20, (5, 6), (3,)),
        ([0, 1, 2, 9], 5, (0, 2, 4, 6, 8, 10), (2, 1, 0, 0, 1)),
        (
            [100, 140],
            20,
            (100, 103, 106, 109, 112, 115, 118, 121, 124, 127, 130, 133, 136, 139, 142),
            (1, *[0] * 12, 1),
        ),
    ],
)
def test_counts_in_bins_of_whole_width(
    counts: list[int], bins: int, edges: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = histogram_of_counts(np.array(counts), bins)
    assert (found.edges, found.counts) == (edges, expected)


def test_shares_at_an_edge_belong_above_it_and_1_to_the_last_bin() -> None:
    """Of 20: 0, 3 (.15), 6 (.30: inexact as a float), 19, 20 in twenty bins."""
    found = histogram_of_shares(np.array([0, 3, 6, 19, 20]), 20)
    assert [place for place, count in enumerate(found.counts) for _ in range(count)] == [0, 3, 6, 19, 19]
    assert found.edges[0] == 0 and found.edges[-1] == 1 and len(found.edges) == 21
