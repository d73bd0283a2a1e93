"""Does consulting a store of thoughts help? The same student on the same problems, without and with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from redink.answers.checkers import MATH, Checker
from redink.answers.rewards import verdicts_of
from redink.evaluation.statistics import Estimate, mcnemar, paired_difference, proportion
from redink.failures import BadInput, Failure, ReplyFailure
from redink.pipelines.tables import NO_VALUE, Table, percent
from redink.problems import load_problems
from redink.rows import read_rows
from redink.solving.solved import Solved
from redink.solving.solver import Solver
from redink.solving.store import ThoughtStore
from redink.types import Problem, Row


class ThoughtsRow(Row):
    """One problem, solved without or with thoughts."""

    problem_id: str = Field(description="The `Problem.id`.")
    thoughts: int = Field(ge=0, description="Thoughts that the question was given at most; 0: none.")
    right_t1: bool = Field(description="The first solution is right.")
    right_t2: bool = Field(description="The answer that stands after the rounds of self-correction is right.")
    ungradable_t1: bool = Field(description="The first solution has no answer that can be graded.")
    tokens: int = Field(ge=0, description="Tokens of all prompts and replies.")
    failed: str = Field("", description="Why it came to nothing, where it did; it counts as not right.")


class ThoughtsArm(Row):
    """One arm: without or with thoughts."""

    thoughts: int = Field(description="Thoughts that each question was given at most; 0: none.")
    accuracy_t1: Estimate = Field(description="The first solution is right.")
    accuracy_t2: Estimate = Field(description="The answer after the rounds of self-correction is right.")
    ungradable_t1: int = Field(description="First solutions without an answer that can be graded.")
    tokens: float = Field(description="Tokens of prompts and replies per problem.")
    failed: int = Field(description="Problems that came to nothing; they count as not right.")


class ThoughtsMeasured(Row):
    """Both arms on the same problems, and the paired test."""

    model: str = Field(description="The student.")
    benchmark: str = Field(description="The problems.")
    rounds: int = Field(description="Rounds of self-correction at most.")
    stored: int = Field(description="Questions in the store.")
    off: ThoughtsArm = Field(description="Without the store.")
    on: ThoughtsArm = Field(description="With it.")
    delta_t1: Estimate = Field(description="On − off, first solutions; Tango's interval.")
    delta_t2: Estimate = Field(description="On − off, after self-correction.")
    p_t1: float = Field(description="McNemar's exact test, first solutions.")
    p_t2: float = Field(description="McNemar's exact test, after self-correction.")


def measure_store(
    solver: Solver, store: ThoughtStore, problems: Sequence[Problem], benchmark: str, checker: Checker = MATH
) -> ThoughtsMeasured:
    """Solve the problems without and with the store; raises `Failure` if there is no problem.

    A problem whose own question is stored is never shown its own thought (`ThoughtStore.search`).
    """
    if not problems:
        raise Failure(f"{benchmark} holds no problem.", "Name another --benchmark.")
    off, on = (solved_rows(arm, problems, checker) for arm in without_and_with(solver, store))
    delta_1, p_1 = _paired([row.right_t1 for row in off], [row.right_t1 for row in on])
    delta_2, p_2 = _paired([row.right_t2 for row in off], [row.right_t2 for row in on])
    return ThoughtsMeasured(
        model=solver.backend.name, benchmark=benchmark, rounds=solver.rounds, stored=len(store), off=_arm(off),
        on=_arm(on), delta_t1=delta_1, delta_t2=delta_2, p_t1=p_1, p_t2=p_2,
    )  # fmt: skip


def without_and_with(solver: Solver, store: ThoughtStore) -> tuple[Solver, Solver]:
    """The same solver without a store, and with this one."""

    def arm(held: ThoughtStore | None) -> Solver:
        return Solver(
            solver.backend, solver.preset, solver.rounds, generation=solver.generation, store=held,
            thoughts=solver.thoughts,
        )  # fmt: skip

    return arm(None), arm(store)


def solved_rows(solver: Solver, problems: Sequence[Problem], checker: Checker = MATH) -> list[ThoughtsRow]:
    """Solve the problems, aligned with them; a question that came to nothing has a row that says why."""
    found = solver.solve_all([problem.question for problem in problems])
    first = verdicts_of(checker, [row.text if isinstance(row, Solved) else "" for row in found], problems)
    last = verdicts_of(checker, [_last_text(row) for row in found], problems)
    return [
        ThoughtsRow(
            problem_id=problem.id, thoughts=solver.thoughts if solver.store is not None else 0,
            right_t1=before.right, right_t2=after.right, ungradable_t1=before.outcome == "ungradable",
            tokens=row.tokens_in + row.tokens_out if isinstance(row, Solved) else 0,
            failed=str(row) if isinstance(row, ReplyFailure) else "",
        )
        for problem, row, before, after in zip(problems, found, first, last, strict=True)
    ]  # fmt: skip


def _arm(rows: Sequence[ThoughtsRow]) -> ThoughtsArm:
    return ThoughtsArm(
        thoughts=rows[0].thoughts,
        accuracy_t1=proportion(sum(row.right_t1 for row in rows), len(rows)),
        accuracy_t2=proportion(sum(row.right_t2 for row in rows), len(rows)),
        ungradable_t1=sum(row.ungradable_t1 for row in rows),
        tokens=sum(row.tokens for row in rows) / len(rows),
        failed=sum(bool(row.failed) for row in rows),
    )


def _last_text(row: Solved | ReplyFailure) -> str:
    """What the final answer is read from: it stands alone, so that a checker reads what the solver decided."""
    if isinstance(row, ReplyFailure) or row.final_answer is None:
        return ""
    return f"<Answer>{row.final_answer}</Answer>"


def _paired(before: Sequence[bool], after: Sequence[bool]) -> tuple[Estimate, float]:
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    return paired_difference(gained, lost, len(before)), mcnemar(gained, lost)


def problems_for(benchmark: str, data_dir: Path | None, limit: int | None, seed: int) -> list[Problem]:
    """The problems of a source, or of a run directory's evaluation set."""
    path = Path(benchmark) / "problems.evaluation.jsonl"
    if path.is_file():
        return read_rows(path, Problem)[:limit]
    if Path(benchmark).is_dir():
        raise BadInput(benchmark, "holds no problems.evaluation.jsonl.", "Name a run directory, or a set of problems.")
    return load_problems(benchmark, data_dir=data_dir, limit=limit, seed=seed, split="test")


def store_table(found: ThoughtsMeasured) -> Table:
    """A row per arm and their difference."""

    def row(name: str, arm: ThoughtsArm) -> tuple[str, ...]:
        return name, percent(arm.accuracy_t1), percent(arm.accuracy_t2), f"{arm.tokens:.0f}", str(arm.ungradable_t1)

    difference = (
        "on − off", f"{percent(found.delta_t1, True)}, p = {found.p_t1:.2g}",
        f"{percent(found.delta_t2, True)}, p = {found.p_t2:.2g}", NO_VALUE, NO_VALUE,
    )  # fmt: skip
    n = found.off.accuracy_t1.n
    return Table(
        title=f"Thoughts of a store: {found.model} on {found.benchmark}, n = {n}",
        columns=("thoughts", "Acc@t1", "after self-correction", "tokens per problem", "no answer at t1"),
        rows=(row("off", found.off), row(f"on ({found.on.thoughts})", found.on), difference),
        note=f"%, [95 %]: Wilson's, of differences Tango's; p: McNemar's exact test. {found.stored} questions stored, "
        f"at most {found.rounds} round(s).",
    )
