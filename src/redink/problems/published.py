"""GSM8K and MATH, from a folder of JSONL files or from the Hugging Face hub."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from redink.failures import BadInput, Failure
from redink.problems.jsonl import Line, read_lines, split_final_answer
from redink.problems.questions import question_key
from redink.types import Problem, Quarantined

SPLITS = ("train", "test")
_HUB = {
    "gsm8k": ("openai/gsm8k", ("main",)),
    "math": (
        "EleutherAI/hendrycks_math",
        (
            "algebra",
            "counting_and_probability",
            "geometry",
            "intermediate_algebra",
            "number_theory",
            "prealgebra",
            "precalculus",
        ),
    ),
}


def gsm8k(split: str, data_dir: Path | None) -> list[Problem]:
    """GSM8K (Cobbe et al. 2021): gold answer after `####` without commas, solution with its `<<…>>` annotations."""
    return [_gsm8k_problem(line, split, index) for index, line in enumerate(_lines("gsm8k", split, data_dir))]


def _gsm8k_problem(line: Line, split: str, index: int) -> Problem:
    text = line.required("answer")
    solution, answer = split_final_answer(text)
    if "####" not in text or not answer:
        raise line.bad("answer", "holds no final answer after ####.", "Is this a GSM8K file?")
    return Problem(
        id=f"gsm8k/{split}/{index}",
        question=line.required("question"),
        answer=answer,
        solution=solution,
        subject="gsm8k",
        level=None,
        source=f"gsm8k/{split}",
    )


def math(split: str, data_dir: Path | None, set_aside: list[Quarantined] | None = None) -> list[Problem]:
    r"""MATH (Hendrycks et al. 2021), without the rows that cannot serve, which are added to `set_aside`.

    These are rows whose answer is empty (two of train end in `\boxed{}`) and, of train, questions that stand in test
    too, as far as the test split can be seen. `Level ?` becomes no level. Ids keep the row's index.
    """
    problems, held = _math_problems(split, data_dir)
    if split == "train" and (data_dir is None or _file("math", "test", data_dir).exists()):
        tested = {question_key(problem.question) for problem in _math_problems("test", data_dir)[0]}
        held += [_in_test(problem) for problem in problems if question_key(problem.question) in tested]
        problems = [problem for problem in problems if question_key(problem.question) not in tested]
    if set_aside is not None:
        set_aside.extend(held)
    return problems


def _math_problems(split: str, data_dir: Path | None) -> tuple[list[Problem], list[Quarantined]]:
    rows = [_math_problem(line, split, index) for index, line in enumerate(_lines("math", split, data_dir))]
    held = [row for row in rows if isinstance(row, Quarantined)]
    return [row for row in rows if isinstance(row, Problem)], held


def _in_test(problem: Problem) -> Quarantined:
    return Quarantined(
        problem_id=problem.id, stage="problems", reason="stands_in_test", detail="its question", raw=problem.question
    )


def _math_problem(line: Line, split: str, index: int) -> Problem | Quarantined:
    """One problem, or the row held back because the source leaves its answer empty."""
    solution, answer = line.required("solution"), line.text("answer")
    if answer is None and (answer := last_boxed(solution)) is None:
        raise line.bad("answer", "is missing, and the solution has no \\boxed{}.", "Is this a MATH file?")
    if not answer:
        raw = json.dumps(dict(line.fields), ensure_ascii=False)
        return Quarantined(problem_id=f"math/{split}/{index}", stage="problems", reason="empty_gold", raw=raw)
    level = line.text("level")
    return Problem(
        id=f"math/{split}/{index}",
        question=line.required("problem"),
        answer=answer,
        solution=solution,
        subject=line.text("subject") or line.text("type") or "",
        level=level if level != "Level ?" else None,
        source=f"math/{split}",
    )


def last_boxed(solution: str) -> str | None:
    r"""What the last `\boxed` (or `\fbox`) holds: its balanced braces, or one token as in `\boxed 2`; None if none."""
    start = max(solution.rfind("\\boxed"), solution.rfind("\\fbox"))
    if start < 0:
        return None
    rest = solution[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    return _balanced(rest) if rest.startswith("{") else rest[:1]


def _balanced(text: str) -> str | None:
    """The inside of the brace that opens `text`; None if it never closes. Escaped braces do not count."""
    depth, escaped = 0, False
    for position, character in enumerate(text):
        if not escaped:
            depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[1:position].strip()
        escaped = character == "\\" and not escaped
    return None


def _lines(name: str, split: str, data_dir: Path | None) -> list[Line]:
    if split not in SPLITS:
        raise Failure(f"{name} has no split {split!r}.", f"Its splits are {' and '.join(SPLITS)}.")
    return _hub_lines(name, split) if data_dir is None else _folder_lines(_file(name, split, data_dir))


def _file(name: str, split: str, data_dir: Path) -> Path:
    return data_dir / f"{name}_{split}.jsonl"


def _folder_lines(path: Path) -> list[Line]:
    if not path.exists():
        raise BadInput(path, "there is no such file.", f"--data-dir names the folder that holds {path.name}.")
    return read_lines(path)


def _hub_lines(name: str, split: str) -> list[Line]:
    repository, configs = _HUB[name]
    rows = [row for config in configs for row in _download(name, repository, config, split)]
    return [Line(f"{repository} ({split})", number, row) for number, row in enumerate(rows, start=1)]


def _download(name: str, repository: str, config: str, split: str) -> Iterable[Mapping[str, object]]:
    try:
        rows: Iterable[Mapping[str, object]] = importlib.import_module("datasets").load_dataset(
            repository, config, split=split
        )
    except Exception as failure:  # what a download may raise is no closed set: sockets, HTTP clients, parsers
        why = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        raise Failure(
            f"{repository} ({config}) could not be had from the Hugging Face hub: {why.rstrip('.')}.",
            f"Give --data-dir, a folder that holds {name}_{split}.jsonl.",
        ) from failure
    return rows
