"""`redink export-data`: a run's rows as Parquet with a card, or as TRL, LLaMA-Factory and OpenRLHF read them.

Formats as their documentation states them: TRL's dataset formats (prompt-completion, preference, unpaired preference,
conversational or plain), LLaMA-Factory's alpaca with `dataset_info.json` (ranking, kto_tag), OpenRLHF's keys
(input and output; prompt, chosen and rejected).
"""

from __future__ import annotations

import json
import shutil
import types
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from transformers import AutoTokenizer

from redink.failures import Failure
from redink.markup import render_thought, render_trace
from redink.models.bundled import ARCHITECTURES, SMOLLM2
from redink.models.smollm2 import smollm2_folder
from redink.rows import unwritable, write_text, writing
from redink.sharing.cards import dataset_card
from redink.sharing.lessons import KINDS, Judged, Lesson, Preferred, RunRow, What, lessons_of, run_rows
from redink.sharing.runs import SharedRun, free_folder
from redink.types import CorrectionRow, Row, ThoughtRow

Format = Literal["parquet", "trl", "llama-factory", "openrlhf"]
Style = Literal["auto", "messages", "text"]
Record = dict[str, Any]


class ExportedData(Row):
    """An exported folder of data."""

    folder: str = Field(description="Where it lies.")
    files: dict[str, str] = Field(description="The file of each kind of rows.")
    rows: dict[str, int] = Field(description="Rows in it, by kind.")
    left_out: dict[str, int] = Field(description="Rows that this form cannot hold, by reason.")


def export_data(
    folder: Path,
    kinds: Sequence[What],
    form: Format,
    out: Path,
    *,
    style: Style = "auto",
    licence: str | None = None,
) -> ExportedData:
    """Write these kinds of a run's rows to the folder `out`, all of it or none.

    `style` is for TRL and OpenRLHF: messages, or text with the student's own rendering of the prompt; 'auto' takes
    messages where the student has a chat template. Raises `Failure` if `out` is taken or there are no such rows.
    """
    run = SharedRun.open(folder)
    part = free_folder(out).with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    left_out: Counter[str] = Counter()
    try:
        part.mkdir(parents=True)
        write = _parquet(run, part) if form == "parquet" else _lines(run, part, form, style, left_out)
        rows: dict[str, int] = {what: write(what) for what in dict.fromkeys(kinds)}
        files = {what: _file(what, form) for what in rows}
        if form == "llama-factory":
            _write_dataset_info(part, files)
        write_text(part / "README.md", dataset_card(run, files, rows, form, licence))
        with suppress(FileNotFoundError):
            out.rmdir()
        part.replace(out)
    except OSError as failure:
        raise unwritable(out, failure) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return ExportedData(folder=str(out), files=files, rows=rows, left_out=dict(left_out))


def _file(what: str, form: Format) -> str:
    return f"{what}.parquet" if form == "parquet" else f"{what}.jsonl"


# ------------------------------------------------------------------ parquet


def _parquet(run: SharedRun, out: Path) -> Callable[[What], int]:
    def write(what: What) -> int:
        rows = run_rows(run, what)
        table = pa.Table.from_pylist([record(each) for each in rows], schema=schema_of(what))
        pq.write_table(table, out / _file(what, "parquet"), compression="zstd")
        return len(rows)

    return write


def record(each: RunRow) -> Record:
    """A row with its problem beside it, and the text that a student learns where the row has none."""
    problem = each.problem
    about = {
        "question": problem.question,
        "gold_answer": problem.answer,
        "gold_solution": problem.solution,
        "subject": problem.subject,
        "level": problem.level,
        "source": problem.source,
        "stage": each.stage,
    }
    own: Record = each.row.model_dump(mode="json")
    text = {"rendered": _rendered(each.row)} if isinstance(each.row, ThoughtRow | CorrectionRow) else {}
    return {"problem_id": problem.id, **about, **own, **text}


def _rendered(row: ThoughtRow | CorrectionRow) -> str:
    return render_thought(row.thought) if isinstance(row, ThoughtRow) else render_trace(row.trace)


def schema_of(what: What) -> pa.Schema:
    """The columns of a kind of rows, from the types of its fields: the same whatever the rows hold."""
    kind = KINDS[what]
    names = ("question", "gold_answer", "gold_solution", "subject", "level", "source", "stage")
    about = [pa.field(name, pa.string()) for name in ("problem_id", *names)]
    own = [
        pa.field(name, arrow_type(field.annotation))
        for name, field in kind.model_fields.items()
        if name != "problem_id"
    ]
    text = [pa.field("rendered", pa.string())] if kind in (ThoughtRow, CorrectionRow) else []
    return pa.schema([*about, *own, *text])


