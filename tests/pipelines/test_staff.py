"""Who is hired, and what a run does with a paid teacher: bought once, counted, stopped at the budget, resumed."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Answer, Asked, Loopback, serving
from marking import teacher_reply
from rich.console import Console

from redink.failures import BadRecipe, Failure, Interrupted, StoppedByHand
from redink.models import fake_server
from redink.models.engine import EndpointChat
from redink.pipelines.staff import hire, payer
from redink.pipelines.supercorrect import supercorrect
from redink.recipe import Recipe, load_recipe
from redink.rows import read_rows
from redink.run import Run
from redink.teaching.inspection import NoInspector, Patience
from redink.teaching.llm import LLMInspector, LLMTeacher
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.teaching.served import Classroom
from redink.types import Problem, ThoughtRow

CHAT = ["teacher.kind=openai", "teacher.model=m", "inspector.kind=none"]
PRICE = "teacher.price={prompt = 100_000, completion = 100_000}"
"""0.1 USD a token: the loopback server's 7 + 5 tokens cost 1.2 USD."""


def recipe(*overrides: str, server: Loopback | None = None, rows: int = 6) -> Recipe:
    where = [f"teacher.base_url={server.base_url}"] if server else []
    return load_recipe("demo", [*CHAT, *where, *overrides]).limited(rows)


def thoughts(folder: Path, wanted: Recipe) -> tuple[list[ThoughtRow], str]:
    """The thoughts of a run, and what it said."""
    screen = io.StringIO()
    with Run(folder, wanted, Console(file=screen, width=200)) as run:
        supercorrect(run, until="thoughts")
        return run.rows("thoughts", ThoughtRow), screen.getvalue()


# ---------------------------------------------------------------- who


def test_offline_staff_needs_neither_journal_nor_ledger(tmp_path: Path) -> None:
    staff = hire(load_recipe("demo", ["teacher.error_rate=0.25"]), tmp_path / "journal.sqlite")
    assert isinstance(staff.teacher, ReferenceTeacher) and staff.teacher.error_rate == 0.25
    assert isinstance(staff.inspector, ReferenceInspector)
    assert staff.desk is None
    staff.leave()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("who", ["teacher", "inspector"])
