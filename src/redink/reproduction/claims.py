"""The papers' claims as rows, each judged by a test paired over (problem, seed): does its sign come about here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from redink.evaluation.across_seeds import (
    SeedMean,
    over_seeds,
    p_over_seeds,
    pooled_shares_test,
    pooled_test,
    seed_difference,
    seed_mean,
    unpaired,
)
from redink.evaluation.statistics import NOTHING, Estimate, Floats
from redink.reproduction.items import ARCHITECTURES, ITEMS, ORION, OURS, SUPERCORRECT, Line
from redink.reproduction.samples import ENDS, UNPAIRED, Archive, Sample
from redink.types import Row

LEVEL = 0.05
Verdict = Literal["reproduced", "reversed", "undecided at this scale", "not measured"]


class Side(Row):
    """A metric of a model of an arm."""

    arm: str = Field(description="The arm.")
    model: str = Field(description="The model.")
    metric: str = Field(description="See `reproduction/samples.py`.")


class Claim(Row):
    """What a paper says: `second` is higher than `first`, or lower; without `first`, than 0."""

    id: str = Field(description="Short and fixed.")
    paper: str = Field(description="Who claims it.")
    where: str = Field(description="The table or figure that carries it: a name of `ITEMS`.")
    statement: str = Field(description="In words.")
    first: Side | None = Field(description="What it is held against; None: 0.")
    second: Side = Field(description="What is said to be higher, or lower.")
    direction: Literal["higher", "lower", "not higher"] = Field(
        "higher", description="'not higher': than 0 or `first`."
    )

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it rests on."""
        return tuple(dict.fromkeys(side.arm for side in (self.first, self.second) if side))


class Found(Row):
    """A claim and what was found; differences are second − first."""

    claim: Claim = Field(description="What is claimed.")
    verdict: Verdict = Field(
        description="'reproduced': p < 0.05 in its direction; 'reversed': in the other; for 'not higher' also "
        "'reproduced' only where it is lower."
    )
    first: Estimate = Field(NOTHING, description="Mean over seeds, interval over problems and seeds.")
    second: Estimate = Field(NOTHING, description="The same of the second side.")
    effect: Estimate = Field(NOTHING, description="Their difference, paired, with the same interval.")
    higher: int = Field(0, description="(Problem, seed) pairs in which the second side is higher.")
    lower: int = Field(0, description="Pairs in which it is lower.")
    seeds: tuple[int, ...] = Field((), description="Seeds that both sides have.")
    test: str = Field("", description="On the pairs of all seeds.")
    p_value: float | None = Field(None, description="Of this test, two-sided.")
    p_over_seeds: float | None = Field(
        None, description="Two-sided, with what the seeds differ by beyond their problems in the error."
    )
    remark: str = Field("", description="What qualifies the verdict, or why there is none.")


def _side(arm: str, model: str, metric: str) -> Side:
    return Side(arm=arm, model=model, metric=metric)


def _of(line: Line) -> Side:
    return _side(line.arm, line.model, line.final)


def _named(name: str, label: str) -> Side:
    return _of(next(line for line in ITEMS[name].lines if line.label == label))


def _claim(
    name: str, paper: str, where: str, statement: str, first: Side | None, second: Side,
    direction: Literal["higher", "lower", "not higher"] = "higher",
) -> Claim:  # fmt: skip
    return Claim(
        id=name, paper=paper, where=where, statement=statement, first=first, second=second, direction=direction
    )


_T2 = {name: _side(arm, model, "t2") for name, arm, model in (
    ("Cross-DPO", "supercorrect", "cross_dpo"), ("Step-DPO", "step-dpo", "step_dpo"), ("DPO", "dpo", "dpo"),
    ("Reflexion", "reflexion", "reflexion"),
)}  # fmt: skip
_DELTA = {name: _side(arm, model, "delta") for name, arm, model in (
    ("base", "supercorrect", "base"), ("SFT", "sft", "sft"), ("HSFT", "supercorrect", "hsft"), ("DPO", "dpo", "dpo"),
    ("Step-DPO", "step-dpo", "step_dpo"), ("Reflexion", "reflexion", "reflexion"),
    ("Cross-DPO", "supercorrect", "cross_dpo"),
)}  # fmt: skip


