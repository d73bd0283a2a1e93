"""`redink import`: other people's preference and step-error data into our rows; what cannot be read is quarantined.

- `step-dpo`: Math-Step-DPO-10K (Lai et al. 2024, arXiv 2406.18629): a question, right steps, two next steps.
- `prm800k`: PRM800K (Lightman et al. 2023, arXiv 2305.20050): every step of a solution rated −1, 0 or 1; to labelled
  solutions, or with `prm800k-pairs` to preferences of a right next step over a wrong one.
- `stepwise`: TRL's stepwise supervision (prompt, completions, labels), as of trl-lib/prm800k and math_shepherd.
- `processbench`, `bigbench-mistake`: as `redink.problems.labelled` reads them.
- `preference`: prompt, chosen, rejected, as texts or as messages: the form of most preference sets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from redink.answers import compare
from redink.failures import BadInput, Failure
from redink.problems.jsonl import Line
from redink.problems.labelled import LABELLED
from redink.prompts import Prompt, load_prompt
from redink.rows import write_rows, write_text
from redink.stages.outcomes import tally
from redink.types import LabelledSolution, PreferencePair, Problem, Quarantined, Rejected, Row, StageCounts, Step

Made = Sequence[Row]
"""What one input gives: one row or several, or one `Rejected`."""
Reader = Callable[[Line, str, Prompt | None], Made]
RAW = 4_000
"""Of a row that cannot be read, so many characters are kept."""


@dataclass(frozen=True)
class ImportFormat:
    """A format that is known: what it holds, what becomes of it, and how one input is read."""

    about: str
    gives: str
    reader: Reader


class Imported(Row):
    """What an import did: one outcome per input, and where the rows lie."""

    counts: StageCounts = Field(description="Inputs accepted, rejected and quarantined.")
    rows: int = Field(ge=0, description="Rows written; an input may give several.")
    problems: int = Field(ge=0, description="Problems written beside them, of inputs with question and answer.")
    files: tuple[str, ...] = Field(description="What was written.")


def import_rows(form: str, path: Path, out: Path, prompt: str | None = None, source: str | None = None) -> Imported:
    """Read a file (JSONL, a JSON list, or Parquet) and write our rows to `out`, with quarantine and books beside it.

    `prompt` names the prompt that questions are put into (default: the question alone); `source` begins the rows' ids.
    Raises `Failure` for an unknown format and `BadInput` for a file that cannot be read at all.
    """
    known = FORMATS.get(form)
    if known is None:
        raise Failure(f"there is no format {form!r}.", f"There are {', '.join(FORMATS)}.")
    asked, name = load_prompt(prompt) if prompt else None, source or form
    reads = [_outcome(known, line, f"{name}/{index}", asked) for index, line in enumerate(read_records(path))]
    if not reads:
        raise BadInput(path, "holds no rows.", "Name a file of JSON lines, a JSON list, or Parquet.")
    counts = tally(f"import.{form}", len(reads), (made[0] for made in reads))
    return _write(out, reads, counts, _problems(path, form, name))


def _outcome(known: ImportFormat, line: Line | Quarantined, row_id: str, prompt: Prompt | None) -> Made:
    if isinstance(line, Quarantined):
        return [line]
    try:
        return known.reader(line, row_id, prompt) or [_left_out(row_id, "no_preference")]
    except BadInput as failure:
        return [_quarantined(row_id, f"bad_{failure.field or 'row'}", str(failure), line.fields)]
    except ValidationError as failure:
        first = failure.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return [_quarantined(row_id, f"bad_{field or 'row'}", first["msg"], line.fields)]


def _quarantined(row_id: str, reason: str, detail: str, raw: object) -> Quarantined:
    text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)
    return Quarantined(problem_id=row_id, stage="import", reason=reason, detail=detail, raw=_printable(text)[:RAW])


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _left_out(row_id: str, reason: str) -> Rejected:
    return Rejected(problem_id=row_id, stage="import", reason=reason)


def _write(out: Path, reads: Sequence[Made], counts: StageCounts, problems: Sequence[Problem]) -> Imported:
    stem = out.with_suffix("") if out.suffix == ".jsonl" else out
    rows = [row for made in reads for row in made]
    accepted = [row for row in rows if not isinstance(row, Quarantined | Rejected)]
    aside: dict[str, Sequence[Row]] = {
        "quarantine": [row for row in rows if isinstance(row, Quarantined)],
        "rejected": [row for row in rows if isinstance(row, Rejected)],
        "problems": problems,
    }
    files = [out]
    write_rows(out, accepted)
    for name, some in aside.items():
        if some:
            files.append(stem.with_name(f"{stem.name}.{name}.jsonl"))
            write_rows(files[-1], some)
    files.append(stem.with_name(f"{stem.name}.counts.json"))
    write_text(files[-1], counts.model_dump_json() + "\n")
    return Imported(counts=counts, rows=len(accepted), problems=len(problems), files=tuple(map(str, files)))


# ------------------------------------------------------------------ files


def read_records(path: Path) -> Iterator[Line | Quarantined]:
    """The rows of a JSONL file, a JSON list or a Parquet file; a line that is no object comes as `Quarantined`."""
    try:
        if path.suffix == ".parquet":
            yield from _numbered(path, pq.read_table(path).to_pylist())
            return
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(path, "there is no such file.", "Check the path.") from None
    except (OSError, pa.ArrowException) as failure:
        raise BadInput(path, f"cannot be read ({str(failure)[:200]}).", "Check the file.") from None
    whole = _json(data) if data.lstrip()[:1] == b"[" else None
    if isinstance(whole, list):
        yield from _numbered(path, whole)
        return
    for number, raw in enumerate(data.split(b"\n"), start=1):
        if raw.strip():
            yield _line(path, number, _json(raw), raw)


def _numbered(path: Path, values: Sequence[Any]) -> Iterator[Line | Quarantined]:
    return (_line(path, number, value, repr(value).encode()) for number, value in enumerate(values, start=1))


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _line(path: Path, number: int, value: object, raw: bytes) -> Line | Quarantined:
    if isinstance(value, dict):
        return Line(str(path), number, value)
    text = raw.decode("utf-8", "backslashreplace")
    return _quarantined(f"{path.name}:{number}", "no_object", "Each row is one JSON object.", text)


# ------------------------------------------------------------------ formats


def _asked(question: str, prompt: Prompt | None) -> str:
    return prompt.render(question=question) if prompt else question


def _raw_text(line: Line, field: str) -> str:
    """A text as it stands: the space around a step belongs to it."""
    line.text(field)
    value = line.fields.get(field)
    if not isinstance(value, str):
        raise line.bad(field, "is missing.")
    return value


def _step_dpo(line: Line, row_id: str, prompt: Prompt | None) -> Made:
    pair = PreferencePair(
        problem_id=row_id,
        prompt=_asked(line.required("prompt"), prompt),
        prefix=_raw_text(line, "initial_reason_steps"),
        chosen=_raw_text(line, "chosen"),
        rejected=_raw_text(line, "rejected"),
        kind="step",
    )
    return _unless_equal(pair)


def _unless_equal(pair: PreferencePair) -> Made:
    return [_left_out(pair.problem_id, "sides_are_equal")] if pair.chosen == pair.rejected else [pair]


def _preference(line: Line, row_id: str, prompt: Prompt | None) -> Made:
    """Texts, or messages of which the last is the reply and those before it (or `prompt`) the request."""
    asked, chosen = _request(line, "chosen")
    _, rejected = _request(line, "rejected")
    pair = PreferencePair(
        problem_id=row_id, prompt=_asked(asked, prompt), prefix="", chosen=chosen, rejected=rejected,
        chosen_ends=True, rejected_ends=True, kind="solution",
    )  # fmt: skip
    return _unless_equal(pair)


def _request(line: Line, side: str) -> tuple[str, str]:
    value, given = line.fields.get(side), line.fields.get("prompt")
    if isinstance(value, str):
        return line.required("prompt"), value
    replies = _messages(line, side)
    if replies[-1][0] != "assistant":
        raise line.bad(side, "does not end with a message of the assistant.")
    asked = _messages(line, "prompt") if isinstance(given, list) else [("user", given)] if given else replies[:-1]
    users = [content for role, content in asked if role != "assistant"]
    if len(users) != len(asked) or not users:
        raise line.bad("prompt", "is not one request.", "Conversations of several turns have no place in our pairs.")
    return "\n\n".join(map(str, users)), replies[-1][1]


def _messages(line: Line, field: str) -> list[tuple[str, str]]:
    value = line.fields.get(field)
    parts = value if isinstance(value, list) else []
    found = [(part.get("role"), part.get("content")) for part in parts if isinstance(part, Mapping)]
    if not found or len(found) != len(parts) or not all(isinstance(text, str) for pair in found for text in pair):
        raise line.bad(field, "is neither a text nor a list of messages with role and content.")
    return [(str(role), str(content)) for role, content in found]


def _stepwise(line: Line, row_id: str, _: Prompt | None) -> Made:
    steps = _steps(line, line.texts("completions"), "completions")
    labels = line.fields.get("labels")
    if not isinstance(labels, list) or len(labels) != len(steps) or not all(isinstance(each, bool) for each in labels):
        raise line.bad("labels", f"is not a list of {len(steps)} times true or false.")
    first = labels.index(False) + 1 if False in labels else None
    return [
        LabelledSolution(id=row_id, question=line.required("prompt"), steps=steps, first_wrong=first, source="stepwise")
    ]


def _steps(line: Line, texts: Sequence[str], field: str) -> tuple[Step, ...]:
    if not texts:
        raise line.bad(field, "holds no steps.")
    return tuple(Step(number=number, text=text.strip()) for number, text in enumerate(texts, start=1))


def _labelled(set_name: str) -> Reader:
    known = LABELLED[set_name]

    def read(line: Line, row_id: str, _: Prompt | None) -> Made:
        return [known.reader(line, row_id, row_id.rpartition("/")[0])]

    return read


# ------------------------------------------------------------------ PRM800K


@dataclass(frozen=True)
class _Rated:
    """One candidate for a step: its text, and −1, 0, 1 or None as people rated it."""

    text: str
    rating: int | None


def _prm800k(line: Line, row_id: str, _: Prompt | None) -> Made:
    """The solution up to its first step rated −1; whole where it was written before it was rated (phase 2)."""
    question, label = _inside(line, "question"), _inside(line, "label")
    if (end := label.text("finish_reason")) in {"bad_problem", "give_up"}:
        return [_left_out(row_id, str(end))]
    path, first = _path(label)
    written = question.texts("pre_generated_steps")
    whole = written and [text.strip() for text in written[: len(path)]] == path
    steps = _steps(line, written if whole else path, "label")
    gold = question.text("ground_truth_answer", number=True)
    return [
        LabelledSolution(
            id=row_id, question=question.required("problem"), steps=steps, first_wrong=first,
            answer_right=_answer_right(question, gold) if whole else None, answer=gold or None, source="prm800k",
        )
    ]  # fmt: skip


def _answer_right(question: Line, gold: str | None) -> bool | None:
    given = question.text("pre_generated_answer", number=True)
    if not given or not gold:
        return None
    outcome = compare(given, gold).outcome
    return None if outcome == "ungradable" else outcome == "right"


def _inside(line: Line, field: str) -> Line:
    value = line.fields.get(field)
    if not isinstance(value, Mapping):
        raise line.bad(field, "is no object.")
    return Line(line.place, line.number, value)


def _path(label: Line) -> tuple[list[str], int | None]:
    """The texts of the steps taken, and the number of the first one rated −1."""
    texts: list[str] = []
    for number, (rated, taken) in enumerate(_rated_steps(label), start=1):
        if taken is None:
            wrong = next((each for each in rated if each.rating == -1), None)
            if wrong is None:
                raise label.bad("steps", f"step {number} has no chosen completion and none that is wrong.")
            return [*texts, wrong.text], number
        texts.append(taken.text)
        if taken.rating == -1:
            return texts, number
    return texts, None


def _rated_steps(label: Line) -> Iterator[tuple[list[_Rated], _Rated | None]]:
    """Every step's candidates, and which was taken; None where no candidate was."""
    steps = label.fields.get("steps")
    if not isinstance(steps, list) or not steps:
        raise label.bad("steps", "holds no steps.")
    for value in steps:
        step = _inside(Line(label.place, label.number, {"steps": value}), "steps")
        parts = step.fields.get("completions") or []
        rated = [_rating(step, part) for part in (parts if isinstance(parts, list) else [])]
        chosen = step.whole("chosen_completion", 0, len(rated) - 1)
        human = step.fields.get("human_completion")
        own = _rating(step, human if isinstance(human, Mapping) else {"text": human, "rating": 1}) if human else None
        yield rated, rated[chosen] if chosen is not None else own


