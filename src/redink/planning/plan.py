"""A plan: what a recipe will take on some hardware, stage by stage, and what speaks against beginning."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal

from pydantic import Field

from redink.failures import Failure
from redink.planning.costs import Strategy, adapter_parameters, largest_batch
from redink.planning.hardware import Hardware, hardware_of
from redink.planning.measured import Measured, is_given
from redink.planning.methods import PLANS
from redink.planning.shapes import Shape, shape_of
from redink.planning.sheet import Sheet, Work
from redink.planning.wording import Wording
from redink.recipe import PlanRecipe, Recipe
from redink.training.settings import LoRASettings, TrainSettings
from redink.types import Row

PRICES = "--set teacher.price.prompt=… --set teacher.price.completion=… (USD per million tokens)"


class Plan(Row):
    """What a recipe takes, expected, and what it rests on."""

    recipe: str = Field(description="The recipe's name.")
    method: str = Field(description="Its method.")
    student: str = Field(description="Its student.")
    parameters: int = Field(description="The student's parameters.")
    hardware: str = Field(description="What it runs on.")
    strategy: str = Field(description="How training is spread over it.")
    memory: float = Field(description="Bytes of memory of one device.")
    work: tuple[Work, ...] = Field(description="Every stage.")
    checkpoints: float = Field(description="Bytes of checkpoints that stand beside a training while it lasts, at most.")
    warnings: tuple[str, ...] = Field(description="What speaks against beginning, with its remedy.")
    notes: tuple[str, ...] = Field((), description="What a reader must know.")
    assumed: PlanRecipe = Field(description="Everything that was assumed.")
    measured: tuple[str, ...] = Field((), description="Keys of `assumed` that an earlier run gave.")

    @property
    def calls(self) -> int:
        """Calls to chat models."""
        return sum(work.calls for work in self.work)

    @property
    def usd(self) -> Decimal | None:
        """What the calls cost, None where a price is missing."""
        bills = [work.usd for work in self.work if work.calls]
        return None if None in bills else sum((usd for usd in bills if usd is not None), Decimal(0))

    @property
    def seconds(self) -> float:
        """All stages one after another."""
        return sum(work.seconds for work in self.work)

    @property
    def gpu_hours(self) -> float:
        """Hours of GPUs at work."""
        return sum(work.gpu_seconds for work in self.work) / 3600

    @property
    def gpu_usd(self) -> Decimal | None:
        """What those cost; None where `[plan] usd_per_gpu_hour` is not set."""
        price = self.assumed.usd_per_gpu_hour
        return None if price is None else Decimal(str(round(self.gpu_hours, 6))) * price

    @property
    def disk(self) -> float:
        """Bytes of the run directory when it is done."""
        return sum(work.disk for work in self.work)

    def tokens(self, *kinds: str) -> tuple[int, int]:
        """Tokens in and out of the stages of some kinds."""
        chosen = [work for work in self.work if work.kind in kinds]
        return sum(work.tokens_in for work in chosen), sum(work.tokens_out for work in chosen)


def plan_recipe(
    recipe: Recipe,
    measured: Measured | None = None,
    rates: dict[str, float] | None = None,
    given: Collection[str] = (),
) -> Plan:
    """What a recipe takes; nothing is loaded, downloaded or bought.

    `measured` is an earlier run that takes the place of what the recipe assumes, `rates` are speeds that were measured
    just now; but `given` keys of `[plan]`, such as 'shares.located', stand as they are in the recipe.
    Raises `MissingModel` where the student's shape is not known, `Failure` for hardware that is not.
    """
    hardware = hardware_of(recipe.plan.hardware)
    shape = shape_of(recipe.student, recipe.plan.shape)
    notes: list[str] = []
    plan, keys = _assumptions(recipe, shape, hardware, measured, rates or {}, given, notes)
    strategy = _strategy(plan, hardware)
    informed = recipe.model_copy(update={"plan": plan})
    sheet = Sheet(informed, shape, hardware, strategy, Wording(recipe.student, plan.chars_per_token))
    if recipe.method not in PLANS:
        raise Failure(f"there is no plan of the method {recipe.method!r}.", f"Planned are: {', '.join(PLANS)}.")
    PLANS[recipe.method](sheet)
    return Plan(
        recipe=recipe.name,
        method=recipe.method,
        student=recipe.student,
        parameters=shape.parameters,
        hardware=hardware.text,
        strategy=strategy,
        memory=hardware.device.memory,
        work=tuple(sheet.work),
        checkpoints=max((checkpoint_bytes(sheet, name, s) for name, s in _trainings(sheet)), default=0.0),
        warnings=tuple(_warnings(sheet)),
        notes=tuple([*notes, *_notes(sheet)]),
        assumed=plan,
        measured=keys,
    )


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with `factor` times the problems to learn from; the evaluation stays."""
    wanted = recipe.problems
    sizes = {name: max(1, round(factor * getattr(wanted, name))) for name in ("thoughts", "errors")}
    return recipe.model_copy(update={"problems": wanted.model_copy(update=sizes)})


