"""The command line as a user meets it: output, exit codes, one-line failures."""

import json
import re
from pathlib import Path

import pytest

from redink.cli import main

SMALL = ["--set", "hsft.epochs=1", "--set", "cross_dpo.epochs=1", "--limit", "6"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    caught = capsys.readouterr()
    code = stopped.value.code
    return code if isinstance(code, int) else 0, caught.out, caught.err


COMMANDS = [
    "demo", "run", "thoughts", "hsft", "attempts", "corrections", "pairs", "cross-dpo", "evaluate", "solve",
    "problems", "grade", "doctor", "fetch",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"Example: redink {command}" in " ".join(out.split())


def test_help_without_arguments_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


BAD = [
    (["run", "nosuch.toml"], "nosuch.toml", "demo"),
    (["run", "dmo"], "dmo", "Did you mean 'demo'?"),
    (["demo", "--set", "hsft.epoch=2"], "unknown key 'hsft.epoch'", "Did you mean 'epochs'?"),
    (["demo", "--set", "hsft.epochs=lots"], "hsft.epochs", "'lots'"),
    (["demo", "--set", "nonsense"], "nonsense", "key.sub=value"),
    (["demo", "--student", "./no-such-folder", "--limit", "2"], "no-such-folder", "config.json"),
    (["problems", "stories:ledgr"], "stories:ledgr", "stories:ledger"),
    (["fetch", "gpt"], "gpt", "smollm2"),
    (["evaluate", "--student", "./none"], "./none", "config.json"),
    (["demo", "--set", "teacher.kind=openai", "--limit", "2"], "teacher.model", "--set teacher.model"),
]


@pytest.mark.parametrize(("arguments", "what", "remedy"), BAD)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, what, remedy):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("redink:")]
    assert code == 2
    assert len(lines) == 1
    assert what in lines[0]
    assert remedy in lines[0]
    assert "Traceback" not in err


def test_malformed_jsonl_names_file_and_line(capsys, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": "2"}\n{"question": "2 + 2?"}\n')
    code, _, err = run(capsys, "problems", str(path))
    assert code == 2
    assert f"{path}:2" in err
    assert "answer" in err


def test_problems_as_jsonl_can_be_read_back(capsys, tmp_path):
    code, out, _ = run(capsys, "problems", "stories:compare", "--limit", "3", "--jsonl")
    path = tmp_path / "kept.jsonl"
    path.write_text(out)
    again, shown, _ = run(capsys, "problems", str(path))
    assert (code, again) == (0, 0)
    assert all(json.loads(line)["question"] in " ".join(shown.split()) for line in out.splitlines())


def test_problems_lists_the_sources(capsys):
    code, out, _ = run(capsys, "problems")
    assert code == 0
    assert "gsm8k" in out
    assert "stories:ledger" in out


def test_doctor_finds_what_this_test_runs_on(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert "torch" in out


@pytest.mark.slow
def test_solve_shows_the_thought_and_the_review(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        capsys, "solve", "Tom has 14 apples. Then buys 27 more. How many apples does Tom have now?",
        "--max-new-tokens", "120",
    )  # fmt: skip
    assert code == 0
    assert "self-correction" in out
    assert re.search(r"answer: \S+ → \S+", out)


@pytest.mark.slow
def test_evaluate_writes_the_panel(capsys, tmp_path):
    output = tmp_path / "figures.json"
    code, out, _ = run(
        capsys, "evaluate", "--limit", "4", "--max-new-tokens", "60", "--output", str(output), "--prompt",
        "compact/solve",
    )  # fmt: skip
    assert code == 0
    assert "4 held-out problems" in " ".join(out.split())
    panel = json.loads(output.read_text())["panels"][0]
    assert panel["accuracy_t1"]["n"] == 4


@pytest.mark.slow
def test_stage_verbs_go_on_where_the_last_one_stopped(capsys, tmp_path):
    for verb in ("thoughts", "hsft", "run"):
        code, out, err = run(capsys, verb, "demo", "--run-dir", str(tmp_path), "--name", "steps", *SMALL)
        assert code == 0, err
    assert "steps: 6 held-out problems" in " ".join(out.split())
    folder = tmp_path / "steps"
    results = json.loads((folder / "results.json").read_text())
    assert [panel["model"] for panel in results["panels"]] == ["base", "hsft", "cross_dpo"]
    counts = {row["stage"]: row for row in results["counts"]}
    assert all(row["accepted"] + row["rejected"] + row["quarantined"] == row["inputs"] for row in counts.values())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["fingerprints"]) == {"thoughts", "errors", "evaluation"}
    code, _, err = run(capsys, "run", "demo", "--run-dir", str(tmp_path), "--name", "steps", "--limit", "5")
    assert code == 2
    assert "made by another recipe" in err
    assert "problems.thoughts" in err
    assert Path(folder / "cross_dpo" / "model.safetensors").exists()
