"""Solutions whose first wrong step people have marked: ProcessBench, BIG-Bench-Mistake, or a JSONL file of one's own.

ProcessBench (Zheng et al. 2024, arXiv 2412.06559): the card of Qwen/ProcessBench, whose one configuration has the
splits gsm8k, math, olympiadbench and omnimath; `label` is the first wrong step from 0, −1 where there is none. A right
final answer may follow from a wrong step: `first_wrong` and `answer_right` are told apart.
BIG-Bench-Mistake (Tyen et al. 2023, arXiv 2311.08516): one JSONL file a task in the authors' repository;
`mistake_index` is the first wrong step from 0, null where there is none. The marks of dyck_languages are mostly a
program's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redink.failures import BadInput, Failure
from redink.problems.copies import Copy, read_copy
from redink.problems.jsonl import Line
from redink.problems.published import SetCheck, compare_with
from redink.problems.questions import question_key
from redink.problems.sources import SourceInfo
from redink.rows import as_row, read_json_lines
from redink.types import LabelledSolution, Step

_MISTAKES = "https://raw.githubusercontent.com/WHGTyen/BIG-Bench-Mistake/main"

Reader = Callable[[Line, str, str], LabelledSolution]


@dataclass(frozen=True)
class LabelledSet:
    """A published set of labelled solutions."""

    description: str
    reader: Reader
    copy: Copy


def _steps(line: Line) -> tuple[Step, ...]:
    texts = line.texts("steps")
    if not texts:
        raise line.bad("steps", "holds no steps.")
    return tuple(Step(number=number, text=text) for number, text in enumerate(texts, start=1))


def _process_bench(line: Line, row_id: str, source: str) -> LabelledSolution:
    steps = _steps(line)
    label = line.whole("label", -1, len(steps) - 1)
    if label is None:
        raise line.bad("label", "is missing.")
    return LabelledSolution(
        id=row_id,
        question=line.required("problem"),
        steps=steps,
        first_wrong=label + 1 if label >= 0 else None,
        answer_right=line.flag("final_answer_correct") if "final_answer_correct" in line.fields else None,
        source=source,
    )


def _big_bench_mistake(line: Line, row_id: str, source: str) -> LabelledSolution:
    """One trace; its answer is right if it is the target's text, as the paper compares them."""
    steps = _steps(line)
    if "mistake_index" not in line.fields:
        raise line.bad("mistake_index", "is missing.", "It is null where no step is wrong.")
    mistake, target = line.whole("mistake_index", 0, len(steps) - 1), line.required("target")
    return LabelledSolution(
        id=row_id,
        question=line.required("input"),
        steps=steps,
        first_wrong=None if mistake is None else mistake + 1,
        answer_right=line.text("answer") == target,
        answer=target,
        source=source,
    )


def _processes(split: str, rows: int, fingerprint: str | None, about: str) -> LabelledSet:
    copy = Copy(f"processbench_{split}.jsonl", "Qwen/ProcessBench", ((None, split),), rows, fingerprint)
    return LabelledSet(f"ProcessBench: solutions of {about} by many models", _process_bench, copy)


def _mistakes(task: str, rows: int, fingerprint: str | None, about: str) -> LabelledSet:
    file, url = f"bigbench_mistake_{task}.jsonl", f"{_MISTAKES}/{task}.jsonl"
    copy = Copy(file, "WHGTyen/BIG-Bench-Mistake", ((None, "train"),), rows, fingerprint, url)
    return LabelledSet(f"BIG-Bench-Mistake: {about}, traces by PaLM 2", _big_bench_mistake, copy)


LABELLED: Mapping[str, LabelledSet] = {
    "processbench/gsm8k": _processes("gsm8k", 400, "f7eeaea911619c1d", "GSM8K"),
    "processbench/math": _processes("math", 1000, "a0aa82df27dd4215", "MATH"),
    "processbench/olympiadbench": _processes("olympiadbench", 1000, None, "OlympiadBench"),
    "processbench/omnimath": _processes("omnimath", 1000, None, "Omni-MATH"),
    "bigbench_mistake/multistep_arithmetic": _mistakes(
        "multistep_arithmetic", 300, "838ec3fb196eb21c", "nested sums and products"
    ),
    "bigbench_mistake/word_sorting": _mistakes("word_sorting", 300, None, "sorting words"),
    "bigbench_mistake/tracking_shuffled_objects": _mistakes(
        "tracking_shuffled_objects", 300, None, "objects that change hands"
    ),
    "bigbench_mistake/logical_deduction": _mistakes("logical_deduction", 300, None, "orders from clues"),
    "bigbench_mistake/dyck_languages": _mistakes("dyck_languages", 986, None, "closing brackets"),
}
"""Every published set of labelled solutions by the name that commands use, which also begins its rows' ids."""


