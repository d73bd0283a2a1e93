"""How a kind of model is asked: its prompts, where its replies end, how long they may be.

`redink` asks in our own wording, `compact` for students without a chat template, `supercorrect-7b` as the model card of
the published checkpoint does: the hierarchical prompt as system message, the bare question from the user. The card's
exact words are its authors': they are read from the card (the model's folder, the hub, or a file of the user's), and
where there is none our own words stand in.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from redink.failures import BadInput, Failure
from redink.models.chat import Message
from redink.prompts import Prompt, load_prompt
from redink.types import Row

AUTO, REDINK, SUPERCORRECT = "auto", "redink", "supercorrect-7b"
PRESETS = (AUTO, REDINK, SUPERCORRECT)
PUBLISHED = {"supercorrect-7b": SUPERCORRECT}
"""Checkpoints with a preset of their own, by the last part of their name in small letters."""
ASKED_BY = {"sft": "chain", "long_sft": "chain", "orion": "chain", "error_prone": "base"}
"""Models of a run that are not asked by its recipe's `prompts.solve` (`pipelines/workshop.py`, `orion.py`)."""
CHAINS_FIRST = "orion-supercorrect"
"""The method whose other models learnt chains before, and are asked for them too."""
BARE = Prompt(name="(the question alone)", text="{{question}}")
FILES = ("system", "solve", "solve_with_thoughts", "correct_system", "correct")
_PYTHON = re.compile(r"^```(?:python|py)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Preset(Row):
    """Prompts and settings of one kind of model."""

    name: str = Field(description="'redink', 'supercorrect-7b', or where it is from.")
    system: str = Field("", description="The system message of the solution; empty: none.")
    solve: Prompt = Field(description="How a question is put; {{question}}.")
    solve_with_thoughts: Prompt = Field(description="The same with {{thoughts}} of a store.")
    correct_system: str = Field("", description="The system message of a review; empty: none.")
    correct: Prompt = Field(description="How a review is asked for; {{question}} and {{attempt}}.")
    stop: tuple[str, ...] = Field(("</Answer>",), description="Where a reply ends.")
    max_new_tokens: int = Field(1024, ge=1, description="Longest reply.")
    results_only: bool = Field(False, description="Reviews are shown each step's result without its <Key> (the demo).")
    wording: str = Field("redink", description="Whose words these are.")

    def asking(self, question: str, thoughts: Sequence[str] = ()) -> tuple[Message, ...]:
        """The conversation that asks for a solution."""
        if thoughts:
            text = self.solve_with_thoughts.render(question=question, thoughts="\n".join(thoughts))
        else:
            text = self.solve.render(question=question)
        return conversation(self.system, text)

    def reviewing(self, question: str, attempt: str) -> tuple[Message, ...]:
        """The conversation that asks for a review (P_c: without a gold solution)."""
        return conversation(self.correct_system, self.correct.render(question=question, attempt=attempt))


def conversation(system: str, text: str) -> tuple[Message, ...]:
    """A user's message, after a system message if there is one."""
    told = (Message(role="system", content=system),) if system else ()
    return (*told, Message(role="user", content=text))


def preset_for(
    model: str,
    *,
    chat: bool,
    preset: str = AUTO,
    prompt: str | None = None,
    correct: str | None = None,
    prompts: Path | None = None,
    card: str | None = None,
) -> Preset:
    """The preset of a model: as named, else by what the model is; single prompts may be given (`prompt`, `correct`).

    A student in a run directory is asked as its run's recipe asked it. `prompts` is a folder with any of system.md,
    solve.md, solve_with_thoughts.md, correct_system.md and correct.md, or a model card; `card` is the text of the
    model's own card. Raises `Failure` for an unknown preset or prompt.
    """
    if preset not in PRESETS:
        raise Failure(f"there is no preset {preset!r}.", f"There are: {', '.join(PRESETS)}.")
    if preset == AUTO:
        preset = PUBLISHED.get(model.rstrip("/").rpartition("/")[2].lower(), REDINK)
    found = supercorrect_7b(card) if preset == SUPERCORRECT else _redink(model, chat)
    if prompts is not None:
        found = _with_users(found, prompts)
    given = {name: load_prompt(value) for name, value in (("solve", prompt), ("correct", correct)) if value}
    return found.model_copy(update=given)


def redink_preset(chat: bool, solve: str | None = None, correct: str | None = None) -> Preset:
    """Our own wording; compact for a model without a chat template."""
    compact = "" if chat else "compact/"
    return Preset(
        name=REDINK,
        solve=load_prompt(solve or f"{compact}solve_hierarchical"),
        solve_with_thoughts=load_prompt(f"{compact}solve_with_thoughts"),
        correct=load_prompt(correct or f"{compact}correct"),
    )


def _redink(model: str, chat: bool) -> Preset:
    """As its run's recipe asked it, if it stands in a run directory."""
    recipe = _recipe_beside(Path(model).expanduser())
    asked = recipe.get("prompts", {})
    use = ASKED_BY.get(Path(model).name, "chain" if recipe.get("method") == CHAINS_FIRST else "solve")
    found = redink_preset(chat, asked.get(use), asked.get("correct"))
    shown = bool(recipe.get("review", {}).get("results_only", False))
    return found.model_copy(update={"results_only": shown, "name": REDINK if not asked else f"{REDINK}, as its run"})


def _recipe_beside(folder: Path) -> dict[str, Any]:
    """The recipe of the run directory that a student's folder stands in, or nothing."""
    try:
        value = json.loads((folder.parent / "recipe.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and (folder / "config.json").exists() else {}


def supercorrect_7b(card: str | None = None) -> Preset:
    """BitStarWalkin/SuperCorrect-7B: the hierarchical prompt as system message, the question bare, 1024 tokens.

    Its model card has no correction prompt; ours is used, in the paper's layout (section 3.2).
    """
    theirs = system_of_card(card) if card else None
    own = load_prompt("supercorrect_system").text
    return Preset(
        name=SUPERCORRECT,
        system=theirs or own,
        solve=BARE,
        solve_with_thoughts=load_prompt("question_with_thoughts"),
        correct=load_prompt("correct"),
        stop=(),
        wording="the model card" if theirs else "redink",
    )


def _with_users(preset: Preset, path: Path) -> Preset:
    """The preset with what a folder of prompts, or a model card, says otherwise."""
    if path.is_file():
        system = system_of_card(path.read_text("utf-8", errors="replace"))
        if system is None:
            raise BadInput(path, "no system prompt can be found in this model card.", "Give a folder with system.md.")
        return preset.model_copy(update={"system": system, "solve": BARE, "wording": str(path)})
    found = {name: load_prompt(str(path / f"{name}.md")) for name in FILES if (path / f"{name}.md").is_file()}
    if not found:
        raise BadInput(path, "holds no prompts.", f"Any of {', '.join(f'{name}.md' for name in FILES)}.")
    texts = {name: prompt.text for name, prompt in found.items() if name.endswith("system")}
    return preset.model_copy(update=found | texts | {"wording": str(path)})


def system_of_card(card: str) -> str | None:
    """The system message in the first Python example of a model card that has one; None if there is none.

    The example is read, not run: a `{"role": "system", "content": …}` whose content is a string, or a name that was
    given a string.
    """
    for block in _PYTHON.findall(card):
        tree = _parsed(block)
        if tree is None:
            continue
        strings = dict(_strings(tree))
        for content in _system_contents(tree):
            text = content.value if isinstance(content, ast.Constant) else strings.get(getattr(content, "id", ""))
            if isinstance(text, str) and text.strip():
                return text
    return None


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _strings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that are given a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def _system_contents(tree: ast.Module) -> Iterator[ast.expr]:
    """The contents of the system messages that are written out as dictionaries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            said = dict(zip(keys, node.values, strict=True))
            role = said.get("role")
            if isinstance(role, ast.Constant) and role.value == "system" and "content" in said:
                yield said["content"]
