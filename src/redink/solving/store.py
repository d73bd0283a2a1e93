"""Thoughts to be consulted: the `<Generalized>` parts of a training set, found by the likeness of their questions.

After Buffer of Thoughts (Yang et al. 2024, arXiv 2406.04271), whose thought templates SuperCorrect's are drawn from:
the general ways in which like problems were solved are shown with the question. Likeness is Okapi BM25 (Robertson and
Zaragoza 2009) over the words of the questions, every number counting as one and the same word.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.sparse import csr_array

from redink.failures import BadInput, Failure
from redink.problems.questions import question_key
from redink.rows import read_rows, write_rows, write_text
from redink.types import Problem, Row, ThoughtRow

THOUGHTS, INDEX, TERMS = "store.thoughts.jsonl", "store.index.safetensors", "store.terms.json"
K1, B = 1.2, 0.75
"""BM25's usual constants: how fast a repeated word stops counting, and how much long questions are held back."""
_WORD = re.compile(r"\\[a-z]+|[^\W\d_]+|\d+(?:[.,]\d+)*")
_NUMBER = "#"


class StoredThought(Row):
    """One thought of the store, and the question it was written for."""

    problem_id: str = Field(description="The `Problem.id`.")
    question: str = Field(min_length=1, description="What was asked.")
    thought: str = Field(min_length=1, description="How problems of this kind are solved.")


def words(text: str) -> list[str]:
    r"""The words of a text, small; LaTeX commands are words, and all numbers the same one.

    >>> words(r"Tom has 14 apples, \frac{1}{2} left")
    ['tom', 'has', '#', 'apples', '\\frac', '#', '#', 'left']
    """
    return [_NUMBER if word[0].isdigit() else word for word in _WORD.findall(text.lower())]


class ThoughtStore:
    """Stored thoughts with their index: weight[term, document] of BM25."""

    def __init__(self, rows: Sequence[StoredThought]) -> None:
        """Index the questions of some thoughts; raises `Failure` if there is none."""
        if not rows:
            raise Failure("there is no thought to store.", "Thoughts need a <Generalized> part; see redink thoughts.")
        counts = [Counter(words(row.question)) for row in rows]
        terms = {term: number for number, term in enumerate(sorted(set().union(*counts)))}
        self._take(rows, terms, _weights(counts, terms))

    def _take(self, rows: Sequence[StoredThought], terms: dict[str, int], weights: csr_array) -> None:
        self.rows, self.terms, self.weights = tuple(rows), terms, weights
        places: dict[str, int] = {}
        self._kind = np.array([places.setdefault(row.thought, len(places)) for row in rows])
        self.thoughts = tuple(places)
        self._keys = [question_key(row.question) for row in rows]

    def __len__(self) -> int:
        """How many questions are stored; `thoughts` are the distinct thoughts."""
        return len(self.rows)

    def search(self, question: str, count: int = 3) -> list[str]:
        """The distinct thoughts of the likest questions, best first; fewer where nothing else has a word in common.

        What was stored for this very question is left out.
        """
        return [self.rows[place].thought for place, _ in self.ranked(question, count)]

    def ranked(self, question: str, count: int = 3) -> list[tuple[int, float]]:
        """Place and score of the best stored question of each of the best `count` thoughts."""
        scores, key = self.scores(question), question_key(question)
        found: dict[int, tuple[int, float]] = {}
        for place in np.argsort(-scores, kind="stable").tolist():
            if len(found) >= count or scores[place] <= 0:
                break
            if self._keys[place] != key:
                found.setdefault(int(self._kind[place]), (place, float(scores[place])))
        return list(found.values())

    def scores(self, question: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """BM25 of every stored question [D]."""
        known = [self.terms[word] for word in words(question) if word in self.terms]
        counts = np.bincount(known, minlength=len(self.terms)).astype(np.float64)
        return np.asarray(counts @ self.weights)

    def save(self, folder: Path) -> None:
        """Write rows, index and terms; raises `Failure` when they cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / THOUGHTS, self.rows)
        write_text(folder / TERMS, json.dumps(sorted(self.terms, key=self.terms.__getitem__), ensure_ascii=False))
        arrays = {
            "data": self.weights.data,
            "indices": self.weights.indices.astype(np.int64),
            "indptr": self.weights.indptr.astype(np.int64),
        }
        part = folder / f"{INDEX}.part"
        part.write_bytes(save(arrays, {"format": "redink thought store 1"}))
        part.replace(folder / INDEX)

    @classmethod
    def load(cls, folder: Path) -> ThoughtStore:
        """Read what `save` wrote; raises `BadInput` if there is no store or its files do not belong together."""
        if not (folder / THOUGHTS).is_file():
            raise BadInput(folder, "holds no store of thoughts.", "Make one: redink thoughts-store build runs/demo.")
        rows = read_rows(folder / THOUGHTS, StoredThought)
        try:
            names = json.loads((folder / TERMS).read_text("utf-8"))
            with safe_open(folder / INDEX, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in ("data", "indices", "indptr")}
            weights = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(len(names), len(rows)))
            weights.check_format()
            store = cls.__new__(cls)
            store._take(rows, {name: number for number, name in enumerate(names)}, weights)
        except (OSError, ValueError, TypeError, SafetensorError) as failure:
            raise BadInput(folder, f"the store cannot be read ({failure}).", "Build it again.") from None
        return store


def _weights(counts: Sequence[Counter[str]], terms: dict[str, int]) -> csr_array:
    """BM25's weight of term t in document d: idf(t) · f·(k1+1) / (f + k1·(1 − b + b·|d|/mean |d|)).

    idf(t) = ln(1 + (N − n + ½)/(n + ½)) for a term in n of N documents.
    """
    rows = np.array([terms[term] for each in counts for term in each], dtype=np.int64)
    columns = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
    frequency = np.array([count for each in counts for count in each.values()], dtype=np.float64)
    lengths = np.array([each.total() for each in counts], dtype=np.float64)
    held = np.bincount(rows, minlength=len(terms))
    idf = np.log1p((len(counts) - held + 0.5) / (held + 0.5))
    norm = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0))
    weights = idf[rows] * frequency * (K1 + 1) / (frequency + norm[columns])
    return csr_array((weights, (rows, columns)), shape=(len(terms), len(counts)))


def of_run(folder: Path) -> list[StoredThought]:
    """The generalized thoughts that a run teaches, with their questions; raises `BadInput` where there are none."""
    path = folder / "thoughts.jsonl"
    if not path.is_file():
        raise BadInput(folder, "is no run directory with thoughts.", "Name one, such as runs/demo.")
    asked = {row.id: row.question for row in read_rows(folder / "problems.thoughts.jsonl", Problem)}
    return list(_stored(read_rows(path, ThoughtRow), asked))


def _stored(rows: Iterable[ThoughtRow], asked: dict[str, str]) -> Iterable[StoredThought]:
    for row in rows:
        if row.thought.generalized and row.problem_id in asked:
            yield StoredThought(
                problem_id=row.problem_id, question=asked[row.problem_id], thought=row.thought.generalized
            )
