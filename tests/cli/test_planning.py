"""`redink plan` from the command line: tables, JSON, scales, and one line where something is wrong."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from redink.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_a_plan_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "demo", "--limit", "50", "--hardware", "cpu:2", "--json")
    plan = json.loads(out)
    assert (code, plan["recipe"], plan["hardware"], plan["parameters"]) == (0, "demo", "cpu:2", 837_888)
    assert plan["work"][0]["rows"] == 50


def test_scales_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("paper-7b", "--hardware", "8xA100-40GB", "--scale-by", "1", "--scale-by", "10", "--markdown")
    code, out, _ = said(capsys, *arguments)
    lines = [line for line in out.splitlines() if line.startswith("| ×")]
    assert code == 0
    assert [line.split(" | ")[:2] for line in lines] == [["| ×1", "100k"], ["| ×10", "1M"]]
    assert "- Note: training is reckoned with accelerate and fsdp2 on 8 GPUs" in out


def test_tables_and_assumptions_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redink.cli.planning.console", Console(width=200))
    code, out, _ = said(capsys, "demo", "--set", "plan.shares.located=0.5", "--assumptions", "--stages")
    assert code == 0
    assert "plan.shares.located" in out
    assert "evaluate.hsft.perplexity" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("demo", "--hardware", "abacus"), "--hardware abacus: not known."),
        (("demo", "--student", "some/unheard-of"), "its shape is not known"),
        (("demo", "--from", "no/such"), "is no run directory"),
        (("demo", "--set", "plan.sharess.located=1"), "Did you mean 'shares'?"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str) -> None:
    code, _, err = said(capsys, *arguments)
    assert code == 2
    assert line in err
    assert len(err.strip().splitlines()) == 1
