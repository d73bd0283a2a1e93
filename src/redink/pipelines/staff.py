"""Teacher and inspector as a recipe asks for them, and the books of what their models cost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from redink.answers.checkers import MATH, Checker
from redink.failures import BadRecipe, Failure
from redink.models.batch import BatchChat
from redink.models.chat import ChatModel, ChatSettings
from redink.models.engine import Engine
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.wire import Endpoint, Form
from redink.pipelines.spending import ledger_lines, ledger_table, stage_note, write_ledger
from redink.progress import Note, no_note
from redink.prompts import load_prompt
from redink.recipe import MAY_CHANGE, PromptsRecipe, RunRecipe, TeacherRecipe
from redink.rows import digest, slug
from redink.run import JOURNAL, Run, Work
from redink.stages.chunks import Chunked
from redink.stages.corrections import write_correction
from redink.stages.unfinished import row_key
from redink.teaching.inspection import NoInspector, Patience
from redink.teaching.llm import InspectorPrompts, LLMInspector, LLMTeacher, TeacherPrompts
from redink.teaching.protocols import Inspector, Teacher
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import Attempt, CorrectionRow, Problem, Row, Tried

Open = AbstractAsyncContextManager[object]
T = TypeVar("T", bound=Row)
R = TypeVar("R", bound=Row)

ROWS_PER_CALL = 2
"""Rows under way for each call that may be: one that calls and one at hand to take its place."""
OFFLINE_WINDOW = 64
_FREE = {
    who: {key.removeprefix(f"{who}.") for key in MAY_CHANGE if key.startswith(f"{who}.")}
    for who in ("teacher", "inspector")
}
_NOT_OF_TRACES = {
    "chain", "long_chain", "refine", "refine_unexposed", "refine_as_teacher", "rewrite", "reflect", "retry",
}  # fmt: skip


@dataclass
class Staff:
    """Who teaches and who inspects in one run; `desk` is what their chat models share, None where there are none."""

    teacher: Teacher
    inspector: Inspector
    patience: Patience
    window: int = OFFLINE_WINDOW
    desk: Desk | None = None

    @asynccontextmanager
    async def at(self, stage: str) -> AsyncIterator[None]:
        """Work at a stage: what is bought inside the block is booked under it, over connections that are kept."""
        if self.desk is None:
            yield
            return
        async with self.desk.at(stage):
            yield

    async def booked(self) -> None:
        """Return when everything bought so far is in the journal on disk."""
        if self.desk:
            await self.desk.journal.committed()

    def stop(self, why: Failure) -> None:
        """Buy nothing more; what is in flight comes to its end."""
        if self.desk:
            self.desk.engine.stop(why)

    def note(self, stage: str) -> Note:
        """What the progress of a stage says of its cost."""
        return stage_note(self.desk.ledger, stage) if self.desk else no_note

    def leave(self) -> None:
        """Close the journal."""
        if self.desk:
            self.desk.journal.close()


@dataclass
class Desk:
    """Journal, ledger and connections of a run's chat models."""

    journal: Journal
    ledger: Ledger
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.journal, self.ledger)

    @asynccontextmanager
    async def at(self, stage: str) -> AsyncIterator[None]:
        """What is bought inside the block is booked under the stage, over connections that are kept until its end."""
        async with self.engine:
            with self.engine.stage(stage):
                yield

    @contextmanager
    def kept(self, folder: Path) -> Iterator[Desk]:
        """At the end the journal is closed, and the ledger written into the folder and shown on standard error."""
        try:
            yield self
        finally:
            self.journal.close()
            if self.ledger.totals():
                write_ledger(folder / "ledger.json", self.ledger)
                print(*ledger_lines(self.ledger), sep="\n", file=sys.stderr)

    def chat(self, wanted: TeacherRecipe) -> ChatModel:
        """The chat model that a recipe asks for."""
        endpoint = Endpoint(wanted.model, wanted.base_url, wanted.key_name, _form(wanted))
        if wanted.batch:
            return BatchChat(
                self.engine,
                endpoint,
                size=wanted.batch_size,
                wait_s=wanted.batch_wait_s,
                server_tries=wanted.server_tries,
                larger_on_cut=wanted.larger_on_cut,
                max_tokens_limit=wanted.max_tokens_limit,
            )
        return self.engine.chat(
            endpoint,
            wanted.limits,
            tries=wanted.server_tries,
            timeout_s=wanted.timeout_s,
            larger_on_cut=wanted.larger_on_cut,
            max_tokens_limit=wanted.max_tokens_limit,
        )


def journal_of(folder: Path, recipe: RunRecipe) -> Path:
    """The journal of a run directory: its own, or the one beside the run directories that the recipe names."""
    return folder.parent / recipe.journal if recipe.journal else folder / JOURNAL


def hire(recipe: RunRecipe, journal: Path, checker: Checker = MATH, folder: Path | None = None) -> Staff:
    """The staff of a recipe; `journal` is opened if a chat model is among them, `checker` judges its answers.

    `folder` is the run directory whose budget is spent (default: the journal's own folder). Raises `BadRecipe` where
    an `openai` teacher names no model, `Failure` where its address cannot be used.
    """
    if recipe.teacher.kind == "none":
        raise BadRecipe("teacher.kind: 'none' is for the inspector only.", "Use 'reference' or 'openai'.")
    patience = Patience(recipe.inspector.rounds, recipe.teacher.tries, recipe.inspector.tries)
    chats = _chats(recipe)
    desk = _open_desk(recipe, journal, folder or journal.parent) if chats else None
    return Staff(
        _teacher(recipe, desk, checker),
        _inspector(recipe.inspector, recipe.prompts, desk),
        patience,
        _window(chats) if chats else OFFLINE_WINDOW,
        desk,
    )


