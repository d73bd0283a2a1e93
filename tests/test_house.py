"""The plan of the house: a module imports only from those above it, and nothing imports in a circle."""

from __future__ import annotations

import ast
import graphlib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
ORDER = (
    "types", "failures", "rows", "progress", "markup", "answers", "problems", "prompts", "models", "teaching",
    "stages", "training", "evaluation", "solving", "recipe", "run", "pipelines", "planning", "report", "reproduction",
    "serving", "sharing", "doctor", "cli",
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SRC.rglob("*.py"))}


def imported(tree: ast.AST) -> set[str]:
    """Every module that a file imports, at its top or inside a function, as a dotted name."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            known = full & MODULES.keys()
            names |= known | ({node.module or ""} if known != full else set())
    return names


def imports_of(path: Path) -> set[str]:
    return imported(ast.parse(path.read_text("utf-8"), str(path)))


def room(module: str) -> str:
    return module.split(".")[1]


def misplaced(module: str, imports: set[str]) -> list[str]:
    """Those imports of a module that do not stand above it (or beside it, in its own room)."""
    ours = [name for name in imports if name.split(".")[0] == "redink"]
    unknown = [name for name in ours if name != "redink" and room(name) not in ORDER]
    below = [
        name
        for name in ours
        if name == "redink" or (name not in unknown and ORDER.index(room(name)) > ORDER.index(room(module)))
    ]
    return sorted(unknown + below)


INNER = [name for name in MODULES if name != "redink"]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(name) for name in INNER} == set(ORDER)


@pytest.mark.parametrize("module", INNER)
def test_a_module_imports_only_upwards(module: str) -> None:
    assert misplaced(module, imports_of(MODULES[module])) == []


def test_nothing_imports_in_a_circle() -> None:
    graph = {name: imports_of(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_in_src_imports_tests_tools_or_benchmarks(module: str) -> None:
    assert not {name.split(".")[0] for name in imports_of(MODULES[module])} & {"tests", "tools", "benchmarks", "pytest"}


def test_this_test_can_fail() -> None:
    source = "def f():\n    from redink.cli import app\nfrom redink.problems import gym\nimport redink, json"
    assert imported(ast.parse(source)) == {"redink.cli", "redink.problems.gym", "redink", "json"}
    assert misplaced("redink.rows", {"redink.cli", "redink.types", "json", "redink.attic"}) == [
        "redink.attic", "redink.cli",
    ]  # fmt: skip
    assert misplaced("redink.stages.pairs", {"redink.stages.reviews", "redink.training.loop"}) == [
        "redink.training.loop"
    ]


def test_every_public_name_is_there() -> None:
    package = import_module("redink")
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name).__doc__ or name in {"Outcome"}, name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing
