"""Prompts: one Markdown file each, `{{field}}` where a value goes.

The bundled ones are in our own wording, after the contracts of SuperCorrect (sections 3.1, 3.2 and table 8);
a recipe can name a file of the user's wherever it names one of them. `compact/` holds those of the tiny student.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import Field

from redink.failures import BadInput, Failure
from redink.types import Row

ALIASES = {"style_xml": "solve_hierarchical"}
_FIELD = re.compile(r"\{\{([A-Za-z_]+)\}\}")


class Prompt(Row):
    """A prompt with named gaps."""

    name: str = Field(description="Its bundled name, or the path of the user's file.")
    text: str = Field(description="The text with {{field}} where a value goes; no newline at the end.")

    @property
    def fields(self) -> frozenset[str]:
        """The names of the gaps."""
        return frozenset(_FIELD.findall(self.text))

    def render(self, **values: str) -> str:
        """Put `values` into the gaps in one pass: a value that looks like a gap stays as it is.

        Raises `Failure` if a field is left without a value, or a value has no field to go to.
        """
        self._check(frozenset(values))
        return _FIELD.sub(lambda gap: values[gap[1]], self.text)

    def _check(self, given: frozenset[str]) -> None:
        if missing := self.fields - given:
            raise Failure(
                f"{self._file}: there is no value for {_gaps(missing)}.",
                f"This prompt is given {_gaps(given) or 'no field'}; put a space between braces that are no field.",
            )
        if unknown := given - self.fields:
            raise Failure(f"{self._file}: the prompt has no {_gaps(unknown)}.", "Add it where its value should stand.")

    @property
    def _file(self) -> str:
        return f"prompts/{self.name}.md" if self.name in _bundled() else self.name


def load_prompt(name_or_path: str) -> Prompt:
    """Load a bundled prompt by name, or a user's file by path.

    Raises `Failure` (with the nearest name) if there is neither, and `BadInput` for a file that is empty or no text.
    """
    name = ALIASES.get(name_or_path, name_or_path)
    bundled = _bundled()
    if name in bundled:
        return Prompt(name=name, text=bundled[name].read_text(encoding="utf-8").rstrip("\n"))
    return Prompt(name=name, text=_read_users(name))


def list_prompts() -> tuple[str, ...]:
    """The names of the bundled prompts, aliases included, in alphabetical order."""
    return tuple(sorted({*_bundled(), *ALIASES}))


def _bundled() -> dict[str, Traversable]:
    folders = {"": files(__name__), "compact/": files(__name__) / "compact"}
    return {
        prefix + file.name.removesuffix(".md"): file
        for prefix, folder in folders.items()
        for file in folder.iterdir()
        if file.name.endswith(".md")
    }


def _read_users(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8-sig").rstrip("\n")
    except FileNotFoundError:
        raise _unknown(path) from None
    except UnicodeDecodeError:
        raise BadInput(path, "is not UTF-8 text.", "Save the prompt as UTF-8.") from None
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the file and its permissions.") from None
    if not text.strip():
        raise BadInput(path, "is empty.", "A prompt needs text and at least one {{field}}.")
    return text


def _unknown(name: str) -> Failure:
    near = get_close_matches(name, list_prompts(), n=1, cutoff=0.0)
    return Failure(
        f"There is no prompt and no file {name!r}.",
        f"Did you mean {near[0]!r}? Or give the path of a file of your own. Bundled: {', '.join(list_prompts())}.",
    )


def _gaps(names: frozenset[str]) -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in sorted(names))
