"""What came of every attempt, as numbers: all that the figures over repeats need, 14 bytes an attempt.

tally = Tally("hsft", problems)
for repeat in range(256):
    tally.add(repeat, attempts[repeat])          # rows of any length, let go of at once
outcomes = tally.outcomes()                       # or: read_tally("hsft", problems, paths).outcomes()
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from redink.answers.checkers import MATH, Checker
from redink.evaluation.grouping import NO_ANSWER, RIGHT, Answers, Groups, join_same, told_by_value
from redink.failures import BadInput, Failure
from redink.progress import Advance, quiet
from redink.rows import as_row, read_json_lines
from redink.types import Attempt, Problem, Quarantined, Rejected, Verdict

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
MISSING = -2
_REPEAT = re.compile(r"r(\d+)")


class Answered(Protocol):
    """What counts of an attempt or a review."""

    @property
    def problem_id(self) -> str:
        """The `Problem.id`."""

    @property
    def sample(self) -> int:
        """Which of the samples of the problem."""

    @property
    def answer(self) -> str | None:
        """The answer, if one was extracted."""

    @property
    def verdict(self) -> Verdict:
        """The checker's verdict on it."""

    @property
    def truncated(self) -> bool:
        """Cut by the token limit."""

    @property
    def tokens(self) -> int:
        """Its length; 0 where it is not known."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcomes of every attempt of one model; arrays are [problems, repeats], aligned with `problem_ids`."""

    model: str
    problem_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    levels: tuple[str | None, ...]
    ungradable: Bools
    """The verdict is 'ungradable', which is what an attempt without an answer is too."""
    no_answer: Bools
    """No answer could be extracted."""
    truncated: Bools
    """Cut by the token limit."""
    group: Groups
    """Answers of one problem that are the same share a number: −1 no answer, 0 right, from 1 the others."""
    tokens: Ints
    """Length in the student's tokens; 0 where it is not known."""

    @property
    def right(self) -> Bools:
        """The verdict is 'right'."""
        found: Bools = self.group == RIGHT
        return found

    @property
    def problems(self) -> int:
        """How many problems."""
        return len(self.problem_ids)

    @property
    def repeats(self) -> int:
        """How many attempts at each."""
        return int(self.group.shape[1])

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """The share of right attempts of each problem, [problems]."""
        found: npt.NDArray[np.float64] = self.right.mean(axis=1)
        return found

    def of(self, places: Sequence[int]) -> Outcomes:
        """Those of some problems only, by their place."""
        return replace(
            self._cut(list(places)),
            problem_ids=tuple(self.problem_ids[place] for place in places),
            subjects=tuple(self.subjects[place] for place in places),
            levels=tuple(self.levels[place] for place in places),
        )

    def repeated(self, which: slice) -> Outcomes:
        """Those of some repeats only, e.g. `slice(0, 16)`."""
        return self._cut((slice(None), which))

    def _cut(self, cells: list[int] | tuple[slice, slice]) -> Outcomes:
        return replace(
            self,
            ungradable=self.ungradable[cells],
            no_answer=self.no_answer[cells],
            truncated=self.truncated[cells],
            group=self.group[cells],
            tokens=self.tokens[cells],
        )


class _Repeat(NamedTuple):
    """One column: [problems] each."""

    group: Groups
    ungradable: Bools
    no_answer: Bools
    truncated: Bools
    tokens: Ints


