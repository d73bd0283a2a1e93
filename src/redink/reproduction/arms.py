"""Arms: which runs a table needs, each a recipe with changes, in one TOML file per scale (`recipes/reproduce/`)."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from redink.failures import BadInput, BadRecipe
from redink.recipe import Recipe, bundled_text, override, recipe_values, validated
from redink.reproduction.sharing import agreed
from redink.types import Row

SCALES = ("mini", "paper")
Kind = Literal["run", "teacher", "chains", "store"]
READERS = ("chains", "store")
"""Kinds that read what other arms have made."""


class Share(Row):
    """What an arm takes over from another of the same seed instead of making it again."""

    source: str = Field(alias="from", description="The other arm.")
    stages: tuple[str, ...] = Field(min_length=1, description="Parts of a run: see `reproduction/sharing.py`.")


class Arm(Row):
    """One run per seed: a recipe and what is changed in it."""

    extends: str = Field(description="Another arm of this file, a bundled recipe, or a recipe's path.")
    kind: Kind = Field(
        "run",
        description="'run': the recipe's method; 'teacher': its teacher's quality; 'chains': what `of` learnt; "
        "'store': the students of `of` without and with a store of its thoughts.",
    )
    set: dict[str, Any] = Field(default_factory=dict, description="Keys of the recipe that differ, as tables.")
    shares: tuple[Share, ...] = Field((), description="What is taken over, and from whom.")
    of: tuple[str, ...] = Field((), description="For 'chains' and 'store': the arms that are read.")
    called: str = Field("", description="What tables of several students call its student.")

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The arms that must have ended before it starts, if they are to be run at all."""
        return (*(share.source for share in self.shares), *self.of)


class Scale(Row):
    """Every arm of one scale."""

    title: str = Field(description="What the scale is, for people.")
    seeds: tuple[int, ...] = Field(min_length=1, description="Seeds of every arm unless asked otherwise.")
    threads: int = Field(0, ge=0, description="Threads of each run; 0: the libraries' own choice.")
    confirm: bool = Field(False, description="It is started only if that is confirmed: it costs days and money.")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Arms that tables name apart and that are one here: alias = arm."
    )
    common: dict[str, Any] = Field(default_factory=dict, description="Keys of the recipe that differ in every arm.")
    arms: dict[str, Arm] = Field(description="By name.")


