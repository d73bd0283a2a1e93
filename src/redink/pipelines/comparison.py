"""`redink compare`: two models of run directories on the problems that both solved, with paired tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from redink.evaluation.comparison import Comparison, compare_models, compare_outcomes
from redink.failures import Failure
from redink.pipelines.measured import Measured, measured, names_of, of_name
from redink.pipelines.tables import NO_VALUE, Table, percent
from redink.problems import question_key
from redink.types import Row

NOTE = (
    "%, [95 %: Wilson for shares, Tango for the difference; for repeats both over problems]. p: two-sided; {tests}. g: "
    "Cohen's g, gained/(gained + lost) − ½: .05 is small, .25 large; d: for repeats, the mean difference over its "
    "standard deviation. Seed {seed}."
)


class Compared(Row):
    """Two models on one benchmark, the second against the first."""

    benchmark: str = Field(description="The set of problems, as the first run calls it.")
    first: str = Field(description="The first model, with its run where there are two.")
    second: str = Field(description="The second model.")
    shared: int = Field(description="Problems that both solved.")
    first_problems: int = Field(description="Problems of the first.")
    second_problems: int = Field(description="Problems of the second.")
    comparisons: tuple[Comparison, ...] = Field(description="At t1, at t2 and, where both have repeats, over those.")


class ComparisonResults(Row):
    """What `redink compare` shows."""

    runs: tuple[str, ...] = Field(description="The run directories.")
    seed: int = Field(description="Seed of bootstrap and permutations.")
    compared: tuple[Compared, ...] = Field(description="Every pair.")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the person at the keyboard should know before the figures."""
        return tuple(
            f"{pair.benchmark}: {pair.shared} problems are shared; {pair.first} has {pair.first_problems}, "
            f"{pair.second} has {pair.second_problems}."
            for pair in self.compared
            if not pair.shared == pair.first_problems == pair.second_problems
        )


def compare_runs(run: Path, other: Path | None = None, models: Sequence[str] = (), seed: int = 0) -> ComparisonResults:
    """Compare the models of one run directory with each other, or those of two, on the problems that both solved.

    `models`: in one run two of its models, in order, or none: each with the next. In two runs one name for both, or the
    first's and the second's; or none: those that both have, or the only one of each.
    Raises `Failure` if a name is none of theirs, no problem is shared, or one id stands for two problems.
    """
    if len(models) > 2:
        raise Failure(f"{len(models)} models are named.", "Name at most two: --model FIRST --model SECOND.")
    first = measured(run)
    pairs = _within(run, first, models) if other is None else _between(run, first, other, measured(other), models)
    return ComparisonResults(
        runs=tuple(str(folder) for folder in (run, other) if folder is not None),
        seed=seed,
        compared=tuple(_compared(one, another, (run, other or run), seed) for one, another in pairs),
    )


def _within(run: Path, found: Sequence[Measured], models: Sequence[str]) -> list[tuple[Measured, Measured]]:
    if len(models) == 1:
        raise Failure(f"one model of {run} is named.", "Name two, or another run directory to compare with.")
    for name in models:
        of_name(run, found, name)
    pairs = []
    for _, group in itertools.groupby(found, lambda each: each.benchmark):
        by_name = {each.model: each for each in group}
        wanted = [by_name[name] for name in models if name in by_name] if models else list(by_name.values())
        pairs += list(itertools.pairwise(wanted))
    if not pairs:
        raise Failure(f"{run} has only {found[0].model}.", "Name another run directory to compare with.")
    return pairs


def _between(
    run: Path, first: Sequence[Measured], other: Path, second: Sequence[Measured], models: Sequence[str]
) -> list[tuple[Measured, Measured]]:
    if models:
        ones, others = of_name(run, first, models[0]), of_name(other, second, models[-1])
        return _by_benchmark(run, ones, other, others)
    names = [name for name in dict.fromkeys(each.model for each in first) if name in {each.model for each in second}]
    if names:
        return [
            pair
            for name in names
            for pair in _by_benchmark(run, of_name(run, first, name), other, of_name(other, second, name))
        ]
    if len({each.model for each in first}) == len({each.model for each in second}) == 1:
        return _by_benchmark(run, first, other, second)
    raise Failure(
        f"{run} and {other} have no model of the same name ({names_of(first)}; {names_of(second)}).",
        "Name both: --model FIRST --model SECOND.",
    )


