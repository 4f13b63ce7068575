"""A whole drill: healthy times first, then the rows, then a look at what is left of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from appliance.contract.drill import Ended, Kind, Level, Row
from appliance.contract.router_policy import RouterPolicy, Target, Workload
from appliance.contract.trouble import NodeTrouble
from appliance.node.drill import limits
from appliance.node.drill.client import Client, mark
from appliance.node.drill.judge import Seen
from appliance.node.drill.lanes import Lanes
from appliance.node.drill.limits import Pair
from appliance.node.drill.plan import Meets, RowPlan
from appliance.node.drill.row import Done, Runner, unasked

SAMPLES = 5
KEPT = 10  # healthy times that count: the latest, for a machine's load changes in minutes
ANEW = 20  # rows through the gateway, until one more of each is measured
HEALTHY_SECONDS = 120  # that a healthy answer may take
ROUTER_WORKERS = 12  # silences at once: of its sixteen lanes, the others may wait for breakers
GATEWAY_SLOTS = 3  # of its eight: the others are its users'

Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Key:
    """What healthy times are measured of."""

    provider: str
    model: str
    level: Level
    kind: Kind


class Engine:
    """`say` is given the events, as the command prints them."""

    def __init__(self, policy: RouterPolicy, client: Client, lanes: Lanes, say: Say) -> None:
        self._policy = policy
        self._client = client
        self._lanes = lanes
        self._say = say
        self._slots = asyncio.Semaphore(GATEWAY_SLOTS)
        self._runner = Runner(client, lanes, self._slots)
        self._healthy: dict[_Key, deque[float] | str] = {}
        self._gateways: list[RowPlan] = []
        self._late: list[RowPlan] = []
        self._last = False  # what is late now has been late before

    async def run(self, plans: list[RowPlan]) -> tuple[Row, ...]:
        self.phase("healthy times")
        await self._measure(plans)
        rows: list[Row] = []
        self._gateways = [plan for plan in plans if plan.level is Level.GATEWAY]
        quick = [plan for plan in plans if plan.quick]
        slow = sorted((plan for plan in plans if not plan.quick), key=self._cost, reverse=True)
        self.phase("errors at the router, one after another")
        async with asyncio.TaskGroup() as healing:
            await self._one_by_one((p for p in quick if p.level is Level.ROUTER), rows, healing)
            self.phase("errors through the gateway; silences beside them")
            waiting = {level: deque(p for p in slow if p.level is level) for level in Level}
            async with asyncio.TaskGroup() as working:
                for _ in range(ROUTER_WORKERS):
                    working.create_task(self._work(waiting[Level.ROUTER], rows))
                for _ in range(GATEWAY_SLOTS - 1):
                    working.create_task(self._work(waiting[Level.GATEWAY], rows))
                await self._one_by_one((p for p in quick if p.level is Level.GATEWAY), rows, healing)
                working.create_task(self._work(waiting[Level.GATEWAY], rows))
            self.phase("waiting until breakers have closed again")
        await self._tries_again(rows)
        return tuple(rows)

    def phase(self, detail: str) -> None:
        self._say({"event": "phase", "detail": detail})

    # --- rows

    async def _one_by_one(
        self, plans: Iterable[RowPlan], rows: list[Row], healing: asyncio.TaskGroup
    ) -> None:
        """The next begins when the asks of the one before are answered; healing goes on beside it."""
        for number, plan in enumerate(plans, 1):
            if plan.level is Level.GATEWAY and number % ANEW == 0:
                await self._measure(self._gateways, samples=1)
            asked = asyncio.Event()
            task = healing.create_task(self._row(plan, rows, asked))
            await asked.wait()
            if plan.heals is None:
                await task

    async def _work(self, plans: deque[RowPlan], rows: list[Row]) -> None:
        while plans:
            await self._row(plans.popleft(), rows, asyncio.Event())

    async def _row(self, plan: RowPlan, rows: list[Row], asked: asyncio.Event) -> None:
        try:
            row: Row | None = await self._judged_row(plan, asked)
        except NodeTrouble as trouble:
            row = unasked(plan, str(trouble))
        finally:
            asked.set()
        if row is None:
            self._late.append(plan)
            return
        rows.append(row)
        self._say({"event": "row", **row.model_dump(mode="json")})

    async def _judged_row(self, plan: RowPlan, asked: asyncio.Event) -> Row | None:
        """None: it is to be tried again, since it was right and only too slow."""
        times = self._times(plan)
        if isinstance(times, str):
            return unasked(plan, times)
        workload = self._workload(plan, times)
        done: Done = await self._runner.run(plan, workload, times, asked)
        if done.late and not self._last:
            return None
        if done.late:
            done = await self._runner.run(plan, workload, times, asked)
        return done.row

    async def _tries_again(self, rows: list[Row]) -> None:
        """Late beside other rows may be the machine; late twice more, alone, by healthy times measured anew,
        is late. A router that dawdles does so each time."""
        self._last = True
        if not self._late:
            return
        await self._measure(self._late)
        self.phase(f"again, one by one: {len(self._late)} that were right and late")
        for plan in sorted(self._late, key=self._cost):
            await self._row(plan, rows, asyncio.Event())

    def _workload(self, plan: RowPlan, times: Pair) -> Workload:
        workload = self._policy.workloads[plan.workload]
        if not workload.fail_closed:
            return workload
        return workload.model_copy(update={"deadlines": limits.shortened(workload.deadlines, times.primary)})

    def _cost(self, plan: RowPlan) -> float:
        workload = self._policy.workloads[plan.workload]
        return 0 if workload.fail_closed else limits.cost(plan.fault, plan.upstream, workload)

    # --- healthy times

    async def _measure(self, plans: Iterable[RowPlan], samples: int = SAMPLES) -> None:
        wanted: dict[_Key, tuple[Target, Workload]] = {}
        for plan in plans:
            workload = self._policy.workloads[plan.workload]
            for target in workload.targets[:2]:
                wanted.setdefault(_key(target, plan), (target, workload))
        for key in sorted(wanted, key=lambda key: key.level, reverse=True):
            times = await self._measured(key, *wanted[key], samples)
            before = self._healthy.get(key)
            if isinstance(before, deque) and not isinstance(times, str):
                before.extend(times)
            else:
                self._healthy[key] = times if isinstance(times, str) else deque(times, KEPT)

    async def _measured(
        self, key: _Key, target: Target, workload: Workload, samples: int
    ) -> list[float] | str:
        """Seconds, or why there are none. The first ask of all fills caches, and is not counted."""
        alone = Workload(primary=target, fail_closed=True, deadlines=workload.deadlines)
        seconds: list[float] = []
        cold = 0 if key in self._healthy else 1
        try:
            async with self._lanes.open(key.level, alone, HEALTHY_SECONDS) as lane:
                for _ in range(samples + cold):
                    marked = mark()
                    await lane.put(keep=True)  # the lease anew
                    async with self._runner.slot(key.level):
                        heard = await self._client.ask(
                            key.level, key.kind, lane.model, marked, HEALTHY_SECONDS
                        )
                    records = lane.proxy.records(lane.name, marked)
                    seen = Seen(Meets.NOTHING, heard, records, lane.models)
                    if seen.ended is not Ended.ANSWER:
                        words = heard.error or seen.ended
                        return f"{target.provider} gives no answer even without a fault: {words}"
                    seconds.append(heard.seconds)
        except NodeTrouble as trouble:
            return str(trouble)
        return seconds[cold:]

    def _times(self, plan: RowPlan) -> Pair | str:
        """Or why there are none."""
        workload = self._policy.workloads[plan.workload]
        found = [self._healthy[_key(target, plan)] for target in workload.targets[:2]]
        if troubles := [times for times in found if isinstance(times, str)]:
            return "; ".join(troubles)
        primary, *fallback = (
            limits.healthy(times, plan.level) for times in found if isinstance(times, deque)
        )
        return Pair(primary, fallback[0] if fallback else None)


def _key(target: Target, plan: RowPlan) -> _Key:
    return _Key(target.provider, target.model, plan.level, plan.kind)
