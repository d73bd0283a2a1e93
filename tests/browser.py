"""A real Chromium, headless, driven over its DevTools protocol: what a reader of a page sees and does.

Needs Debian's `chromium` (or a Chrome) on the PATH and nothing else: aiohttp speaks the protocol's websocket.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ABSENT = "there is no Chromium here (Debian: apt-get install chromium)"
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--force-color-profile=srgb", "--remote-debugging-port=0",
)  # fmt: skip
PATIENCE_S = 60.0


class Browser:
    """One browser with one tab; what the page logs, throws or is refused by its policy is kept in `complaints`."""

    def __init__(self) -> None:
        assert PROGRAM, ABSENT
        self._loop = asyncio.Runner()
        self._profile = tempfile.mkdtemp(prefix="redink-browser-")
        self._process = subprocess.Popen(
            [PROGRAM, *ARGUMENTS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        try:
            self._wait(self._connect())
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, all its processes."""
        if hasattr(self, "_session"):
            self._wait(self._leave())
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._loop.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(asyncio.wait_for(work, PATIENCE_S))

    async def _leave(self) -> None:
        self._reading.cancel()
        await self._socket.close()
        await self._session.close()

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession()
        address = f"http://127.0.0.1:{await self._port()}/json"
        async with self._session.get(address) as reply:
            pages = [row for row in await reply.json() if row["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        self._reading = asyncio.ensure_future(self._read())

    async def _port(self) -> int:
        while True:
            try:
                return int((Path(self._profile) / "DevToolsActivePort").read_text().split()[0])
            except (OSError, IndexError, ValueError):
                assert self._process.poll() is None, "Chromium ended at once"
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._replies.pop(event["id"]).set_result(event)
            else:
                self._hear(event["method"], event["params"])

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(" ".join(str(argument.get("value")) for argument in params["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""

        async def ask() -> dict[str, Any]:
            self._number += 1
            reply = self._replies[self._number] = asyncio.get_running_loop().create_future()
            await self._socket.send_json({"id": self._number, "method": method, "params": params})
            return await reply

        answer = self._wait(ask())
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    # ---------------------------------------------------------------- what a reader does

    def size(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """The size of the window in CSS pixels, and whether the reader's system is dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)

    def offline(self) -> None:
        """Take the network away."""
        self.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def open(self, address: str, ready: str = "document.documentElement.dataset.ready === 'true'") -> float:
        """Go to an address and wait until it is `ready`; returns the seconds that took."""
        self.send("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.complaints.clear()
        self.requests.clear()
        started = time.perf_counter()
        self.send("Page.navigate", url=address)
        self.until(f"location.href !== 'about:blank' && {ready}")
        return time.perf_counter() - started

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"]["exception"].get("description", script))
        return result["result"].get("value")

    def until(self, condition: str, patience: float = 20.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                value = self.run(f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()")
            except AssertionError:  # the page is being left
                value = None
            if value:
                return
            time.sleep(0.01)
        raise AssertionError(f"never true within {patience} s: {condition}; complaints: {self.complaints}")

    def press(self, key: str, text: str | None = None) -> None:
        """A key, as a keyboard gives it."""
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text or key} if kind == "keyDown" and (text or len(key) == 1) else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **typed)

    def type(self, words: str) -> None:
        """Text into what has the focus."""
        self.send("Input.insertText", text=words)

    def choose(self, name: str, value: str) -> None:
        """A choice in the form of filters."""
        self.run(
            f"(() => {{ const one = document.getElementById('find').elements[{json.dumps(name)}]; one.value = "
            f"{json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
        )

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A screenshot as PNG; with `whole` of the whole page."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path
