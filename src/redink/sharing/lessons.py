"""A run's rows as other trainers take them: prompt and reply, preference, reply with a verdict.

Prompts are filled in as the run itself filled them in. The shared prefix of a pair is folded: in messages it begins the
reply on both sides, where its log-probabilities cancel in the loss; in plain text it ends the prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redink.failures import Failure
from redink.markup import render_thought, render_trace
from redink.prompts import load_prompt
from redink.sharing.runs import SharedRun
from redink.stages.reviews import correction_prompt
from redink.teaching.recheck import results_only, with_checks
from redink.types import Attempt, ChainRow, CorrectionRow, PreferencePair, Problem, Row, ThoughtRow

What = Literal["thoughts", "chains", "corrections", "pairs", "attempts"]
KINDS: dict[What, type[Row]] = {
    "thoughts": ThoughtRow,
    "chains": ChainRow,
    "corrections": CorrectionRow,
    "pairs": PreferencePair,
    "attempts": Attempt,
}
STAGES: dict[What, tuple[str, ...]] = {
    "thoughts": ("thoughts",),
    "chains": ("learned", "plain_chains", "long_chains"),
    "corrections": ("corrections",),
    "pairs": ("pairs", "confirmations"),
    "attempts": ("attempts",),
}


@dataclass(frozen=True)
class Supervised:
    """A prompt and the reply to learn."""

    prompt: str
    reply: str


@dataclass(frozen=True)
class Preferred:
    """Two continuations of one prompt and one start of the reply."""

    prompt: str
    prefix: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Judged:
    """A reply, and whether it is right."""

    prompt: str
    reply: str
    right: bool


Lesson = Supervised | Preferred | Judged


@dataclass(frozen=True)
class RunRow:
    """A row of a run with the stage that made it and the problem that it is about."""

    stage: str
    problem: Problem
    row: Row


def run_rows(run: SharedRun, what: What) -> list[RunRow]:
    """Every accepted row of a kind, round by round; of ORION's chains those that are learnt.

    Raises `Failure` if there is none, or if one is about a problem of the evaluation set.
    """
    stages = run.stages(*STAGES[what])
    if what == "chains":
        stages = stages[:1]
    problems, evaluated = run.problems(), run.problems("evaluation")
    found = [(stage, row) for stage in stages for row in run.rows(stage, KINDS[what])]
    if not found:
        raise Failure(f"{run.folder} has no {what}.", f"It has {', '.join(kinds_of(run)) or 'no rows yet'}.")
    rows = [RunRow(stage, problems[str(row.problem_id)], row) for stage, row in found]  # type: ignore[attr-defined]
    if any(each.problem.id in evaluated for each in rows):
        raise Failure(f"{run.folder}: {what} hold problems of the evaluation set.", "They are not given away.")
    return rows


def kind_of(name: str) -> What:
    """The kind of rows of that name; raises `Failure` naming those that there are."""
    found = next((what for what in KINDS if what == name), None)
    if found is None:
        raise Failure(f"there are no rows called {name!r}.", f"There are {', '.join(KINDS)}.")
    return found


def kinds_of(run: SharedRun) -> list[What]:
    """What a run has rows of."""
    return [what for what, names in STAGES.items() if any(run.rows(name, KINDS[what]) for name in run.stages(*names))]


def lessons_of(run: SharedRun, what: What, left_out: Counter[str] | None = None) -> list[Lesson]:
    """Every row of a kind as a lesson; those that are none are counted in `left_out` by reason."""
    rows, missing = run_rows(run, what), left_out if left_out is not None else Counter()
    if what == "pairs":
        return [_preferred(each.row) for each in rows]
    if what == "corrections":
        return _corrections(run, rows)
    if what == "attempts":
        return _judged(run, rows, missing)
    prompt = load_prompt(run.recipe.prompts.solve if what == "thoughts" else run.recipe.prompts.chain)
    return [Supervised(prompt.render(question=each.problem.question), _reply(each.row)) for each in rows]


def _reply(row: Row) -> str:
    return render_thought(row.thought) if isinstance(row, ThoughtRow) else str(getattr(row, "text"))  # noqa: B009


def _preferred(row: Row) -> Preferred:
    assert isinstance(row, PreferencePair)
    return Preferred(row.prompt, row.prefix, row.chosen, row.rejected)


def _corrections(run: SharedRun, rows: Sequence[RunRow]) -> list[Lesson]:
    """The teacher's whole traces as replies to P_c, about the attempts as they were shown."""
    prompt, review = load_prompt(run.recipe.prompts.correct), run.recipe.review
    lessons: list[Lesson] = []
    for stage in dict.fromkeys(each.stage for each in rows):
        attempts = run.rows(stage.removesuffix("corrections") + "attempts", Attempt)
        written = {(row.problem_id, row.sample): results_only(row) if review.results_only else row for row in attempts}
        for each in rows:
            if each.stage != stage or not isinstance(each.row, CorrectionRow):
                continue
            trace = with_checks(each.row.trace) if review.recheck else each.row.trace
            about = written[each.problem.id, each.row.sample]
            lessons.append(Supervised(correction_prompt(prompt, each.problem, about), render_trace(trace)))
    return lessons


def _judged(run: SharedRun, rows: Sequence[RunRow], left_out: Counter[str]) -> list[Lesson]:
    prompt = load_prompt(run.recipe.prompts.solve)
    lessons: list[Lesson] = []
    for each in rows:
        assert isinstance(each.row, Attempt)
        outcome = each.row.verdict.outcome
        if not each.row.text.strip() or outcome == "ungradable":
            left_out["ungradable" if each.row.text.strip() else "empty_reply"] += 1
            continue
        asked = prompt.render(question=each.problem.question)
        lessons.append(Judged(asked, each.row.text, outcome == "right"))
    return lessons