_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def arrow_type(annotation: Any) -> pa.DataType:
    """The column type of a field's annotation: texts, numbers, truth values, lists and rows of them."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return arrow_type(next(each for each in inner if each is not type(None)))
    if origin is Literal:
        return arrow_type(type(inner[0]))
    if origin is tuple:
        return pa.list_(arrow_type(inner[0]))
    if isinstance(annotation, type) and issubclass(annotation, Row):
        return pa.struct([pa.field(n, arrow_type(f.annotation)) for n, f in annotation.model_fields.items()])
    return _PLAIN[annotation]


# ------------------------------------------------------------------ lines of JSON


def _lines(run: SharedRun, out: Path, form: Format, style: Style, left_out: Counter[str]) -> Callable[[What], int]:
    render = None if form == "llama-factory" else plain_renderer(run, style)
    as_record = {"trl": trl_record, "llama-factory": llama_factory_record, "openrlhf": openrlhf_record}[form]

    def write(what: What) -> int:
        lessons = lessons_of(run, what, left_out)
        with writing(out / _file(what, form)) as file:
            file.writelines(json.dumps(as_record(each, render), ensure_ascii=False) + "\n" for each in lessons)
        return len(lessons)

    return write


Render = Callable[[str], str] | None
"""How a prompt becomes text; None leaves it a message."""


def plain_renderer(run: SharedRun, style: Style) -> Render:
    """None for messages; else the student's own rendering of a prompt (its chat template, or a newline after it)."""
    tokenizer = _tokenizer(run)
    template = getattr(tokenizer, "chat_template", None)
    if style == "messages" or (style == "auto" and template):
        return None
    if not template:
        return lambda prompt: prompt + "\n"

    def render(prompt: str) -> str:
        message = [{"role": "user", "content": prompt}]
        return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))

    return render


def _tokenizer(run: SharedRun) -> Any:
    """The tokenizer of the run's students; None for a bundled one before it has been trained."""
    trained, student = run.models(), run.recipe.student
    if not trained and student in ARCHITECTURES:
        return None
    name = run.folder / trained[-1] if trained else smollm2_folder() if student == SMOLLM2 else student
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as failure:
        raise Failure(
            f"{student}: its tokenizer cannot be loaded ({str(failure)[:200]}).", "Use --style messages."
        ) from None


def _user(prompt: str) -> list[Record]:
    return [{"role": "user", "content": prompt}]


def _assistant(reply: str) -> list[Record]:
    return [{"role": "assistant", "content": reply}]


def trl_record(lesson: Lesson, render: Render) -> Record:
    """TRL: prompt-completion, preference, or unpaired preference; conversational without `render`."""
    if isinstance(lesson, Preferred):
        return _sides(lesson, render)
    asked, reply = _exchange(lesson.prompt, lesson.reply, render)
    row = {"prompt": asked, "completion": reply}
    return row | {"label": lesson.right} if isinstance(lesson, Judged) else row


def openrlhf_record(lesson: Lesson, render: Render) -> Record:
    """OpenRLHF: `input` and `output` (and `label`), or `prompt`, `chosen` and `rejected`."""
    if isinstance(lesson, Preferred):
        return _sides(lesson, render)
    row = {"input": render(lesson.prompt) if render else lesson.prompt, "output": lesson.reply}
    return row | {"label": lesson.right} if isinstance(lesson, Judged) else row


def llama_factory_record(lesson: Lesson, render: Render = None) -> Record:
    """LLaMA-Factory's alpaca format; the template that it is told renders the prompt."""
    row = {"instruction": lesson.prompt, "input": ""}
    if isinstance(lesson, Preferred):
        return row | {"chosen": lesson.prefix + lesson.chosen, "rejected": lesson.prefix + lesson.rejected}
    row |= {"output": lesson.reply}
    return row | {"kto_tag": lesson.right} if isinstance(lesson, Judged) else row


def _exchange(prompt: str, reply: str, render: Render) -> tuple[Any, Any]:
    return (render(prompt), reply) if render else (_user(prompt), _assistant(reply))


def _sides(lesson: Preferred, render: Render) -> Record:
    if render:
        return {"prompt": render(lesson.prompt) + lesson.prefix, "chosen": lesson.chosen, "rejected": lesson.rejected}
    chosen, rejected = lesson.prefix + lesson.chosen, lesson.prefix + lesson.rejected
    return {"prompt": _user(lesson.prompt), "chosen": _assistant(chosen), "rejected": _assistant(rejected)}


_COLUMNS = {
    "pairs": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
    "attempts": {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "kto_tag"},
}
_SUPERVISED = {"prompt": "instruction", "query": "input", "response": "output"}


def _write_dataset_info(out: Path, files: dict[str, str]) -> None:
    """What LLaMA-Factory's `dataset_dir` must hold: the data sets by name, `redink_pairs` and so on."""
    info = {
        f"redink_{what}": {
            "file_name": file,
            "formatting": "alpaca",
            **({"ranking": True} if what == "pairs" else {}),
            "columns": _COLUMNS.get(what, _SUPERVISED),
        }
        for what, file in files.items()
    }
    write_text(out / "dataset_info.json", json.dumps(info, indent=2) + "\n")
