"""What must not be taught: the questions of evaluation sets, known by sixteen bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from redink.problems import load_problems
from redink.problems.draw import draw_evaluation
from redink.problems.published import PUBLISHED
from redink.problems.questions import question_key
from redink.recipe import Recipe

KEY_BYTES = 16


@dataclass(frozen=True)
class Apart:
    """The evaluation sets of a recipe and of `more` sources, from which a stream is kept apart.

    Of a recipe's published sources that is the whole test split, of its others what `redink run` draws; of `more`, all.
    """

    recipe: Recipe
    more: tuple[str, ...] = ()
    data_dir: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The sources; one that is named in `more` too stands twice, as more of it is left out."""
        return (*self._tests, *dict.fromkeys(self.more))

    @property
    def _tests(self) -> tuple[str, ...]:
        return self.recipe.problems.evaluation_sources or self.recipe.problems.sources

    def keys(self) -> frozenset[bytes]:
        """`key_of_question` of every question; raises `Failure` for a source that cannot be had."""
        wanted = self.recipe.problems
        drawn = draw_evaluation(
            self._tests, wanted.evaluation, held_out_only=wanted.held_out, seed=self.recipe.seed, data_dir=self.data_dir
        )
        whole = dict.fromkeys((*(name for name in self._tests if name in PUBLISHED), *self.more))
        rows = (row for name in whole for row in load_problems(name, data_dir=self.data_dir, split="test"))
        return frozenset(key_of_question(row.question) for part in (drawn, rows) for row in part)


def key_of_question(question: str) -> bytes:
    """The first bytes of the SHA-256 of the normalised question: two questions share them by chance once in 2^64."""
    return bytes.fromhex(question_key(question))[:KEY_BYTES]


def fingerprint_of(keys: Set[bytes]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the keys, whatever their order; "" for none."""
    return hashlib.sha256(b"".join(sorted(keys))).hexdigest()[:16] if keys else ""