def _assumptions(
    recipe: Recipe,
    shape: Shape,
    hardware: Hardware,
    measured: Measured | None,
    rates: dict[str, float],
    given: Collection[str],
    notes: list[str],
) -> tuple[PlanRecipe, tuple[str, ...]]:
    plan, keys = recipe.plan, list[str]()
    if rates and hardware.text != hardware_of("").text:
        notes.append(f"this machine was measured, and it is not {hardware.text}: its speeds are not used.")
        rates = {}
    if measured is not None:
        speeds = _speeds_apply(measured, shape, hardware, notes)
        keys = measured.keys(speeds, given)
        plan = measured.assumed(plan, speeds, given)
    if now := {key: rate for key, rate in rates.items() if not is_given(f"speeds.rates.{key}", given)}:
        plan, keys = _with_rates(plan, now), [*keys, *(f"speeds.rates.{key}" for key in now)]
    return plan, tuple(keys)


def _with_rates(plan: PlanRecipe, now: dict[str, float]) -> PlanRecipe:
    """Speeds measured just now before all others; those of all solutions stand for the base student's too."""
    others = {key: rate for key, rate in plan.speeds.rates.items() if key.partition(".")[0] not in now}
    return plan.model_copy(update={"speeds": plan.speeds.model_copy(update={"rates": {**others, **now}})})


def _speeds_apply(measured: Measured, shape: Shape, hardware: Hardware, notes: list[str]) -> bool:
    """Whether the speeds of an earlier run are those of this plan: the same student's shape, this machine."""
    try:
        same_shape = shape_of(measured.student) == shape
    except Failure:
        same_shape = False
    here = hardware.text == hardware_of("").text
    if not same_shape:
        notes.append(f"{measured.run} had another student: its speeds are not used, its lengths are in its tokens.")
    elif not here:
        notes.append(f"{measured.run} was made on this machine or one like it, not on {hardware.text}: only its "
                     "lengths, shares and calls are used.")  # fmt: skip
    elif not measured.rates:
        notes.append(f"the files of {measured.run} do not say how long its stages took: speeds are assumed.")
    return same_shape and here


def _strategy(plan: PlanRecipe, hardware: Hardware) -> Strategy:
    if plan.strategy != "auto":
        return plan.strategy
    return "fsdp2" if hardware.count > 1 else "single"


# -------------------------------------------------------------------- disk


def _trainings(sheet: Sheet) -> Iterator[tuple[str, TrainSettings]]:
    for work in sheet.work:
        if work.kind == "training":
            yield work.stage, settings_of(sheet.recipe, work.stage)


def settings_of(recipe: Recipe, model: str) -> TrainSettings:
    """The settings by which a model of a method is trained."""
    if model == "error_prone":
        return recipe.exposure.dpo
    return recipe.cross_dpo if "dpo" in model else recipe.hsft


def checkpoint_bytes(sheet: Sheet, model: str, settings: TrainSettings) -> float:
    """Bytes of the two checkpoints that a training keeps: weights and AdamW's moments, in the types they are held in.

    ZeRO's optimiser holds single-precision weights besides; of adapters only they are kept.
    """
    steps = next(work.steps for work in sheet.work if work.stage == model)
    kept = 2 if steps > settings.save_every else 1
    if settings.lora is not None:
        return kept * 12.0 * adapter_parameters(sheet.shape, settings.lora.rank)
    each = {"fsdp2": 12, "zero2": 14, "zero3": 14}.get(sheet.strategy, 3 * sheet.hardware.device.bytes_per_weight)
    return float(kept * each * sheet.shape.parameters)


# -------------------------------------------------------------------- what speaks against it


def _warnings(sheet: Sheet) -> Iterator[str]:
    for who in sorted(sheet.unpriced):
        yield f"what the {who} costs is not known: {PRICES.replace('teacher', who)}."
    for who in ("teacher", "inspector"):
        wanted = getattr(sheet.recipe, who)
        if wanted.kind == "openai" and not wanted.model:
            yield f"{who}.model is empty: the run will not begin. Name the model: --set {who}.model=…"
    yield from _over_budget(sheet)
    yield from _too_large(sheet)
    yield from _cut(sheet)


def _over_budget(sheet: Sheet) -> Iterator[str]:
    limit = sheet.recipe.budget.max_usd
    spent = sum((work.usd for work in sheet.work if work.usd is not None), Decimal(0))
    if limit is not None and spent > limit:
        yield f"the calls are expected to cost {spent:,.2f} USD: the run will stop at budget.max_usd = {limit}."