def test_a_chat_model_without_a_name_is_refused_and_leaves_nothing(tmp_path: Path, who: str) -> None:
    with pytest.raises(BadRecipe, match=rf"{who}\.model is empty.*--set {who}\.model"):
        hire(load_recipe("demo", [f"{who}.kind=openai"]), tmp_path / "journal.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_cannot_be_none(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="for the inspector only"):
        hire(load_recipe("demo", ["teacher.kind=none"]), tmp_path / "journal.sqlite")


def test_one_model_has_one_price(tmp_path: Path) -> None:
    other = ["inspector.kind=openai", "inspector.model=m", "inspector.price={prompt = 1, completion = 1}"]
    with pytest.raises(BadRecipe, match="'m' has two prices"):
        hire(recipe(PRICE, *other), tmp_path / "journal.sqlite")


def test_the_recipe_says_how_patient_and_how_wide(tmp_path: Path) -> None:
    wanted = recipe(
        "inspector.kind=openai", "inspector.model=i", "inspector.rounds=2", "inspector.tries=5", "teacher.tries=4",
        "teacher.limits.max_in_flight=10", "inspector.limits.max_in_flight=30", "teacher.larger_on_cut=2",
        "teacher.max_tokens_limit=9000", "teacher.server_tries=6", "teacher.temperature=0.5", "teacher.max_tokens=77",
    )  # fmt: skip
    staff = hire(wanted, tmp_path / "journal.sqlite")
    try:
        assert staff.patience == Patience(rounds=2, tries=4, verdict_tries=5)
        assert staff.window == 2 * (10 + 30)
        assert isinstance(staff.teacher, LLMTeacher) and isinstance(staff.inspector, LLMInspector)
        assert (staff.teacher.settings.temperature, staff.teacher.settings.max_tokens) == (0.5, 77)
        chat = staff.teacher.model
        assert isinstance(chat, EndpointChat)
        assert (chat.tries, chat.larger_on_cut, chat.max_tokens_limit) == (6, 2, 9000)
        assert chat.limiter.limits.max_in_flight == 10
    finally:
        staff.leave()


def test_ctrl_c_ends_what_is_in_flight_and_begins_nothing(tmp_path: Path) -> None:
    """Two of six calls are in flight, the other rows wait for the limiter; both replies are paid for, hence kept."""

    def answer(asked: Asked) -> Answer:
        if len(server.asked) == 2:
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        return replace(teacher_reply(asked), delay_s=0.4 if len(server.asked) <= 2 else 0.0)

    with serving(answer) as server:
        limits = ["teacher.limits.max_in_flight=2", "teacher.limits.start_in_flight=2"]
        wanted = recipe(*limits, server=server)
        with pytest.raises(StoppedByHand, match="same command goes on"):
            thoughts(tmp_path / "run", wanted)
        assert len(server.asked) == 2
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        rows, _ = thoughts(tmp_path / "run", wanted)
    assert (len(rows), len(server.asked)) == (6, 6)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if len(server.asked) == 1:
            for after_s in (0.1, 0.3):
                threading.Timer(after_s, os.kill, [os.getpid(), signal.SIGINT]).start()
        return replace(teacher_reply(asked), delay_s=30)

    with serving(answer) as server, pytest.raises(KeyboardInterrupt):
        began = time.monotonic()
        try:
            thoughts(tmp_path / "run", recipe(server=server))
        finally:
            assert time.monotonic() - began < 10


def test_the_recipe_says_how_the_server_is_asked(tmp_path: Path) -> None:
    wanted = recipe(
        "teacher.token_limit_key=max_completion_tokens", "teacher.leave_out=['temperature', 'top_p']",
        "teacher.extra_body={reasoning_effort = 'low'}", "teacher.max_tokens=900",
    )  # fmt: skip
    with serving(teacher_reply) as server:
        wanted = wanted.model_copy(update={"teacher": wanted.teacher.model_copy(update={"base_url": server.base_url})})
        thoughts(tmp_path / "run", wanted)
    assert all(
        {**asked.body, "messages": []}
        == {"model": "m", "max_completion_tokens": 900, "reasoning_effort": "low", "messages": []}
        for asked in server.asked
    )
    with pytest.raises(Failure, match=r"differs in teacher\.extra_body"):
        Run(
            tmp_path / "run",
            wanted.model_copy(update={"teacher": wanted.teacher.model_copy(update={"extra_body": {}})}),
        )


@pytest.mark.parametrize("who", ["teacher", "inspector"])
def test_extra_fields_may_not_contradict_the_recipe(tmp_path: Path, who: str) -> None:
    chat = [f"{who}.kind=openai", f"{who}.model=m", f"{who}.extra_body={{temperature = 1.0}}"]
    with pytest.raises(BadRecipe, match=rf"{who}\.extra_body may not hold temperature"):
        hire(load_recipe("demo", chat), tmp_path / "journal.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_without_an_inspector_everything_is_accepted(tmp_path: Path) -> None:
    staff = hire(recipe(), tmp_path / "journal.sqlite")
    staff.leave()
    assert isinstance(staff.inspector, NoInspector)


# ---------------------------------------------------------------- a paid run


def test_a_paid_stage_says_what_it_cost(tmp_path: Path) -> None:
    """6 calls of 7 + 5 tokens at 0.1 USD a token: 7.20 USD."""
    with serving(teacher_reply) as server:
        rows, said = thoughts(tmp_path / "run", recipe(PRICE, server=server))
    assert len(rows) == len(server.asked) == 6
    books = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert float(books["spent_usd"]) == pytest.approx(7.2)
    ((total),) = books["totals"]
    assert (total["stage"], total["model"], total["calls"], total["failed_tries"]) == ("thoughts", "m", 6, 0)
    assert (total["prompt_tokens"], total["completion_tokens"]) == (42, 30)
    assert "$7.20" in said and "thoughts: 6 accepted + 0 rejected + 0 quarantined = 6 inputs" in said


def test_a_budget_stops_the_run_and_a_larger_one_goes_on_without_paying_twice(tmp_path: Path) -> None:
    """One call at a time: after the third, 3.60 of 3 USD are spent; 12 rows need 12 calls in all."""
    narrow = "teacher.limits={max_in_flight = 1, start_in_flight = 1}"
    with serving(teacher_reply) as server:
        with pytest.raises(Interrupted, match=r"budget is spent.*--max-usd"):
            thoughts(tmp_path / "run", recipe(PRICE, narrow, "budget.max_usd=3", server=server, rows=12))
        assert len(server.asked) == 3
        assert not (tmp_path / "run" / "thoughts.counts.json").exists()
        rows, said = thoughts(tmp_path / "run", recipe(PRICE, narrow, "budget.max_usd=100", server=server, rows=12))
        assert len(server.asked) == 12
    assert len(rows) == 12
    assert "$14.40 of $100.00" in said


def test_a_budget_without_a_price_cannot_be_held(tmp_path: Path) -> None:
    with serving(teacher_reply) as server, pytest.raises(Failure, match="no price for 'm'"):
        thoughts(tmp_path / "run", recipe("budget.max_usd=3", server=server))
    assert server.asked == []


def test_runs_that_share_a_journal_share_what_was_bought_and_keep_their_own_budgets(tmp_path: Path) -> None:
    journal = f"journal={tmp_path / 'shared.sqlite'}"
    with serving(teacher_reply) as server:
        first, _ = thoughts(tmp_path / "one", recipe(PRICE, journal, "name=one", server=server))
        second, said = thoughts(tmp_path / "two", recipe(PRICE, journal, "name=two", server=server))
    assert first == second
    assert len(server.asked) == 6
    assert "$0.0000" in said
    ((total),) = json.loads((tmp_path / "two" / "ledger.json").read_text())["totals"]
    assert (total["calls"], total["replayed"]) == (0, 6)


def test_two_run_directories_of_one_recipe_that_share_a_journal_have_a_budget_each(tmp_path: Path) -> None:
    """Of 6 rows at 1.20 USD, one at a time, 4 USD buy 4 (4.80); the other run replays those and buys 2 (2.40)."""
    wanted = [PRICE, "journal=shared.sqlite", "budget.max_usd=4"]
    narrow = "teacher.limits={max_in_flight = 1, start_in_flight = 1}"
    with serving(teacher_reply) as server:
        both = recipe(*wanted, narrow, server=server)
        with pytest.raises(Interrupted, match=r"budget is spent: 4\.8"):
            thoughts(tmp_path / "one", both)
        second, said = thoughts(tmp_path / "two", both)
        assert "$2.40 of $4.00" in said
        first, said = thoughts(tmp_path / "one", both)
        assert "$4.80 of $4.00" in said
    assert first == second
    assert len(server.asked) == 6
    assert (tmp_path / "shared.sqlite").exists(), "a relative journal lies beside the run directories"


@pytest.mark.parametrize(
    ("folder", "journal", "named"),
    [
        ("runs/mine", "runs/mine/journal.sqlite", ""),
        ("runs/mine", "runs/shared.sqlite", "mine"),
        ("runs/other", "runs/shared.sqlite", "other"),
        ("elsewhere/mine", "runs/shared.sqlite", "../elsewhere/mine"),
    ],
)
def test_the_one_who_pays_is_the_run_directory_wherever_all_of_it_lies(
    tmp_path: Path, folder: str, journal: str, named: str
) -> None:
    assert payer(tmp_path / folder, tmp_path / journal) == named
    assert payer(tmp_path / "moved" / folder, tmp_path / "moved" / journal) == named


def test_what_came_by_batch_is_not_bought_again_online(tmp_path: Path) -> None:
    """The reference teacher behind the Batch API; the second run is online, over the same journal."""
    journal = f"journal={tmp_path / 'shared.sqlite'}"
    offline, _ = thoughts(tmp_path / "offline", load_recipe("demo").limited(6))
    problems = read_rows(tmp_path / "offline" / "problems.thoughts.jsonl", Problem)
    with fake_server.serving(Classroom(problems)) as server:
        where = [PRICE, journal, f"teacher.base_url={server.base_url}"]
        batched, said = thoughts(tmp_path / "batch", recipe(*where, "teacher.batch=true", "teacher.batch_wait_s=0.05"))
        bought = len(server.books)
        online, _ = thoughts(tmp_path / "online", recipe(*where))
        assert bought == len(server.books) == 6
    assert offline == batched == online
    assert "price unknown" not in said


def test_the_key_is_in_no_file_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDINK_TEST_KEY", "sk-very-secret")
    with serving(teacher_reply) as server:
        thoughts(tmp_path / "run", recipe("teacher.key_name=REDINK_TEST_KEY", server=server))
        assert server.asked[0].headers["Authorization"] == "Bearer sk-very-secret"
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or b"sk-very-secret" not in path.read_bytes()
