"""Every source of problems, by name."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from redink.failures import Failure
from redink.problems import gym, jsonl, published, stories, worked
from redink.types import Problem, Quarantined, Row

DEFAULT_DRAW = 100
_REAL = "the folder named by --data-dir, or the Hugging Face hub"
_OFFLINE = "nothing: works offline"


class SourceInfo(Row):
    """One source of problems, as `redink problems` lists it."""

    name: str = Field(description="What to write in a recipe.")
    description: str = Field(description="What its problems are.")
    needs: str = Field(description="What must be there before it can be used.")


def list_sources() -> list[SourceInfo]:
    """Every source of problems, published sets first."""
    known = [(name, f"{row.description}: {row.sizes}", _REAL) for name, row in published.PUBLISHED.items()]
    files = ("jsonl:<path>", "your own: question, answer; optionally id, solution, subject, level", "the file")
    tasks = [(f"reasoning_gym:{name}", task.description, _OFFLINE) for name, task in gym.TASKS.items()]
    tales = [(f"stories:{subject}", f"short story problems ({subject})", _OFFLINE) for subject in stories.SUBJECTS]
    others = ("reasoning_gym:<task>", "any other of its tasks, with a gold answer but no worked solution", _OFFLINE)
    mixed = ("stories", "short story problems of all subjects, evenly mixed", _OFFLINE)
    rows = [*known, files, *tasks, others, mixed, *tales]
    return [SourceInfo(name=name, description=description, needs=needs) for name, description, needs in rows]


def load_problems(
    source: str,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    split: str | None = None,
    set_aside: list[Quarantined] | None = None,
    checks: list[published.SetCheck] | None = None,
) -> list[Problem]:
    """Load or draw the problems of a source.

    Args:
        source: a published set (`gsm8k`, `math`, …: see `list_sources`), `jsonl:<path>` (or a path that ends in
            .jsonl), `reasoning_gym:<task>` (settings may follow, as in
            `reasoning_gym:chain_sum?max_terms=4&within=0..199`), `stories` or `stories:<subject>`; after the last
            three `?operations=3` joins up to three sums and differences in one line of a worked solution.
        data_dir: folder of the published sets (`gsm8k_train.jsonl`, …); None: the Hugging Face hub. A relative
            JSONL path that does not exist is looked for here too.
        limit: the first so many rows of a file (None: all); the number to draw from a generator (None: 100).
        seed: what generators draw by; files are read in their order.
        split: 'train' or 'test' of a published set (None: train where it has one); nothing to the other sources.
        set_aside: rows of a published set that cannot serve are added here, each with its reason and its raw text:
            an empty gold answer (`empty_gold`), a question of train that is in test too (`stands_in_test`), …
        checks: the check of the whole set, before `limit`, is added here: rows and fingerprint against what is known.

    Raises `Failure` for an unknown source (naming the nearest), a failed download or an unusable option, and
    `BadInput` for an unusable file.
    """
    if limit is not None and limit < 1:
        raise Failure(f"The limit of {source} is {limit}.", "It must be at least 1.")
    whole = _whole(source, data_dir, limit or DEFAULT_DRAW, seed, split, set_aside)
    if checks is not None:
        checks.append(published.check_set(source, whole))
    return whole[:limit]


def _whole(
    source: str, data_dir: Path | None, draw: int, seed: int, split: str | None, set_aside: list[Quarantined] | None
) -> list[Problem]:
    """All of a published set or a file; `draw` of a generator."""
    name = re.split("[:?]", source, maxsplit=1)[0]
    rest = source.removeprefix(name).removeprefix(":")
    if source in published.PUBLISHED:
        return published.load(source, split, data_dir, set_aside)
    if source.endswith(".jsonl") or name == "jsonl":
        return jsonl.read_problems(_path(source.removeprefix("jsonl:"), data_dir))
    if name == "reasoning_gym":
        return _from_gym(rest, draw, seed)
    if name == "stories":
        return _from_stories(rest, draw, seed)
    raise _unknown(source, [info.name for info in list_sources()])


def _path(text: str, data_dir: Path | None) -> Path:
    if not text:
        raise Failure("jsonl: names no file.", "Write jsonl:<path>.")
    path = Path(text).expanduser()
    return data_dir / path if data_dir is not None and not path.exists() else path


def _from_gym(text: str, limit: int, seed: int) -> list[Problem]:
    task, _, options = text.partition("?")
    if task not in gym.TASKS and task not in (known := gym.task_names()):
        raise _unknown(f"reasoning_gym:{task}", [f"reasoning_gym:{name}" for name in known])
    chosen = gym.read_options(options)
    return _in_longer_lines(gym.draw(task, chosen, limit, seed), chosen.operations)


def _from_stories(text: str, limit: int, seed: int) -> list[Problem]:
    subject, _, options = text.partition("?")
    if subject and subject not in stories.SUBJECTS:
        raise _unknown(f"stories:{subject}", [f"stories:{name}" for name in stories.SUBJECTS])
    chosen = gym.read_options(options)
    if chosen.settings or chosen.within:
        raise Failure(f"stories:{text} has options that stories do not take.", "They take operations alone.")
    drawn = stories.generate(subject, limit, seed) if subject else _mixed_stories(limit, seed)
    return _in_longer_lines(drawn, chosen.operations)


def _in_longer_lines(problems: list[Problem], operations: int) -> list[Problem]:
    if operations == 1:
        return problems
    return [
        problem.model_copy(update={"solution": worked.in_longer_lines(problem.solution, operations)})
        if problem.solution
        else problem
        for problem in problems
    ]


def _mixed_stories(limit: int, seed: int) -> list[Problem]:
    """All subjects in turn; where the limit does not divide evenly, the first ones give one more."""
    each, more = divmod(limit, len(stories.SUBJECTS))
    counts = {subject: each + (index < more) for index, subject in enumerate(stories.SUBJECTS)}
    drawn = [stories.generate(subject, count, seed) for subject, count in counts.items() if count]
    turns = itertools.zip_longest(*drawn)
    return [problem for turn in turns for problem in turn if problem is not None]


def _unknown(source: str, names: Sequence[str]) -> Failure:
    """The failure for a name that is none of these, with the nearest by its last part."""
    last = {name.rpartition(":")[2]: name for name in names}
    near = difflib.get_close_matches(source.rpartition(":")[2], list(last), 1)
    remedy = f"Did you mean {last[near[0]]!r}?" if near else f"There are {', '.join(names)}."
    return Failure(f"There is no problem source {source!r}.", remedy)
