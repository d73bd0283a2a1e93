"""Where students are kept in memory: the last one asked for stays."""

from __future__ import annotations

from pathlib import Path

from redink.models.bundled import NAMED
from redink.models.student import Student


class Shelf:
    """Holds one student. A copy that travels to another process is empty: whoever works there loads its own, once."""

    def __init__(self, held: Student | None = None) -> None:
        self._held = held

    def student(self, name: str) -> Student:
        """The student of this name, as `Student.load` takes it."""
        if self._held is None or self._held.name != name:
            self.clear()
            self._held = Student.load(name)
        return self._held

    def clear(self) -> None:
        """Let go of the student: it was trained in place, or its memory is needed."""
        self._held = None

    def __reduce__(self) -> tuple[type[Shelf], tuple[()]]:
        return Shelf, ()


def placed(name: str) -> str:
    """A student's name as every process of this file system understands it: a local folder by its whole path.

    >>> placed("bundled"), placed("no-such-folder/model")
    ('bundled', 'no-such-folder/model')
    """
    folder = Path(name).expanduser()
    return str(folder.absolute()) if name not in NAMED and folder.is_dir() else name
