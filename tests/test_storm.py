"""The engine, journal, ledger and stages together, killed again and again under a storm; and markup that is broken.

What is compared is the server's own books with the client's: the fake server knows of every reply it has sent, by an id
that stands in the reply and hence in the client's journal.

What is set apart, exactly: the replies that the server wrote whole to an open connection, hence billed, whose id is in no
entry of the journal in the end. At each kill these are at most the calls in flight and those of one commit window.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
import storm_run
from benchmarks.story_attempts import story_problems, wrong_attempts

from redink.models.engine import Engine
from redink.models.fake_script import Faults, Latency, Script, Tariff
from redink.models.fake_server import FakeServer, serving
from redink.models.journal import Journal
from redink.models.ledger import Ledger, Price
from redink.models.limiter import Limits
from redink.models.wire import Endpoint
from redink.stages.corrections import write_correction
from redink.stages.flow import flow
from redink.stages.thoughts import write_thought
from redink.teaching.inspection import NoInspector
from redink.teaching.llm import LLMTeacher
from redink.teaching.reference import ReferenceTeacher
from redink.teaching.served import Classroom
from redink.types import CorrectionRow, Quarantined, Row, ThoughtRow

pytestmark = pytest.mark.slow

KILLS = 20
ROWS = 150
COMMIT_WINDOW_S = 0.05
MALFORMED = 0.1
STORM = Faults(too_many=0.03, server_error=0.08, hang_up=0.05, cut=0.03, garbage=0.05, malformed=MALFORMED)
TARIFF = Tariff.model_validate(storm_run.PRICE)
ID = re.compile(rb'"id":\s*"(chatcmpl-fake-\d+)"')


@dataclass(frozen=True)
class Killed:
    """One kill: the replies billed before this life and at its end, and those of its last commit window."""

    first: int
    last: int
    in_the_window: int


def classroom() -> Classroom:
    problems = story_problems(ROWS, storm_run.SEED)
    return Classroom(problems, ReferenceTeacher(error_rate=0.1, seed=3))


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    here = Path(storm_run.__file__)
    paths = os.pathsep.join([str(here.parents[1] / "src"), str(here.parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(here), str(folder), url, str(ROWS)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    print("go", file=process.stdin, flush=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def kill_at(process: subprocess.Popen[str], server: FakeServer, replies: int) -> Killed:
    """Kill the process once the server has sent so many replies in all; fails if they do not come within 30 s."""
    first, sent, deadline = len(server.books), list[float](), time.monotonic() + 30
    while len(server.books) < replies:
        sent += [time.monotonic()] * (len(server.books) - first - len(sent))
        assert process.poll() is None, f"it ended before reply {replies}: {process.communicate()[1]}"
        assert time.monotonic() < deadline, f"reply {replies} never came: {server.books.totals()}"
        time.sleep(0.001)
    now = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    quiet = time.monotonic() + 5
    while server.books.in_flight and time.monotonic() < quiet:
        time.sleep(0.001)
    last = len(server.books)
    recent = sum(when > now - COMMIT_WINDOW_S for when in sent)
    return Killed(first, last, recent + last - first - len(sent))


def exported(folder: Path) -> dict[str, bytes]:
    """What the stages leave: rows, rows left out, quarantine, counts."""
    names = [
        f"{stage}.{kind}"
        for stage in ("thoughts", "corrections")
        for kind in ("jsonl", "rejected.jsonl", "quarantine.jsonl", "counts.json")
    ]
    return {name: (folder / name).read_bytes() for name in names}


def committed(folder: Path) -> set[str]:
    """The ids of the replies in the journal, read by plain SQL."""
    with closing(sqlite3.connect(folder / storm_run.JOURNAL)) as database:
        return {ID.search(body)[1].decode() for (body,) in database.execute("SELECT body FROM entries")}


def test_killed_twenty_times_in_a_storm_nothing_is_lost_and_nothing_is_paid_twice(tmp_path):
    calm, storm = tmp_path / "calm", tmp_path / "storm"
    with serving(classroom(), Script(faults=Faults(malformed=MALFORMED), seed=5)) as server:
        undisturbed = start(calm, server.base_url)
        go(undisturbed)
        finish(undisturbed)
        total = len(server.books)
    expected = exported(calm)
    counts = [json.loads(text) for name, text in expected.items() if name.endswith("counts.json")]
    assert [row["inputs"] for row in counts] == [ROWS, ROWS]
    assert all(row["accepted"] > 0.95 * ROWS for row in counts)

    script = Script(
        seed=5, faults=STORM, latency=Latency(kind="lognormal", median_s=0.03), tariff=TARIFF, cached_share=0.25
    )
    points = sorted(random.Random(17).sample(range(1, total - 20), KILLS))
    kills = []
    with serving(classroom(), script) as server:
        alive = start(storm, server.base_url)
        for point in points:
            ahead = start(storm, server.base_url)  # imports while the other works
            go(alive)
            kills.append(kill_at(alive, server, point))
            alive = ahead
        go(alive)
        finish(alive)
        bill, totals = list(server.books.billed()), server.books.totals()
    faults = {name: totals["faults"].get(name, 0) for name in ("too_many", "server_error", "hang_up", "cut", "garbage")}
    assert min(faults.values()) > 0

    assert exported(storm) == expected

    kept = committed(storm)
    lost = {row.id for row in bill} - kept
    # A reply is bought once and kept, but for those whose client was killed before it committed them: a row is written
    # after its replies are committed, so each of these is bought again, and none of them stands for a row.
    per_kill = [sum(row.id in lost for row in bill[life.first : life.last]) for life in kills]
    for gone, life in zip(per_kill, kills, strict=True):
        assert gone <= storm_run.IN_FLIGHT + life.in_the_window
    assert sum(per_kill) == len(lost), "a reply was lost in the last life, which nobody killed"
    bought = Counter(row.digest for row in bill)
    again = sum(bought.values()) - len(bought)
    assert again == len(lost)
    assert set(Counter(row.digest for row in bill if row.id in kept).values()) == {1}

    # The bill without the replies that no live client committed is what the ledger says, to the cent and beyond.
    price = {storm_run.MODEL: Price.model_validate(storm_run.PRICE)}
    with Journal(storm / storm_run.JOURNAL) as journal:
        ledger = Ledger(journal, price)
        spent, calls = ledger.spent, sum(row.calls for row in ledger.totals())
    apart = sum((row.usd for row in bill if row.id in lost), Decimal(0))
    assert abs(Decimal(totals["usd"]) - apart - spent) <= Decimal("1e-6")
    assert spent > 0
    assert calls == len(kept) == len(bill) - len(lost)
    print(
        f"{total} replies undisturbed; {KILLS} kills at {points}; {len(bill)} billed, {again} of them again, {len(lost)} "
        f"not committed by a live client, at most {max(per_kill)} at one kill; {faults}; "
        f"{totals['usd']} USD billed, {apart} USD set apart, ledger {spent} USD"
    )


def test_one_reply_in_ten_is_malformed_and_within_three_tries_rows_recover():
    """Each try is an independent draw, so a row fails three times with probability 0.1³: 2 of 2,000 expected."""
    problems = story_problems(1000, 29)
    attempts = wrong_attempts(problems, 29)

    async def all_rows(url: str) -> list[Row]:
        outcomes: list[Row] = []
        async with Engine() as engine:
            model = engine.chat(Endpoint("reference", url), Limits(max_in_flight=64), timeout_s=20)
            teacher, inspector = LLMTeacher(model), NoInspector()
            await flow(
                problems,
                lambda problem: write_thought(problem, teacher, inspector),
                lambda _, row: outcomes.append(row),
                64,
            )
            await flow(
                list(zip(problems, attempts, strict=True)),
                lambda pair: write_correction(*pair, teacher, inspector),
                lambda _, row: outcomes.append(row),
                64,
            )
        return outcomes

    with serving(Classroom(problems), Script(seed=1, faults=Faults(malformed=MALFORMED))) as server:
        outcomes = asyncio.run(asyncio.wait_for(all_rows(server.base_url), 240))
        broken = server.books.faults["malformed"]
    made = [row for row in outcomes if isinstance(row, ThoughtRow | CorrectionRow)]
    held = [row for row in outcomes if isinstance(row, Quarantined)]
    assert 0.08 * 2000 < broken < 0.14 * 2000
    assert len(made) + len(held) == 2000, "a row is accepted or in quarantine, nowhere else"
    assert len(made) >= 0.998 * 2000
    for row in held:
        assert len(row.tries) == 2
        assert all(tried.raw and tried.reason for tried in (*row.tries, row))
