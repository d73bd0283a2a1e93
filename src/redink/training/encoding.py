"""Rows → token ids, through the student's own rendering; the loss falls on replies only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from redink.failures import Failure
from redink.models.student import Student
from redink.types import PreferencePair, Row

IGNORED = -100


@dataclass(frozen=True)
class Lesson:
    """A prompt and the reply to learn; `ends` says that the reply is complete (end-of-sequence follows)."""

    prompt: str
    reply: str
    ends: bool = True


class LeftOut(Row):
    """A row that is longer than the limit: its place among the rows (from 0), its name if it has one, its tokens."""

    row: int
    id: str = ""
    tokens: int


@dataclass(frozen=True)
class Encoded:
    """A dataset, and the rows that were left out because they are longer than the limit."""

    dataset: Dataset
    left_out: tuple[LeftOut, ...]

    @property
    def too_long(self) -> int:
        """How many rows were left out."""
        return len(self.left_out)


def encode_lessons(student: Student, lessons: Sequence[Lesson], max_length: int) -> Encoded:
    """`input_ids`, `labels` and `length` per row: labels are −100 on the prompt, which so has no loss."""
    rows = [_lesson_row(student, lesson) for lesson in lessons]
    return _within(rows, [""] * len(rows), max_length)


def _lesson_row(student: Student, lesson: Lesson) -> dict[str, Any]:
    prompt, reply = student.prompt_ids(lesson.prompt), student.reply_ids(lesson.reply, lesson.ends)
    ids = prompt + reply
    return {"input_ids": ids, "labels": [IGNORED] * len(prompt) + reply, "length": len(ids)}


def encode_pairs(student: Student, pairs: Sequence[PreferencePair], max_length: int) -> Encoded:
    """`prompt_ids` (prompt and shared prefix), `chosen_ids`, `rejected_ids` and `length` (of the longer side) per row.

    End-of-sequence is appended only where a side really ended the reply.
    """
    rows = [_pair_row(student, pair) for pair in pairs]
    return _within(rows, [pair.problem_id for pair in pairs], max_length)


def _pair_row(student: Student, pair: PreferencePair) -> dict[str, Any]:
    prompt = student.prompt_ids(pair.prompt) + student.reply_ids(pair.prefix)
    chosen = student.reply_ids(pair.chosen, pair.chosen_ends)
    rejected = student.reply_ids(pair.rejected, pair.rejected_ends)
    length = len(prompt) + max(len(chosen), len(rejected))
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, "length": length}


def _within(rows: list[dict[str, Any]], names: Sequence[str], max_length: int) -> Encoded:
    kept = [row for row in rows if row["length"] <= max_length]
    if not kept:
        raise Failure(
            f"none of {len(rows)} training rows is at most max_length = {max_length} tokens long.",
            "Raise max_length, or look at the rows: an earlier stage may have made none.",
        )
    left_out = [
        LeftOut(row=place, id=name, tokens=row["length"])
        for place, (row, name) in enumerate(zip(rows, names, strict=True))
        if row["length"] > max_length
    ]
    return Encoded(Dataset.from_list(kept), tuple(left_out))
