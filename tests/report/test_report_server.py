"""`redink view` as a server: loopback, its own name, its own answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from report_run import make_run

from redink.failures import BadInput, Failure
from redink.report.page import policy
from redink.report.server import LOOPBACK, application, serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("served") / "made", hostile=False)


def ask(folder, path: str, **options: Any) -> tuple[int, dict[str, str], str]:
    async def asked() -> tuple[int, dict[str, str], str]:
        async with TestClient(TestServer(application(folder))) as client:
            reply = await client.get(path, **options)
            return reply.status, dict(reply.headers), await reply.text()

    return asyncio.run(asked())


def test_the_page_comes_with_its_policy_and_without_cases(folder) -> None:
    status, headers, text = ask(folder, "/")
    assert status == 200 and headers["Content-Security-Policy"] == policy(True)
    assert headers["X-Frame-Options"] == "DENY" and "Access-Control-Allow-Origin" not in headers
    assert 'id="cases"' not in text and '"served":true' in text


def test_finding_and_showing(folder) -> None:
    status, _, text = ask(folder, "/api/find", params={"outcome": "repaired", "limit": "50", "words": ""})
    assert status == 200 and [line["id"] for line in json.loads(text)["lines"]] == ["e/1"]
    status, _, text = ask(folder, "/api/case", params={"id": "x/1"})
    assert status == 200 and json.loads(text)["works"][0]["pair"]["kind"] == "error"
    assert json.loads(ask(folder, "/api/case", params={"id": "../../etc/passwd"})[2]) is None


@pytest.mark.parametrize(
    "bad", [{"limit": "many"}, {"offset": "-1"}, {"limit": "100000"}, {"no": "such"}, {"step": "x"}]
)
def test_a_question_that_makes_no_sense_is_answered_400(folder, bad) -> None:
    assert ask(folder, "/api/find", params=bad)[0] == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.test", 403),
        ("127.0.0.1.evil.test", 403),
        ("192.168.1.7:80", 403),
        ("localhost:9", 200),
        ("[::1]", 200),
        ("127.0.0.1:80", 200),
    ],
)
def test_another_site_that_points_its_name_here_gets_nothing(folder, host, status) -> None:
    assert ask(folder, "/", headers={"Host": host})[0] == status


def test_nothing_but_get_and_nothing_but_its_paths(folder) -> None:
    assert ask(folder, "/api/../recipe.json")[0] == 404

    async def posted() -> int:
        async with TestClient(TestServer(application(folder))) as client:
            return (await client.post("/api/case", data=b"x")).status

    assert asyncio.run(posted()) == 405


def test_it_listens_on_loopback_and_ends_with_what_ends_it(folder) -> None:
    told: list[str] = []

    def ready(address: str) -> None:
        told.append(address)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.2, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        serve(application(folder), ready=ready)
    assert told[0].startswith(f"http://{LOOPBACK}:")

    async def gone() -> None:
        async with aiohttp.ClientSession() as session:
            await session.get(told[0])

    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(gone())


def test_a_port_that_is_taken_is_said_in_one_line(folder) -> None:
    import socket

    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(Failure, match=r"port \d+ cannot be used"):
        serve(application(folder), taken.getsockname()[1])


def test_a_folder_that_is_no_run_is_refused(tmp_path) -> None:
    with pytest.raises(BadInput):
        application(tmp_path)
