"""What can go wrong, by name.

"Error" means a reasoning error in this project; what stops a program is a failure.
A `Failure` is for the person at the keyboard: one line that says what is wrong and what to do.
A `MarkupFailure` or a `ReplyFailure` is about one row: the stage quarantines that row and goes on.
"""

from __future__ import annotations

from pathlib import Path


class Failure(Exception):
    """Something the user can mend: shown as one line with its remedy, exit code 2."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy


class BadInput(Failure):
    """An input file holds something unusable: names the file, the line (from 1) and the field."""

    def __init__(
        self,
        path: Path | str,
        what: str,
        remedy: str = "",
        *,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        place = f"{path}:{line}" if line is not None else f"{path}"
        where = f"{place}, field {field!r}" if field else place
        super().__init__(f"{where}: {what}", remedy)
        self.path, self.line, self.field = str(path), line, field


class BadRecipe(Failure):
    """A recipe names an unknown key, or a value that its key does not take."""


class MissingModel(Failure):
    """A model folder or id that cannot be loaded, or weights of another architecture."""


class Interrupted(Failure):
    """The work stopped half-way on purpose; what was made is on disk and the same command continues."""


class RowFailure(Exception):
    """One row could not be made. `reason` is a short fixed name, `raw` the text it came from."""

    def __init__(self, reason: str, detail: str = "", raw: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.raw = reason, detail, raw


class MarkupFailure(RowFailure):
    """Text that cannot be read as a `Thought` or a `CorrectionTrace`; `position` is a character offset."""

    def __init__(self, reason: str, position: int, detail: str = "", raw: str = "") -> None:
        super().__init__(reason, f"at character {position}" + (f": {detail}" if detail else ""), raw)
        self.position = position


class ReplyFailure(RowFailure):
    """A chat model gave no usable reply (cut by length, empty, refused by the server, …)."""


class Unteachable(RowFailure):
    """A teacher cannot write this row (no gold solution, nothing it can recompute, …)."""