class Tally:
    """Takes rows as they stream and keeps their outcomes only; the order of rows and repeats is free."""

    def __init__(self, model: str, problems: Sequence[Problem], checker: Checker = MATH) -> None:
        """For attempts of one model at these problems; `checker` says which answers are the same.

        Raises `Failure` if two problems have the same id.
        """
        self.model, self.problems, self.checker = model, problems, checker
        self._places = {problem.id: place for place, problem in enumerate(problems)}
        if len(self._places) != len(problems):
            raise Failure("Two problems have the same id.", "Give each problem an id of its own.")
        self._answers = [Answers() for _ in problems]
        self._repeats: dict[int, _Repeat] = {}
        self._by_value = told_by_value(checker)

    def add(self, repeat: int | None, rows: Iterable[Answered]) -> None:
        """Take rows of one repeat, or with None rows whose `sample` is their repeat.

        Raises `Failure` for a row of an unknown problem, and for a second row of a problem in one repeat.
        """
        for row in rows:
            place = self._places.get(row.problem_id)
            if place is None:
                raise Failure(
                    f"{self.model}: there is an attempt at {row.problem_id!r}, which is not among the problems.",
                    "Evaluate with the problems that the attempts were made for.",
                )
            self._put(self._column(row.sample if repeat is None else repeat), place, row)

    def _column(self, repeat: int) -> _Repeat:
        if repeat not in self._repeats:
            n = len(self.problems)
            self._repeats[repeat] = _Repeat(
                group=np.full(n, MISSING, np.int32),
                ungradable=np.zeros(n, bool),
                no_answer=np.zeros(n, bool),
                truncated=np.zeros(n, bool),
                tokens=np.zeros(n, np.int32),
            )
        return self._repeats[repeat]

    def _put(self, column: _Repeat, place: int, row: Answered) -> None:
        if column.group[place] != MISSING:
            raise Failure(
                f"{self.model}: there are two attempts at {row.problem_id!r} in one repeat.",
                "Give each file of attempts once.",
            )
        if row.verdict.outcome == "right":
            column.group[place] = RIGHT
        elif row.answer is None:
            column.group[place] = NO_ANSWER
        else:
            column.group[place] = self._answers[place].group(row.answer, self._by_value)
        column.ungradable[place] = row.verdict.outcome == "ungradable"
        column.no_answer[place] = row.answer is None
        column.truncated[place] = row.truncated
        column.tokens[place] = row.tokens

    def outcomes(self, advance: Advance = quiet) -> Outcomes:
        """The outcomes so far, repeats in the order of their numbers; answers that are the same joined (`join_same`).

        Raises `Failure` if there are none, or a repeat lacks problems; `advance` counts compared answers.
        """
        columns = [self._repeats[repeat] for repeat in sorted(self._repeats)]
        if not columns or not self.problems:
            raise Failure(f"{self.model}: there are no attempts to count.", "Sample some first.")
        group, ungradable, no_answer, truncated, tokens = (
            np.stack(part, axis=1) for part in zip(*columns, strict=True)
        )
        if missing := int((group == MISSING).sum()):
            raise Failure(
                f"{self.model}: {missing} of {group.size} attempts are missing.",
                "Type the same command again: it goes on.",
            )
        return Outcomes(
            model=self.model,
            problem_ids=tuple(self._places),
            subjects=tuple(problem.subject for problem in self.problems),
            levels=tuple(problem.level for problem in self.problems),
            ungradable=ungradable,
            no_answer=no_answer,
            truncated=truncated,
            group=join_same(self.problems, self._answers, group, self.checker, advance),
            tokens=tokens,
        )


class _ReadRow(BaseModel):
    """An attempt without its texts; a row that could not be made has no answer and no verdict of its own."""

    model_config = ConfigDict(strict=True)

    problem_id: str
    sample: int = 0
    answer: str | None = None
    verdict: Verdict
    truncated: bool = False
    tokens: int = Field(0, ge=0)


_NOT_MADE = {kind.__name__ for kind in (Quarantined, Rejected)}


def read_tally(
    model: str, problems: Sequence[Problem], paths: Iterable[Path], checker: Checker = MATH, advance: Advance = quiet
) -> Tally:
    """A tally of files of attempts, one file in memory at a time; `advance` counts rows.

    A file in a folder named r and a number holds rows of that repeat; elsewhere the repeat is a row's `sample`. Lines
    are attempts, or `{"kind": …, "row": …}`; a quarantined or rejected row is an attempt without an answer,
    ungradable. Raises `BadInput`, naming file and line, for a row that is none of these.
    """
    tally = Tally(model, problems, checker)
    for path in paths:
        named = _REPEAT.fullmatch(path.parent.name)
        rows = list(_read(path))
        try:
            tally.add(int(named[1]) if named else None, rows)
        except Failure as failure:
            raise BadInput(path, failure.what, failure.remedy) from None
        advance(len(rows))
    return tally


def _read(path: Path) -> Iterator[Answered]:
    for number, value in read_json_lines(path):
        row = value.get("row", value)
        if value.get("kind") in _NOT_MADE and isinstance(row, dict):
            row = {**row, "answer": None, "verdict": {"outcome": "ungradable"}}
        try:
            yield _ReadRow.model_validate(row)
        except ValueError:
            as_row(path, number, row, Attempt)
            raise BadInput(path, "is no attempt.", "An Attempt is expected.", line=number) from None