def _metric(metric: str, model: str, arm: str = "supercorrect") -> Side:
    return _side(arm, model, metric)


def _architecture_claims() -> list[Claim]:
    found = []
    for name, arm in ARCHITECTURES.items():
        found.append(
            _claim(
                f"architecture-{name}-hsft",
                SUPERCORRECT,
                "table7",
                f"HSFT is better than the base ({name} architecture)",
                _side(arm, "base", "t1"),
                _side(arm, "hsft", "t1"),
            )
        )
        found.append(
            _claim(
                f"architecture-{name}-cross-dpo",
                SUPERCORRECT,
                "table7",
                f"Cross-DPO, after its review, is better than HSFT ({name} architecture)",
                _side(arm, "hsft", "t1"),
                _side(arm, "cross_dpo", "t2"),
            )
        )
        for metric, words in (("locate", "finds the first wrong step"), ("correct", "mends it")):
            found.append(
                _claim(
                    f"{metric}-{name}",
                    SUPERCORRECT,
                    "table6",
                    f"Cross-DPO {words} more often than HSFT ({name} architecture)",
                    _side(arm, "hsft", metric),
                    _side(arm, "cross_dpo", metric),
                )
            )
    return found  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    _claim("sft-over-base", SUPERCORRECT, "table2", "SFT is better than the base", _named("table2", "base"),
           _named("table2", "SFT")),
    _claim("hsft-over-sft", SUPERCORRECT, "table2", "HSFT is better than SFT", _named("table2", "SFT"),
           _named("table2", "HSFT")),
    _claim("hsft-over-base", SUPERCORRECT, "table2", "HSFT is better than the base", _named("table2", "base"),
           _named("table2", "HSFT")),
    _claim("cross-dpo-over-hsft", SUPERCORRECT, "table2", "Cross-DPO, after its review, is better than HSFT",
           _named("table2", "HSFT"), _named("table2", "HSFT + Cross-DPO")),
    _claim("cross-dpo-over-reflexion", SUPERCORRECT, "table2", "Cross-DPO is better than Reflexion at t2",
           _T2["Reflexion"], _T2["Cross-DPO"]),
    _claim("cross-dpo-over-step-dpo", SUPERCORRECT, "table1", "Cross-DPO is better than Step-DPO at t2",
           _T2["Step-DPO"], _T2["Cross-DPO"]),
    _claim("cross-dpo-over-dpo", SUPERCORRECT, "table1", "Cross-DPO is better than DPO at t2", _T2["DPO"],
           _T2["Cross-DPO"]),
    _claim("cross-dpo-over-votes", SUPERCORRECT, "table1",
           "Cross-DPO's review is better than a majority vote for the same tokens", _metric("vote", "cross_dpo"),
           _metric("t2", "cross_dpo")),
    _claim("delta-of-cross-dpo", SUPERCORRECT, "figure3", "A review improves answers after Cross-DPO: Δ > 0", None,
           _DELTA["Cross-DPO"]),
    *(
        _claim(f"delta-of-{name.lower()}", SUPERCORRECT, "figure3", f"Not of {name}: Δ ≤ 0", None, side, "not higher")
        for name, side in _DELTA.items() if name != "Cross-DPO"
    ),
    _claim("delta-over-hsft", SUPERCORRECT, "figure3", "Δ is higher after Cross-DPO than after HSFT", _DELTA["HSFT"],
           _DELTA["Cross-DPO"]),
    _claim("steadier", SUPERCORRECT, "figure5", "Variance over repeats is lower after Cross-DPO",
           _metric("unsteady", "hsft"), _metric("unsteady", "cross_dpo"), "lower"),
    _claim("mean-of-repeats", SUPERCORRECT, "figure5", "Mean accuracy over repeats is higher after Cross-DPO",
           _metric("repeats", "hsft"), _metric("repeats", "cross_dpo")),
    *_architecture_claims(),
    *(
        _claim(f"inspector-{kind}", SUPERCORRECT, "table5", f"The inspector raises the correctness of {kind}",
               _side("teacher", f"{kind}/checked", "strict"), _side("teacher", f"{kind}/inspected", "strict"))
        for kind in ("thoughts", "traces")
    ),
    *(
        _claim(f"style-{name}", SUPERCORRECT, "table8", words, _side(low, "hsft", "t1"), _side(high, "hsft", "t1"))
        for name, words, low, high in (
            ("hierarchical", "Hierarchical chains teach better than CoT", "style-cot", "style-cot-h"),
            ("generalized", "A generalized part adds to hierarchical chains", "style-cot-h", "style-cot-hg"),
            ("ours", "Our structure teaches better than CoT with the same parts", "style-cot-hg", "style-text"),
            ("xml", "XML tags add to it", "style-text", "supercorrect"),
            ("xml-over-cot", "Our XML thoughts teach better than CoT", "style-cot", "supercorrect"),
        )
    ),
    _claim("orion-over-long-sft", ORION, "orion", "ORION is better than SFT on the teacher's chains",
           _named("orion", "SFT on the teacher's long chains"), _named("orion", "ORION")),
    _claim("orion-over-sft", ORION, "orion", "ORION is better than SFT on gold solutions",
           _named("orion", "SFT on gold solutions"), _named("orion", "ORION")),
    _claim("orion-over-base", ORION, "orion", "ORION is better than the base", _named("orion", "base"),
           _named("orion", "ORION")),
    _claim("orion-exposure", ORION, "orion-ablation", "Error exposure adds to ORION",
           _named("orion-ablation", "ORION without error exposure"), _named("orion-ablation", "ORION")),
    _claim("orion-reflection", ORION, "orion-ablation", "Reflection adds to ORION",
           _named("orion-ablation", "ORION without reflection"), _named("orion-ablation", "ORION")),
    _claim("orion-coherent", ORION, "orion-quality", "ORION's chains are more coherent than the teacher's",
           _side("orion-chains", "long-sft", "coherent"), _side("orion-chains", "orion", "coherent")),
    _claim("orion-consistent", ORION, "orion-quality", "ORION's chains are more consistent than the teacher's",
           _side("orion-chains", "long-sft", "consistent"), _side("orion-chains", "orion", "consistent")),
    _claim("orion-likely", ORION, "orion-quality", "The student finds ORION's chains likelier than the teacher's",
           _side("orion-chains", "long-sft", "nats"), _side("orion-chains", "orion", "nats"), "lower"),
    _claim("second-round", OURS, "rounds", "A second round improves on the first at t2",
           _side("rounds", "cross_dpo", "t2"), _side("rounds", "cross_dpo_2", "t2")),
    *(
        _claim(f"second-round-{metric}", OURS, "rounds", f"A second round {does} more often than the first",
               _side("rounds", "cross_dpo", metric), _side("rounds", "cross_dpo_2", metric))
        for metric, does in (("locate", "finds the first wrong step"), ("correct", "mends it"))
    ),
    _claim("combined-over-supercorrect", OURS, "combined", "Both methods together are better than SuperCorrect at t2",
           _side("combined-supercorrect", "cross_dpo", "t2"), _side("combined", "cross_dpo", "t2")),
    _claim("combined-over-orion", OURS, "combined", "Both methods together are better than ORION",
           _side("combined", "orion", "t1"), _side("combined", "cross_dpo", "t2")),
    *(
        _claim(f"store-{model.replace('_', '-')}", OURS, "store", f"With the store of thoughts t2 is higher ({label})",
               _side("store", f"supercorrect/{model}/off", "t2"), _side("store", f"supercorrect/{model}/on", "t2"))
        for label, model in (("HSFT", "hsft"), ("Cross-DPO", "cross_dpo"))
    ),
)  # fmt: skip


