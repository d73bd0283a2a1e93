"""The published sets of problems, by name: one table of where they are, how they are read and what they should hold.

Repositories, configurations, splits and field names are those of the hub's dataset cards and files, as the public
index of the hub had them (2024–2026); nothing here is pinned to a revision: `check_set` tells when the rows differ.
Cards: openai/gsm8k, EleutherAI/hendrycks_math, reasoning-machines/gsm-hard, HuggingFaceH4/MATH-500,
HuggingFaceH4/aime_2024 (30 of AI-MO/aimo-validation-aime), math-ai/amc23, ChilleD/SVAMP (700 train and 300 test rows:
all 1,000 are the benchmark), EleutherAI/asdiv (one split, validation), knoveleng/Minerva-Math (problem, solution, type,
idx), Hothan/OlympiadBench (OE_TO_maths_en_COMP; its copy there may lack one of the 675), apple/GSM-Symbolic (main, p1,
p2). Fingerprints are of the copies that `check_set` was written against; none is known of GSM-Symbolic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from redink.failures import Failure, RowFailure
from redink.problems import readers
from redink.problems.copies import Copy, read_copy
from redink.problems.jsonl import Line
from redink.problems.questions import question_key
from redink.problems.sets import content_fingerprint
from redink.types import Problem, Quarantined, Row

Outside = Callable[[Line], str | None]


class SetCheck(Row):
    """Whether a set is the one that its name promises: printed before figures are, never a reason to refuse."""

    name: str = Field(description="The set and its split, e.g. 'gsm8k/test'.")
    rows: int = Field(ge=0, description="How many there are.")
    expected_rows: int | None = Field(description="How many usable rows the set is known to have; None: not known.")
    fingerprint: str = Field(description="Of questions and golds, in whatever order they stand.")
    expected_fingerprint: str | None = Field(description="Of the copy that the table was made from; None: not known.")
    ok: bool = Field(description="False if rows or content differ from what is expected.")
    note: str = Field("", description="What differs, and how many questions stand more than once.")

    @property
    def summary(self) -> str:
        """One line for people."""
        expected = f" of {self.expected_rows}" if self.expected_rows not in (None, self.rows) else ""
        note = f"; {self.note}" if self.note else ""
        return f"{self.name}: {self.rows}{expected} rows, fingerprint {self.fingerprint}{note}"


@dataclass(frozen=True)
class PublishedSet:
    """A published set of problems; `outside` says why a row is none of its problems, where a copy holds more."""

    description: str
    reader: readers.Reader
    copies: Mapping[str, Copy]
    outside: Outside = field(default=lambda line: None)

    @property
    def sizes(self) -> str:
        """How many problems each split has."""
        return ", ".join(f"{copy.rows} {split}" for split, copy in self.copies.items())


_MATH = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)  # fmt: skip


def _both(
    name: str, repository: str, configs: Sequence[str], train: tuple[int, str], test: tuple[int, str]
) -> Mapping[str, Copy]:
    """A set with a train and a test split, each in a file of its own: rows and fingerprint."""
    return {
        split: Copy(f"{name}_{split}.jsonl", repository, tuple((config, split) for config in configs), *expected)
        for split, expected in (("train", train), ("test", test))
    }


def _test(
    file: str, repository: str, rows: int, fingerprint: str | None, *pieces: tuple[str | None, str]
) -> Mapping[str, Copy]:
    """A set to be evaluated on, all of it, whatever its repository calls the splits."""
    return {"test": Copy(file, repository, pieces or ((None, "test"),), rows, fingerprint)}


def _symbolic(name: str, config: str, rows: int) -> Mapping[str, Copy]:
    return _test(f"{name}.jsonl", "apple/GSM-Symbolic", rows, None, (config, "test"))


PUBLISHED: Mapping[str, PublishedSet] = {
    "gsm8k": PublishedSet(
        "grade-school word problems (Cobbe et al. 2021)",
        readers.gsm8k,
        _both("gsm8k", "openai/gsm8k", ("main",), (7473, "0b511cb876fb43ca"), (1319, "893dc51fe73b41cd")),
    ),
    "math": PublishedSet(
        "competition problems of 7 subjects (Hendrycks et al. 2021), without the rows that cannot serve",
        readers.math,
        _both("math", "EleutherAI/hendrycks_math", _MATH, (7494, "f8e84aa832ce091a"), (5000, "495bf95709eab775")),
    ),
    "gsm_hard": PublishedSet(
        "GSM8K's test with large and odd numbers (Gao et al. 2022)",
        readers.gsm_hard,
        _test("gsm_hard.jsonl", "reasoning-machines/gsm-hard", 1319, "99ac91056bcae4d0", (None, "train")),
    ),
    "math500": PublishedSet(
        "500 of MATH's test (Lightman et al. 2023)",
        readers.math,
        _test("math500.jsonl", "HuggingFaceH4/MATH-500", 500, "2d2fa29470c5f57a"),
    ),
    "aime24": PublishedSet(
        "AIME I and II of 2024",
        readers.contest,
        _test("aime24.jsonl", "HuggingFaceH4/aime_2024", 30, "11540ccbaae9b190", (None, "train")),
    ),
    "amc23": PublishedSet(
        "AMC 12 A and B of 2023, those with a number as answer",
        readers.contest,
        _test("amc23.jsonl", "math-ai/amc23", 40, "092273d82b5d1a3b"),
    ),
    "svamp": PublishedSet(
        "one-step word problems, varied (Patel et al. 2021)",
        readers.svamp,
        _test("svamp.jsonl", "ChilleD/SVAMP", 1000, "8cc7c5ab60210379", (None, "train"), (None, "test")),
    ),
    "asdiv": PublishedSet(
        "word problems of elementary school (Miao et al. 2020), those that ask one thing",
        readers.asdiv,
        _test("asdiv.jsonl", "EleutherAI/asdiv", 2215, "5a8eb76ccc055305", (None, "validation")),
        readers.several_answers,
    ),
    "minerva_math": PublishedSet(
        "science problems of MIT's courses (Lewkowycz et al. 2022)",
        readers.minerva_math,
        _test("minerva_math.jsonl", "knoveleng/Minerva-Math", 272, "1001f3b252f18444", (None, "train")),
    ),
    "olympiadbench": PublishedSet(
        "olympiad problems, English, mathematics, text only (He et al. 2024)",
        readers.olympiadbench,
        _test("olympiadbench.jsonl", "Hothan/OlympiadBench", 675, "15b8c5f1f0b66867", ("OE_TO_maths_en_COMP", "train")),
    ),
    "gsm_symbolic": PublishedSet(
        "100 templates of GSM8K's test, 50 instances each (Mirzadeh et al. 2024)",
        readers.gsm_symbolic,
        _symbolic("gsm_symbolic", "main", 5000),
    ),
    "gsm_symbolic_p1": PublishedSet(
        "GSM-Symbolic with one clause more",
        readers.gsm_symbolic,
        _symbolic("gsm_symbolic_p1", "p1", 5000),
    ),
    "gsm_symbolic_p2": PublishedSet(
        "GSM-Symbolic with two clauses more",
        readers.gsm_symbolic,
        _symbolic("gsm_symbolic_p2", "p2", 2500),
    ),
}
"""Every published set by the name that recipes and commands use, which also begins the ids of its problems."""


def load(
    name: str, split: str | None = None, data_dir: Path | None = None, set_aside: list[Quarantined] | None = None
) -> list[Problem]:
    """All problems of a split that can serve; the others are added to `set_aside` with their reason and raw text.

    Reasons: `empty_gold`; `several_answers` (ASDiv); `stands_in_test` for a train question that the test split holds
    too, as far as that can be seen. Ids end in the row's index from 0, not counting rows that are outside the set.
    Without `split`, train is meant where there is one. Raises KeyError for an unknown set, `Failure` for a split that
    it does not have or a failed download, `BadInput` for an unusable file.
    """
    split = split or next(iter(PUBLISHED[name].copies))
    problems, held = _read(name, split, data_dir)
    if split == "train" and _can_be_seen(PUBLISHED[name].copies["test"], data_dir):
        tested = {question_key(problem.question) for problem in _read(name, "test", data_dir)[0]}
        shared = {problem.id for problem in problems if question_key(problem.question) in tested}
        held += [
            _quarantined(row.id, "stands_in_test", row.question, "its question") for row in problems if row.id in shared
        ]
        problems = [problem for problem in problems if problem.id not in shared]
    if set_aside is not None:
        set_aside.extend(held)
    return problems


def _can_be_seen(copy: Copy, data_dir: Path | None) -> bool:
    return data_dir is None or (data_dir / copy.file).exists()


def _read(name: str, split: str, data_dir: Path | None) -> tuple[list[Problem], list[Quarantined]]:
    published = PUBLISHED[name]
    if split not in published.copies:
        splits = " and ".join(published.copies)
        remedy = f"Its splits are {splits}." if len(published.copies) > 1 else f"Its only split is {splits}."
        raise Failure(f"{name} has no split {split!r}.", remedy)
    lines = read_copy(published.copies[split], data_dir)
    why = {line.number: published.outside(line) for line in lines}
    inside = [line for line in lines if why[line.number] is None]
    held = [
        _quarantined(f"{name}/{split}: row {line.number}", reason, _raw(line))
        for line in lines
        if (reason := why[line.number]) is not None
    ]
    rows = [_problem(published.reader, line, f"{name}/{split}", index) for index, line in enumerate(inside)]
    held += [row for row in rows if isinstance(row, Quarantined)]
    return [row for row in rows if isinstance(row, Problem)], held


def _problem(reader: readers.Reader, line: Line, source: str, index: int) -> Problem | Quarantined:
    """One problem, or the row held back because it cannot serve as it was published."""
    try:
        item = readers.refuse_empty_gold(reader(line))
    except RowFailure as failure:
        return _quarantined(f"{source}/{index}", failure.reason, _raw(line), failure.detail)
    return Problem(
        id=f"{source}/{index}",
        question=item.question,
        answer=item.answer,
        solution=item.solution,
        subject=item.subject or source.partition("/")[0],
        level=item.level,
        source=source,
        entry=item.entry,
    )


def _raw(line: Line) -> str:
    return json.dumps(dict(line.fields), ensure_ascii=False, default=repr)


def _quarantined(problem_id: str, reason: str, raw: str, detail: str = "") -> Quarantined:
    return Quarantined(problem_id=problem_id, stage="problems", reason=reason, detail=detail, raw=raw)


def check_set(name: str, problems: Sequence[Problem]) -> SetCheck:
    """Compare a whole set with what its name promises: rows, and questions and golds in whatever order.

    `name` is a source with or without its split, which else is that of the problems. A source that is no published set
    has nothing to be compared with and is `ok`; so has a set whose fingerprint is not known, but for its rows.
    """
    source = problems[0].source if problems and problems[0].source.startswith(f"{name}/") else name
    base, _, split = source.partition("/")
    known = PUBLISHED.get(base)
    expected = known.copies.get(split or next(iter(known.copies))) if known else None
    return compare_with(
        source,
        [f"{question_key(problem.question)} {problem.answer}" for problem in problems],
        [problem.question for problem in problems],
        expected,
    )


def compare_with(name: str, contents: Sequence[str], questions: Iterable[str], expected: Copy | None) -> SetCheck:
    """The check of a set whose rows have these contents against what is expected of it (None: nothing)."""
    rows, mark = (expected.rows, expected.fingerprint) if expected else (None, None)
    found = content_fingerprint(contents)
    notes = []
    if rows is not None and rows != len(contents):
        notes.append(f"{rows} rows were expected")
    elif mark is not None and mark != found:
        notes.append(f"other questions or golds than expected (fingerprint {mark}): figures may not compare")
    ok = not notes
    if more := sum(count - 1 for count in Counter(map(question_key, questions)).values()):
        notes.append(f"{more} repeat a question")
    return SetCheck(
        name=name,
        rows=len(contents),
        expected_rows=rows,
        fingerprint=found,
        expected_fingerprint=mark,
        ok=ok,
        note="; ".join(notes),
    )
