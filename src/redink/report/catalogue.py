"""The catalogue of a run: what filters and search need of every problem, in arrays; answers within milliseconds."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from redink.progress import Advance, quiet
from redink.report.archive import Archive
from redink.report.cases import OUTCOMES, Case, Filed, bits, filed, texts
from redink.types import Row

Mask = npt.NDArray[np.bool_]
PAGE = 50
WORDS_KEPT = 64
_BETWEEN = b"\n"


class Query(Row):
    """What is looked for; an empty field is no condition. A work must meet model, outcome and step together."""

    words: str = Field("", description="Each word must stand somewhere in the case, whatever its case.")
    set: str = Field("", description="thoughts, errors or evaluation.")
    subject: str = Field("", description="The problem's subject.")
    model: str = Field("", description="The student.")
    outcome: str = Field("", description="A name of OUTCOMES.")
    step: int = Field(0, ge=0, description="The first wrong step, as the teacher marked it.")
    offset: int = Field(0, ge=0, description="How many of those found to skip.")
    limit: int = Field(PAGE, ge=0, le=1000, description="At most so many.")


class Line(Row):
    """One line of what was found."""

    id: str = Field(description="The problem.")
    set: str = Field(description="Its set.")
    subject: str = Field(description="Its subject.")
    question: str = Field(description="The beginning of its question.")
    works: tuple[Filed, ...] = Field(description="How its works are filed.")


class Found(Row):
    """The answer to a query."""

    total: int = Field(description="Problems that were found.")
    offset: int = Field(description="Where `lines` begin among them.")
    lines: tuple[Line, ...] = Field(description="Those asked for, in the order of the sets.")


class Catalogue:
    """What filters and search need, of every problem of an archive."""

    def __init__(self, archive: Archive, advance: Advance = quiet) -> None:
        """Read every case once; memory grows by the text that is searched and a few numbers."""
        lines, found = list[Line](), list[bytes]()
        for case in archive.cases(list(archive.folders)):
            lines.append(_line(case))
            found.append("\n".join(texts(case)).lower().encode("utf-8", "replace"))
            advance()
        self.lines: list[Line] = lines
        self._works = _Works(lines)
        self._text = _BETWEEN.join(found)
        self._starts = list(accumulate((len(text) + 1 for text in found), initial=0))
        self._held: dict[bytes, Mask] = {}
        self._sets = np.array([line.set for line in lines])
        self._subjects = np.array([line.subject for line in lines])
        self.places = {line.id: place for place, line in enumerate(lines)}

    def find(self, query: Query) -> Found:
        """The problems that meet a query, those of its page as lines."""
        chosen = np.flatnonzero(self._meeting(query))
        page = chosen[query.offset : query.offset + query.limit]
        return Found(total=len(chosen), offset=query.offset, lines=tuple(self.lines[place] for place in page))

    def _meeting(self, query: Query) -> Mask:
        met = np.ones(len(self.lines), bool)
        if query.set:
            met &= self._sets == query.set
        if query.subject:
            met &= self._subjects == query.subject
        if query.model or query.outcome or query.step:
            met &= self._works.meeting(query)
        for word in sorted(query.words.lower().encode("utf-8", "replace").split(), key=len, reverse=True):
            if met.any():
                met &= self._holding(word)
        return met

    def _holding(self, word: bytes) -> Mask:
        """The problems in whose text a word stands; the last words asked for are kept, as a query is typed."""
        if word not in self._held:
            while len(self._held) >= WORDS_KEPT:
                del self._held[next(iter(self._held))]
            self._held[word] = self._looked_up(word)
        return self._held[word]

    def _looked_up(self, word: bytes) -> Mask:
        held, place, at = np.zeros(len(self.lines), bool), 0, self._text.find(word)
        while at >= 0:
            place = bisect_right(self._starts, at, lo=place) - 1
            held[place] = True
            at = self._text.find(word, self._starts[place + 1])
        return held

    def facets(self) -> dict[str, Any]:
        """What there is to choose from, with how many problems each choice has."""
        models = dict.fromkeys(work.model for line in self.lines for work in line.works)
        return {
            "sets": dict(Counter(line.set for line in self.lines)),
            "subjects": dict(sorted(Counter(line.subject for line in self.lines if line.subject).items())),
            "models": [model for model in models if model],
            "outcomes": {name: label for name, label in OUTCOMES.items() if self._works.any(bits([name]))},
            "steps": self._works.steps(),
        }


class _Works:
    """All works in columns, and which problem each is about."""

    def __init__(self, lines: list[Line]) -> None:
        self.problems = len(lines)
        owners = [place for place, line in enumerate(lines) for _ in line.works]
        works = [work for line in lines for work in line.works]
        self._owners = np.array(owners, np.int64)
        self._models = np.array([work.model for work in works], np.str_)
        self._outcomes = np.array([work.outcomes for work in works], np.int64)
        self._steps = np.array([work.step for work in works], np.int64)

    def meeting(self, query: Query) -> Mask:
        """The problems with a work of this model, outcome and step."""
        met = np.ones(len(self._owners), bool)
        if query.model:
            met &= self._models == query.model
        if query.outcome:
            met &= (self._outcomes & (bits([query.outcome]) if query.outcome in OUTCOMES else 0)) != 0
        if query.step:
            met &= self._steps == query.step
        problems = np.zeros(self.problems, bool)
        problems[self._owners[met]] = True
        return problems

    def any(self, wanted: int) -> bool:
        """Whether some work has this outcome."""
        return bool((self._outcomes & wanted).any())

    def steps(self) -> list[int]:
        """The first wrong steps that there are."""
        return sorted(set(self._steps.tolist()) - {0})


def _line(case: Case) -> Line:
    problem = case.problem
    return Line(
        id=problem.id, set=case.set, subject=problem.subject, question=problem.question[:200],
        works=tuple(filed(work) for work in case.works),
    )  # fmt: skip
