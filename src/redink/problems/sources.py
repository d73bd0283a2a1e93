"""Every source of problems, by name."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from redink.failures import Failure
from redink.problems import gym, jsonl, published, stories
from redink.types import Problem, Quarantined, Row

DEFAULT_DRAW = 100
_PUBLISHED = ("gsm8k", "math")
_REAL = "the folder named by --data-dir, or the Hugging Face hub"
_OFFLINE = "nothing: works offline"


class SourceInfo(Row):
    """One source of problems, as `redink problems` lists it."""

    name: str = Field(description="What to write in a recipe.")
    description: str = Field(description="What its problems are.")
    needs: str = Field(description="What must be there before it can be used.")


def list_sources() -> list[SourceInfo]:
    """Every source of problems, published sets first."""
    fixed = [
        ("gsm8k", "grade-school word problems: 7473 train, 1319 test", _REAL),
        ("math", "competition problems of 7 subjects: 7500 train, 5000 test; unusable rows left out", _REAL),
        ("jsonl:<path>", "your own: question, answer; optionally id, solution, subject, level", "the file"),
    ]
    tasks = [(f"reasoning_gym:{name}", task.description, _OFFLINE) for name, task in gym.TASKS.items()]
    tales = [(f"stories:{subject}", f"short story problems ({subject})", _OFFLINE) for subject in stories.SUBJECTS]
    others = ("reasoning_gym:<task>", "any other of its tasks, with a gold answer but no worked solution", _OFFLINE)
    mixed = ("stories", "short story problems of all subjects, evenly mixed", _OFFLINE)
    rows = [*fixed, *tasks, others, mixed, *tales]
    return [SourceInfo(name=name, description=description, needs=needs) for name, description, needs in rows]


def load_problems(
    source: str,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    split: str = "train",
    set_aside: list[Quarantined] | None = None,
) -> list[Problem]:
    """Load or draw the problems of a source.

    Args:
        source: `gsm8k`, `math`, `jsonl:<path>` (or a path that ends in .jsonl), `reasoning_gym:<task>` (settings
            may follow, as in `reasoning_gym:chain_sum?max_terms=4&within=0..199`), `stories` or `stories:<subject>`.
        data_dir: folder of the published sets (`gsm8k_train.jsonl`, …); None: the Hugging Face hub. A relative
            JSONL path that does not exist is looked for here too.
        limit: the first so many rows of a file (None: all); the number to draw from a generator (None: 100).
        seed: what generators draw by; files are read in their order.
        split: 'train' or 'test' of a published set; nothing to the other sources.
        set_aside: rows of a published set that cannot serve are added here, each with its reason and its raw text:
            an empty gold answer (`empty_gold`), a question of MATH's train split that is in test (`stands_in_test`).

    Raises `Failure` for an unknown source (naming the nearest), a failed download or an unusable option, and
    `BadInput` for an unusable file.
    """
    if limit is not None and limit < 1:
        raise Failure(f"The limit of {source} is {limit}.", "It must be at least 1.")
    name, _, rest = source.partition(":")
    if name in _PUBLISHED and not rest:
        found = published.math(split, data_dir, set_aside) if name == "math" else published.gsm8k(split, data_dir)
        return found[:limit]
    if source.endswith(".jsonl") or name == "jsonl":
        return jsonl.read_problems(_path(source.removeprefix("jsonl:"), data_dir))[:limit]
    if name == "reasoning_gym":
        return _from_gym(rest, limit or DEFAULT_DRAW, seed)
    if name == "stories":
        return _from_stories(rest, limit or DEFAULT_DRAW, seed)
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
    return gym.draw(task, gym.read_options(options), limit, seed)


def _from_stories(subject: str, limit: int, seed: int) -> list[Problem]:
    if not subject:
        return _mixed_stories(limit, seed)
    if subject not in stories.SUBJECTS:
        raise _unknown(f"stories:{subject}", [f"stories:{name}" for name in stories.SUBJECTS])
    return stories.generate(subject, limit, seed)


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