def _rating(step: Line, part: object) -> _Rated:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        raise step.bad("completions", "has a completion without text.")
    rating = part.get("rating")
    if rating not in (-1, 0, 1, None):
        raise step.bad("completions", f"has a rating of {rating!r}, not −1, 0, 1 or null.")
    return _Rated(str(part["text"]).strip(), rating)


def _prm800k_pairs(line: Line, row_id: str, prompt: Prompt | None) -> Made:
    """At each step that has both, the first candidate rated 1 over the first one rated −1; same steps before."""
    question, label = _inside(line, "question"), _inside(line, "label")
    asked = _asked(question.required("problem"), prompt)
    pairs: list[PreferencePair] = []
    before = ""
    for rated, taken in _rated_steps(label):
        good = taken if taken and taken.rating == 1 else next((each for each in rated if each.rating == 1), None)
        bad = next((each for each in rated if each.rating == -1), None)
        if good and bad and good.text and bad.text and good.text != bad.text:
            pairs.append(
                PreferencePair(
                    problem_id=row_id, sample=len(pairs), prompt=asked, prefix=before, chosen=good.text,
                    rejected=bad.text, kind="step",
                )
            )  # fmt: skip
        if taken is None:
            break
        before += taken.text + "\n"
    return pairs


# ------------------------------------------------------------------ problems