def list_labelled() -> list[SourceInfo]:
    """Every set of labelled solutions that `load_labelled` knows."""
    known = [
        (name, f"{row.description}: {row.copy.rows}", f"the folder named by --data-dir, or {_whence(row.copy)}")
        for name, row in LABELLED.items()
    ]
    own = ("jsonl:<path>", "your own: rows of LabelledSolution", "the file")
    return [SourceInfo(name=name, description=about, needs=needs) for name, about, needs in (*known, own)]


def _whence(copy: Copy) -> str:
    return "the Hugging Face hub" if copy.url is None else "github.com"


def load_labelled(
    name: str, *, data_dir: Path | None = None, limit: int | None = None, checks: list[SetCheck] | None = None
) -> list[LabelledSolution]:
    """Load the first `limit` (None: all) rows of a set of `list_labelled` or of `jsonl:<path>`, in their order.

    Without `data_dir` published sets are downloaded; a relative JSONL path that does not exist is looked for in it. The
    check of the whole set, before `limit`, is added to `checks`.
    Raises `Failure` for an unknown name (naming the nearest), a limit below 1 or a failed download, and `BadInput`
    naming file, line and field for a row that is none.
    """
    if limit is not None and limit < 1:
        raise Failure(f"The limit of {name} is {limit}.", "It must be at least 1.")
    rows = _all(name, data_dir)
    if checks is not None:
        checks.append(check_labelled(name, rows))
    return rows[:limit]


def _all(name: str, data_dir: Path | None) -> list[LabelledSolution]:
    if name in LABELLED:
        known = LABELLED[name]
        lines = read_copy(known.copy, data_dir)
        return [known.reader(line, f"{name}/{index}", name) for index, line in enumerate(lines)]
    kind, mark, path = name.partition(":")
    if kind == "jsonl" and mark:
        return _own(Path(path).expanduser(), data_dir)
    if near := difflib.get_close_matches(name, LABELLED, 1):
        raise Failure(f"There is no set of labelled solutions {name!r}.", f"Did you mean {near[0]!r}?")
    raise Failure(f"There is no set of labelled solutions {name!r}.", f"There are {', '.join(LABELLED)}.")


def _own(path: Path, data_dir: Path | None) -> list[LabelledSolution]:
    found = data_dir / path if data_dir is not None and not path.exists() else path
    rows: list[LabelledSolution] = []
    lines: dict[str, int] = {}
    for number, value in read_json_lines(found):
        row = as_row(found, number, value, LabelledSolution)
        _refuse(found, number, row, lines.setdefault(row.id, number))
        rows.append(row)
    if not rows:
        raise BadInput(found, "holds no labelled solutions.", "Each line holds one LabelledSolution.")
    return rows


def _refuse(path: Path, number: int, row: LabelledSolution, first: int) -> None:
    """Raise `BadInput` for an id that stands twice, steps that do not count from 1, or a label outside them."""
    remedy = "Mend or remove that line."
    if first != number:
        raise BadInput(path, f"{row.id!r} stands on line {first} too.", remedy, line=number, field="id")
    if [step.number for step in row.steps] != list(range(1, len(row.steps) + 1)):
        raise BadInput(path, "do not count from 1 without gaps.", remedy, line=number, field="steps")
    if row.first_wrong is not None and not 1 <= row.first_wrong <= len(row.steps):
        what = f"is {row.first_wrong}, of {len(row.steps)} steps."
        raise BadInput(path, what, remedy, line=number, field="first_wrong")


def check_labelled(name: str, rows: Sequence[LabelledSolution]) -> SetCheck:
    """Compare a whole set with what its name promises: rows, and questions, steps and labels in whatever order."""
    known = LABELLED.get(name)
    contents = [
        "\n".join((question_key(row.question), str(row.first_wrong), *(step.text for step in row.steps)))
        for row in rows
    ]
    return compare_with(name, contents, [], known.copy if known else None)
