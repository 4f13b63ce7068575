"""Debian's chromium, driven by its own protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

SECONDS = 60
COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class NoBrowserError(RuntimeError):
    """.ci/run installs it."""


@dataclass
class Browser:
    """One page. What it complains of and what it asks of the network is kept."""

    socket: aiohttp.ClientWebSocketResponse
    number: int = 0
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    loaded: bool = False

    async def call(self, method: str, **words: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": words})
        while True:
            answer = await self._heard()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    async def _heard(self) -> dict[str, Any]:
        message: dict[str, Any] = await asyncio.wait_for(self.socket.receive_json(), SECONDS)
        method, words = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(words["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method in COMPLAINTS:
            self.complaints.append(str(words))
        return message

    async def open(self, page: Path) -> None:
        self.loaded = False
        await self.call("Page.navigate", url=page.as_uri())
        while not self.loaded:
            await self._heard()

    async def look(self, script: str) -> Any:
        """What `script`, an expression, comes to in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def size(self, width: int, *, dark: bool = False, media: str = "") -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    async def picture(self, to: Path) -> None:
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A page of a chromium of its own, gone at the end with all it wrote."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NoBrowserError("no chromium: apt-get install chromium")
    folder = Path(tempfile.mkdtemp(prefix="browser-"))
    words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    words += [f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession() as session:
            port = await asyncio.to_thread(_port, folder, process)
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [target for target in await answer.json() if target["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                found = Browser(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await found.call(f"{domain}.enable")
                yield found
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Where it listens: it says so in a file."""
    said = folder / "DevToolsActivePort"
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        if said.exists() and len(words := said.read_text().split()) > 1:
            return int(words[0])
        time.sleep(0.05)
    raise NoBrowserError("chromium did not start")
