"""The process that tests/test_storm.py kills: the thought and correction stages of a run, by a chat model over HTTP.

    python tests/storm_run.py FOLDER BASE_URL ROWS

Waits for a line on standard input once everything is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from benchmarks.story_attempts import story_problems, wrong_attempts
from rich.console import Console

from redink.pipelines.staff import hire
from redink.recipe import load_recipe
from redink.run import Run
from redink.stages.corrections import write_correction
from redink.stages.thoughts import write_thought
from redink.stages.unfinished import row_key
from redink.types import Attempt, CorrectionRow, Problem, Row, ThoughtRow, Tried

SEED = 11
IN_FLIGHT = 16
MODEL = "reference"
PRICE = {"prompt": "1.10", "cached_prompt": "0.275", "completion": "4.40"}  # USD per million tokens
JOURNAL = "journal.db"


def overrides(url: str) -> list[str]:
    price = ", ".join(f'{name} = "{usd}"' for name, usd in PRICE.items())
    settings = [
        "kind='openai'",
        f"model='{MODEL}'",
        f"base_url='{url}'",
        f"limits={{max_in_flight = {IN_FLIGHT}, start_in_flight = {IN_FLIGHT}}}",
        f"price={{{price}}}",
        "server_tries=20",
        "timeout_s=5",
    ]
    return [f"{who}.{setting}" for who in ("teacher", "inspector") for setting in settings]


def main(folder: Path, url: str, rows: int) -> None:
    recipe = load_recipe("demo", overrides(url))
    problems = story_problems(rows, SEED)
    attempts, by_id = wrong_attempts(problems, SEED), {problem.id: problem for problem in problems}
    with Run(folder, recipe, Console(file=StringIO())) as run:
        staff = hire(recipe, run.path(JOURNAL))

        async def think(problem: Problem, before: Sequence[Tried]) -> Row:
            return await write_thought(problem, staff.teacher, staff.inspector, staff.patience, before)

        async def correct(written: Attempt, before: Sequence[Tried]) -> Row:
            problem = by_id[written.problem_id]
            return await write_correction(problem, written, staff.teacher, staff.inspector, staff.patience, before)

        try:
            for stage, kind, inputs, work in (
                ("thoughts", ThoughtRow, problems, think),
                ("corrections", CorrectionRow, attempts, correct),
            ):
                run.stream(stage, kind, inputs, work, row_key, window=48, within=staff.at(stage), booked=staff.booked)
        finally:
            staff.leave()


if __name__ == "__main__":
    sys.stdin.readline()
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
