"""A plan as tables for people: stages, trainings, totals, assumptions; several scales side by side; beside a run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

from redink.pipelines.tables import NO_VALUE, Table
from redink.planning.measured import Measured, StageMeasure
from redink.planning.plan import Plan
from redink.planning.sheet import Work
from redink.recipe import PlanRecipe

_SHORT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(number: float) -> str:
    """A count in four figures: 950, '12.3k', '4.56M'; '–' for none.

    >>> count(950), count(12_345), count(4_560_000), count(0)
    ('950', '12.3k', '4.56M', '–')
    """
    if not number:
        return NO_VALUE
    for size, sign in _SHORT:
        if number >= size * 0.9995:
            return f"{number / size:.3g}{sign}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """A time in its own unit: '45 s', '12 min', '3.4 h', '8.1 d'; '–' for less than half a second.

    >>> duration(45), duration(750), duration(12_240), duration(700_000), duration(0)
    ('45 s', '12 min', '3.4 h', '8.1 d', '–')
    """
    if seconds < 0.5:
        return NO_VALUE
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} d"


def size(number: float) -> str:
    """Bytes in MiB, GiB or TiB.

    >>> size(3 * 2**20), size(14.25 * 2**30), size(0)
    ('3.0 MiB', '14.2 GiB', '–')
    """
    if not number:
        return NO_VALUE
    if number < 2**30:
        return f"{number / 2**20:.1f} MiB"
    return f"{number / 2**30:.1f} GiB" if number < 2**40 else f"{number / 2**40:.2f} TiB"


def money(usd: Decimal | None, priced: bool = True) -> str:
    """An amount in USD; '?' where a price is missing."""
    if usd is None:
        return "?" if priced else NO_VALUE
    return f"${usd:,.2f}" if usd else NO_VALUE


def plan_tables(plan: Plan, every_stage: bool = False) -> tuple[Table, ...]:
    """Stages, trainings and totals; with `every_stage` the evaluation of a model is not one line but six."""
    lines = list(plan.work) if every_stage else _folded(plan.work)
    stages = Table(
        title=f"Plan of {plan.recipe} ({plan.method}): {plan.student}, {count(plan.parameters)} parameters, on "
        f"{plan.hardware}",
        columns=("stage", "by", "rows", "out", "calls", "tokens in", "tokens out", "USD", "time", "disk"),
        rows=(*map(_stage_row, lines), _total(plan)),
        note="Expected values. Tokens of calls are the chat models', others the student's; training counts every "
        "epoch. Times are one after another.",
    )
    trainings = [work for work in plan.work if work.kind == "training"]
    return (stages, _trainings(plan, trainings)) if trainings else (stages,)


def _stage_row(work: Work) -> tuple[str, ...]:
    return (
        work.stage, f"{work.kind}: {work.model}" if work.model and work.kind != "training" else work.kind,
        count(work.rows), count(work.out), count(work.calls), count(work.tokens_in), count(work.tokens_out),
        money(work.usd, bool(work.calls)), duration(work.seconds), size(work.disk),
    )  # fmt: skip


def _folded(work: Sequence[Work]) -> list[Work]:
    """The evaluation of each model in one line."""
    lines: list[Work] = []
    for model, group in groupby(work, key=_evaluated):
        rows = list(group)
        lines += [_sum(f"evaluate.{model}", rows)] if model else rows
    return lines


def _evaluated(work: Work) -> str:
    if work.stage.startswith("attempts/evaluation/"):
        return work.stage.rpartition("/")[2]
    return work.stage.split(".")[1] if work.stage.startswith("evaluate.") else ""


def _sum(name: str, work: Sequence[Work]) -> Work:
    chats = [each for each in work if each.calls]
    bills = [each.usd for each in chats]
    priced = bool(bills) and None not in bills
    return Work(
        stage=name, kind=work[0].kind, rows=work[0].rows, out=work[0].out,
        model=" + ".join(dict.fromkeys([work[0].model, *(each.model for each in chats)])),
        calls=sum(each.calls for each in work), tokens_in=sum(each.tokens_in for each in work),
        tokens_out=sum(each.tokens_out for each in work),
        usd=sum((usd for usd in bills if usd is not None), Decimal(0)) if priced else None,
        seconds=sum(each.seconds for each in work), disk=sum(each.disk for each in work),
    )  # fmt: skip


def _total(plan: Plan) -> tuple[str, ...]:
    read, written = plan.tokens("chat", "sampling", "scoring", "training", "rule")
    return (
        "in all", "", "", "", count(plan.calls), count(read), count(written), money(plan.usd),
        duration(plan.seconds), size(plan.disk),
    )  # fmt: skip


def _trainings(plan: Plan, trainings: Sequence[Work]) -> Table:
    rows = [
        (
            work.stage, count(work.rows), count(work.tokens_in), count(work.steps), size(work.memory),
            str(work.fits) if work.fits else "none", duration(work.seconds),
            f"{work.gpu_seconds / 3600:.1f}" if work.gpu_seconds else NO_VALUE,
        )
        for work in trainings
    ]  # fmt: skip
    return Table(
        title=f"Trainings on {plan.hardware} ({plan.strategy}), {size(plan.memory)} per device",
        columns=("model", "rows", "tokens", "steps", "memory per device", "batch that fits", "time", "GPU hours"),
        rows=tuple(rows),
        note=f"Memory at the recipe's batch_size, in rows as long as may come. Checkpoints besides: "
        f"{size(plan.checkpoints)} of disk while a training lasts. GPU hours in all, sampling included: "
        f"{plan.gpu_hours:,.1f}" + (f", {money(plan.gpu_usd)}." if plan.gpu_usd is not None else "."),
    )


def scale_table(plans: Sequence[tuple[float, Plan]]) -> Table:
    """Several scales of one recipe, a line each."""
    first = plans[0][1]
    rows = [
        (
            f"×{factor:g}", count(plan.work[0].rows), count(_pairs(plan)), count(plan.calls),
            count(sum(plan.tokens("chat"))), money(plan.usd), count(sum(plan.tokens("sampling"))),
            count(sum(plan.tokens("training"))), f"{plan.gpu_hours:,.0f}", money(plan.gpu_usd, False),
            duration(plan.seconds), size(plan.disk),
        )
        for factor, plan in plans
    ]  # fmt: skip
    return Table(
        title=f"{first.recipe} by scale: {first.student} on {first.hardware} ({first.strategy})",
        columns=(
            "scale", "problems", "pairs", "calls", "call tokens", "calls USD", "sampling tokens", "training tokens",
            "GPU hours", "GPU USD", "time", "disk",
        ),
        rows=tuple(rows),
        note="Expected values; the evaluation does not grow. Sampling tokens are read and written ones together.",
    )  # fmt: skip


def _pairs(plan: Plan) -> int:
    return sum(work.rows for work in plan.work if work.kind == "training" and "dpo" in work.stage)


def assumption_table(plan: Plan) -> Table:
    """Every assumption: its value, and where it comes from."""
    rows = [
        (f"plan.{key}", value, "measured" if key in plan.measured else "given" if given else "default")
        for key, value, given in _flat(plan.assumed)
    ]
    return Table(
        title="What was assumed",
        columns=("key", "value", "from"),
        rows=tuple(rows),
        note="Change one with --set plan.shares.located=0.9, take them out of an earlier run with --from.",
    )


def _flat(table: PlanRecipe) -> list[tuple[str, str, bool]]:
    found: list[tuple[str, str, bool]] = []
    for name in type(table).model_fields:
        value = getattr(table, name)
        if name == "calls":
            found += [(f"calls.{key}", f"{each.per_row:.3g} per row", True) for key, each in value.items()]
        elif hasattr(value, "model_fields_set"):
            for inner in type(value).model_fields:
                own = getattr(value, inner)
                if isinstance(own, dict):
                    found += [(f"{name}.{inner}.{key}", f"{each:.4g}", True) for key, each in own.items()]
                else:
                    found.append((f"{name}.{inner}", f"{own:.4g}", inner in value.model_fields_set))
        else:
            found.append((name, str(value), name in table.model_fields_set))
    return found


def beside_table(plan: Plan, measured: Measured) -> Table:
    """What was planned beside what a run did, stage by stage, with the ratio of the two."""
    found = {stage.stage: stage for stage in measured.stages}
    rows = [_beside(work, found[work.stage]) for work in plan.work if work.stage in found]
    return Table(
        title=f"Planned beside {measured.run}",
        columns=("stage", "rows", "did", "ratio", "tokens", "did ", "ratio ", "time", "did  ", "ratio  "),
        rows=tuple(rows),
        note="Ratio: planned to measured. Tokens are those sampled, scored, or trained on.",
    )


def _beside(work: Work, did: StageMeasure) -> tuple[str, ...]:
    tokens = work.tokens_out if work.kind == "sampling" else work.tokens_in
    nothing = ("", "", "")
    return (
        work.stage,
        *(count(work.rows), count(did.rows), ratio(work.rows, did.rows)),
        *(nothing if did.tokens is None else (count(tokens), count(did.tokens), ratio(tokens, did.tokens))),
        *(
            nothing
            if did.seconds is None
            else (duration(work.seconds), duration(did.seconds), ratio(work.seconds, did.seconds))
        ),
    )


def ratio(planned: float, measured: float) -> str:
    """Planned to measured, two decimals."""
    return f"{planned / measured:.2f}" if measured else NO_VALUE
