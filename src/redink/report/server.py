"""`redink view`: the report of a run of any size, served to this machine alone, page by page."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from redink.failures import Failure
from redink.progress import Advance, quiet
from redink.report.archive import Archive
from redink.report.building import run_page
from redink.report.cases import as_shown
from redink.report.catalogue import Catalogue, Query
from redink.report.files import read_run
from redink.report.page import policy, render

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def application(folder: Path, advance: Advance = quiet) -> web.Application:
    """The server's application, with every row of the run filed; raises `BadInput` if `folder` is no run directory."""
    files = read_run(folder)
    archive = Archive({"": folder})
    catalogue = Catalogue(archive, advance)
    page = render(run_page(files, catalogue, archive.faults, cases=None))

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy(True)})

    async def find(request: web.Request) -> web.Response:
        try:
            query = Query.model_validate(dict(request.query))
        except ValidationError as failure:
            raise web.HTTPBadRequest(text=failure.errors()[0]["msg"]) from None
        return web.json_response(text=catalogue.find(query).model_dump_json())

    async def case(request: web.Request) -> web.Response:
        found = archive.case(request.query.get("id", ""))
        return web.json_response(None if found is None else as_shown(found))

    async def close(_: web.Application) -> None:
        archive.close()

    app = web.Application(middlewares=[_guard])
    app.add_routes([web.get("/", show), web.get("/api/find", find), web.get("/api/case", case)])
    app.on_cleanup.append(close)
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only for this machine, by its own name: another site that points its name here gets nothing."""
    if not _is_local(request.url.host or ""):
        raise web.HTTPForbidden(text="This server answers to this machine alone.")
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        answer.headers.update(_HEADERS)
        raise
    response.headers.update(_HEADERS)
    return response


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def serve(app: web.Application, port: int = 0, ready: Callable[[str], Any] = print) -> None:
    """Serve an application on loopback until Ctrl-C; `ready` is told the address.

    Raises `Failure` if the port is taken.
    """
    try:
        opened = socket.create_server((LOOPBACK, port))
    except OSError as failure:
        raise Failure(
            f"port {port} cannot be used ({failure.strerror}).", "Choose another with --port, or 0."
        ) from None
    with opened:
        asyncio.run(_serve(app, opened, ready))


async def _serve(app: web.Application, opened: socket.socket, ready: Callable[[str], Any]) -> None:
    gc.freeze()  # what the archive holds stays: the collector would go through all of it, in the midst of an answer
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, opened).start()
        ready(f"http://{LOOPBACK}:{opened.getsockname()[1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        gc.unfreeze()
