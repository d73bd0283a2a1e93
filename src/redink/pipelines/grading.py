"""Grade a file of predictions against gold answers: verdicts, counts with intervals, bad rows set aside."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field
from rich.table import Table

from redink.answers.checkers import NO_ANSWER, Checker, MathChecker
from redink.answers.rewards import as_problem
from redink.answers.switches import Switches
from redink.evaluation.judge import METHOD, AnswerJudge, judge_ungradable
from redink.evaluation.statistics import Estimate, clustered_proportion
from redink.failures import BadInput, Failure
from redink.pipelines.tables import percent
from redink.progress import Advance, progress
from redink.rows import parse_object, write_rows, write_text
from redink.stages.engine import LOCAL, Engine
from redink.stages.making import not_made
from redink.stages.shards import Shards
from redink.types import Outcome, Problem, Quarantined, Row, Verdict

STAGE = "grade"
LONGEST_BARE = 200
PART = 1024
"""Rows that a worker grades at a time."""
Prediction = tuple[int, str | None, Problem]
"""Line, prediction, and the problem with its gold answer."""
Kind = Literal["auto", "replies", "answers"]
Fields = Mapping[str, object]
USED = ("id", "prediction", "gold", "answer", "question", "source", "entry")
HALF = "a text holds half a character (a lone surrogate)"


class Graded(Row):
    """One prediction with its verdict."""

    id: str = Field(description="The row's id, or its line number if it has none.")
    line: int = Field(ge=1, description="Where it stands in the file of predictions, from 1.")
    answer: str | None = Field(description="The answer that was compared; None if none was found.")
    gold: str = Field(description="The gold answer.")
    verdict: Verdict = Field(description="The verdict, and what decided it.")


class GradeSummary(Row):
    """What a file of predictions comes to: shares of all rows but quarantined ones, with 95 % intervals."""

    checker: str = Field(description="Who decided.")
    switches: Switches | None = Field(description="The contested conventions, for the math checker.")
    judge: str | None = Field(description="The chat model that judged ungradable rows, if any.")
    rows: int = Field(ge=0, description="Rows with a verdict.")
    problems: int = Field(ge=0, description="Distinct ids among them; several rows of one id are samples of it.")
    right: Estimate = Field(description="Share that is right.")
    wrong: Estimate = Field(description="Share that is wrong.")
    ungradable: Estimate = Field(description="Share that could not be graded, rows without an answer included.")
    no_answer: int = Field(ge=0, description="Of the ungradable ones, those in which no answer was found.")
    judged: int = Field(ge=0, description="Rows whose verdict is the judge's.")
    by_method: dict[str, int] = Field(description="Rows by what decided.")
    quarantined: dict[str, int] = Field(description="Rows that could not be read, by reason; see the quarantine file.")


def read_predictions(path: Path, gold_path: Path | None = None) -> tuple[list[Prediction], list[Quarantined]]:
    """Read (line, prediction, problem with its gold answer) for each usable row, and the others with their reasons.

    A row holds `prediction` (text, a number, or null for none) and `gold`, or an `id` that stands in the gold file,
    whose rows hold `id` and `gold` or `answer` (a problem file will do). `question`, `source` and `entry` are used
    by checkers that need them. Raises `BadInput` if a file cannot be read or the gold file has an unusable row.
    """
    golds = _read_golds(gold_path) if gold_path else None
    rows, bad = [], []
    for number, raw in _lines(path):
        try:
            rows.append((number, *_prediction(path, number, raw, golds)))
        except _Unusable as failure:
            text = raw.decode("utf-8", "replace")
            bad.append(
                Quarantined(
                    problem_id=f"{path.name}:{number}",
                    stage=STAGE,
                    reason=failure.reason,
                    detail=str(failure),
                    raw=text,
                )
            )
    if not rows:
        why = f"{bad[0].problem_id}: {bad[0].detail}" if bad else "it is empty."
        raise BadInput(path, f"holds no usable prediction; {why}", 'Each line: {"id": …, "prediction": …, "gold": …}')
    return rows, bad


class _Unusable(Exception):
    """A row of predictions that cannot be graded."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                text = raw.removeprefix(b"\xef\xbb\xbf").strip()
                if text:
                    yield number, text
    except FileNotFoundError:
        raise BadInput(path, "there is no such file.", "Check the path.") from None
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the file and its permissions.") from None


def _read_golds(path: Path) -> dict[str, Fields]:
    golds: dict[str, Fields] = {}
    for number, raw in _lines(path):
        fields = parse_object(path, number, raw)
        if _half_a_character(raw, fields):
            raise BadInput(path, f"{HALF}.", "Mend or remove that line.", line=number)
        name = _id(fields)
        if name is None:
            raise BadInput(path, "is missing.", "Each gold row needs an id.", line=number, field="id")
        if name in golds:
            raise BadInput(path, f"{name!r} stands twice.", "Remove one of them.", line=number, field="id")
        golds[name] = fields
    return golds


