"""Problems from any JSONL file, and the field-by-field reading that the published sets share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import BadInput
from redink.problems.golds import without_thousands
from redink.rows import read_json_lines
from redink.types import Problem

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Line:
    """One row as it came, and where it came from (a file or the name of a hub set; lines count from 1)."""

    place: str
    number: int
    fields: Mapping[str, object]

    def bad(self, field: str, what: str, remedy: str = "Mend or remove that line.") -> BadInput:
        """The complaint about one field of this line."""
        return BadInput(self.place, what, remedy, line=self.number, field=field)

    def text(self, field: str, *, number: bool = False) -> str | None:
        """The field without outer white space; None if absent or null.

        With `number`, whole numbers become text exactly and floats by repr. Raises `BadInput` for other types.
        """
        value = self.fields.get(field)
        if value is None:
            return None
        if number and isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(field, value)
        if not isinstance(value, str):
            raise self.bad(field, f"holds {_kind(value)}, not text.")
        if _SURROGATE.search(value):
            raise self.bad(field, "holds half of a surrogate pair, which is no character.")
        return value.strip()

    def _number(self, field: str, value: int | float) -> str:
        if not math.isfinite(value):
            raise self.bad(field, f"holds {value}, not a number.")
        return repr(value)

    def required(self, *names: str, number: bool = False) -> str:
        """The first of the named fields that is there; raises `BadInput` if none is, or if it is empty."""
        field = next((name for name in names if self.fields.get(name) is not None), None)
        if field is None:
            raise self.bad(names[0], "is missing.", f"A problem needs {' or '.join(names)}.")
        return self.text(field, number=number) or self._empty(field)

    def texts(self, field: str) -> tuple[str, ...]:
        """The texts of a list, without outer white space; a lone text is a list of one, null an empty one."""
        value = self.fields.get(field)
        if value is None:
            return ()
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
            raise self.bad(field, f"holds {_kind(value)}, not a list of texts.")
        return tuple(str(part).strip() for part in parts)

    def whole(self, field: str, least: int, most: int) -> int | None:
        """The whole number of the field, None if it is null; raises `BadInput` unless it lies in least..most."""
        value = self.fields.get(field)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.bad(field, f"holds {value!r}, not a whole number in {least}..{most}.")
        return value

    def flag(self, field: str) -> bool:
        """True or false as the field says, False if it is absent or null; raises `BadInput` for anything else."""
        value = self.fields.get(field)
        if value is not None and not isinstance(value, bool):
            raise self.bad(field, f"holds {_kind(value)}, not true or false.")
        return bool(value)

    def _empty(self, field: str) -> str:
        raise self.bad(field, "is empty.", f"A problem needs {field}.")


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)


def read_lines(path: Path) -> list[Line]:
    """Read a JSONL file; raises `BadInput` if it is missing, malformed or empty."""
    lines = [Line(str(path), number, fields) for number, fields in read_json_lines(path)]
    if not lines:
        raise BadInput(path, "holds no problems.", "Each line holds one JSON object with question and answer.")
    return lines


def split_final_answer(text: str) -> tuple[str | None, str]:
    """Split a GSM8K answer at its last `####` into worked solution (None if there is none) and final answer.

    Commas between the digits of the final answer go: `… #### 1,200` ends in `1200`.
    """
    before, mark, after = text.rpartition("####")
    if not mark:
        return None, text.strip()
    return before.strip() or None, without_thousands(after.strip())


def read_problems(path: Path) -> list[Problem]:
    """Read problems of the fields question (or problem), answer, and optionally id, solution, subject, level.

    Other fields are ignored. An id not given is the file's name and the row's index from 0. Raises `BadInput`
    naming file, line and field for an empty file, a malformed line, a missing or empty question or answer, a
    wrong type, or an id that stands twice.
    """
    lines = read_lines(path)
    problems = [problem_of(line, f"{path.stem}/{index}") for index, line in enumerate(lines)]
    _refuse_duplicate_ids(lines, problems)
    return problems


def problem_of(line: Line, default_id: str) -> Problem:
    """The problem in a line, as `read_problems` reads it; raises `BadInput` naming file, line and field."""
    worked, answer = split_final_answer(line.required("answer", number=True))
    if not answer:
        raise line.bad("answer", "holds nothing after its ####.", "A problem needs answer.")
    return Problem(
        id=line.text("id", number=True) or default_id,
        question=line.required("question", "problem"),
        answer=answer,
        solution=line.text("solution") or worked,
        subject=line.text("subject") or "",
        level=line.text("level", number=True) or None,
        source=f"jsonl:{Path(line.place).name}",
    )


def _refuse_duplicate_ids(lines: list[Line], problems: list[Problem]) -> None:
    first: dict[str, int] = {}
    for line, problem in zip(lines, problems, strict=True):
        if (earlier := first.setdefault(problem.id, line.number)) != line.number:
            raise line.bad("id", f"{problem.id!r} stands on line {earlier} too.", "Give each problem an id of its own.")
