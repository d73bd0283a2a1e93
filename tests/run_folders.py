"""Run directories as `redink evaluate` and `redink run` leave them, as far as figures are read from them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from redink.pipelines.series import Series
from redink.recipe import EvaluationRecipe, load_recipe
from redink.rows import slug, write_rows, write_text
from redink.run import Run
from redink.types import Attempt, Problem, Review, StageCounts

Written = tuple[Sequence[Attempt], Sequence[Review]]
"""A model's greedy solutions and its reviews of them, one per problem."""


def evaluation_folder(
    folder: Path, models: Mapping[str, Written], problems: Sequence[Problem], benchmark: str,
    repeats: Mapping[str, Sequence[Sequence[Attempt]]] | None = None,
) -> Path:  # fmt: skip
    """As `redink evaluate` leaves it."""
    recipe = EvaluationRecipe(name=folder.name, students=tuple(models), benchmarks=(benchmark,))
    with Run(folder, recipe, Console(file=io.StringIO())):
        pass
    write_rows(folder / f"problems.{slug(benchmark)}.jsonl", problems)
    for model, (solved, reviewed) in models.items():
        place = folder / "attempts" / slug(benchmark) / slug(model)
        series = Series(
            model=model, weights=model, benchmark=benchmark, problems="f", prompt="p", prompt_text="t", temperature=0.7,
            top_p=1, max_new_tokens=8, batch_rows=2, seed=0,
        )  # fmt: skip
        write_text(place / "series.json", series.model_dump_json())
        write_rows(place / "greedy" / "000000.jsonl", solved)
        write_rows(folder / "reviews" / slug(benchmark) / slug(model) / "greedy" / "000000.jsonl", reviewed)
        for number, each in enumerate((repeats or {}).get(model, [])):
            write_rows(place / f"r{number:03d}" / "000000.jsonl", each)
    return folder


def training_folder(folder: Path, models: Mapping[str, Written], problems: Sequence[Problem]) -> Path:
    """As `redink run` leaves it."""
    with Run(folder, load_recipe("demo"), Console(file=io.StringIO())):
        pass
    write_rows(folder / "problems.evaluation.jsonl", problems)
    for model, (solved, reviewed) in models.items():
        write_rows(folder / f"evaluate.{model}.attempts.jsonl", solved)
        write_rows(folder / f"evaluate.{model}.reviews.jsonl", reviewed)
        books = StageCounts(stage=f"evaluate.{model}.reviews", inputs=len(problems), accepted=len(problems))
        write_text(folder / f"evaluate.{model}.reviews.counts.json", books.model_dump_json())
    return folder