def _prediction(path: Path, number: int, raw: bytes, golds: Mapping[str, Fields] | None) -> tuple[str | None, Problem]:
    try:
        fields = parse_object(path, number, raw)
    except BadInput as failure:
        raise _Unusable("not_json", failure.what) from None
    if _half_a_character(raw, fields):
        raise _Unusable("bad_text", HALF)
    if "prediction" not in fields:
        raise _Unusable("no_prediction", "the field 'prediction' is missing")
    name = _id(fields)
    if golds is None:
        return _said(fields["prediction"]), _problem(name or str(number), fields)
    if name is None:
        raise _Unusable("no_id", "the field 'id' is missing, and the gold answers stand in a file of their own")
    if name not in golds:
        raise _Unusable("no_gold", f"the id {name!r} is not in the gold file")
    return _said(fields["prediction"]), _problem(name, golds[name])


def _half_a_character(raw: bytes, fields: Fields) -> bool:
    """Whether a field that is used holds a lone surrogate: JSON can escape one, no file of verdicts can hold it."""
    if b"\\u" not in raw:
        return False
    try:
        json.dumps([fields.get(name) for name in USED], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _id(fields: Fields) -> str | None:
    value = fields.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and str(value) else None


def _said(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    raise _Unusable("bad_prediction", f"the prediction is a {type(value).__name__}, not text")


def _problem(name: str, fields: Fields) -> Problem:
    gold = fields.get("gold", fields.get("answer"))
    if gold is None:
        raise _Unusable("no_gold", "there is no field 'gold' or 'answer'")
    question = fields.get("question")
    try:
        return as_problem(
            name, question if isinstance(question, str) else "", gold, fields.get("source"), fields.get("entry")
        )
    except Failure as failure:
        raise _Unusable("bad_gold", failure.what) from None


def output_of(predictions: Path, gold: Path | None, output: Path | None) -> Path:
    """Where verdicts go: `output`, or beside the predictions; raises `Failure` if an input would be overwritten."""
    to = output or predictions.with_name(predictions.name.removesuffix(".jsonl") + ".graded.jsonl")
    if any(path is not None and path.resolve() == to.resolve() for path in (predictions, gold)):
        raise Failure(f"{to} is an input.", "Choose another file with --output.")
    return to


def parts_of(output: Path) -> Path:
    """Where workers' verdicts wait until all are there: beside the output."""
    return output.with_name(output.name.removesuffix(".jsonl") + ".parts")


def grade_predictions(
    rows: Sequence[Prediction],
    checker: Checker,
    kind: Kind = "auto",
    judge: AnswerJudge | None = None,
    engine: Engine = LOCAL,
    parts: Path | None = None,
) -> list[Graded]:
    """Grade rows as `read_predictions` gives them, in their order; shows progress.

    `kind` says what predictions are: 'replies' to extract an answer from, bare 'answers', or 'auto': replies, but
    a single line of at most 200 characters in which none is found is taken for the answer itself.
    Another engine than the local one keeps verdicts in `parts`, which it needs; whoever comes after goes on from them.
    There, a row that cannot be graded for a fault or a crash of the checker is ungradable.
    """
    with progress("grading", len(rows), "answers") as advance:
        if parts is None or (engine is LOCAL and not parts.exists()):
            graded = _graded(rows, checker, kind, advance)
        else:
            shards = Shards(parts, Graded, _Grading(checker, kind), PART, engine, _not_graded)
            name = _name(rows, checker, kind)
            shards.fill([name], rows, advance)
            graded = shards.rows(name, rows)
    return graded if judge is None else _judged(judge, rows, graded)


@dataclass(frozen=True)
class _Grading:
    """How a shard is graded, in whichever process."""

    checker: Checker
    kind: Kind

    def __call__(self, rows: Sequence[Prediction], name: str, number: int, advance: Advance) -> Sequence[Graded]:
        return _graded(rows, self.checker, self.kind, advance)


def _not_graded(row: Prediction, why: str) -> list[Graded]:
    line, _, problem = row
    return [Graded(id=problem.id, line=line, answer=None, gold=problem.answer, verdict=not_made(why))]


def _name(rows: Sequence[Prediction], checker: Checker, kind: Kind) -> str:
    """What tells these rows, so graded, from others."""
    digest = hashlib.sha256(f"{checker.name}\n{kind}\n".encode())
    for row in rows:
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()[:16]


def _graded(rows: Sequence[Prediction], checker: Checker, kind: Kind, advance: Advance) -> list[Graded]:
    problems = [problem for _, _, problem in rows]
    answers = [_answer(checker, prediction, problem, kind) for _, prediction, problem in rows]
    verdicts = _verdicts(checker, answers, problems, advance)
    return [
        Graded(id=problem.id, line=line, answer=answer, gold=problem.answer, verdict=verdict)
        for (line, _, problem), answer, verdict in zip(rows, answers, verdicts, strict=True)
    ]


def _judged(judge: AnswerJudge, rows: Sequence[Prediction], graded: Sequence[Graded]) -> list[Graded]:
    """The same, ungradable ones that have an answer judged."""
    answers, verdicts = [row.answer for row in graded], [row.verdict for row in graded]
    open_rows = sum(row.verdict.outcome == "ungradable" and row.answer is not None for row in graded)
    with progress("judging", open_rows, "answers") as advance:
        problems = [problem for _, _, problem in rows]
        judged = asyncio.run(judge_ungradable(judge, answers, problems, verdicts, advance))
    return [row.model_copy(update={"verdict": verdict}) for row, verdict in zip(graded, judged, strict=True)]


def _answer(checker: Checker, prediction: str | None, problem: Problem, kind: Kind) -> str | None:
    if prediction is None or not prediction.strip():
        return None
    bare = prediction.strip()
    if kind == "answers":
        return bare
    found = checker.extract(prediction, problem)
    if found is None and kind == "auto" and len(bare) <= LONGEST_BARE and "\n" not in bare:
        return bare
    return found


def _verdicts(
    checker: Checker, answers: Sequence[str | None], problems: Sequence[Problem], advance: Advance
) -> list[Verdict]:
    found = [(place, answer) for place, answer in enumerate(answers) if answer is not None]
    advance(len(answers) - len(found))
    checked = checker.compare_many([answer for _, answer in found], [problems[place] for place, _ in found], advance)
    by_place = {place: verdict for (place, _), verdict in zip(found, checked, strict=True)}
    return [by_place.get(place, NO_ANSWER) for place in range(len(answers))]


def summarise(
    graded: Sequence[Graded], quarantined: Sequence[Quarantined], checker: Checker, judge: AnswerJudge | None = None
) -> GradeSummary:
    """Counts and shares; intervals allow for several samples of one problem."""
    verdicts = [row.verdict for row in graded]
    return GradeSummary(
        checker=checker.name,
        switches=checker.switches if isinstance(checker, MathChecker) else None,
        judge=judge.model.name if judge else None,
        rows=len(graded),
        problems=len({row.id for row in graded}),
        right=_share(graded, "right"),
        wrong=_share(graded, "wrong"),
        ungradable=_share(graded, "ungradable"),
        no_answer=sum(row.verdict == NO_ANSWER for row in graded),
        judged=sum(row.method == METHOD and row.outcome != "ungradable" for row in verdicts),
        by_method=dict(Counter(row.method for row in verdicts).most_common()),
        quarantined=dict(sorted(Counter(row.reason for row in quarantined).items())),
    )


def _share(graded: Sequence[Graded], outcome: Outcome) -> Estimate:
    sizes = Counter(row.id for row in graded)
    hits = Counter(row.id for row in graded if row.verdict.outcome == outcome)
    return clustered_proportion([hits[name] for name in sizes], list(sizes.values()))


def write_grades(
    output: Path, graded: Sequence[Graded], quarantined: Sequence[Quarantined], summary: GradeSummary
) -> tuple[Path, Path]:
    """Write the verdicts to `output`, and beside it `.quarantine.jsonl` and `.summary.json`; returns these two."""
    stem = output.name.removesuffix(".jsonl")
    aside, books = output.with_name(f"{stem}.quarantine.jsonl"), output.with_name(f"{stem}.summary.json")
    try:
        write_rows(output, graded)
        write_rows(aside, quarantined)
        write_text(books, summary.model_dump_json(indent=2) + "\n")
    except Failure as failure:
        raise Failure(failure.what, "Free some space or choose another place with --output.") from None
    return aside, books


def as_table(summary: GradeSummary) -> Table:
    """Right, wrong and ungradable, each with its count and its share."""
    samples = f", {summary.problems} problems" if summary.problems != summary.rows else ""
    table = Table(title=f"{summary.rows} predictions{samples}, checker {summary.checker}; %, [95 %]")
    for column in ("verdict", "n", "share"):
        table.add_column(column, justify="left" if column == "verdict" else "right")
    for outcome in ("right", "wrong", "ungradable"):
        share: Estimate = getattr(summary, outcome)
        table.add_row(outcome, str(round((share.value or 0) * share.n)), percent(share))
    table.add_row("  no answer found", str(summary.no_answer), "")
    if summary.judge:
        table.add_row(f"  decided by the judge {summary.judge}", str(summary.judged), "")
    return table