def _too_large(sheet: Sheet) -> Iterator[str]:
    device, reserve = sheet.hardware.device, sheet.recipe.plan.reserve
    free = device.memory * (1 - reserve)
    for work in sheet.work:
        if work.kind == "training" and work.memory > free:
            settings = settings_of(sheet.recipe, work.stage)
            yield (
                f"{work.stage}: batch_size = {settings.batch_size} needs {work.memory / 2**30:.1f} GiB per device, of "
                f"{device.memory / 2**30:.0f}. {remedy(sheet, work.stage, settings)}"
            )
    sampling = max((work for work in sheet.work if work.kind == "sampling"), key=lambda work: work.memory, default=None)
    if sampling is not None and sampling.memory > free:
        yield (
            f"{sampling.stage}: sampling.batch_rows = {sheet.recipe.sampling.batch_rows} needs "
            f"{sampling.memory / 2**30:.1f} GiB where every reply is as long as it may be, of "
            f"{device.memory / 2**30:.0f}. Lower sampling.batch_rows."
        )


def remedy(sheet: Sheet, model: str, settings: TrainSettings) -> str:
    """The first change, from the cheapest on, with which a training fits: a smaller batch, checkpointing, more GPUs,
    adapters, four bits.
    """
    section = "exposure.dpo" if model == "error_prone" else "cross_dpo" if "dpo" in model else "hsft"
    low = LoRASettings()
    changes: tuple[tuple[dict[str, object], Strategy, str], ...] = (
        ({}, sheet.strategy, ""),
        ({"gradient_checkpointing": True}, sheet.strategy, f"Set {section}.gradient_checkpointing = true"),
        ({"gradient_checkpointing": True}, "fsdp2", f"Launch with fsdp2.yaml and {section}.gradient_checkpointing"),
        ({"gradient_checkpointing": True, "lora": low}, sheet.strategy, f"Train adapters: [{section}.lora]"),
        (
            {"gradient_checkpointing": True, "lora": low.model_copy(update={"four_bit": True})}, sheet.strategy,
            f"Train adapters on four bits: {section}.lora.four_bit = true",
        ),
    )  # fmt: skip
    for change, strategy, words in changes:
        if strategy == "fsdp2" and sheet.hardware.count == 1:
            continue
        changed = settings.model_copy(update=change)
        fits = largest_batch(
            sheet.shape, sheet.hardware, strategy, changed, longest_row(sheet, model), sheet.recipe.plan.reserve
        )
        if fits:
            return f"{words or f'Of {section}, set'}{_smaller_batch(section, changed, fits, bool(words))}."
    return "No setting of one machine makes it fit: take a larger GPU, or a smaller student."


def longest_row(sheet: Sheet, model: str) -> float:
    """Tokens per row that the memory of a training was reckoned with."""
    return sheet.longest[model]


def _smaller_batch(section: str, settings: TrainSettings, fits: int, after: bool) -> str:
    """The largest batch that fits and divides the rows of an optimiser step, so that the step stays the same."""
    if fits >= settings.batch_size:
        return ""
    rows = settings.batch_size * settings.accumulation
    batch = max(size for size in range(1, fits + 1) if rows % size == 0)
    return f"{', with' if after else ''} batch_size = {batch}, accumulation = {rows // batch}"


LIMITS = {
    "solve": "sampling.max_new_tokens", "review": "sampling.max_review_tokens",
    "own_step": "sampling.max_review_tokens", "reflect": "reflexion.max_new_tokens",
    "rewrite": "refinement.max_new_tokens",
}  # fmt: skip
"""The key that limits each kind of reply."""


def _cut(sheet: Sheet) -> Iterator[str]:
    for kind, (stage, length, limit) in sheet.cut.items():
        yield (
            f"{stage}: replies of {length:.0f} tokens are expected, and {LIMITS[kind]} = {limit} cuts them. "
            "Raise it, or say how long they are: plan.lengths."
        )
    for name, settings in _trainings(sheet):
        if sheet.means[name] > settings.max_length:
            yield (
                f"{name}: rows of {sheet.means[name]:.0f} tokens are expected, and max_length = {settings.max_length} "
                "leaves longer ones out. Raise it."
            )


def _notes(sheet: Sheet) -> Iterator[str]:
    speeds, device = sheet.recipe.plan.speeds, sheet.hardware.device
    if device.cpu and not speeds.rates:
        yield "the speed of this CPU is a guess: --calibrate measures it, --from takes it from an earlier run."
    if sheet.hardware.count > 1:
        yield (
            f"training is reckoned with accelerate and {sheet.strategy} on {sheet.hardware.count} GPUs "
            f"(`python -m redink.training`), sampling on {min(sheet.recipe.plan.sampling_gpus, sheet.hardware.count)} "
            "(plan.sampling_gpus); `redink run` is one process."
        )
    if any(getattr(sheet.recipe, who).batch for who in ("teacher", "inspector")):
        yield f"a batch is taken to come back after {speeds.batch_hours:g} hours (plan.speeds.batch_hours)."