def judge(claim: Claim, archive: Archive) -> Found:
    """What the runs say of a claim; 'not measured' where no seed has both sides."""
    second = archive.samples(**claim.second.model_dump())
    if claim.first is None:
        return judged(claim, {seed: zeros(sample) for seed, sample in second.items()}, second)
    return judged(claim, archive.samples(**claim.first.model_dump()), second)


def zeros(sample: Sample) -> Sample:
    """0 for each problem."""
    return Sample(sample.ids, np.zeros(len(sample.ids)))


def judged(claim: Claim, first: Mapping[int, Sample], second: Mapping[int, Sample]) -> Found:
    """What samples by seed say of a claim; problems are paired within a seed, by id."""
    seeds = tuple(seed for seed in first if seed in second)
    if claim.second.metric in UNPAIRED:
        return _judged_apart(claim, [first[seed] for seed in seeds], [second[seed] for seed in seeds], seeds)
    pairs = [_paired(first[seed], second[seed]) for seed in seeds]
    seeds = tuple(seed for seed, (one, _) in zip(seeds, pairs, strict=True) if len(one))
    pairs = [pair for pair in pairs if len(pair[0])]
    if not pairs:
        return _not_measured(claim)
    ends = ENDS.get(claim.second.metric, (0.0, 1.0))
    gaps = np.concatenate([two - one for one, two in pairs])
    test, p = pooled_test(gaps)
    means = [_difference(one, two, ends, claim.first is None) for one, two in pairs]
    return _settled(
        claim, seeds, test, p, means, ends,
        over_seeds([seed_mean(one, ends) for one, _ in pairs], ends) if claim.first else NOTHING,
        over_seeds([seed_mean(two, ends) for _, two in pairs], ends),
        (int((gaps > 0).sum()), int((gaps < 0).sum())),
    )  # fmt: skip


