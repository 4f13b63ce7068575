"""A shadow workload at the router whose providers stand behind the fault proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from appliance.contract.drill import Level
from appliance.contract.router_admin import DRILL, GATEWAY_LANES, Lane
from appliance.contract.router_policy import Provider, RouterPolicy, Target, Workload
from appliance.contract.trouble import NodeTrouble
from appliance.node.faults.fault import Fault
from appliance.node.faults.proxy import Behind, Proxy
from appliance.node.router_admin import RouterAdmin

ROUTER_LANES = tuple(f"router-{number}" for number in range(1, 17))
LEASE = 60  # seconds beyond what a row may take: then the router forgets the lane by itself


@dataclass(frozen=True)
class Shadow:
    """An open lane. `workload` is what the client asks for."""

    name: str
    workload: Workload
    behind: dict[str, Behind]
    admin: RouterAdmin
    proxy: Proxy
    lease: float

    @property
    def model(self) -> str:
        return DRILL + self.name

    @property
    def models(self) -> dict[str, str]:
        """What each target is to be asked for."""
        return {target.provider: target.model for target in self.workload.targets}

    async def begin(self, fault: Fault) -> None:
        """The fault is there, and no breaker knows of it."""
        self.proxy.inject(self.name, fault)
        if fault.elsewhere is not None:
            await self.put(keep=False, primary_at=fault.elsewhere(self.proxy.wires))

    async def end(self, fault: Fault) -> None:
        """It is over; the breakers stay as it left them."""
        self.proxy.heal(self.name)
        if fault.elsewhere is not None:
            await self.put(keep=True)

    async def put(self, *, keep: bool, primary_at: str = "") -> None:
        providers = {
            target: behind.at.model_copy(update={"base_url": self.proxy.url(self.name, target)})
            for target, behind in self.behind.items()
        }
        if primary_at:
            primary = next(iter(providers))
            providers[primary] = providers[primary].model_copy(update={"base_url": primary_at})
        lane = Lane(seconds=self.lease, workload=self.workload, providers=providers, keep=keep)
        await self.admin.open_lane(self.name, lane)


class Lanes:
    """Those that a drill may have at once."""

    def __init__(self, policy: RouterPolicy, admin: RouterAdmin, proxy: Proxy) -> None:
        self._policy = policy
        self._admin = admin
        self._proxy = proxy
        self._free: dict[Level, asyncio.Queue[str]] = {Level.ROUTER: _of(ROUTER_LANES)}
        self._free[Level.GATEWAY] = _of(GATEWAY_LANES)

    @asynccontextmanager
    async def open(self, level: Level, workload: Workload, seconds: float) -> AsyncIterator[Shadow]:
        """With closed breakers, for at most `seconds`; closed whatever happens. NodeTrouble."""
        free = self._free[level]
        name = await free.get()
        try:
            shadow = self._shadow(name, workload, seconds)
            self._proxy.open(name, shadow.behind, shadow.workload.deadlines)
            await shadow.put(keep=False)
            yield shadow
        finally:
            self._proxy.close(name)
            with suppress(NodeTrouble):  # then its lease ends it
                await self._admin.close_lane(name)
            free.put_nowait(name)

    def _shadow(self, name: str, workload: Workload, seconds: float) -> Shadow:
        behind: dict[str, Behind] = {}
        targets: list[Target] = []
        for number, target in enumerate(workload.targets, 1):
            shadow = f"{DRILL}{number}-{target.provider}"
            behind[shadow] = Behind(target.provider, self._provider(target))
            targets.append(target.model_copy(update={"provider": shadow}))
        first, *others = targets
        lane = workload.model_copy(update={"primary": first, "fallbacks": tuple(others)})
        return Shadow(name, lane, behind, self._admin, self._proxy, min(seconds + LEASE, 3600))

    def _provider(self, target: Target) -> Provider:
        return self._policy.providers[target.provider]


def _of(names: tuple[str, ...]) -> asyncio.Queue[str]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    for name in names:
        queue.put_nowait(name)
    return queue