def _by_benchmark(
    run: Path, first: Sequence[Measured], other: Path, second: Sequence[Measured]
) -> list[tuple[Measured, Measured]]:
    """The two where their benchmarks have the same name, or where each has only one."""
    by_name = {each.benchmark: each for each in second}
    pairs = [(each, by_name[each.benchmark]) for each in first if each.benchmark in by_name]
    if not pairs and len(first) == len(second) == 1:
        return [(first[0], second[0])]
    if not pairs:
        has = "; ".join(", ".join(each.benchmark for each in found) for found in (first, second))
        raise Failure(f"{run} and {other} have no benchmark in common ({has}).", "Evaluate both on the same problems.")
    return pairs


def _compared(one: Measured, other: Measured, runs: tuple[Path, Path], seed: int) -> Compared:
    places = _shared(one, other)
    ids = [one.problems[place].id for place, _ in places]
    labels = [
        each.model if runs[0] == runs[1] else f"{run}: {each.model}"
        for run, each in zip(runs, (one, other), strict=True)
    ]
    comparisons = [
        compare_models(
            labels[0],
            labels[1],
            ids,
            [first[place] for place, _ in places],
            [second[place] for _, place in places],
            seed,
            when,
        )
        for when, first, second in (("t1", one.t1, other.t1), ("t2", one.t2, other.t2))
    ]
    mine, theirs = one.repeats(), other.repeats()
    if mine and theirs and set(mine.problem_ids) & set(theirs.problem_ids) & set(ids):
        comparisons.append(
            compare_outcomes(mine, theirs, seed).model_copy(update={"first": labels[0], "second": labels[1]})
        )
    return Compared(
        benchmark=one.benchmark, first=labels[0], second=labels[1], shared=len(places),
        first_problems=len(one.problems), second_problems=len(other.problems), comparisons=tuple(comparisons),
    )  # fmt: skip


def _shared(one: Measured, other: Measured) -> list[tuple[int, int]]:
    """Where the problems that both have stand, in the first one's order; raises `Failure` for none, or for a mix-up."""
    theirs = {problem.id: place for place, problem in enumerate(other.problems)}
    places = [(place, theirs[problem.id]) for place, problem in enumerate(one.problems) if problem.id in theirs]
    for place, their in places:
        mine, yours = one.problems[place], other.problems[their]
        if mine.answer != yours.answer or question_key(mine.question) != question_key(yours.question):
            raise Failure(
                f"{one.benchmark} of {one.model} and {other.benchmark} of {other.model} differ: {mine.id!r} is another "
                f"problem in each ({len(places)} ids are shared).",
                "Evaluate both on the same problems: the same benchmark, limit and seed.",
            )
    if not places:
        raise Failure(
            f"{one.model} and {other.model} share no problem ({len(one.problems)} of {one.benchmark}, "
            f"{len(other.problems)} of {other.benchmark}).",
            "Evaluate both on the same problems: the same benchmark, limit and seed.",
        )
    return places


def comparison_tables(results: ComparisonResults) -> list[Table]:
    """One table per pair: what is gained, what is lost, by how much, and whether it is chance."""
    return [_table(pair, results.seed) for pair in results.compared]


def _table(pair: Compared, seed: int) -> Table:
    rows = [
        ("problems", *(str(each.n) for each in pair.comparisons)),
        ("first", *(percent(each.accuracy_first) for each in pair.comparisons)),
        ("second", *(percent(each.accuracy_second) for each in pair.comparisons)),
        ("second − first", *(percent(each.difference, signed=True) for each in pair.comparisons)),
        ("… by bootstrap", *(percent(each.bootstrap, signed=True) for each in pair.comparisons)),
        ("gained, lost", *(f"{each.gained}, {each.lost}" for each in pair.comparisons)),
        ("p", *(p_value(each.p_value) for each in pair.comparisons)),
        ("effect", *(_effect(each) for each in pair.comparisons)),
    ]
    tests = "; ".join(f"{each.measure}: {each.test}" for each in pair.comparisons)
    return Table(
        title=f"{pair.benchmark}: {pair.first} → {pair.second}, {pair.shared} problems",
        columns=("figure", *(each.measure for each in pair.comparisons)),
        rows=tuple(rows),
        note=NOTE.format(tests=tests, seed=seed),
    )


def p_value(p: float) -> str:
    """A p-value for people.

    >>> p_value(0.04), p_value(0.000012)
    ('0.040', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _effect(each: Comparison) -> str:
    if each.measure == "repeats":
        return NO_VALUE if each.cohens_d is None else f"d = {each.cohens_d:+.2f}"
    if each.cohens_g.value is None:
        return NO_VALUE
    odds = "" if each.odds_ratio is None else f", odds {each.odds_ratio:.2f}"
    return f"g = {each.cohens_g.value:+.2f}{odds}"
