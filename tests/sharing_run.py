"""A run directory of two problems, made by hand: rows whose lessons can be written out, and tiny models of the Llama shape."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from rich.console import Console
from stand_ins import ATTEMPT, PROBLEM, THOUGHT, TRACE

from redink.models.student import Student
from redink.recipe import load_recipe
from redink.rows import write_rows, write_text
from redink.run import Run
from redink.types import Attempt, CorrectionRow, PreferencePair, Problem, StageCounts, ThoughtRow, Verdict

OTHER = Problem(id="p2", question="2 + 2?", answer="4", source="jsonl:/home/me/mine.jsonl")
HELD_OUT = Problem(id="p3", question="3 + 3?", answer="6")
PAIR = PreferencePair(
    problem_id="p1", sample=4, prompt="Look it over.", prefix="<Step1>47 + 38 = 85</Step1>\n",
    chosen="<Step2>mended</Step2>", rejected="<Step2>not mended</Step2>",
)  # fmt: skip
UNGRADABLE = Attempt(problem_id="p2", text="Who knows?", verdict=Verdict(outcome="ungradable"))
RIGHT = Attempt(problem_id="p2", sample=1, text="<Answer>4</Answer>", answer="4", verdict=Verdict(outcome="right"))


def run_folder(folder: Path, *settings: str) -> Path:
    """As `redink run` leaves it; p1 stands for what is taught and erred on, p3 is held out."""
    recipe = load_recipe("demo", ["review.results_only=false", "review.recheck=false", *settings])
    with Run(folder, recipe, Console(file=io.StringIO())):
        pass
    for name, problem in (("thoughts", PROBLEM), ("errors", OTHER), ("evaluation", HELD_OUT)):
        write_rows(folder / f"problems.{name}.jsonl", [problem])
    write_rows(folder / "thoughts.jsonl", [ThoughtRow(problem_id="p1", thought=THOUGHT)])
    write_rows(folder / "attempts.jsonl", [ATTEMPT, UNGRADABLE, RIGHT])
    write_rows(folder / "corrections.jsonl", [CorrectionRow(problem_id="p1", sample=4, trace=TRACE)])
    write_rows(folder / "pairs.jsonl", [PAIR])
    write_rows(folder / "round2.pairs.jsonl", [PAIR.model_copy(update={"sample": 5})])
    write_rows(folder / "evaluate.hsft.attempts.jsonl", [RIGHT.model_copy(update={"problem_id": "p3"})])
    books = StageCounts(stage="attempts", inputs=3, accepted=3)
    write_text(folder / "attempts.counts.json", books.model_dump_json())
    return folder


def trained_folder(folder: Path, *settings: str, noise: float = 0.01, rank: int | None = None) -> Path:
    """… with an hsft model: the bundled student, its linear layers changed by seeded noise of full or of low rank."""
    run_folder(folder, *settings)
    student = Student.load("bundled")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, module in student.model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                out, into = module.weight.shape
                change = torch.randn(out, into) if rank is None else torch.randn(out, rank) @ torch.randn(rank, into)
                module.weight += noise * change
    student.model.save_pretrained(folder / "hsft")
    student.tokenizer.save_pretrained(folder / "hsft")
    return folder
