"""Did it get better, and is that more than chance: the same problems before and after, model by model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from redink.evaluation.statistics import Estimate, mcnemar, paired_difference
from redink.report.cases import bits
from redink.report.catalogue import Line
from redink.types import Row

Look = Literal["t1", "t2"]
CHANCE = 0.05
TRAINED_ON = ("errors", "thoughts")
_RIGHT: dict[Look, int] = {"t1": bits(["right"]), "t2": bits(["kept", "repaired"])}
_SEEN: dict[Look, int] = {"t1": bits(["right", "wrong"]), "t2": bits(["kept", "repaired", "broken", "unmended"])}


class Change(Row):
    """Two models on the problems that both have solved."""

    before: str = Field(description="The model that comes first.")
    after: str = Field(description="The model it is compared with.")
    look: Look = Field(description="t1: the first solution; t2: after the student's own review.")
    shared: int = Field(description="Problems that both have.")
    gained: int = Field(description="Wrong before, right after.")
    lost: int = Field(description="Right before, wrong after.")
    difference: Estimate = Field(description="Accuracy after less accuracy before.")
    p: float = Field(description="McNemar's exact test: how often chance alone would part so many so unevenly.")

    @property
    def verdict(self) -> Literal["better", "worse", "not told from chance"]:
        """What the test says at 5 %."""
        if self.p >= CHANCE:
            return "not told from chance"
        return "better" if self.gained > self.lost else "worse"


def answers(lines: Iterable[Line], model: str, look: Look) -> dict[str, bool]:
    """Whether a model is right on held-out problems, by problem: its first solution of each."""
    found: dict[str, bool] = {}
    for line in lines:
        for work in line.works if line.set not in TRAINED_ON else ():
            if work.model == model and work.outcomes & _SEEN[look]:
                found.setdefault(line.id, bool(work.outcomes & _RIGHT[look]))
    return found


def change(lines: Sequence[Line], before: str, after: str, look: Look) -> Change | None:
    """The paired change between two models; None where they share no problem."""
    first, second = answers(lines, before, look), answers(lines, after, look)
    shared = first.keys() & second.keys()
    if not shared:
        return None
    gained = sum(second[name] and not first[name] for name in shared)
    lost = sum(first[name] and not second[name] for name in shared)
    return Change(
        before=before, after=after, look=look, shared=len(shared), gained=gained, lost=lost,
        difference=paired_difference(gained, lost, len(shared)), p=mcnemar(gained, lost),
    )  # fmt: skip


def chance(p: float) -> str:
    r"""A p-value for people, never broken over lines.

    >>> chance(0.0004), chance(0.034), chance(0.7)
    ('p\xa0<\xa00.001', 'p\xa0=\xa00.034', 'p\xa0=\xa00.70')
    """
    words = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    return words.replace(" ", "\xa0")
