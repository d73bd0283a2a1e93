"""Verdicts on claims, by hand-made samples of right and wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from redink.reproduction.claims import CLAIMS, Claim, Side, judged, verdict_of, zeros
from redink.reproduction.samples import Sample


def claim(metric: str = "t1", direction: str = "higher", alone: bool = False) -> Claim:
    side = Side(arm="a", model="m", metric=metric)
    return Claim(
        id="x", paper="p", where="table1", statement="s", first=None if alone else side, second=side,
        direction=direction,
    )  # fmt: skip


def sample(*values: float, start: int = 0) -> Sample:
    return Sample(tuple(f"p{start + place}" for place in range(len(values))), np.array(values, float))


def seeds(*rows: Sequence[float]) -> dict[int, Sample]:
    return {seed: sample(*row) for seed, row in enumerate(rows)}


WRONG, RIGHT = [0.0] * 10, [1.0] * 10
THREE = [[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]] * 3


def test_pairs_of_all_seeds_are_pooled() -> None:
    """Two of ten gained in each of three seeds, none lost: p = 2/2⁶, the effect 20 points."""
    found = judged(claim(), seeds(WRONG, WRONG, WRONG), seeds(*THREE))
    assert (found.verdict, found.higher, found.lower, found.seeds) == ("reproduced", 6, 0, (0, 1, 2))
    assert (found.test, found.p_value) == ("McNemar, exact", pytest.approx(1 / 32))
    assert (found.effect.value, found.effect.n, found.first.value) == (pytest.approx(0.2), 30, 0.0)
    assert found.p_over_seeds is not None and found.p_over_seeds < 0.05
    assert found.remark == ""


def test_the_other_direction_is_reversed_and_little_is_undecided() -> None:
    assert judged(claim(), seeds(*THREE), seeds(WRONG, WRONG, WRONG)).verdict == "reversed"
    assert judged(claim(direction="lower"), seeds(*THREE), seeds(WRONG, WRONG, WRONG)).verdict == "reproduced"
    few = judged(claim(), seeds(WRONG, WRONG), seeds(THREE[0], THREE[0]))
    assert (few.p_value, few.verdict) == (pytest.approx(1 / 8), "undecided at this scale")


def test_seeds_that_disagree_are_said() -> None:
    """All ten gained in one seed, none in two: pooled p is 2/2¹⁰, over seeds it is nothing."""
    found = judged(claim(), seeds(WRONG, WRONG, WRONG), seeds(RIGHT, WRONG, WRONG))
    assert found.p_value == pytest.approx(2 / 2**10)
    assert found.p_over_seeds is not None and found.p_over_seeds > 0.2
    assert found.verdict == "reproduced" and "differ too much" in found.remark
    assert "one seed" in judged(claim(), seeds(WRONG), seeds(RIGHT)).remark


def test_problems_are_paired_by_name_and_those_of_one_side_left_out() -> None:
    first, second = {0: sample(0, 0, 1)}, {0: Sample(("p2", "p1", "q"), np.array([0.0, 1.0, 1.0]))}
    found = judged(claim(), first, second)
    assert (found.effect.n, found.higher, found.lower) == (2, 1, 1)


def test_a_claim_against_nothing_is_about_zero() -> None:
    """Δ: six of thirty repaired, none broken."""
    delta = seeds(*THREE)
    found = judged(claim("delta", alone=True), {seed: zeros(each) for seed, each in delta.items()}, delta)
    assert (found.verdict, found.effect.value) == ("reproduced", pytest.approx(0.2))
    assert found.first.n == 0
    down = seeds(*[[-value for value in row] for row in THREE])
    opposite = {seed: zeros(each) for seed, each in down.items()}
    assert judged(claim("delta", "not higher", alone=True), opposite, down).verdict == "reproduced"
    assert judged(claim("delta", "not higher", alone=True), opposite, delta).verdict == "reversed"


def test_deltas_of_two_models_may_differ_by_two() -> None:
    found = judged(claim("delta"), seeds([-1.0] * 10), seeds(RIGHT))
    assert found.effect.value == 2.0 and found.test == "permutation of signs"


def test_figures_without_bounds_are_compared_as_they_are() -> None:
    """Variances of 0.25 against 0.05 in each of eight problems: 2/2⁸ of all signs, by 10,000 draws."""
    found = judged(claim("unsteady", "lower"), seeds([0.25] * 8), seeds([0.05] * 8))
    assert found.effect.value == pytest.approx(-0.2)
    assert found.p_value == pytest.approx(2 / 2**8, abs=0.004)
    assert found.verdict == "reproduced"


def test_shares_of_each_models_own_wrong_solutions_are_not_paired() -> None:
    """1 of 8 against 7 of 8 by Fisher: 2·(8·8 + 1)/C(16, 8) = 130/12870."""
    low, high = {0: sample(1, *[0] * 7)}, {0: sample(0, *[1] * 7, start=90)}
    found = judged(claim("locate"), low, high)
    assert (found.test, found.p_value) == ("Fisher, exact", pytest.approx(130 / 12870))
    assert (found.verdict, found.effect.value, found.higher) == ("reproduced", pytest.approx(0.75), 0)


@pytest.mark.parametrize("metric", ["t1", "locate"])
def test_what_no_seed_has_is_not_measured(metric: str) -> None:
    found = judged(claim(metric), {0: sample(1)}, {1: sample(1)})
    assert (found.verdict, found.p_value) == ("not measured", None)
    assert found.remark == "no seed has a with this figure"


@pytest.mark.parametrize(
    ("direction", "effect", "p", "verdict"),
    [
        ("higher", 0.1, 0.049, "reproduced"), ("higher", 0.1, 0.05, "undecided at this scale"),
        ("higher", -0.1, 0.01, "reversed"), ("lower", -0.1, 0.01, "reproduced"), ("lower", 0.1, 0.01, "reversed"),
        ("not higher", 0.1, 0.01, "reversed"), ("not higher", 0.1, 0.9, "undecided at this scale"),
        ("not higher", -0.1, 0.01, "reproduced"), ("higher", 0.0, 0.01, "undecided at this scale"),
    ],
)  # fmt: skip
def test_a_verdict(direction: str, effect: float, p: float, verdict: str) -> None:
    assert verdict_of(direction, effect, p) == verdict


def test_the_goals_of_the_project_are_all_claims() -> None:
    ids = {claim.id for claim in CLAIMS}
    assert ids >= {
        "hsft-over-sft", "sft-over-base", "cross-dpo-over-step-dpo", "cross-dpo-over-reflexion", "delta-of-cross-dpo",
        "delta-of-base", "delta-of-hsft", "steadier", "inspector-thoughts", "inspector-traces", "style-hierarchical",
        "orion-over-long-sft",
    }  # fmt: skip
