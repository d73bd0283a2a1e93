"""`redink reproduce` on the command line: what it lists, what it refuses, what it writes of what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from redink.cli import main
from redink.reproduction.reproducing import items_of


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capsys.readouterr()
    return int(caught.value.code or 0), " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["table3"], 2, "'table3' is no table or figure. There are: table1, table2,"),
        (["table2", "--seeds", "0,x"], 2, "--seeds 0,x: whole numbers from 0 are wanted."),
        (["table2", "--scale", "paper"], 2, "It is not started without --yes. See what it costs with --dry-run."),
        (["table2", "--scale", "huge.toml"], 2, "huge.toml: the scale cannot be read"),
        (["table2", "--set", "hsft.epoch=1"], 2, "unknown key 'hsft.epoch'. Did you mean 'epochs'?"),
    ],
)
def test_what_is_refused_is_one_line(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found = said(["reproduce", *arguments], capsys)
    assert found[0] == code and words in found[1]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_lists_arms_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    code, words = said(["reproduce", "table2", "--dry-run", "--seeds", "0,5"], capsys)
    assert code == 0
    assert "table2: 6 runs, 6 to do" in words and "seed 5" in words and "supercorrect (6" in words
    assert list(tmp_path.iterdir()) == []


def test_tables_of_nothing_say_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, words = said(["reproduce", "table8", "--tables-only", "--limit", "3"], capsys)
    assert code == 0 and "not measured" in words
    page = (tmp_path / "runs/reproduce-mini-limit3/results/README.md").read_text()
    assert "At most 3 problems in each set" in page


def test_items_by_name_once_each() -> None:
    assert [item.name for item in items_of(["table2", "table1", "table2"])] == ["table2", "table1"]
    assert len(items_of(["table1", "all"])) == 15
