"""Tasks of the library reasoning_gym: arithmetic ones with a worked solution, all others with a gold answer only.

`gsm_symbolic` brings its own solutions; the other arithmetic tasks get theirs by rule (`worked`). A drawn problem is
left out when its worked solution does not reach the task's own answer, or when the task's scorer does not accept it:
the library divides with the remainder dropped, for instance, and writes no fractions. A problem of any other task
keeps its entry, which the task's own scorer needs (`redink.answers.checkers`, checker `reasoning_gym`).
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any, Protocol

from redink.failures import Failure, Unteachable
from redink.problems import worked
from redink.problems.jsonl import split_final_answer
from redink.problems.questions import question_key
from redink.types import Problem

Scalar = str | int | float | bool | None
Metadata = Mapping[str, Any]  # the library's own, untyped

_NUMBER = re.compile(r"(?:(?<![\w)\]])-)?\d+(?:,\d{3})*(?:\.\d+)?")
_ANNOTATION = re.compile(r"<<.*?>>")
_WITHIN = re.compile(r"(-?\d+)\.\.(-?\d+)")
_RESERVED = {"seed": "the seed of the run", "size": "the limit"}


class Dataset(Protocol):
    """What we use of a reasoning_gym dataset."""

    def __getitem__(self, index: int) -> Metadata:
        """The entry: question, answer, metadata."""

    def score_answer(self, answer: str, entry: Metadata) -> float:
        """1.0 for a right answer."""


@dataclass(frozen=True)
class Task:
    """One task: what it asks, and how its worked solution comes from the metadata of an entry."""

    description: str
    solve: Callable[[Metadata], worked.Worked]


@dataclass(frozen=True)
class Options:
    """What follows the `?` of a source: settings of the task, and our own `within` and `operations`."""

    settings: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    within: tuple[int, int] | None = None
    operations: int = 1


def _own_solution(metadata: Metadata) -> worked.Worked:
    solution, answer = split_final_answer(metadata["answer_cot"])
    return worked.Worked(solution or "", answer)


def _expression(metadata: Metadata) -> worked.Worked:
    return worked.expression(metadata["expression"])


def _legs(metadata: Metadata) -> worked.Worked:
    return worked.leg_count(metadata["animals"], _library("arithmetic.leg_counting").ANIMALS)


TASKS: Mapping[str, Task] = {
    "gsm_symbolic": Task("stories like GSM8K's, with their own worked solutions", _own_solution),
    "chain_sum": Task("sums and differences of 2 to 6 numbers", _expression),
    "basic_arithmetic": Task("expressions in + - * / and brackets", _expression),
    "products": Task("products of whole numbers", _expression),
    "leg_counting": Task("the legs of a list of animals", _legs),
    "simple_equations": Task(
        "linear equations in one variable", lambda metadata: worked.linear_equation(metadata["equation"])
    ),
    "lcm": Task("least common multiples", lambda metadata: worked.least_common_multiple(metadata["numbers"])),
    "simple_geometry": Task(
        "the last angle of a polygon",
        lambda metadata: worked.last_angle(metadata["n_sides"], [int(angle) for angle in metadata["known_angles"]]),
    ),
}


def task_names() -> list[str]:
    """Every task that can be drawn from, those with worked solutions first; only those if the library is missing."""
    try:
        others = sorted(set(_library("factory").DATASETS) - TASKS.keys())
    except Failure:
        others = []
    return [*TASKS, *others]


def read_options(text: str) -> Options:
    """Read `min_terms=2&max_terms=4&within=0..199`: JSON scalars, or else plain text; raises `Failure`."""
    pairs = [part.partition("=") for part in text.split("&") if part]
    if wrong := [key for key, mark, value in pairs if not (key and mark and value)]:
        raise Failure(f"The option {wrong[0]!r} has no value.", "Options read key=value, joined by &.")
    values = {key: value for key, _, value in pairs}
    within, operations = values.pop("within", None), values.pop("operations", "1")
    settings = {key: _scalar(value) for key, value in values.items()}
    return Options(settings, _bounds(within) if within is not None else None, _operations(operations))


def _operations(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise Failure(f"operations={text} is no number of operations.", "Write operations=3: at most three in a line.")
    return int(text)


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool | None) else text


def _bounds(text: str) -> tuple[int, int]:
    match = _WITHIN.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise Failure(f"within={text} is no range.", "Write within=0..199.")
    return int(match[1]), int(match[2])


def draw(task: str, options: Options, limit: int, seed: int) -> list[Problem]:
    """Draw `limit` problems with distinct questions; the same arguments give the same problems.

    `options.within` keeps a documented subset: the problems in whose question and worked solution every number
    is a whole number from `lo` to `hi`, both included. `level` is the number of lines of the worked solution.
    Raises `Failure` for settings that the task does not take, or when 1000 + 100 * limit attempts do not suffice.
    """
    attempts = 1000 + 100 * limit
    dataset = _dataset(task, options.settings, attempts, seed)
    kept: dict[str, Problem] = {}
    for index in range(attempts):
        problem = _problem(task, dataset, index, options.within)
        if problem is not None:
            kept.setdefault(question_key(problem.question), problem)
        if len(kept) == limit:
            return list(kept.values())
    raise Failure(
        f"reasoning_gym:{task} gave only {len(kept)} of {limit} problems in {attempts} draws.",
        "Widen its options (within, …) or lower the limit.",
    )


def _problem(task: str, dataset: Dataset, index: int, within: tuple[int, int] | None) -> Problem | None:
    """One problem; None if its worked solution will not do or leaves the bounds."""
    if task not in TASKS:
        return _unsolved(task, dataset, index)
    try:
        entry = _entry(task, dataset, index)
        solved = TASKS[task].solve(entry["metadata"])
    except (Unteachable, ArithmeticError):  # the library itself divides by zero at times
        return None
    question, answer = entry["question"].strip(), entry["answer"]
    agrees = solved.solution and _equal(solved.answer, answer) and dataset.score_answer(answer, entry) == 1.0
    if not agrees or (within and not all_within(f"{question}\n{solved.solution}", within)):
        return None
    return Problem(
        id=f"reasoning_gym/{task}/{question_key(question)[:12]}",
        question=question,
        answer=answer,
        solution=solved.solution,
        subject=task,
        level=str(len(solved.solution.splitlines())),
        source=f"reasoning_gym:{task}",
    )


def _unsolved(task: str, dataset: Dataset, index: int) -> Problem | None:
    """A problem with a gold answer but no worked solution; None if it has no single gold answer."""
    entry = _entry(task, dataset, index)
    question, answer = entry["question"].strip(), entry["answer"]
    if not isinstance(answer, str) or not answer.strip() or dataset.score_answer(answer, entry) != 1.0:
        return None
    return Problem(
        id=f"reasoning_gym/{task}/{question_key(question)[:12]}",
        question=question,
        answer=answer,
        solution=None,
        subject=task,
        source=f"reasoning_gym:{task}",
        entry=json.dumps(entry, default=str),
    )


def _equal(worked_answer: str, answer: str) -> bool:
    return Fraction(worked_answer.replace(",", "")) == Fraction(answer.replace(",", ""))


def all_within(text: str, bounds: tuple[int, int]) -> bool:
    """True if every number in the text, annotations aside, is a whole number within the bounds."""
    low, high = bounds
    numbers = (Fraction(number.replace(",", "")) for number in _NUMBER.findall(_ANNOTATION.sub(" ", text)))
    return all(number.denominator == 1 and low <= number <= high for number in numbers)


def _dataset(task: str, settings: Mapping[str, Scalar], size: int, seed: int) -> Dataset:
    _refuse_unknown(task, settings)
    try:
        dataset: Dataset = _library().create_dataset(task, **settings, size=size, seed=library_seed(task, seed))
    except (AssertionError, TypeError, ValueError) as failure:
        raise _refused(task, settings, failure) from None
    return dataset


def _entry(task: str, dataset: Dataset, index: int) -> Metadata:
    try:
        return dataset[index]
    except (TypeError, ValueError, IndexError) as failure:
        raise _refused(task, {}, failure) from None


def library_seed(task: str, seed: int) -> int:
    """The seed the library gets: its datasets of neighbouring seeds share all entries but one, so ours are spread."""
    return int.from_bytes(hashlib.sha256(f"{task}/{seed}".encode()).digest()[:7])


def _refused(task: str, settings: Mapping[str, Scalar], failure: Exception) -> Failure:
    why = str(failure) or ", ".join(f"{key}={value}" for key, value in settings.items())
    return Failure(f"reasoning_gym:{task} refuses its options: {why}.", "Change the part after the ?.")


def _refuse_unknown(task: str, settings: Mapping[str, Scalar]) -> None:
    config = _library("factory").DATASETS[task][1]
    known = [entry.name for entry in dataclasses.fields(config) if entry.name not in _RESERVED]
    for key in settings:
        if key in _RESERVED:
            raise Failure(f"reasoning_gym:{task} takes no option {key!r}.", f"It is {_RESERVED[key]} that sets it.")
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(known)}, within and operations."
            raise Failure(f"reasoning_gym:{task} has no option {key!r}.", remedy)


def _library(part: str = "") -> ModuleType:
    """The library, or one of its modules, imported on first use: it takes a second or two."""
    try:
        return importlib.import_module(f"reasoning_gym.{part}" if part else "reasoning_gym")
    except ImportError:
        raise Failure("reasoning_gym is not installed.", "pip install reasoning_gym") from None
