"""What can go wrong, by name.

"Error" means a reasoning error in this project; what stops a program is a failure.
A `Failure` is for the person at the keyboard: one line that says what is wrong and what to do.
A `MarkupFailure` or a `ReplyFailure` is about one row: the stage quarantines that row and goes on.
"""

from __future__ import annotations

from pathlib import Path

from redink.types import Tried


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


class StoppedByHand(Interrupted):
    """Ctrl-C, once: what was being paid for came to its end; exit code 130."""

    def __init__(self) -> None:
        super().__init__("stopped; what was bought is kept.", "The same command goes on from here.")


class RowFailure(Exception):
    """One row could not be made. `reason` is a short fixed name, `raw` the text it came from.

    `tries` are those that failed before, oldest first.
    """

    def __init__(self, reason: str, detail: str = "", raw: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.raw = reason, detail, raw
        self.tries: tuple[Tried, ...] = ()

    @property
    def remark(self) -> str:
        """What to tell a model in its next try, in plain words; empty where asking again is of no use."""
        return ""

    def as_tried(self) -> Tried:
        """This failure as a row."""
        return Tried(reason=self.reason, detail=self.detail, raw=self.raw)


class MarkupFailure(RowFailure):
    """Text that cannot be read as a `Thought` or a `CorrectionTrace`; `position` is a character offset."""

    @property
    def remark(self) -> str:
        """Why it could not be read."""
        return f"The reply could not be read ({self}): keep to the tags asked for, and close each one."

    def __init__(self, reason: str, position: int, detail: str = "", raw: str = "") -> None:
        super().__init__(reason, f"at character {position}" + (f": {detail}" if detail else ""), raw)
        self.position = position


class Unsound(RowFailure):
    """A reply that can be read but not used; `detail` says in plain words what the model should mend."""

    @property
    def remark(self) -> str:
        """What to mend."""
        return self.detail


class ReplyFailure(RowFailure):
    """A chat model gave no usable reply (cut by length, empty, refused by the server, …)."""

    @property
    def remark(self) -> str:
        """An empty reply may be filled; what the server did, or cut, is not settled by a remark."""
        return "The reply was empty: write it out in full." if self.reason == "empty_reply" else ""


class Unteachable(RowFailure):
    """A teacher cannot write this row (no gold solution, nothing it can recompute, …)."""