class Job(Row):
    """One arm for one seed."""

    arm: str = Field(description="Its name.")
    seed: int = Field(description="Its seed.")
    kind: Kind = Field(description="What is done.")
    recipe: Recipe = Field(description="With the seed in it.")
    shares: tuple[Share, ...] = Field((), description="What it takes over.")
    of: tuple[str, ...] = Field((), description="The arms that it reads.")

    @property
    def name(self) -> str:
        """Its run directory's name."""
        return job_name(self.arm, self.seed)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The names of jobs that must have ended before it starts."""
        sources = (*(share.source for share in self.shares), *self.of)
        return tuple(dict.fromkeys(job_name(arm, self.seed) for arm in sources))

    def reads(self, other: Job) -> bool:
        """Whether it reads what another job has made."""
        return other.seed == self.seed and other.arm in self.of


def job_name(arm: str, seed: int) -> str:
    """The run directory's name of an arm for a seed.

    >>> job_name("step-dpo", 2)
    'step-dpo-s2'
    """
    return f"{arm}-s{seed}"


def load_scale(name: str) -> Scale:
    """The arms of a bundled scale, or of a file of the user's own.

    Raises `BadRecipe` for an unknown key, an arm that is not there or a circle, `BadInput` for a file that is no TOML.
    """
    path = Path(name)
    try:
        text = bundled_text(f"reproduce/{name}.toml") if name in SCALES else path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as failure:
        raise BadInput(
            path, f"the scale cannot be read ({failure.strerror}).", f"Name {', '.join(SCALES)} or a file like theirs."
        ) from None
    except ValueError as failure:
        raise BadInput(path, f"is not TOML ({failure}).", "See recipes/reproduce/mini.toml for the form.") from None
    scale = _scale(values, name)
    unknown = [alias for alias, arm in scale.aliases.items() if arm not in scale.arms or alias in scale.arms]
    if unknown:
        raise BadRecipe(f"{name}: alias {unknown[0]!r} is an arm itself, or stands for none.", "See `aliases`.")
    for arm in scale.arms:
        _check(scale, arm, name)
    return scale


def _scale(values: dict[str, Any], path: str) -> Scale:
    try:
        return Scale.model_validate(values)
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadRecipe(f"{path}: {key}: {first['msg']}.") from None


def _check(scale: Scale, name: str, path: str) -> None:
    """Every arm that this one names is there, and none waits for itself."""
    arm = scale.arms[name]
    missing = [other for other in arm.waits_for if other not in scale.arms]
    if missing:
        raise BadRecipe(
            f"{path}: arm {name!r} names {missing[0]!r}, which is no arm.", f"Arms: {', '.join(scale.arms)}."
        )
    if (arm.kind in READERS) != bool(arm.of):
        says = "reads no other: it needs `of`" if arm.kind in READERS else "has `of`, which is for chains and stores"
        raise BadRecipe(f"{path}: arm {name!r} of kind {arm.kind!r} {says}.", 'For example of = ["supercorrect"].')
    if name in _above(name, lambda each: scale.arms[each].waits_for) or name in _above(
        name, lambda each: _parent(scale, each)
    ):
        raise BadRecipe(f"{path}: arm {name!r} rests on itself.", "See its `extends`, `shares` and `of`.")


def _above(name: str, step: Callable[[str], tuple[str, ...]]) -> set[str]:
    """All that is reached from an arm by one step or more."""
    seen, open_ = set[str](), list(step(name))
    while open_:
        other = open_.pop()
        if other not in seen:
            seen.add(other)
            open_ += step(other)
    return seen


def _parent(scale: Scale, name: str) -> tuple[str, ...]:
    above = scale.arms[name].extends
    return (above,) if above in scale.arms else ()


class Change(Row):
    """What is changed in every arm from the command line."""

    limit: int | None = Field(None, ge=1, description="At most so many problems in each set.")
    settings: tuple[str, ...] = Field((), description="`key.sub=value`, as `redink run --set` takes them.")


AS_IT_IS = Change()


def jobs_of(scale: Scale, arms: Sequence[str], seeds: Sequence[int], change: Change = AS_IT_IS) -> list[Job]:
    """The jobs of some arms, those that others rest on first.

    Raises `BadRecipe` where a recipe is wrong, or two arms cannot share what they are said to.
    """
    jobs = [_job(scale, arm, seed, change) for arm in ordered(scale, arms) for seed in seeds]
    for job in jobs:
        for share in job.shares:
            source = recipe_of(scale, share.source, job.seed, change)
            agreed(source, job.recipe, share.stages, (share.source, job.arm))
    return jobs


def ordered(scale: Scale, arms: Sequence[str]) -> list[str]:
    """Some arms, each after those it waits for, else as in the file."""
    done: list[str] = []

    def put(arm: str) -> None:
        for other in scale.arms[arm].waits_for:
            if other in arms and other not in done:
                put(other)
        if arm not in done:
            done.append(arm)

    for arm in scale.arms:
        if arm in arms:
            put(arm)
    return done


def needed(scale: Scale, arms: Sequence[str]) -> list[str]:
    """Those of some arms that the scale has, and the arms that they read."""
    found: list[str] = []
    for name in (scale.aliases.get(arm, arm) for arm in arms):
        if name in scale.arms and name not in found:
            found += [arm for arm in (*needed(scale, scale.arms[name].of), name) if arm not in found]
    return found


def _job(scale: Scale, name: str, seed: int, change: Change) -> Job:
    arm = scale.arms[name]
    recipe = recipe_of(scale, name, seed, change)
    return Job(arm=name, seed=seed, kind=arm.kind, recipe=recipe, shares=arm.shares, of=arm.of)


def recipe_of(scale: Scale, name: str, seed: int, change: Change = AS_IT_IS) -> Recipe:
    """The recipe of an arm for a seed: what it extends, what is common, what it sets, what is changed in all."""
    values = merged(_values(scale, name), {"name": job_name(name, seed), "seed": seed})
    for setting in change.settings:
        override(values, setting)
    recipe = validated(values, f"arm {name!r}")
    return recipe.limited(change.limit) if change.limit else recipe


def _values(scale: Scale, name: str) -> dict[str, Any]:
    arm = scale.arms[name]
    if arm.extends in scale.arms:
        return merged(_values(scale, arm.extends), arm.set)
    return merged(merged(_bundled(arm.extends), scale.common), arm.set)


def _bundled(name: str) -> dict[str, Any]:
    """A recipe among the bundled ones, such as 'demo', by its path in their folder, else of the user's own."""
    try:
        return tomllib.loads(bundled_text(f"{name}.toml"))
    except OSError:
        return recipe_values(name)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables in one; where both have a key the second's value stands, tables within them merged alike.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    both = copy.deepcopy(dict(below))
    for key, value in above.items():
        held = both.get(key)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            both[key] = merged(held, value)
        else:
            both[key] = copy.deepcopy(value)
    return both
