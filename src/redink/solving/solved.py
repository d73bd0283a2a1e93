"""What comes of a question that a student solves and reviews."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redink.types import LocatedError, Row, Step

Stopped = Literal["confirmed", "corrected", "rounds", "unreadable", "off"]


class SelfCorrection(Row):
    """One round: the student looks over what it has, without any gold solution (t2 of SuperCorrect section 4)."""

    round: int = Field(ge=1, description="Counts from 1.")
    text: str = Field(description="The review, as generated.")
    steps: tuple[Step, ...] = Field((), description="The steps read from it: those up to k, then the new rest.")
    error: LocatedError | None = Field(None, description="The step it marks as wrong; None: none, or it is unreadable.")
    answer: str | None = Field(None, description="The answer it ends with, if one can be read.")
    truncated: bool = Field(False, description="It was cut by the token limit.")


class Solved(Row):
    """A question, its solution, the rounds of self-correction and the answer that stands in the end."""

    question: str = Field(description="What was asked.")
    prompt: str = Field(description="The last message that the model was given: the question in its prompt.")
    text: str = Field(description="The solution, as generated (t1).")
    steps: tuple[Step, ...] = Field((), description="The steps read from it; empty if none could be read.")
    answer: str | None = Field(None, description="The answer of the solution (t1), if one can be read.")
    rounds: tuple[SelfCorrection, ...] = Field((), description="Rounds of self-correction, in order.")
    final_answer: str | None = Field(None, description="The answer that stands after the last round.")
    stopped: Stopped = Field(
        description="Why it ended: 'confirmed': the first review leaves the answer as it is; 'corrected': a later "
        "one does, after corrections; 'rounds': the last round allowed still corrected, nobody looked at that; "
        "'unreadable': the last review could not be read, what stood before it stands; 'off': no round was asked for."
    )
    thoughts: tuple[str, ...] = Field((), description="Thoughts of a store that the solution was given.")
    tokens_in: int = Field(0, ge=0, description="Tokens of all prompts, in the model's count.")
    tokens_out: int = Field(0, ge=0, description="Tokens of all replies, in the model's count.")
    truncated: bool = Field(False, description="The solution was cut by the token limit.")
    model: str = Field("", description="Who solved it.")


class Event(Row):
    """What is told while a question is being solved."""

    kind: Literal["solution", "correction", "done"] = Field(description="What `text` is a piece of; 'done' comes last.")
    round: int = Field(0, ge=0, description="0 for the solution, then the round of self-correction.")
    text: str = Field("", description="The next piece of text; pieces of one round join to the whole text.")
    solved: Solved | None = Field(None, description="The result, with 'done' alone.")
