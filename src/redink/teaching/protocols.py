"""What a teacher and an inspector do, whoever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from redink.types import Attempt, CorrectionTrace, Problem, Row, Thought


class Inspection(Row):
    """What an inspector says of one thought or one correction trace (SuperCorrect, the inspector LLM)."""

    accepted: bool = Field(description="True: it may go to the student.")
    remarks: tuple[str, ...] = Field(default=(), description="The faults found; they go back to the teacher.")


class Teacher(Protocol):
    """Writes thoughts, corrections and chains of thought; it may look at the gold solution."""

    async def thought(self, problem: Problem, remarks: Sequence[str] = ()) -> Thought:
        """Write how the problem is solved; `remarks` say what was wrong with the last try.

        Raises `RowFailure` (among them `MarkupFailure`, `ReplyFailure`, `Unteachable`) if it cannot.
        """

    async def correction(self, problem: Problem, attempt: Attempt, remarks: Sequence[str] = ()) -> CorrectionTrace:
        """Mark the first wrong step of the attempt and carry on from its correction; raises as `thought` does."""

    async def chain(self, problem: Problem, remarks: Sequence[str] = ()) -> str:
        """Write a long chain of thought, answer included (ORION); raises as `thought` does."""

    async def refinement(
        self, problem: Problem, chain: str, errors: Sequence[Attempt], remarks: Sequence[str] = ()
    ) -> str:
        """Rewrite a chain so that it suits a student that made these errors (ORION, by the teacher); raises alike."""


class Inspector(Protocol):
    """Checks a teacher's work against problem and gold solution."""

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        """Accept the work or say what is wrong with it; `attempt` is what a correction trace is about.

        `remarks` say why the inspector's own last reply could not be used. Raises `RowFailure` if there is no
        verdict: that is never an acceptance.
        """
