"""A file of questions → a file of solutions, in order; what cannot be read or solved is set aside with its reason.

Beside `out.jsonl` lie `out.settings.json` (how it was made), `out.quarantine.jsonl` (rows set aside) and, while it is
being made, `out.unfinished.jsonl`, from which the same command goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from redink.failures import BadInput, Failure, ReplyFailure
from redink.pipelines.series import weights_of
from redink.progress import Advance, quiet
from redink.rows import digest, read_rows, write_rows, write_text
from redink.solving.solved import Solved
from redink.solving.solver import Solver
from redink.stages.unfinished import Unfinished
from redink.types import Quarantined, Row

STAGE = "solve"


class Question(Row):
    """One line of a file of questions."""

    id: str = Field(description="The row's `id`, else its line.")
    line: int = Field(ge=1, description="Its line in the file.")
    question: str = Field(description="What is asked.")

    @property
    def key(self) -> str:
        """What it is known by: its line and its text."""
        return f"{self.line}/{digest(self.question)}"


class SolvedRow(Solved):
    """A solved question of a file."""

    id: str = Field(description="The row's `id`, else its line.")
    line: int = Field(ge=1, description="Its line in the file of questions.")

    @property
    def key(self) -> str:
        """As the question's."""
        return f"{self.line}/{digest(self.question)}"


class FileSummary(Row):
    """What came of a file of questions."""

    rows: int = Field(description="Lines that are not blank.")
    solved: int = Field(description="Rows in the output.")
    quarantined: int = Field(description="Rows set aside.")
    kept: int = Field(description="Rows that an earlier run had solved.")


def read_questions(path: Path) -> tuple[list[Question], list[Quarantined]]:
    """Questions of a JSONL file (`question`, or `problem` or `prompt`), and the lines that hold none.

    Raises `BadInput` if the file cannot be read at all.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as failure:
        raise BadInput(path, f"cannot be read ({failure.strerror}).", "Check the path.") from None
    found: list[Question] = []
    aside: list[Quarantined] = []
    for number, raw in enumerate(lines, start=1):
        if raw.strip():
            row = _question(path, number, raw)
            (found if isinstance(row, Question) else aside).append(row)  # type: ignore[arg-type]
    return found, aside


def _question(path: Path, number: int, raw: bytes) -> Question | Quarantined:
    text = raw.decode("utf-8", errors="replace")
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as failure:
        return _aside(path, number, "not_json", str(failure), text)
    if not isinstance(value, dict):
        return _aside(path, number, "not_an_object", f"it is a {type(value).__name__}", text)
    question = next((value[name] for name in ("question", "problem", "prompt") if name in value), None)
    if not isinstance(question, str) or not question.strip():
        return _aside(path, number, "no_question", "there is no text under 'question'", text)
    return Question(id=str(value.get("id", number)), line=number, question=question)


def _aside(path: Path, number: int, reason: str, detail: str, raw: str) -> Quarantined:
    return Quarantined(problem_id=f"{path.name}:{number}", stage=STAGE, reason=reason, detail=detail, raw=raw)


def solve_file(solver: Solver, source: Path, to: Path, *, fresh: bool = False, advance: Advance = quiet) -> FileSummary:
    """Solve the questions of `source` into `to`; what an earlier run with the same settings solved is kept.

    `advance` is told of each question. Raises `Failure` if `to` was made with other settings, `BadInput` for an
    unreadable file.
    """
    questions, aside = read_questions(source)
    _settle(to, solver, fresh)
    before = {row.key: row for row in read_rows(to, SolvedRow)} if to.is_file() else {}
    beside(to, "unfinished.jsonl").parent.mkdir(parents=True, exist_ok=True)
    with Unfinished(beside(to, "unfinished.jsonl"), SolvedRow, questions, lambda row: row.key) as work:
        for place in list(work.open_places()):
            if (known := before.get(questions[place].key)) is not None:
                work.add(place, known)
        kept = sum(isinstance(row, SolvedRow) for row in work)
        left = [place for place in range(len(questions)) if place not in work or isinstance(work[place], Quarantined)]
        advance(len(questions) - len(left))
        _solve(solver, questions, left, work, advance)
        outcomes = list(work)
    solved = [row for row in outcomes if isinstance(row, SolvedRow)]
    aside += [row for row in outcomes if isinstance(row, Quarantined)]
    write_rows(beside(to, "quarantine.jsonl"), aside)
    write_rows(to, solved)
    beside(to, "unfinished.jsonl").unlink()
    return FileSummary(rows=len(questions) + len(aside) - _doubly(outcomes), solved=len(solved),
                       quarantined=len(aside), kept=kept)  # fmt: skip


def _doubly(outcomes: Sequence[Row]) -> int:
    """Rows set aside that are questions too."""
    return sum(isinstance(row, Quarantined) for row in outcomes)


def _solve(
    solver: Solver, questions: Sequence[Question], left: Sequence[int], work: Unfinished[Question], advance: Advance
) -> None:
    def done(number: int, row: Solved | ReplyFailure) -> None:
        place = left[number]
        work.add(place, _outcome(questions[place], row))
        advance()

    solver.solve_all([questions[place].question for place in left], done)


def _outcome(asked: Question, row: Solved | ReplyFailure) -> SolvedRow | Quarantined:
    if isinstance(row, Solved):
        return SolvedRow(id=asked.id, line=asked.line, **dict(row))
    return Quarantined(problem_id=asked.id, stage=STAGE, reason=row.reason, detail=row.detail, raw=row.raw)


def beside(to: Path, ending: str) -> Path:
    """The file beside the output: `out.jsonl` → `out.<ending>`."""
    return to.with_name(f"{to.name.removesuffix('.jsonl')}.{ending}")


def _settle(to: Path, solver: Solver, fresh: bool) -> None:
    """Keep how the output is made; refuse to go on with one that was made otherwise."""
    path, now = beside(to, "settings.json"), settings_of(solver)
    if fresh:
        for old in (to, path, beside(to, "unfinished.jsonl"), beside(to, "quarantine.jsonl")):
            old.unlink(missing_ok=True)
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if to.exists():
            raise Failure(f"{to} is there already, and was not made by redink solve.", "Name another --out.") from None
        before = now
    except (OSError, ValueError):
        raise BadInput(path, "cannot be read.", "Begin anew with --fresh.") from None
    other = [key for key in now if before.get(key) != now[key]] if isinstance(before, dict) else list(now)
    if other:
        raise Failure(
            f"{to} was made with other settings ({', '.join(other)}).",
            "Begin anew with --fresh, or name another --out.",
        )
    write_text(path, json.dumps(now, indent=2, ensure_ascii=False) + "\n")


def settings_of(solver: Solver) -> dict[str, object]:
    """All that decides what is written, as JSON."""
    store = solver.store
    return {
        "model": solver.backend.name,
        "weights": weights_of(solver.backend.name),
        "preset": solver.preset.model_dump(mode="json"),
        "rounds": solver.rounds,
        "generation": solver.generation.model_dump(mode="json"),
        "store": digest("".join(row.model_dump_json() for row in store.rows)) if store is not None else "",
        "thoughts": solver.thoughts if store is not None else 0,
    }
