"""The sheet that a plan is reckoned on: each stage of a method adds a line of work to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic import Field

from redink.models.chat import Usage
from redink.planning.costs import (
    Strategy,
    chat_seconds,
    decoding_seconds,
    forward_flops,
    largest_batch,
    sampling_bytes,
    training_bytes,
    training_flops,
)
from redink.planning.hardware import Hardware
from redink.planning.shapes import Shape
from redink.planning.wording import Wording
from redink.recipe import PlanCalls, Recipe, TeacherRecipe
from redink.training.loop import optimiser_steps
from redink.training.settings import TrainSettings
from redink.types import Row

ROW_BYTES = 250
"""Bytes of a row besides its texts: names, verdict, marks."""
Asker = Literal["teacher", "inspector"]


class Work(Row):
    """What one stage takes, expected; tokens are the chat model's for calls, else the student's."""

    stage: str = Field(description="The stage, as its files in the run directory are named.")
    kind: Literal["chat", "rule", "sampling", "scoring", "training"] = Field(description="Who does it.")
    model: str = Field("", description="The student's model, or the chat models.")
    rows: int = Field(0, ge=0, description="Rows that enter.")
    out: int = Field(0, ge=0, description="Rows that come out.")
    calls: int = Field(0, ge=0, description="Calls to chat models.")
    tokens_in: int = Field(0, ge=0, description="Tokens sent, read, or trained on (over all epochs).")
    tokens_out: int = Field(0, ge=0, description="Tokens received, or sampled.")
    usd: Decimal | None = Field(None, description="What the calls cost; None: no call, or no price is known.")
    seconds: float = Field(0.0, ge=0, description="How long it takes.")
    gpu_seconds: float = Field(0.0, ge=0, description="The same times the GPUs that are at work.")
    memory: float = Field(0.0, ge=0, description="Bytes that one device holds at most.")
    disk: float = Field(0.0, ge=0, description="Bytes that stay on disk.")
    steps: int = Field(0, ge=0, description="Optimiser steps.")
    fits: int | None = Field(None, description="Training: rows per forward pass that fit; None: not a training.")


@dataclass(frozen=True)
class Asked:
    """What a chat model, or a student, is shown and writes: a prompt's name, tokens in its gaps, tokens in reply."""

    prompt: str
    given: float
    reply: float