def _problems(path: Path, form: str, name: str) -> list[Problem]:
    """Question and gold answer of each input that has both, under the id of its rows."""
    if form not in _GOLD:
        return []
    found = [_problem(line, f"{name}/{index}", *_GOLD[form], name) for index, line in enumerate(read_records(path))]
    return [row for row in found if row is not None]


_GOLD = {
    "step-dpo": ("prompt", "answer", ""),
    "prm800k": ("problem", "ground_truth_answer", "question"),
    "prm800k-pairs": ("problem", "ground_truth_answer", "question"),
}


def _problem(
    line: Line | Quarantined, row_id: str, question: str, answer: str, inside: str, source: str
) -> Problem | None:
    if isinstance(line, Quarantined):
        return None
    try:
        held = _inside(line, inside) if inside else line
        asked, gold = held.text(question), held.text(answer, number=True)
    except BadInput:
        return None
    return Problem(id=row_id, question=asked, answer=gold, source=source) if asked and gold else None


FORMATS: Mapping[str, ImportFormat] = {
    "step-dpo": ImportFormat("Math-Step-DPO-10K: the next step after right ones", "PreferencePair", _step_dpo),
    "prm800k": ImportFormat("PRM800K: every step rated", "LabelledSolution", _prm800k),
    "prm800k-pairs": ImportFormat("PRM800K: a right next step over a wrong one", "PreferencePair", _prm800k_pairs),
    "stepwise": ImportFormat("TRL's stepwise supervision: completions and labels", "LabelledSolution", _stepwise),
    "processbench": ImportFormat("ProcessBench", "LabelledSolution", _labelled("processbench/gsm8k")),
    "bigbench-mistake": ImportFormat(
        "BIG-Bench-Mistake", "LabelledSolution", _labelled("bigbench_mistake/multistep_arithmetic")
    ),
    "preference": ImportFormat("prompt, chosen, rejected: texts or messages", "PreferencePair", _preference),
}
"""Every format by the name that the command uses."""