def _difference(one: Floats, two: Floats, ends: tuple[float, float] | None, alone: bool) -> SeedMean:
    if alone:
        return seed_mean(two, ends)
    return seed_mean(two - one, None) if ends != (0.0, 1.0) else seed_difference(one, two)


def _paired(first: Sample, second: Sample) -> tuple[Floats, Floats]:
    known = set(second.ids)
    shared = [name for name in first.ids if name in known]
    return first.of(shared).values, second.of(shared).values


def _judged_apart(claim: Claim, first: Sequence[Sample], second: Sequence[Sample], seeds: tuple[int, ...]) -> Found:
    """Shares that rest on different cases: those that each model got wrong."""
    if not seeds:
        return _not_measured(claim)
    one, two = (np.concatenate([sample.values for sample in side]) for side in (first, second))
    test, p = pooled_shares_test(one, two)
    before, after = ([seed_mean(sample.values) for sample in side] for side in (first, second))
    means = [unpaired(*pair) for pair in zip(before, after, strict=True)]
    return _settled(claim, seeds, test, p, means, (0.0, 1.0), over_seeds(before), over_seeds(after), (0, 0))


def _settled(
    claim: Claim, seeds: tuple[int, ...], test: str, p: float, means: Sequence[SeedMean],
    ends: tuple[float, float] | None, first: Estimate, second: Estimate, counts: tuple[int, int],
) -> Found:  # fmt: skip
    beyond = p_over_seeds(means)
    effect = over_seeds(means, None if ends is None else (-1.0, 1.0) if claim.first is None or ends[0] == 0 else None)
    verdict = verdict_of(claim.direction, effect.value or 0.0, p)
    return Found(
        claim=claim, verdict=verdict, first=first, second=second, effect=effect, higher=counts[0], lower=counts[1],
        seeds=seeds, test=test, p_value=p, p_over_seeds=beyond, remark=_remark(verdict, beyond, len(seeds)),
    )  # fmt: skip


def verdict_of(direction: str, effect: float, p: float) -> Verdict:
    """What a two-sided test at 0.05 says of a direction.

    >>> verdict_of("higher", 0.04, 0.01), verdict_of("higher", -0.04, 0.01), verdict_of("not higher", 0.04, 0.3)
    ('reproduced', 'reversed', 'undecided at this scale')
    """
    if p >= LEVEL or effect == 0:
        return "undecided at this scale"
    return "reproduced" if (effect > 0) == (direction == "higher") else "reversed"


def _remark(verdict: Verdict, beyond: float, seeds: int) -> str:
    if verdict == "undecided at this scale":
        return ""
    if seeds == 1:
        return "of one seed's students alone"
    return "" if beyond < LEVEL else "of these seeds' students; they differ too much to say it of others"


def _not_measured(claim: Claim) -> Found:
    return Found(claim=claim, verdict="not measured", remark=f"no seed has {' and '.join(claim.arms)} with this figure")
