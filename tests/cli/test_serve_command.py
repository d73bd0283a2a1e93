"""`redink serve` on the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from served import asked, body, call, content
from tiny import tiny_folder

from redink.cli import main


def test_other_machines_are_not_served_without_a_token(monkeypatch, capsys) -> None:
    monkeypatch.delenv("REDINK_SERVE_TOKEN", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--host", "0.0.0.0"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "REDINK_SERVE_TOKEN" in said


def test_help_has_examples(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = capsys.readouterr().out
    assert "Examples: redink serve" in said and "/v1/chat/completions" in said


@pytest.mark.slow
def test_it_serves_until_sigterm_and_ends_well(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "redink.cli",
        "serve",
        "--port",
        "0",
        "--student",
        str(tiny_folder(tmp_path / "tiny")),
    ]
    with subprocess.Popen(
        [*command, "--max-new-tokens", "8"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"COLUMNS": "400"},
    ) as process:  # fmt: skip
        try:
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
            made = asked(address, body(redink={"return_trace": True}))
            assert made["model"] == "tiny"
            assert content(made).strip().startswith(made["redink"]["text"])
            assert call(address, "health")[0] == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert "Traceback" not in process.stderr.read()
