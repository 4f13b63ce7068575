"""The health page on loopback; the edge passes /healthz on to it. Looks only, changes nothing.

A provider is believed usable while its host answers HTTP at its base URL with less than 500. No model is
called here: keys are tried by the canary, whose last word is read, and by users' requests, as breakers tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from appliance.contract import health
from appliance.contract.router_policy import CanaryRule, RouterPolicy
from appliance.node import evidence, router_account
from appliance.node.activate import in_force
from appliance.node.backup import memory
from appliance.node.health_rules import Asked, Believed, Facts, http_status, page
from appliance.node.router_files import policy_in_force
from appliance.node.system import GATEWAY_READY, Paths

LOOK_SECONDS = 20
PROVIDER_TIMEOUT = aiohttp.ClientTimeout(total=8)
LOCAL_TIMEOUT = aiohttp.ClientTimeout(total=2)
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
            with contextlib.suppress(OSError, ValueError):
                await self._look()
            await asyncio.sleep(LOOK_SECONDS if self._providers else 2)

    async def _look(self) -> None:
        policy = policy_in_force(self._paths)
        asked = {target.provider for targets in _targets(policy).values() for target in targets}
        urls = {name: policy.providers[name].base_url for name in sorted(asked)} if policy else {}
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
        (ready, detail), router = await asyncio.gather(self._gateway(), self._router())
        policy = policy_in_force(self._paths)
        return Facts(
            node=socket.gethostname(),
            bundle=in_force(self._paths),
            now=datetime.now(UTC),
            gateway_ready=ready,
            gateway_detail=detail,
            router_ready=router is not None,
            router_detail="answers" if router is not None else "does not answer",
            workloads=_targets(policy),
            providers=self._providers,
            breakers=router_account.breakers(router),
            canaries=evidence.last_canary(self._paths),
            canary_every=policy.canary.every if policy else CanaryRule().every,
            backup_every_hours=memory.every_hours(self._paths),
            last_backup=memory.last_or_awaited(self._paths),
            disk_used_percent=psutil.disk_usage("/").percent,
            memory_used_percent=psutil.virtual_memory().percent,
            clock_synchronised=None if CONTAINER.exists() else SYNCHRONISED.exists(),
            draining=Path(health.DRAIN_FLAG).exists(),
        )

    async def _gateway(self) -> tuple[bool, str]:
        if in_force(self._paths) is None:
            return False, "no bundle is in force"
        try:
            async with self._session.get(GATEWAY_READY, timeout=LOCAL_TIMEOUT) as answer:
                return answer.status == 200, "ready" if answer.status == 200 else f"answers {answer.status}"
        except (TimeoutError, aiohttp.ClientError) as error:
            return False, f"does not answer ({type(error).__name__})"

    async def _router(self) -> dict[str, Any] | None:
        try:
            async with self._session.get(router_account.HEALTH, timeout=LOCAL_TIMEOUT) as answer:
                said = await answer.json()
        except (TimeoutError, ValueError, aiohttp.ClientError):
            return None
        return said if isinstance(said, dict) else None


def _targets(policy: RouterPolicy | None) -> dict[str, list[Asked]]:
    workloads = policy.workloads.items() if policy else ()
    return {name: [Asked(t.provider, t.model) for t in workload.targets] for name, workload in workloads}


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
