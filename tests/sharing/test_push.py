"""Pushing to a hub on loopback that keeps what it is sent; dry runs ask nobody; tokens are not shown."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from sharing_run import run_folder
from typer.testing import CliRunner

from redink.cli import app
from redink.failures import BadInput, Failure
from redink.sharing import hub
from redink.sharing.data import export_data

TOKEN = "hf_not_a_real_token_000000000000"


class Hub(ThreadingHTTPServer):
    """As much of the hub as one commit needs: make a repository, ask how to send, commit."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.refuses = False
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuses or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._reply(403, {"error": "You may not write there."})
        if "/commit/" in self.path:
            return self._commit(body)
        said = json.loads(body or b"{}")
        self.server.asked.append((self.path, said))
        if "/preupload/" in self.path:
            modes = [{"path": row["path"], "uploadMode": "regular", "shouldIgnore": False} for row in said["files"]]
            return self._reply(200, {"files": modes})
        return self._reply(
            200, {"url": "https://huggingface.co/datasets/me/data", "id": "1", "errors": [], "warnings": []}
        )

    def _commit(self, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self._reply(
            200,
            {"commitUrl": "https://huggingface.co/datasets/me/data/commit/0", "commitOid": "0" * 40, "success": True},
        )

    def _reply(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    real = hub.HfApi
    monkeypatch.setattr(hub, "HfApi", lambda **kept: real(endpoint=address, **kept))
    yield server
    server.shutdown()
    server.server_close()


def exported(tmp_path: Path) -> Path:
    export_data(run_folder(tmp_path / "run"), ["pairs"], "parquet", tmp_path / "out")
    return tmp_path / "out"


def test_every_file_arrives_as_it_is(tmp_path: Path, fake_hub: Hub) -> None:
    folder = exported(tmp_path)
    hub.push(folder, hub.plan_push(folder, "me/data", private=True))
    assert fake_hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    path, asked = fake_hub.asked[0]
    assert path == "/api/repos/create"
    assert (asked["name"], asked["organization"], asked["type"]) == ("data", "me", "dataset")
    assert asked.get("private") is True or asked.get("visibility") == "private"


def test_a_refusal_is_one_line_without_the_token(tmp_path: Path, fake_hub: Hub) -> None:
    folder, fake_hub.refuses = exported(tmp_path), True
    with pytest.raises(Failure, match="403") as caught:
        hub.push(folder, hub.plan_push(folder, "me/data"))
    assert "hf auth login" in caught.value.remedy
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dry_run_shows_files_and_card_and_asks_nobody(tmp_path: Path, fake_hub: Hub) -> None:
    run_folder(tmp_path / "run")
    said = CliRunner().invoke(app, ["push", str(tmp_path / "run"), "me/data", "--what", "pairs", "--dry-run"])
    assert said.exit_code == 0, said.output
    for part in ("data set me/data (public)", "pairs.parquet", "config_name: pairs", "nothing was sent"):
        assert part in said.output
    assert TOKEN not in said.output
    assert fake_hub.asked == []


@pytest.mark.parametrize("name", ["data", "me/a/b", "me/-data-", "me/d a t a", "me/..", ""])
def test_a_name_that_no_hub_takes_is_refused_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failure, match="no repository of the hub"):
        hub.plan_push(exported(tmp_path), name)


def test_a_folder_without_a_card_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# mine\n")
    with pytest.raises(BadInput, match="metadata"):
        hub.plan_push(tmp_path, "me/data")
    (tmp_path / "README.md").unlink()
    with pytest.raises(BadInput, match="missing"):
        hub.plan_push(tmp_path, "me/data")