def desk_for(journal: Path, *chats: TeacherRecipe, max_usd: Decimal | None = None) -> Desk:
    """Journal, ledger and connections for some chat models outside a run's staff, such as a judge."""
    kept = Journal(journal)
    return Desk(kept, Ledger(kept, _prices(*chats), max_usd, ""))


def taught(
    run: Run[Any],
    staff: Staff,
    stage: str,
    kind: type[R],
    inputs: Sequence[T],
    work: Work[T],
    onward: Chunked[R, Any] | None = None,
) -> list[R]:
    """Do a stage of teacher and inspector row by row, or read it if it is done; keeps and shows what it cost."""
    begun = not run.finished(stage)
    try:
        run.stream(
            stage, kind, inputs, work, row_key,
            window=staff.window, within=staff.at(stage), booked=staff.booked, note=staff.note(stage), onward=onward,
            stop=staff.stop,
        )  # fmt: skip
    finally:
        if staff.desk and begun:
            write_ledger(run.path("ledger.json"), staff.desk.ledger)
            run.console.print(ledger_table(staff.desk.ledger))
    return run.rows(stage, kind)


def corrected(
    run: Run[Any],
    staff: Staff,
    stage: str,
    problems: Sequence[Problem],
    wrong: Sequence[Attempt],
    checker: Checker,
    onward: Chunked[CorrectionRow, Any] | None = None,
) -> list[CorrectionRow]:
    """The teacher's traces for wrong attempts at these problems, inspected: a stage."""
    by_id = {problem.id: problem for problem in problems}

    async def work(written: Attempt, before: Sequence[Tried]) -> Row:
        problem = by_id[written.problem_id]
        return await write_correction(problem, written, staff.teacher, staff.inspector, staff.patience, before, checker)

    return taught(run, staff, stage, CorrectionRow, wrong, work, onward)


def teacher_name(recipe: RunRecipe) -> str:
    """Who teaches, as results name it."""
    return recipe.teacher.model if recipe.teacher.kind == "openai" else recipe.teacher.kind


def staff_tag(recipe: RunRecipe) -> str:
    """A name for the work of this teacher and inspector, the same as long as they would do the same."""
    told = {
        "prompts": recipe.prompts.model_dump(mode="json", exclude=_NOT_OF_TRACES),
        **{who: getattr(recipe, who).model_dump(mode="json", exclude=_FREE[who]) for who in ("teacher", "inspector")},
    }
    return f"{slug(teacher_name(recipe))}-{digest(json.dumps(told, sort_keys=True))[:4]}"


def _chats(recipe: RunRecipe) -> dict[str, TeacherRecipe]:
    """Those who are chat models, by their place."""
    chats = {who: wanted for who in ("teacher", "inspector") if (wanted := getattr(recipe, who)).kind == "openai"}
    for who, wanted in chats.items():
        if not wanted.model:
            raise BadRecipe(f"{who}.model is empty.", f"Name the model: --set {who}.model=…")
        try:
            _form(wanted)
        except Failure as failure:
            raise BadRecipe(f"{who}.{failure.what}", failure.remedy) from None
    return chats


def _window(chats: dict[str, TeacherRecipe]) -> int:
    return sum(
        ROWS_PER_CALL * (each.batch_size if each.batch else each.limits.max_in_flight) for each in chats.values()
    )


def _open_desk(recipe: RunRecipe, journal: Path, folder: Path) -> Desk:
    prices = _prices(recipe.teacher, recipe.inspector)
    kept = Journal(journal)
    return Desk(kept, Ledger(kept, prices, recipe.budget.max_usd, payer(folder, journal)))


def payer(folder: Path, journal: Path) -> str:
    """Whose budget a run directory spends, in the charges of a journal: the way to it from there; '' beside it.

    Runs that share a journal thus have a budget each, also after all of it was moved together.
    """
    way = os.path.relpath(folder.resolve(), journal.parent.resolve())
    return "" if way == "." else Path(way).as_posix()


def _prices(*chats: TeacherRecipe) -> dict[str, Price]:
    prices: dict[str, Price] = {}
    for wanted in chats:
        if wanted.price and prices.setdefault(wanted.model, wanted.price) != wanted.price:
            raise BadRecipe(f"{wanted.model!r} has two prices.", "Give teacher.price and inspector.price the same.")
    return prices


def _teacher(recipe: RunRecipe, desk: Desk | None, checker: Checker) -> Teacher:
    wanted, prompts = recipe.teacher, recipe.prompts
    if desk is None or wanted.kind != "openai":
        return ReferenceTeacher(wanted.error_rate, recipe.seed, wanted.quotes, wanted.hard_keys)
    own = TeacherPrompts(
        thought=load_prompt(prompts.extract_thought),
        correction=load_prompt(prompts.correct_with_solution),
        chain=load_prompt(prompts.long_chain),
        refinement=load_prompt(prompts.refine_as_teacher),
    )
    return LLMTeacher(desk.chat(wanted), own, _settings(wanted), checker)


def _inspector(wanted: TeacherRecipe, prompts: PromptsRecipe, desk: Desk | None) -> Inspector:
    if wanted.kind == "none":
        return NoInspector()
    if desk is None or wanted.kind != "openai":
        return ReferenceInspector()
    own = InspectorPrompts(thought=load_prompt(prompts.inspect_thought), trace=load_prompt(prompts.inspect_trace))
    return LLMInspector(desk.chat(wanted), own, _settings(wanted))


def _form(wanted: TeacherRecipe) -> Form:
    return Form(wanted.token_limit_key, wanted.leave_out, wanted.extra_body)


def _settings(wanted: TeacherRecipe) -> ChatSettings:
    return ChatSettings(temperature=wanted.temperature, max_tokens=wanted.max_tokens)
