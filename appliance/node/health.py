"""The health page on loopback; the edge passes /healthz on to it. Looks only, changes nothing.

A provider is believed usable while its host answers HTTP at its base URL with less than 500. Its key is not
tried and no model is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from appliance.contract import health
from appliance.node.activate import in_force
from appliance.node.health_rules import Believed, Facts, http_status, page
from appliance.node.system import GATEWAY_READY, Paths

LOOK_SECONDS = 20
PROVIDER_TIMEOUT = aiohttp.ClientTimeout(total=8)
GATEWAY_TIMEOUT = aiohttp.ClientTimeout(total=2)
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
CONTAINER = Path("/run/systemd/container")


class Watch:
    """What the page knows between two questions."""

    def __init__(self, session: aiohttp.ClientSession, paths: Paths) -> None:
        self._session = session
        self._paths = paths
        self._providers: dict[str, Believed] = {}

    async def look_for_ever(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError):  # a bundle being switched, or none
                await self._look()
            await asyncio.sleep(LOOK_SECONDS if self._providers else 2)

    async def _look(self) -> None:
        urls = {
            provider["name"]: provider["base_url"]
            for workload in self._config()["workloads"]
            for provider in workload["providers"]
        }
        looks = await asyncio.gather(*(self._try(url) for url in urls.values()))
        self._providers = dict(zip(urls, looks, strict=True))

    async def _try(self, url: str) -> Believed:
        try:
            async with self._session.get(url, timeout=PROVIDER_TIMEOUT, allow_redirects=False) as answer:
                if answer.status >= 500:
                    return Believed(False, f"answers {answer.status}")
                return Believed(True, "answers")
        except TimeoutError:
            return Believed(False, "no answer in time")
        except aiohttp.ClientError as error:
            return Believed(False, type(error).__name__)

    async def facts(self) -> Facts:
        ready, detail = await self._gateway()
        try:
            workloads = {w["name"]: [p["name"] for p in w["providers"]] for w in self._config()["workloads"]}
        except (OSError, ValueError, KeyError):
            workloads = {}
        return Facts(
            node=socket.gethostname(),
            bundle=in_force(self._paths),
            gateway_ready=ready,
            gateway_detail=detail,
            workloads=workloads,
            providers=self._providers,
            disk_used_percent=psutil.disk_usage("/").percent,
            memory_used_percent=psutil.virtual_memory().percent,
            clock_synchronised=None if CONTAINER.exists() else SYNCHRONISED.exists(),
            draining=Path(health.DRAIN_FLAG).exists(),
        )

    async def _gateway(self) -> tuple[bool, str]:
        if in_force(self._paths) is None:
            return False, "no bundle is in force"
        try:
            async with self._session.get(GATEWAY_READY, timeout=GATEWAY_TIMEOUT) as answer:
                return answer.status == 200, "ready" if answer.status == 200 else f"answers {answer.status}"
        except (TimeoutError, aiohttp.ClientError) as error:
            return False, f"does not answer ({type(error).__name__})"

    def _config(self) -> Any:
        return json.loads((self._paths.current / "files" / "health.json").read_text())


WATCH = web.AppKey("watch", Watch)


async def answer(request: web.Request) -> web.Response:
    said = page(await request.app[WATCH].facts())
    return web.Response(
        status=http_status(said),
        text=said.model_dump_json(),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _watching(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as session:
        app[WATCH] = Watch(session, Paths())
        looking = asyncio.create_task(app[WATCH].look_for_ever())
        yield
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(_watching)
    app.router.add_get(health.PATH, answer)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=health.PORT, access_log=None, print=None)
