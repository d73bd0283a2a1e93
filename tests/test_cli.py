"""The command line as a user meets it: output, exit codes, one-line failures."""

import io
import json
import re
from pathlib import Path

import pytest
from loopback import serving
from marking import teacher_reply
from report_run import make_run
from rich.console import Console

from redink.cli import main
from redink.recipe import load_recipe
from redink.run import Run
from redink.types import Quarantined, ThoughtRow, Tried

SMALL = ["--set", "hsft.epochs=1", "--set", "cross_dpo.epochs=1", "--limit", "6"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    caught = capsys.readouterr()
    code = stopped.value.code
    return code if isinstance(code, int) else 0, caught.out, caught.err


COMMANDS = [
    "demo", "run", "thoughts", "hsft", "attempts", "corrections", "pairs", "cross-dpo", "evaluate", "compare",
    "tables", "evaluate-steps", "evaluate-corrections", "evaluate-teacher", "evaluate-chains", "lm-eval-task",
    "lm-eval-agreement", "solve", "thoughts-store", "problems", "grade", "doctor", "fetch", "quarantine", "report", "view",
    "reproduce",
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
    (
        ["demo", "--set", "teacher.limits.max_inflight=2"],
        "teacher.limits.max_inflight",
        "Did you mean 'max_in_flight'?",
    ),
    (["demo", "--set", "teacher.price={prompt = 1}"], "teacher.price.completion", "Field required"),
    (["demo", "--set", "teacher.larger_on_cut=1"], "teacher.larger_on_cut", "greater than 1"),
    (["evaluate", "--benchmark", "gsm9k"], "gsm9k", "gsm8k"),
    (["evaluate", "--checker", "maths"], "maths", "Did you mean 'math'?"),
    (["evaluate", "--temperature", "0"], "temperature", "greater than 0"),
    (["evaluate", "--teacher", "dmo"], "dmo", "Did you mean 'demo'?"),
    (["run", "orion-demo", "--until", "pairs", "--limit", "2"], "has no stage 'pairs'", "long-chains"),
    (["pairs", "orion-demo", "--limit", "2"], "has no stage 'pairs'", "refinement"),
    (["run", "demo", "--set", "method=orio"], "method", "'orio'"),
    (["compare", "nowhere"], "nowhere", "runs/demo"),
    (["tables", "nowhere"], "results.json", "run directory"),
    (["evaluate-steps", "--set", "processbench/gsm9k"], "processbench/gsm9k", "processbench/gsm8k"),
    (["evaluate-corrections", "nowhere", "--judge", "m"], "nowhere", "runs/demo"),
    (["evaluate-chains", "nowhere.jsonl"], "nowhere.jsonl", "Check the path."),
    (["solve"], "a question or a --file", "redink solve"),
    (["solve", "2 + 3?", "--file", "a.jsonl"], "not both", "redink solve"),
    (["solve", "--file", "a.jsonl"], "--out", "belong together"),
    (["solve", "--file", "a.jsonl", "--out", "b.jsonl", "--json"], "--json", "leave it out"),
    (["solve", "2 + 3?", "--backend", "openai", "--student", "m"], "address of a server", "--base-url"),
    (["solve", "2 + 3?", "--base-url", "http://127.0.0.1:9/v1"], "which model", "--student"),
    (["solve", "2 + 3?", "--student", "./none"], "./none", "config.json"),
    (["solve", "2 + 3?", "--student", "./none", "--store", "nowhere"], "./none", "config.json"),
    (["thoughts-store", "build", "nowhere"], "nowhere", "runs/demo"),
    (["thoughts-store", "search", "nowhere", "2 + 3?"], "nowhere", "thoughts-store build"),
    (["report", "nowhere"], "nowhere", "runs/demo"),
    (["view", "nowhere"], "nowhere", "runs/demo"),
    (["report", "a", "b"], "two runs", "--compare"),
    (["quarantine", "list", "nowhere"], "nowhere", "runs/demo"),
    (["quarantine", "requeue", "nowhere", "--reason", "cut"], "nowhere", "runs/demo"),
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


RUNS = ["demo", "run", "thoughts", "hsft", "attempts", "corrections", "pairs", "cross-dpo"]
OPTIONS = {"--engine", "--ray-address", "--workers", 
    "--set", "--data-dir", "--run-dir", "--name", "--student", "--limit", "--seed", "--max-usd", "--fresh", "--help",
}  # fmt: skip


@pytest.mark.parametrize("command", RUNS)
def test_every_command_that_runs_a_recipe_takes_the_same_options(capsys, command):
    _, out, _ = run(capsys, command, "--help")
    own = {"--until"} if command == "run" else set()
    assert set(re.findall(r"(?<=│ )--[a-z-]+", out)) == OPTIONS | own


@pytest.mark.parametrize("command", ["evaluate", "evaluate-steps", "grade", "stream"])
def test_so_does_every_other_command_that_an_engine_serves(capsys, command):
    _, out, _ = run(capsys, command, "--help")
    assert {"--engine", "--ray-address", "--workers"} <= set(re.findall(r"│ +(--[a-z-]+)", out))


def held_back(folder: Path) -> None:
    """A run of the demo whose thoughts hold two rows back."""
    with Run(folder, load_recipe("demo"), Console(file=io.StringIO())) as kept:
        tried = (Tried(reason="no_steps", detail="at character 0", raw="[bold]I will not.[/]"),)
        rows = [Quarantined(problem_id=f"p{n}", stage="thoughts", reason=reason, raw="raw text", tries=tried)
                for n, reason in enumerate(["cut", "refused"])]  # fmt: skip
        kept.settle("thoughts", ThoughtRow, rows)


def test_quarantined_rows_are_listed_shown_and_requeued(capsys, tmp_path):
    held_back(tmp_path)
    code, out, _ = run(capsys, "quarantine", "list", str(tmp_path))
    assert code == 0
    assert [re.findall(r"\w+", line) for line in out.splitlines() if "thoughts" in line] == [
        ["thoughts", "cut", "1"], ["thoughts", "refused", "1"],
    ]  # fmt: skip
    code, out, _ = run(capsys, "quarantine", "show", str(tmp_path), "--reason", "cut")
    assert code == 0
    assert "p0" in out and "p1" not in out
    assert out.index("try 1: no_steps at character 0") < out.index("[bold]I will not.[/]") < out.index("try 2: cut")
    assert "raw text" in out
    code, out, _ = run(capsys, "quarantine", "show", str(tmp_path), "--jsonl", "--limit", "1")
    assert [json.loads(line)["problem_id"] for line in out.splitlines()] == ["p0"]
    code, out, _ = run(capsys, "quarantine", "requeue", str(tmp_path), "--reason", "cut")
    assert code == 0
    assert "thoughts: 1 rows requeued." in out
    code, out, _ = run(capsys, "quarantine", "list", str(tmp_path))
    assert "refused" in out and "cut" not in out
    code, out, err = run(capsys, "quarantine", "requeue", str(tmp_path), "--reason", "other")
    assert code == 2
    assert "Reasons here: refused." in err


def test_no_quarantined_row_is_said(capsys, tmp_path):
    Run(tmp_path, load_recipe("demo"), Console(file=io.StringIO())).close()
    assert run(capsys, "quarantine", "list", str(tmp_path))[:2] == (0, "No row is quarantined.\n")


def test_a_budget_on_the_command_line_is_the_recipes(capsys, tmp_path):
    with serving(teacher_reply) as server:
        arguments = [
            "thoughts", "demo", "--run-dir", str(tmp_path), "--limit", "4", "--set", "teacher.kind=openai",
            "--set", "teacher.model=m", "--set", f"teacher.base_url={server.base_url}", "--set", "inspector.kind=none",
            "--set", "teacher.price={prompt = 1, completion = 1}",
        ]  # fmt: skip
        code, _, err = run(capsys, *arguments, "--max-usd", "0")
        assert code == 2
        assert "redink: The budget is spent" in err and "--max-usd" in err
        assert server.asked == []
        code, _, err = run(capsys, *arguments, "--max-usd", "2.5")
        assert code == 0, err
        assert len(server.asked) == 4
        assert json.loads((tmp_path / "demo" / "ledger.json").read_text())["max_usd"] == "2.5"
        code, _, err = run(capsys, *arguments, "--fresh")
        assert (code, len(server.asked)) == (0, 4), "bought replies outlive --fresh"


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
    code, out, _ = run(capsys, "solve", "3 + 4?", "--json", "--rounds", "0", "--max-new-tokens", "20")
    assert code == 0
    assert {"question": "3 + 4?", "stopped": "off", "rounds": [], "model": "bundled"}.items() <= json.loads(out).items()


@pytest.mark.slow
def test_evaluate_writes_the_panel(capsys, tmp_path):
    output = tmp_path / "figures.json"
    code, out, _ = run(
        capsys, "evaluate", "--limit", "4", "--max-new-tokens", "60", "--output", str(output), "--prompt",
        "compact/solve", "--run-dir", str(tmp_path),
    )  # fmt: skip
    assert code == 0
    assert "stories: 4 problems" in " ".join(out.split())
    panel = json.loads(output.read_text())["panels"][0]
    assert (panel["benchmark"], panel["model"]) == ("stories", "bundled")
    assert panel["accuracy_t1"]["n"] == 4


@pytest.mark.slow
def test_an_evaluation_in_every_form_and_compared(capsys, tmp_path):
    asked = [
        "evaluate",
        "--source",
        "stories:ledger",
        "--limit",
        "4",
        "--max-new-tokens",
        "40",
        "--run-dir",
        str(tmp_path),
    ]
    code, out, err = run(capsys, *asked, "--name", "a", "--repeats", "2", "--format", "json")
    assert code == 0, err
    results = json.loads(out)
    assert results["panels"][0]["stability"]["repeats"] == 2
    assert "stories:ledger: 4 rows, fingerprint" in err, "the check of the set is no part of the figures"
    code, out, err = run(capsys, *asked, "--name", "a", "--repeats", "2", "--format", "latex")
    assert (code, out.count(r"\begin{tabular}")) == (0, out.count(r"\end{tabular}"))
    assert r"\caption{stories:ledger: 4 problems" in out
    code, out, _ = run(
        capsys, "tables", str(tmp_path / "a"), "--format", "markdown", "--output", str(tmp_path / "t.md")
    )
    assert code == 0 and "| figure | bundled |" in out
    assert (tmp_path / "t.md").read_text() == out
    code, _, err = run(capsys, *asked, "--name", "b", "--limit", "3")
    assert code == 0, err
    code, out, err = run(capsys, "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "json")
    assert code == 0 and "3 problems are shared" in err
    assert [each["n"] for each in json.loads(out)["compared"][0]["comparisons"]] == [3, 3]
    code, _, err = run(capsys, *asked, "--name", "a", "--temperature", "0.9")
    assert code == 2 and "differs in temperature" in err


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


def test_report_writes_the_page_and_says_where(capsys, tmp_path):
    folder = make_run(tmp_path / "made", hostile=False)
    code, out, _ = run(capsys, "report", str(folder))
    assert code == 0 and f"report: {folder / 'report.html'}" in out
    assert (folder / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_report_of_a_run_too_large_says_what_it_shows(capsys, tmp_path):
    folder = make_run(tmp_path / "made", hostile=False)
    code, out, _ = run(capsys, "report", str(folder), "--inline-mb", "0", "--output", str(tmp_path / "small.html"))
    assert code == 0 and "0 of 8 problems are in the page; redink view" in out
    assert (tmp_path / "small.html").exists()


def test_report_compares_two_runs(capsys, tmp_path):
    first, second = (make_run(tmp_path / name, hostile=False) for name in ("one", "two"))
    code, out, _ = run(capsys, "report", "--compare", str(first), str(second))
    assert code == 0 and f"report: {second / 'report-with-one.html'}" in out