@dataclass
class Sheet:
    """Lines of work for one recipe, student and hardware."""

    recipe: Recipe
    shape: Shape
    hardware: Hardware
    strategy: Strategy
    words: Wording
    work: list[Work] = field(default_factory=list)
    unpriced: set[str] = field(default_factory=set)
    cut: dict[str, tuple[str, float, int]] = field(default_factory=dict)
    """By kind of reply, where it is expected to be longer than its limit: the stage, its length, the limit."""
    longest: dict[str, float] = field(default_factory=dict)
    """Tokens of a long row of each training, with which its memory is reckoned."""
    means: dict[str, float] = field(default_factory=dict)
    """Mean tokens of a row of each training, as `max_length` counts them."""
    lesson_tokens: float = 0.0
    """Mean tokens of a lesson of this run, which `cross_dpo.replay` reads beside the pairs."""

    # ---------------------------------------------------------------- teacher and inspector

    def taught(
        self, stage: str, rows: float, share: float, teacher: Asked, inspector: Asked | None = None, role: str = ""
    ) -> float:
        """A stage of teacher and inspector; returns the rows that are accepted."""
        asked: list[tuple[Asker, Asked]] = [("teacher", teacher)]
        if inspector is not None:
            asked.append(("inspector", inspector))
        bills = [
            self._bill(stage, rows, who, what, role or stage)
            for who, what in asked
            if getattr(self.recipe, who).kind == "openai"
        ]
        out = rows * share
        if not bills:
            self.ruled(stage, rows, out, teacher.reply)
            return out
        prices = [bill.usd for bill in bills]
        self.work.append(
            Work(
                stage=stage, kind="chat", model=" + ".join(dict.fromkeys(bill.model for bill in bills)),
                rows=round(rows), out=round(out), calls=sum(bill.calls for bill in bills),
                tokens_in=sum(bill.tokens_in for bill in bills), tokens_out=sum(bill.tokens_out for bill in bills),
                usd=None if None in prices else sum((usd for usd in prices if usd is not None), Decimal(0)),
                seconds=sum(bill.seconds for bill in bills),
                disk=self._text_bytes(out, teacher.reply) + sum(bill.disk for bill in bills),
            )
        )  # fmt: skip
        return out

    def _bill(self, stage: str, rows: float, who: Asker, what: Asked, role: str) -> Work:
        wanted: TeacherRecipe = getattr(self.recipe, who)
        each = self.recipe.plan.calls.get(f"{role}.{who}") or self._calls(who, what, inspected=role in INSPECTED)
        calls = round(rows * each.per_row)
        usage = Usage(
            prompt_tokens=round(calls * each.prompt),
            cached_tokens=round(calls * each.cached),
            completion_tokens=round(calls * each.completion),
        )
        if wanted.price is None:
            self.unpriced.add(who)
        return Work(
            stage=stage, kind="chat", model=wanted.model or f"({who})", calls=calls,
            tokens_in=usage.prompt_tokens, tokens_out=usage.completion_tokens,
            usd=wanted.price and wanted.price.cost(usage, "batch" if wanted.batch else "online"),
            seconds=self._chat_seconds(wanted, calls, usage),
            disk=self._text_bytes(calls, what.reply),
        )  # fmt: skip

    def _calls(self, who: Asker, what: Asked, inspected: bool) -> PlanCalls:
        plan = self.recipe.plan
        rounds = plan.shares.rounds if inspected and self.recipe.inspector.kind != "none" else 1.0
        prompt = self.words.tokens_of(what.prompt, chat=True) + what.given
        completion = min(what.reply, getattr(self.recipe, who).max_tokens) + plan.lengths.reasoning
        return PlanCalls(
            per_row=rounds * plan.shares.tries,
            prompt=prompt,
            cached=prompt * plan.shares.cached,
            completion=completion,
        )

    def _chat_seconds(self, wanted: TeacherRecipe, calls: int, usage: Usage) -> float:
        speeds, limits = self.recipe.plan.speeds, wanted.limits
        if wanted.batch:
            return 3600 * speeds.batch_hours if calls else 0.0
        return chat_seconds(
            calls,
            usage.prompt_tokens + usage.completion_tokens,
            usage.completion_tokens,
            in_flight=limits.max_in_flight,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            tokens_per_second=speeds.chat_tokens_per_second,
            wait_s=speeds.chat_wait_s,
        )

    def ruled(self, stage: str, rows: float, out: float, tokens: float = 0.0, teaching: bool = True) -> None:
        """A stage that no model is asked for: by rule, on the host."""
        speeds = self.recipe.plan.speeds
        seconds = rows / speeds.rates.get("teach", speeds.rule_rows) if teaching else 0.0
        self.work.append(
            Work(
                stage=stage, kind="rule", rows=round(rows), out=round(out), seconds=seconds,
                disk=self._text_bytes(out, tokens),
            )
        )  # fmt: skip

    # ---------------------------------------------------------------- the student

    def sampled(
        self, stage: str, model: str, rows: float, kind: str, what: Asked, limit: int, per_row: float = 1
    ) -> None:
        """A stage in which the student writes `per_row` replies for each row, at most `limit` tokens each."""
        replies, reply = rows * per_row, min(what.reply, limit)
        prompt = self.words.tokens_of(what.prompt) + what.given
        batch = self.recipe.sampling.batch_rows
        if what.reply > limit:
            self.cut.setdefault(kind, (stage, what.reply, limit))
        self._add_student(
            Work(
                stage=stage, kind="sampling", model=model, rows=round(replies), out=round(replies),
                tokens_in=round(replies * prompt), tokens_out=round(replies * reply),
                memory=sampling_bytes(self.shape, self.hardware, batch, prompt + limit),
                disk=self._text_bytes(replies, reply),
                seconds=self._sampling_seconds(kind, model, replies, prompt, reply),
            )
        )  # fmt: skip

    def _sampling_seconds(self, kind: str, model: str, replies: float, prompt: float, reply: float) -> float:
        speeds, gpus = self.recipe.plan.speeds, self._sampling_gpus
        if rate := speeds.rates.get(f"{kind}.{model}") or speeds.rates.get(kind):
            return replies * reply / rate / gpus
        if not replies:
            return 0.0
        return (
            decoding_seconds(
                self.shape, self.hardware, replies, prompt, reply, self.recipe.sampling.batch_rows,
                mfu=speeds.mfu, bandwidth=speeds.bandwidth, host_ms_per_layer=speeds.host_ms_per_layer,
            )
            / gpus
        )  # fmt: skip

    @property
    def _sampling_gpus(self) -> int:
        return min(self.recipe.plan.sampling_gpus, self.hardware.count)

    def scored(self, stage: str, model: str, rows: float, tokens: float, replies: float) -> None:
        """A stage in which the student says how likely it finds replies: one forward pass over `tokens` per row."""
        speeds, device = self.recipe.plan.speeds, self.hardware.device
        flops = forward_flops(self.shape, rows * tokens, tokens, rows * replies)
        rate = speeds.rates.get("score")
        self._add_student(
            Work(
                stage=stage, kind="scoring", model=model, rows=round(rows), out=round(rows),
                tokens_in=round(rows * tokens), memory=sampling_bytes(self.shape, self.hardware, 1, tokens),
                seconds=(rows * tokens / rate if rate else flops / (device.flops * speeds.mfu)) / self._sampling_gpus,
                disk=rows * ROW_BYTES,
            )
        )  # fmt: skip

    def _add_student(self, work: Work) -> None:
        gpus = 0 if self.hardware.device.cpu else self._sampling_gpus
        self.work.append(work.model_copy(update={"gpu_seconds": work.seconds * gpus}))

    # ---------------------------------------------------------------- training

    def supervised(self, model: str, lessons: Sequence[tuple[float, float, float]]) -> None:
        """Fine-tuning on lessons, given as (rows, tokens of the prompt, tokens of the reply), by `[hsft]`."""
        settings = self.recipe.hsft
        rows = sum(lesson[0] for lesson in lessons)
        if not rows:
            return
        tokens = sum(count * (prompt + reply) for count, prompt, reply in lessons)
        scored = sum(count * reply for count, _, reply in lessons)
        self.means[model] = tokens / rows
        self.longest[model] = min(settings.max_length, 2 * tokens / rows)
        self._trained(model, "supervised", settings, rows, tokens, scored)

    def preferred(self, model: str, pairs: float, shared: float, sides: float, settings: TrainSettings) -> None:
        """DPO on pairs: `shared` tokens of prompt and prefix, computed once, and `sides` tokens of both sides.

        The reference's pass over the pairs is one forward pass more, once.
        """
        if not pairs:
            return
        replay = getattr(settings, "replay", 0.0)
        beside = replay * self.lesson_tokens
        tokens, scored = pairs * (shared + sides), pairs * sides
        self.means[model] = shared + sides / 2
        self.longest[model] = min(settings.max_length, 2 * self.means[model]) + sides / 2 + beside
        self._trained(model, "preference", settings, pairs, tokens + pairs * beside, scored + pairs * beside, tokens)

    def _trained(
        self,
        model: str,
        kind: str,
        settings: TrainSettings,
        rows: float,
        tokens: float,
        scored: float,
        reference: float = 0.0,
    ) -> None:
        plan, device, longest = self.recipe.plan, self.hardware.device, self.longest[model]
        spread = 1 if self.strategy == "single" else self.hardware.count
        flops = settings.epochs * training_flops(
            self.shape, tokens, tokens / rows, scored, settings.gradient_checkpointing, settings.lora is not None
        ) + forward_flops(self.shape, reference, tokens / rows, scored if reference else 0.0)
        rate = plan.speeds.rates.get(kind)
        read = settings.epochs * tokens
        seconds = read / rate if rate else flops / (device.flops * plan.speeds.mfu * spread)
        self.work.append(
            Work(
                stage=model, kind="training", model=model, rows=round(rows), out=round(rows), tokens_in=round(read),
                seconds=seconds, gpu_seconds=0.0 if device.cpu else seconds * spread,
                memory=training_bytes(self.shape, self.hardware, self.strategy, settings, longest),
                disk=float(self.shape.parameters * device.bytes_per_weight),
                steps=optimiser_steps(round(rows), settings, spread),
                fits=largest_batch(self.shape, self.hardware, self.strategy, settings, longest, plan.reserve),
            )
        )  # fmt: skip

    def _text_bytes(self, rows: float, tokens: float) -> float:
        return rows * (ROW_BYTES + tokens * self.words.chars_per_token)


INSPECTED = ("thoughts", "corrections")
"""Kinds of stages whose rows an inspector checks, round by round."""
