"""The store of thoughts: BM25 against a brute-force oracle, distinct thoughts, files."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import BadInput, Failure
from redink.rows import write_rows
from redink.solving.store import INDEX, TERMS, StoredThought, ThoughtStore, of_run, words
from redink.types import Problem, Step, Thought, ThoughtRow


def row(number: int, question: str, thought: str) -> StoredThought:
    return StoredThought(problem_id=f"p{number}", question=question, thought=thought)


ROWS = [
    row(0, "Tom has 14 apples and buys 27 more.", "Add."),
    row(1, "Ann has 5 apples and eats 2.", "Subtract."),
    row(2, "A train runs 60 miles in 2 hours. How fast?", "Divide."),
    row(3, "Sue has 3 apples and buys 9 more pears.", "Add."),
]


def okapi(query: list[str], documents: list[list[str]], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """BM25 as Robertson and Zaragoza print it, term by term, with Lucene's never-negative idf."""
    mean = max(sum(map(len, documents)) / len(documents), 1.0)
    scores = []
    for document in documents:
        counts, score = Counter(document), 0.0
        for term in query:
            held = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - held + 0.5) / (held + 0.5))
            norm = counts[term] + k1 * (1 - b + b * len(document) / mean)
            score += idf * counts[term] * (k1 + 1) / norm if counts[term] else 0.0
        scores.append(score)
    return scores


texts = st.lists(st.sampled_from(("tom", "ann", "apples", "12", "7", "train", "how")), min_size=1, max_size=8).map(
    " ".join
)


@given(st.lists(texts, min_size=1, max_size=6), texts)
def test_scores_are_bm25(questions: list[str], query: str) -> None:
    store = ThoughtStore([row(n, question, "t") for n, question in enumerate(questions)])
    assert store.scores(query) == pytest.approx(okapi(words(query), [words(question) for question in questions]))


def test_the_likest_distinct_thoughts_come_first() -> None:
    store = ThoughtStore(ROWS)
    assert store.search("Ben has 8 apples and buys 4 more.", 3) == ["Add.", "Subtract.", "Divide."]
    assert store.search("How fast is a train?", 1) == ["Divide."]
    assert store.search("zebra", 3) == []
    assert len(store) == 4
    assert store.thoughts == ("Add.", "Subtract.", "Divide.")


def test_a_question_is_never_shown_its_own_thought() -> None:
    store = ThoughtStore([row(0, "How fast is the train?", "Divide."), row(1, "How fast is it?", "Guess.")])
    assert store.search("How fast is the train?") == ["Guess."]


def test_a_store_survives_its_files(tmp_path: Path) -> None:
    ThoughtStore(ROWS).save(tmp_path)
    loaded = ThoughtStore.load(tmp_path)
    assert loaded.rows == tuple(ROWS)
    for question in ("apples", "a train and 3 pears", ""):
        assert loaded.scores(question) == pytest.approx(ThoughtStore(ROWS).scores(question))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("spoil", [INDEX, TERMS])
def test_files_that_do_not_belong_together_are_one_failure(tmp_path: Path, spoil: str) -> None:
    ThoughtStore(ROWS).save(tmp_path)
    (tmp_path / spoil).write_bytes(b"[]")
    with pytest.raises(BadInput, match=r"Build it again\."):
        ThoughtStore.load(tmp_path)


def test_an_empty_store_is_refused() -> None:
    with pytest.raises(Failure, match="no thought to store"):
        ThoughtStore([])


def test_a_runs_thoughts_with_a_general_part_are_stored(tmp_path: Path) -> None:
    problems = [Problem(id=f"p{n}", question=f"question {n}?", answer="1") for n in range(3)]
    steps = (Step(number=1, text="1"),)
    thoughts = [Thought(steps=steps, generalized=general, answer="1") for general in ("Add.", None, "Divide.")]
    write_rows(tmp_path / "problems.thoughts.jsonl", problems)
    write_rows(tmp_path / "thoughts.jsonl", [ThoughtRow(problem_id=f"p{n}", thought=t) for n, t in enumerate(thoughts)])
    assert of_run(tmp_path) == [row(0, "question 0?", "Add."), row(2, "question 2?", "Divide.")]
