"""`redink export`: a trained model as merged weights, LoRA adapter or GGUF, with its card; read back and compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from redink.failures import Failure
from redink.models.student import Student
from redink.rows import unwritable, write_text
from redink.sharing.adapter import adapter_rank, write_adapter
from redink.sharing.cards import ModelOrigin, adapter_base, model_card
from redink.sharing.gguf_file import Precision, check_gguf, convert, write_gguf
from redink.sharing.portable import make_portable
from redink.sharing.runs import SharedRun, free_folder, public_name
from redink.types import Row

Form = Literal["merged", "adapter", "gguf"]
_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported; `precision` None keeps that of the weights (GGUF: f16)."""

    form: Form = "merged"
    precision: Precision | None = None
    rank: int | None = None
    converter: Path | None = None
    licence: str | None = None
    base_model: str | None = None


class Exported(Row):
    """An exported folder, and how it was checked."""

    folder: str = Field(description="Where it lies.")
    files: tuple[str, ...] = Field(description="What it holds, by name.")
    checks: tuple[str, ...] = Field(description="What was compared, in words.")


def origin_of(source: str, model: str | None, options: ExportOptions) -> ModelOrigin:
    """A model of a run directory, or any student by name, folder or hub id."""
    folder = Path(source)
    if not (folder / "recipe.json").exists():
        return ModelOrigin(source, public_name(source), None, options.licence, options.base_model)
    run = SharedRun.open(folder)
    name = run.model(model)
    return ModelOrigin(str(folder / name), name, run, options.licence, options.base_model)


def export_model(source: str, out: Path, model: str | None = None, options: ExportOptions | None = None) -> Exported:
    """Export a model of the run directory `source` (default: its last), or the student `source`, to `out`.

    The folder is loaded again and compared before it is kept: all of it or none of it. Raises `Failure` if `out` is
    taken, the model has no such form, or what was written is not the model.
    """
    chosen = options or ExportOptions()
    origin = origin_of(source, model, chosen)
    part = free_folder(out).with_name(out.name + ".part")
    makers: dict[Form, Callable[[ModelOrigin, Path, ExportOptions], list[str]]] = {
        "merged": _merged,
        "adapter": _adapter,
        "gguf": _gguf,
    }
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        checks = makers[chosen.form](origin, part, chosen)
        write_text(part / "README.md", model_card(origin, chosen.form, checks))
        _keep_training_log(origin, part)
        with suppress(FileNotFoundError):
            out.rmdir()
        part.replace(out)
    except OSError as failure:
        raise unwritable(out, failure) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    files = tuple(sorted(path.name for path in out.iterdir()))
    return Exported(folder=str(out), files=files, checks=tuple(checks))


def _keep_training_log(origin: ModelOrigin, part: Path) -> None:
    log = Path(origin.student) / "training_log.jsonl"
    if origin.run is not None and log.exists():
        shutil.copyfile(log, part / log.name)


def _merged(origin: ModelOrigin, out: Path, options: ExportOptions) -> list[str]:
    if options.precision == "q8_0":
        raise Failure("q8_0 is a precision of GGUF.", "Choose f32, f16 or bf16, or --to gguf.")
    student = Student.load(origin.student)
    if options.precision is not None:
        _cast(student, _DTYPES[options.precision])
    _save(student, out)
    return [_same_weights(student, out)]


def _save(student: Student, out: Path) -> None:
    student.model.save_pretrained(out)
    student.tokenizer.save_pretrained(out)
    make_portable(out)


def _cast(student: Student, dtype: torch.dtype) -> None:
    model: Any = student.model
    model.to(dtype)


def _same_weights(student: Student, out: Path) -> str:
    """Raise `Failure` unless the folder, loaded again, holds the student's weights, bit for bit, and its tokens."""
    again = Student.load(str(out))
    _cast(again, student.model.dtype)
    before, after = student.model.state_dict(), again.model.state_dict()
    same = before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    text = "Tom has 14 apples.\n<Step1>14 + 27 = 41</Step1>"
    if not same or student.prompt_ids(text) != again.prompt_ids(text):
        raise Failure(f"{out}: loaded again, it is another model.", "Please report this; nothing was kept.")
    return f"loaded again with transformers: {len(before)} tensors equal, bit for bit"


def _adapter(origin: ModelOrigin, out: Path, options: ExportOptions) -> list[str]:
    if origin.run is None:
        raise Failure(
            "an adapter is the difference to a base student, which only a run knows.", "Name a run directory."
        )
    rank = adapter_rank(origin.run.lora(origin.name), options.rank)
    trained, base = Student.load(origin.student), Student.load(origin.run.recipe.student)
    fit = write_adapter(base, trained, rank, options.rank is None, adapter_base(origin), out)
    return [_adapter_works(origin, trained, out), _how_near(fit.kept, fit.largest, fit.rank, fit.modules)]


def _how_near(kept: float, largest: float, rank: int, modules: int) -> str:
    return (
        f"rank {rank} on {modules} linear layers holds {100 * kept:.4f} % of what training changed; "
        f"largest difference of a weight {largest:.1e}"
    )


def _adapter_works(origin: ModelOrigin, trained: Student, out: Path) -> str:
    """Load base and adapter with PEFT and say how far the logits are from the trained model's."""
    from peft import PeftModel

    assert origin.run is not None
    base = Student.load(origin.run.recipe.student)
    joined: Any = PeftModel.from_pretrained(base.model, out)
    ids = torch.tensor([trained.prompt_ids("Tom has 14 apples. Then buys 27 more.")], device=trained.model.device)
    with torch.inference_mode():
        off = float((joined(ids).logits - trained.model(ids).logits).abs().max())
    return f"loaded again with PEFT on its base: largest difference of a logit {off:.1e}"


def _gguf(origin: ModelOrigin, out: Path, options: ExportOptions) -> list[str]:
    """One file; the model it is made of lies beside it only while it is written."""
    precision = options.precision or "f16"
    plain = out.with_name(out.name + ".plain")
    path = out / f"{origin.name}-{precision}.gguf"
    try:
        _save(Student.load(origin.student), plain)
        if options.converter is None:
            known = write_gguf(plain, path, precision, origin.name)
        else:
            convert(options.converter, plain, path, precision)
            known = True
        trip = check_gguf(plain, path, precision, known)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (plain / name).exists():
                shutil.copyfile(plain / name, out / name)
    finally:
        shutil.rmtree(plain, ignore_errors=True)
    text = "the same" if trip.same_text else "another"
    tokens = "its tokenizer too" if known else "without the tokenizer, of a kind that llama.cpp has not"
    return [
        f"loaded again with transformers ({tokens}): weights within {trip.weights:.1e} of the largest, "
        f"logits within {trip.logits:.1e}, {text} greedy text"
    ]
