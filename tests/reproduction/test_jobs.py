"""Arms at work: their order, how many at once, failures, Ctrl-C; the processes are small scripts in place of runs."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path

import pytest

from redink.failures import StoppedByHand
from redink.recipe import load_recipe
from redink.reproduction import __main__ as child
from redink.reproduction import jobs
from redink.reproduction.arms import Job, Share
from redink.reproduction.jobs import Crew, Order, Spell, is_done, keep_spell, last_line, spells_of

SCRIPT = """
import json, os, pathlib, sys, time
order = json.loads(sys.stdin.readline())
name = f"{order['job']['arm']}-s{order['job']['seed']}"
runs = pathlib.Path(order["runs"])
def say(what):
    with (runs / "events").open("a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
say("begin")
print("threads", os.environ.get("OMP_NUM_THREADS"))
time.sleep(30 if name.startswith("slow") else 0.15)
if name.startswith("bad"):
    sys.exit("what went wrong. And the remedy.")
say("end")
"""


@pytest.fixture(autouse=True)
def _small_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-S", "-c", SCRIPT))
    monkeypatch.setattr(jobs, "POLL_S", 0.02)


def job(arm: str, *waits: str, seed: int = 0) -> Job:
    shares = tuple(Share.model_validate({"from": other, "stages": ["problems"]}) for other in waits)
    return Job(arm=arm, seed=seed, kind="run", recipe=load_recipe("demo", [f"seed={seed}"]), shares=shares)


def events(runs: Path) -> list[tuple[str, str]]:
    lines = (runs / "events").read_text().splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def test_jobs_wait_for_what_they_share_and_no_more_run_at_once_than_may(tmp_path: Path) -> None:
    crew = Crew(tmp_path, at_once=2, threads=1)
    spells = crew.run([job("b", "a"), job("a"), job("c", "elsewhere"), job("b", "a", seed=1)])
    seen = events(tmp_path)
    assert seen.index(("end", "a-s0")) < seen.index(("begin", "b-s0"))
    under_way = 0
    for what, _ in seen:
        under_way += 1 if what == "begin" else -1
        assert under_way <= 2
    assert {spell.outcome for spell in spells} == {"done"} and len(spells) == 4
    assert (tmp_path / "a-s0" / "arm.log").read_text() == "threads 1\n"


def test_a_failure_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    shown: list[str] = []
    crew = Crew(tmp_path, say=said.append)
    spells = crew.run([job("bad"), job("after", "bad")], lambda units=1, note="": shown.append(note))
    assert [(spell.job, spell.outcome) for spell in spells] == [("bad-s0", "failed"), ("after-s0", "done")]
    assert spells[0].said == "what went wrong. And the remedy."
    assert "bad-s0 failed" in said[0] and "what went wrong" in said[0] and "bad-s0/arm.log" in said[0]
    assert shown == ["bad-s0 failed", "after-s0 done"]


def test_ctrl_c_ends_the_processes_and_keeps_their_hours(tmp_path: Path) -> None:
    def press(units: int = 1, note: str = "") -> None:
        while len(events(tmp_path)) < 3:
            time.sleep(0.02)
        raise KeyboardInterrupt

    crew = Crew(tmp_path, at_once=2)
    with pytest.raises(StoppedByHand):
        crew.run([job("quick"), job("slow"), job("never")], press)
    process = int(next(line.split()[2] for line in (tmp_path / "events").read_text().splitlines() if "slow" in line))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    kept = {spell.job: spell.outcome for spell in spells_of(tmp_path, [job("slow"), job("quick"), job("never")])}
    assert kept == {"quick-s0": "done", "slow-s0": "stopped"}


def test_hours_are_added_up_over_starts_and_a_torn_line_costs_itself(tmp_path: Path) -> None:
    for seconds in (10.0, 20.0):
        keep_spell(tmp_path, Spell(job="a-s0", seconds=seconds, outcome="done"))
    with (tmp_path / "hours.jsonl").open("a") as file:
        file.write('{"job": "a-s')
    assert [spell.seconds for spell in spells_of(tmp_path, [job("a")])] == [10.0, 20.0]
    assert spells_of(tmp_path, [job("b")]) == []


def test_a_job_is_done_where_its_figures_are_and_its_recipe_is_the_same(tmp_path: Path) -> None:
    one = job("a")
    folder = tmp_path / one.name
    assert not is_done(one, tmp_path)
    folder.mkdir()
    (folder / "results.json").write_text("{}")
    assert not is_done(one, tmp_path), "no recipe"
    (folder / "recipe.json").write_text(one.recipe.model_dump_json())
    assert is_done(one, tmp_path)
    raised = one.model_copy(update={"recipe": load_recipe("demo", ["evaluation.repeats=64"])})
    assert not is_done(raised, tmp_path), "more repeats are to be drawn"
    cheaper = one.model_copy(update={"recipe": load_recipe("demo", ["budget.max_usd=3", "plan.hardware=cpu"])})
    assert is_done(cheaper, tmp_path)


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntwo\n\n")
    assert (last_line(tmp_path / "log"), last_line(tmp_path / "none")) == ("two", "")


def test_an_order_goes_through_standard_input_and_back(tmp_path: Path) -> None:
    order = Order(job=job("a", "b"), runs=tmp_path)
    assert Order.model_validate(json.loads(order.model_dump_json(by_alias=True))) == order


def test_an_arm_whose_parent_is_gone_stops_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    child._stop_with_parent()
    assert sent == [(os.getpid(), 2)]
