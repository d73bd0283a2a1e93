"""Cross-DPO: prefer the teacher's correction over the student's own (SuperCorrect section 3.2, eq. 8).

Both sides of a pair continue the same prefix. The trainer computes it once: see `prefix` for the layout, `attention`
for who sees whom, `logprobs` for the head, `reference_cache` for π_ref. The loss itself is TRL's.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object, parse_flag_from_env
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedModel
from trl import DPOConfig, DPOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from redink.failures import Failure
from redink.models.student import Student
from redink.progress import progress
from redink.training.adapters import lora_config, trainable
from redink.training.encoding import Lesson, encode_lessons, encode_pairs
from redink.training.loop import ByLength, TrainReport, optimiser_steps, processes, run, shared_arguments
from redink.training.packed import Packed, bare, score
from redink.training.prefix import PairCollator, pair_tokens
from redink.training.reference_cache import ReferenceCache, pair_key, weights_hash
from redink.training.replay import Replay, lesson_loss
from redink.training.settings import CrossDPOSettings
from redink.types import PreferencePair

logger = logging.getLogger(__name__)


class ScoredSides:
    """A model that TRL may call on padded pairs: it runs the packed row and spreads the scores over the padding.

    TRL's own code so computes the loss, whatever its type, and its metrics.
    """

    def __init__(self, model: Any, batch: Mapping[str, Any]) -> None:
        self.model, self.batch = model, batch
        self.sides: torch.Tensor = batch["sides"]
        self.log_probs = torch.zeros(())

    def padded(self) -> dict[str, torch.Tensor]:
        """What TRL reads of a batch: one column before each side's tokens. (2 · pairs, 1 + longest side).

        The mask is only summed, to count tokens: its first column holds the length of the prompt.
        """
        inside = (self.sides >= 0).long()
        prompts = self.batch["lengths"][:, 0].repeat(2)[:, None].to(inside.device)
        names = ("ref_chosen_logps", "ref_rejected_logps")
        return {
            "input_ids": torch.nn.functional.pad(inside, (1, 0)),
            "attention_mask": torch.cat([prompts, inside], dim=1),
            "completion_mask": torch.nn.functional.pad(inside, (1, 0)),
        } | {name: self.batch[name] for name in names if name in self.batch}

    def __call__(self, **_: Any) -> FusedCausalLMOutput:
        """The scores of every token of every side, zero where a side has ended."""
        scores = score(self.model, self.batch)
        spread = {name: self._spread(values) for name, values in scores.items()}
        self.log_probs = spread["log_probs"].detach()
        return FusedCausalLMOutput(**spread, label_mask=self.sides >= 0)

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        padded = torch.cat([values, values.new_zeros(1)])  # −1 reads the zero at the end
        return padded[self.sides.to(values.device)]


class CrossDPOTrainer(Packed, ByLength, DPOTrainer):
    """TRL's DPOTrainer on token ids that are ready, with the prefix of each pair computed once.

    `share=False` keeps each side whole, `packed=False` is TRL's own way. With `reference_cache` the reference's
    log-probabilities are read from, and written to, that folder.
    """

    def __init__(
        self,
        *args: Any,
        share: bool = True,
        packed: bool = True,
        reference_cache: Path | None = None,
        replay: Replay | None = None,
        **kwargs: Any,
    ) -> None:
        self.share, self.packed, self.reference_cache, self.replay = share, packed, reference_cache, replay
        self._batch_of_step = (-1, -1)
        self.too_long: list[int] = []
        super().__init__(*args, **kwargs)
        self.pack()
        if self.is_fsdp_enabled and self.precompute_ref_logps:
            self._forget_reference()

    def _forget_reference(self) -> None:
        """Its log-probabilities are in the rows: its shards leave the memory before training."""
        self.ref_model = None
        self._own_attention = self._own_attention and self._own_attention[:1]

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        """Token ids stay as they are: no end-of-sequence is added, no boundary merged, nothing cut.

        Rows longer than `max_length` are left out; `too_long` lists them, and a warning counts them.
        """
        ready = dataset if "prompt_ids" in dataset.column_names else super()._prepare_dataset(dataset, *args, **kwargs)
        lengths = [_length(row) for row in ready]
        limit = args[1].max_length
        kept = [index for index, length in enumerate(lengths) if limit is None or length <= limit]
        self.too_long = sorted(set(range(len(lengths))) - set(kept))
        if self.too_long:
            logger.warning(
                "%d pairs are longer than max_length = %s, left out: %s", len(self.too_long), limit, self.too_long
            )
            ready = ready.select(kept)
        if "length" not in ready.column_names:
            ready = ready.add_column("length", [lengths[index] for index in kept])
        return ready

    def _collator(self) -> PairCollator:
        return PairCollator(self.share)

    def _option_obstacle(self) -> str | None:
        if self.aux_loss_enabled:
            return "the load-balancing loss of its experts counts the tokens of a row"
        return "use_weighting needs the logits of a padded batch" if self.use_weighting else None

    def _models(self) -> list[Any]:
        return [self.model] if self.ref_model is None else [self.model, self.ref_model]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss of the pairs, and in training that of the lessons beside them."""
        inherited: Any = super()
        loss = inherited.compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.replay is None or not model.training or return_outputs:
            return loss
        return loss + self.replay.weight * self._lesson_loss(model, inputs, self.replay)

    def _lesson_loss(self, model: Any, inputs: Mapping[str, Any], replay: Replay) -> torch.Tensor:
        step, batch = self.state.global_step, self._batch_of_step
        self._batch_of_step = (step, batch[1] + 1 if batch[0] == step else 0)
        pairs = len(inputs["lengths"]) if "lengths" in inputs else len(inputs["input_ids"]) // 2
        rows = replay.rows(pairs, *self._batch_of_step, self.accelerator.process_index)
        loss = lesson_loss(model, rows, self.accelerator.device, packed=self.obstacle is None)
        self._metrics["train"]["lesson_loss"].append(loss.item())
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        inherited: Any = super()
        if "layout" not in inputs:
            return inherited._compute_loss(model, inputs, return_outputs)
        if return_outputs:
            raise Failure("compute_metrics needs the logits of whole sequences.", "Train with packed=False for that.")
        inputs = {**inputs, **self._reference(inputs)}
        sides = ScoredSides(model, inputs)
        with self._given_reference():
            loss = inherited._compute_loss(sides, sides.padded(), False)
        self._measure(sides, inputs)
        return loss

    def _reference(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The reference's log-probabilities, computed now if not before training, as precise as the policy's."""
        names = ("ref_chosen_logps", "ref_rejected_logps")
        given = names[0] in inputs
        values = (
            [inputs[name] for name in names] if given else self.compute_ref_log_probs(self._reference_model, inputs)
        )
        dtype = torch.float64 if bare(self.model).dtype == torch.float64 else torch.float32
        return {name: value.to(dtype) for name, value in zip(names, values, strict=True)}

    @property
    def _reference_model(self) -> Any:
        return self.ref_model or self.model

    @contextmanager
    def _given_reference(self) -> Iterator[None]:
        """TRL takes the reference's log-probabilities from the batch."""
        before, self.precompute_ref_logps = self.precompute_ref_logps, True
        try:
            yield
        finally:
            self.precompute_ref_logps = before

    def _measure(self, sides: ScoredSides, inputs: Mapping[str, Any]) -> None:
        """Tokens computed, and tokens an ordinary trainer would have computed; KL(π_ref ‖ π) of a reply, in nats.

        The rejected sides were drawn from the reference, so the mean of log π_ref − log π over them estimates it.
        """
        rejected = sides.log_probs.sum(1).chunk(2)[1]
        gap = self.accelerator.gather(inputs["ref_rejected_logps"].to(rejected) - rejected)
        self._metrics[self._mode()]["kl"].append(gap.mean().item())
        lengths = inputs["lengths"]
        self.count_tokens(inputs["layout"].tokens, int(lengths.sum() + lengths[:, 0].sum()))

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """log π_ref of both sides, each (pairs,), summed over their tokens."""
        inherited: Any = super()
        if "layout" not in inputs:
            return inherited.compute_ref_log_probs(model, inputs)
        sides = ScoredSides(model, inputs)
        return inherited.compute_ref_log_probs(sides, sides.padded())

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        self.pack()
        if self.reference_cache is None:
            return super()._precompute_ref_logps(dataset, name, batch_size)
        cache = ReferenceCache(self.reference_cache, self._reference_hash(), self._precision())
        keys = [pair_key(pair_tokens(row)) for row in dataset]
        self._fill(cache, keys, dataset, batch_size)
        if self.accelerator.is_main_process:
            cache.prune(keys)
        columns = zip(*(cache[key] for key in keys), strict=True)
        names = ("ref_chosen_logps", "ref_rejected_logps")
        return concatenate_datasets([dataset, Dataset.from_dict(dict(zip(names, columns, strict=True)))], axis=1)

    def _reference_hash(self) -> str:
        """Rank 0's; where weights are sharded, all gather them one by one."""
        model: Any = self.accelerator.unwrap_model(self._reference_model)
        adapter = getattr(model, "peft_config", {})
        names = dict(model.state_dict())
        if "ref" in adapter:
            names = {name.replace(".ref", "·ref"): tensor for name, tensor in names.items()}
        sharded = any(hasattr(tensor, "full_tensor") for tensor in names.values())
        own = weights_hash(names) if sharded or self.accelerator.is_main_process else ""
        return str(next(text for text in gather_object([own]) if text))

    def _precision(self) -> str:
        mixed = self.accelerator.mixed_precision
        return f"{bare(self.model).dtype} {mixed} {self.ld_alpha}"

    def _fill(self, cache: ReferenceCache, keys: Sequence[str], dataset: Dataset, batch_size: int) -> None:
        """Compute what is missing, batch by batch, always in the same batches: a resumed run has the same bits.

        With several processes each takes every n-th of the batches that miss something; the first one writes.
        """
        whole = [range(first, min(first + batch_size, len(keys))) for first in range(0, len(keys), batch_size)]
        missing = [batch for batch in whole if any(keys[index] not in cache for index in batch)]
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        with progress("Reference log-probabilities", len(missing), "batches") as advance:
            for first in range(0, len(missing), processes):
                turn = missing[first : first + processes]
                batch = turn[own % len(turn)]  # nobody is idle: a sharded model runs on all processes at once
                values = self._reference_of([dataset[index] for index in batch])
                entries = gather_object([(keys[index], pair) for index, pair in zip(batch, values, strict=True)])
                cache.known.update(entries) if own else cache.add(entries)
                advance(len(turn))

    def _reference_of(self, rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
        batch = self._prepare_inputs(self.data_collator(rows))
        chosen, rejected = self.compute_ref_log_probs(self._reference_model, batch)
        return list(zip(chosen.tolist(), rejected.tolist(), strict=True))


def _length(row: Mapping[str, Any]) -> int:
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def train_cross_dpo(
    student: Student,
    pairs: Sequence[PreferencePair],
    settings: CrossDPOSettings,
    out: Path,
    seed: int = 0,
    *,
    lessons: Sequence[Lesson] = (),
    share: bool = True,
    reference_cache: Path | None = None,
) -> TrainReport:
    """Train `student` (the HSFT model, which is also the frozen reference) in place; saves to `out`, resumes.

    Minimises −log σ(β [log π(y⁺|x,s<k) − log π_ref(y⁺|x,s<k)] − β [log π(y⁻|x,s<k) − log π_ref(y⁻|x,s<k)])
    over D_corr (eq. 8), with y⁺ = (a⁺, c⁺) and y⁻ = (a⁻, c⁻). The reference's log-probabilities are kept in
    `reference_cache`, by default the folder `<out>.reference`, where another run with another learning rate or β reads
    them; the folder remembers the last few references (see `ReferenceCache.prune`).
    With `settings.replay` the loss of that many `lessons` per pair is added (not in the paper).
    """
    data = encode_pairs(student, pairs, settings.max_length)
    steps = optimiser_steps(len(data.dataset), settings, processes())
    arguments = DPOConfig(
        **shared_arguments(settings, out, seed, steps),
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if settings.nll else ["sigmoid"],
        loss_weights=[1.0, settings.nll] if settings.nll else None,
        precompute_ref_log_probs=True,
    )
    model = trainable(student, settings, out).train()
    trainer = CrossDPOTrainer(
        model=model,
        ref_model=_sharded_reference(model, settings),
        args=arguments,
        train_dataset=data.dataset,
        processing_class=student.tokenizer,
        peft_config=lora_config(settings.lora),
        packed=share,
        replay=_replay(student, lessons, settings, seed),
        reference_cache=reference_cache or out.with_name(out.name + ".reference"),
    )
    return run(trainer, student, out, "Cross-DPO", data.left_out)


def _sharded_reference(model: PreTrainedModel, settings: CrossDPOSettings) -> PreTrainedModel | None:
    """FSDP shards the policy when training starts, so its reference is a copy until π_ref is computed.

    TRL would read the copy from where the policy once came from, which need not be what the student is now.
    """
    if settings.lora is not None or not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    return copy.deepcopy(model)


def _replay(student: Student, lessons: Sequence[Lesson], settings: CrossDPOSettings, seed: int) -> Replay | None:
    if not settings.replay:
        return None
    if not lessons:
        raise Failure("cross_dpo.replay needs the lessons of HSFT.", "Give lessons, or set cross_dpo.replay to 0.")
    rows = list(encode_lessons(student, lessons, settings.max_length).dataset)
    return Replay(rows, settings.replay, seed, settings.replay_weight)
