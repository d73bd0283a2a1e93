"""The offline reference teacher on real data: thoughts from GSM8K, first wrong steps of ProcessBench.

    python -m benchmarks.reference_teacher --data-dir ../shared/data [--quick]

Thoughts: share of the GSM8K training rows for which the teacher writes a thought whose answer is the gold one and
which the reference inspector accepts. Steps: exact agreement of `first_wrong_step` with the human labels of
ProcessBench-GSM8K on rows with and without an error and the harmonic mean of the two (ProcessBench, arXiv 2412.06559,
section 4), for rows whose question stands in GSM8K, given its gold solution there. The switches of the locating rule
were chosen on these rows, so these figures describe it; they do not predict it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import Unteachable
from redink.rows import read_json_lines
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher, first_wrong_step, same_answer
from redink.types import Problem, Step

QUICK = 500


@dataclass(frozen=True)
class Labelled:
    """One ProcessBench row: `label` is the first wrong step from 1, None if every step is right."""

    problem: Problem
    steps: tuple[Step, ...]
    label: int | None


def read_gsm8k(path: Path) -> list[Problem]:
    """The rows of a GSM8K file as problems."""
    rows = [(number, str(row["question"]), str(row["answer"])) for number, row in read_json_lines(path)]
    return [_problem(f"{path.stem}-{number}", question, answer) for number, question, answer in rows]


def _problem(name: str, question: str, worked: str) -> Problem:
    solution, _, answer = worked.rpartition("####")
    return Problem(id=name, question=question, answer=answer.strip(), solution=solution)


def read_processbench(path: Path, golds: Iterable[Problem]) -> Iterator[Labelled]:
    """The rows whose question, its words compared, stands among the gold problems."""
    known = {_words(problem.question): problem for problem in golds}
    for _, row in read_json_lines(path):
        problem, steps, label = known.get(_words(str(row["problem"]))), row["steps"], row["label"]
        if problem and isinstance(steps, list) and isinstance(label, int):
            numbered = tuple(Step(number=n, text=str(text)) for n, text in enumerate(steps, start=1))
            yield Labelled(problem, numbered, label + 1 if label >= 0 else None)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


async def outcomes(problems: Sequence[Problem]) -> Counter[str]:
    """How many thoughts check, and how many do not, by reason."""
    teacher, inspector = ReferenceTeacher(), ReferenceInspector()
    return Counter([await _outcome(teacher, inspector, problem) for problem in problems])


async def _outcome(teacher: ReferenceTeacher, inspector: ReferenceInspector, problem: Problem) -> str:
    try:
        thought = await teacher.thought(problem)
    except Unteachable as failure:
        return failure.reason
    accepted = (await inspector.inspect(problem, thought)).accepted
    return "checks" if accepted and same_answer(thought.answer, problem.answer) else "not_accepted"


def agreement(rows: Sequence[Labelled]) -> float:
    """Share of rows whose first wrong step is found exactly (no step, for rows without error)."""
    return sum(first_wrong_step(row.problem, row.steps) == row.label for row in rows) / len(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the offline reference teacher.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder with the GSM8K and ProcessBench files")
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK} rows of each split only")
    options = parser.parse_args(arguments)
    train, test = (read_gsm8k(options.data_dir / f"gsm8k_{split}.jsonl") for split in ("train", "test"))
    limit = QUICK if options.quick else None
    _print_thoughts("gsm8k_thoughts_that_check", train[:limit])
    _print_thoughts("gsm8k_test_thoughts_that_check", test[:limit])
    _print_steps(list(read_processbench(options.data_dir / "processbench_gsm8k.jsonl", [*train, *test])))


def _print_thoughts(figure: str, problems: Sequence[Problem]) -> None:
    counts = asyncio.run(outcomes(problems))
    print(f"{len(problems)} rows: {dict(counts.most_common())}")
    print(f"figure {figure} = {100 * counts['checks'] / len(problems):.2f} % (goal >= 99 %)")


def _print_steps(rows: Sequence[Labelled]) -> None:
    wrong, right = [row for row in rows if row.label], [row for row in rows if not row.label]
    on_wrong, on_right = agreement(wrong), agreement(right)
    mean = 2 * on_wrong * on_right / (on_wrong + on_right) if on_wrong + on_right else 0.0
    print(f"figure processbench_gsm8k_matched = {len(rows)} rows")
    print(f"figure processbench_gsm8k_first_error_agreement = {100 * on_wrong:.1f} % of {len(wrong)} rows")
    print(f"figure processbench_gsm8k_no_error_agreement = {100 * on_right:.1f} % of {len(right)} rows")
    print(f"figure processbench_gsm8k_f1 = {100 * mean:.1f} %")


if __name__ == "__main__":
    main()
