"""Every command in the README runs, and its Python too (at a smaller size)."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from report_run import make_run

from redink.cli import main
from redink.failures import MissingModel
from redink.models.smollm2 import smollm2_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SHELL = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
QUICK = ["--set", "hsft.epochs=1", "--set", "cross_dpo.epochs=1"]


def test_the_readme_has_commands_and_one_program():
    assert len(SHELL) >= 8
    assert len(PYTHON) == 1


@pytest.mark.parametrize("command", [line for line in SHELL if line.startswith("make ")])
def test_make_targets_exist(command):
    done = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def smaller(arguments: list[str]) -> list[str]:
    """The same command at test size."""
    if arguments[0] in ("demo", "run"):
        arguments = [*arguments, *QUICK, *([] if "--limit" in arguments else ["--limit", "4"])]
    if arguments[0] == "evaluate":
        arguments = [*arguments, "--limit", "4", "--max-new-tokens", "40"]
    return arguments


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in SHELL if line.startswith("redink ")])
def test_redink_commands_run(command, tmp_path, monkeypatch, capsys):
    arguments = shlex.split(command)[1:]
    needs_smollm2 = "smollm2" in command
    needs_a_run = arguments[0] in ("compare", "tables")
    monkeypatch.chdir(tmp_path)
    if needs_smollm2 and not _has_smollm2():
        arguments = [arguments[0], "--help"]
    elif needs_smollm2 and arguments[0] == "run":
        pytest.skip("the SmolLM2 smoke run takes minutes; docs/log.md has its figures")
    else:
        arguments = smaller(arguments)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    if needs_a_run:
        with pytest.raises(SystemExit):
            main(smaller(["demo"]))
    if arguments[0] == "report":
        make_run(tmp_path / arguments[1])
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code in (0, None), capsys.readouterr().err


def _has_smollm2() -> bool:
    try:
        return smollm2_folder().exists()
    except MissingModel:
        return False


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = PYTHON[0].replace("limited(200)", "limited(4)")
    assert program != PYTHON[0]
    program = program.replace('"seed=3"', '"seed=3", "hsft.epochs=1", "cross_dpo.epochs=1"')
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)  # our own text, not a model's
    assert capsys.readouterr().out.splitlines()[-1].startswith("cross_dpo ")
