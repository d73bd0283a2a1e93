"""What HSFT and Cross-DPO share: TRL arguments from settings, resuming, progress, and saving all or nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.trainer_pt_utils import get_length_grouped_indices

from redink.failures import Failure
from redink.models.student import Student, derived_seed
from redink.progress import Advance, progress, quiet
from redink.rows import unwritable, write_rows, write_text
from redink.training.adapters import checkpoint_folder, whole_model
from redink.training.checkpoints import last_checkpoint, resumable
from redink.training.encoding import LeftOut
from redink.training.packed import Packed
from redink.training.settings import TrainSettings
from redink.types import Row

EXPLODED, EXPLODED_TIMES = 20.0, 10.0
"""A loss above both 20 nats (a uniform guess among 150,000 tokens costs 12) and ten times the lowest has exploded."""

CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")  # new in transformers 5.2x; the old name warns
    if name in TrainingArguments.__dataclass_fields__
)
"""What the installed transformers calls gradient checkpointing among its arguments."""


class TrainReport(Row):
    """What a training stage did."""

    rows: int
    too_long: int
    steps: int
    first_loss: float
    last_loss: float


def shared_arguments(settings: TrainSettings, out: Path, seed: int, steps: int) -> dict[str, Any]:
    """The arguments that SFTConfig and DPOConfig have in common; `steps` is the number of optimiser steps."""
    bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return {
        "output_dir": str(checkpoint_folder(out)),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "warmup_steps": round(settings.warmup * steps),
        "lr_scheduler_type": settings.scheduler,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        CHECKPOINTING: settings.gradient_checkpointing,
        "max_length": settings.max_length,
        "bf16": bf16,
        "seed": seed,
        "data_seed": seed,
        "save_steps": settings.save_every,
        "save_total_limit": 2,
        "logging_steps": _logging_steps(steps, settings.save_every),
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": list(settings.report_to),
        "disable_tqdm": True,
    }


def _logging_steps(steps: int, save_every: int) -> int:
    """At most 10, about 20 lines a run, and a divisor of `save_every`: no line then averages across a checkpoint."""
    most = max(1, min(10, steps // 20))
    return max(every for every in range(1, most + 1) if save_every % every == 0)


class ByLengthSampler(Sampler[int]):
    """Rows of like length together, in an order given by seed and epoch alone: a resumed epoch goes on in its order.

    transformers' own grouping draws from the global random state, which a resumed run has used differently.
    """

    def __init__(self, lengths: Sequence[int], rows_per_step: int, seed: int) -> None:
        self.lengths, self.rows_per_step, self.seed, self.epoch = list(lengths), rows_per_step, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer tells the epoch (from 0) before it iterates."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, self.epoch))
        return iter(get_length_grouped_indices(self.lengths, self.rows_per_step, generator=generator))


class ByLength(Trainer):
    """A trainer whose rows (with a `length` column) come in `ByLengthSampler`'s order."""

    def _get_train_sampler(self, train_dataset: Any = None) -> ByLengthSampler:
        arguments = self.args
        rows_per_step = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
        return ByLengthSampler(self.train_dataset["length"], rows_per_step, arguments.seed)  # type: ignore[index]


def optimiser_steps(rows: int, settings: TrainSettings, processes: int = 1) -> int:
    """How many optimiser steps `settings.epochs` passes over `rows` rows take."""
    return _steps(rows, settings.batch_size * processes, settings.accumulation, settings.epochs)


def _steps(rows: int, batch: int, accumulation: int, epochs: float) -> int:
    forward = max(1, -(-rows // batch))
    return max(1, round(epochs * -(-forward // accumulation)))


def processes() -> int:
    """How many processes `accelerate launch` started."""
    return int(PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).num_processes)


def run(trainer: Packed, student: Student, out: Path, label: str, left_out: Sequence[LeftOut]) -> TrainReport:
    """Train (or go on from the last whole checkpoint), save the weights to `out`, remove the checkpoints.

    With several processes the first one reports and writes. Raises `Failure` when the loss is no longer a number or
    explodes, naming the checkpoint that is still good.
    """
    trainer.remove_callback(PrinterCallback)
    with _progress(trainer, label) as advance:
        trainer.add_callback(_Watch(advance, checkpoint_folder(out)))
        try:
            trainer.train(resume_from_checkpoint=resumable(trainer, checkpoint_folder(out), _total_steps(trainer)))
            trainer.unpack()
            report = _report(trainer, len(left_out))
            _save(trainer, student, out, report, left_out)
        except (OSError, RuntimeError, SafetensorError) as failure:
            if unwritten := _unwritten(out, failure):
                raise unwritten from None
            raise
    return report


def _progress(trainer: Trainer, label: str) -> AbstractContextManager[Advance]:
    main = trainer.is_world_process_zero()
    return progress(label, int(_total_steps(trainer)), "steps") if main else nullcontext(quiet)


def _unwritten(out: Path, failure: Exception) -> Failure | None:
    """The one-line failure where weights cannot be written; on a full disk torch and safetensors raise no OSError."""
    if isinstance(failure, RuntimeError) and "inline_container" not in str(failure):
        return None
    return unwritable(out, failure if isinstance(failure, OSError) else OSError(str(failure)))


def _total_steps(trainer: Trainer) -> int:
    arguments = trainer.args
    return _steps(
        len(trainer.train_dataset),  # type: ignore[arg-type]
        arguments.per_device_train_batch_size * arguments.world_size,
        arguments.gradient_accumulation_steps,
        arguments.num_train_epochs,
    )


def _report(trainer: Trainer, too_long: int) -> TrainReport:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return TrainReport(
        rows=len(trainer.train_dataset),  # type: ignore[arg-type]
        too_long=too_long,
        steps=trainer.state.global_step,
        first_loss=losses[0] if losses else float("nan"),
        last_loss=losses[-1] if losses else float("nan"),
    )


def _save(trainer: Trainer, student: Student, out: Path, report: TrainReport, left_out: Sequence[LeftOut]) -> None:
    """All of the folder or none of it; what several processes hold in parts is gathered first."""
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded else None
    if trainer.is_deepspeed_enabled:
        unset_hf_deepspeed_config()  # transformers would part the weights of whatever is loaded from here on
    if trainer.is_world_process_zero():
        student.model = whole_model(trainer, gathered, checkpoint_folder(out))
        _write(trainer, student, out, report, left_out)
    trainer.accelerator.wait_for_everyone()
    if not trainer.is_world_process_zero():
        student.model = Student.load(str(out)).model
    student.model.eval()


def _write(trainer: Trainer, student: Student, out: Path, report: TrainReport, left_out: Sequence[LeftOut]) -> None:
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    student.model.eval()
    student.model.save_pretrained(part)
    student.tokenizer.save_pretrained(part)
    write_text(part / "training_log.jsonl", "".join(json.dumps(_line(e)) + "\n" for e in trainer.state.log_history))
    write_text(part / "training_report.json", report.model_dump_json(indent=2) + "\n")
    if left_out:
        write_rows(part / "too_long.jsonl", left_out)
    part.replace(out)
    shutil.rmtree(checkpoint_folder(out), ignore_errors=True)


def _line(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A log entry without figures that count since the process started: a resumed run writes the same file."""
    counted = ("runtime", "per_second", "num_tokens", "train_loss", "total_flos", "memory")
    return {key: entry[key] for key in sorted(entry) if not any(word in key for word in counted)}


class _Watch(TrainerCallback):
    """Shows progress and stops a run whose loss or gradient is no longer a number, or whose loss explodes."""

    def __init__(self, advance: Advance, checkpoints: Path) -> None:
        self.advance, self.checkpoints, self.seen, self.loss = advance, checkpoints, 0, ""
        self.limit = math.inf

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.advance(state.global_step - self.seen, self.loss)
        self.seen = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        self.loss = f"loss {loss:.4f}"
        if what := self._trouble(loss, (logs or {}).get("grad_norm")):
            good = last_checkpoint(self.checkpoints) or "none was saved yet"
            raise Failure(
                f"{what} at step {state.global_step}.", f"Lower learning_rate. The last good checkpoint is {good}."
            )
        self.limit = min(self.limit, max(EXPLODED, EXPLODED_TIMES * loss))

    def _trouble(self, loss: float, gradient: float | None) -> str | None:
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if gradient is not None and not math.isfinite(gradient):
            return f"the norm of the gradient is {gradient}"
        return f"the loss has exploded to {loss:.4g}" if loss > self.limit else None
