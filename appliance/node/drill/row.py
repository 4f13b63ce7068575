"""One row carried out: the fault begins, the asks, the fault ends, the healing; and what is wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from appliance.contract.drill import Ask, Call, Ended, Level, Row
from appliance.contract.router_policy import Workload
from appliance.node.drill import judge, limits
from appliance.node.drill.client import Client, mark
from appliance.node.drill.judge import Seen, Wrong
from appliance.node.drill.lanes import Lanes, Shadow
from appliance.node.drill.limits import Pair
from appliance.node.drill.plan import Meets, RowPlan
from appliance.node.faults.visit import Record

CANCELLED = 0.5  # seconds in which the router must have left whom it needs no more
PROBE = 0.5  # seconds between looks whether the primary answers again


@dataclass(frozen=True)
class _Asked:
    mark: str
    at: float
    seen: Seen


@dataclass(frozen=True)
class Done:
    row: Row
    late: bool  # red, and only for its times


class Runner:
    """`slots`: of the gateway, shared with its users."""

    def __init__(self, client: Client, lanes: Lanes, slots: asyncio.Semaphore) -> None:
        self._client = client
        self._lanes = lanes
        self._slots = slots

    async def run(self, plan: RowPlan, workload: Workload, times: Pair, asked: asyncio.Event) -> Done:
        """`workload` with the lane's deadlines. `asked` is set when only healing is waited for.

        NodeTrouble: the router takes no lanes.
        """
        limit = limits.longest(plan.fault, plan.upstream, workload, times, plan.expected)
        patience = limit + limits.PATIENCE
        bound = patience * len(plan.waves) + (plan.heals or 0) + limits.HEAL
        async with self._lanes.open(plan.level, workload, bound) as lane:
            return await _Row(self, plan, workload, times, lane, patience).run(asked)

    def slot(self, level: Level) -> AbstractAsyncContextManager[None]:
        return self._slots if level is Level.GATEWAY else _Free()

    async def ask(self, plan: RowPlan, lane: Shadow, meets: Meets, patience: float) -> _Asked:
        marked = mark()
        async with self.slot(plan.level):
            at = time.monotonic()
            heard = await self._client.ask(plan.level, plan.kind, lane.model, marked, patience)
        return _Asked(marked, at, Seen(meets, heard, lane.proxy.records(lane.name, marked), lane.models))


class _Free:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


class _Row:
    def __init__(
        self,
        runner: Runner,
        plan: RowPlan,
        workload: Workload,
        times: Pair,
        lane: Shadow,
        patience: float,
    ) -> None:
        self._runner = runner
        self._plan = plan
        self._workload = workload
        self._times = times
        self._lane = lane
        self._patience = patience
        self._asked: list[_Asked] = []
        self._wrong: list[Wrong] = []

    async def run(self, asks_done: asyncio.Event) -> Done:
        plan, began = self._plan, time.monotonic()
        await self._lane.begin(plan.fault)
        fault_began, standing = time.monotonic(), True
        for wave in plan.waves:
            if standing and Meets.NOTHING in wave:
                await self._end_fault()
                fault_ended, standing = time.monotonic(), False
            asks = (self._runner.ask(plan, self._lane, meets, self._patience) for meets in wave)
            self._asked += await asyncio.gather(*asks)
        await self._see_cancelled()
        self._wrong += self._judged()
        if standing:
            await self._end_fault()
            fault_ended = time.monotonic()
        asks_done.set()
        healed = await self._heal(fault_ended) if plan.heals is not None else None
        row = Row(
            workload=plan.workload,
            fault=plan.fault.name,
            level=plan.level,
            kind=plan.kind,
            expected=plan.expected,
            healthy=round(self._times.of(plan.expected).median, 4),
            asks=tuple(_told(asked, began) for asked in self._asked),
            fault_began=round(fault_began - began, 4),
            fault_ended=round(fault_ended - began, 4),
            healed=healed,
            wrong=tuple(dict.fromkeys(wrong.words for wrong in self._wrong)),
        )
        return Done(row, bool(self._wrong) and all(wrong.late for wrong in self._wrong))

    async def _end_fault(self) -> None:
        await self._lane.end(self._plan.fault)

    def _judged(self) -> list[Wrong]:
        return [
            Wrong(f"{asked.seen.meets}: {wrong.words}", wrong.late)
            for asked in self._asked
            for wrong in judge.faults_of(self._plan, asked.seen, self._workload, self._times)
        ]

    async def _see_cancelled(self) -> None:
        """Whoever is not needed any more must have been let go."""
        end = time.monotonic() + CANCELLED
        while left := [r for asked in self._asked for r in asked.seen.records if r.ended is None]:
            if time.monotonic() >= end:
                self._wrong.append(Wrong(f"the call of {left[0].provider} was never ended"))
                return
            await asyncio.sleep(0.01)

    async def _heal(self, fault_ended: float) -> float | None:
        """Seconds from the fault's end until the primary answered; wrong when it takes too long."""
        plan = self._plan
        assert plan.heals is not None
        waited = time.monotonic() - fault_ended
        await asyncio.sleep(max(0.0, plan.heals - 1 - waited))
        latest = fault_ended + plan.heals + limits.HEAL + self._times.primary.allowed
        while True:
            asked = await self._runner.ask(plan, self._lane, Meets.NOTHING, self._patience)
            who = asked.seen.answered_by
            if who is not None and who.primary:
                return round(time.monotonic() - fault_ended, 3)
            if time.monotonic() > latest:
                self._wrong.append(Wrong("after the fault's end: the primary does not answer again"))
                return None
            await asyncio.sleep(PROBE)


def _told(asked: _Asked, began: float) -> Ask:
    seen = asked.seen
    heard, who = seen.heard, seen.answered_by
    return Ask(
        began=round(asked.at - began, 4),
        seconds=round(heard.seconds, 4),
        first=None if heard.first is None else round(asked.at - began + heard.first, 4),
        ended=seen.ended,
        answered_by=who.provider if who else None,
        status=heard.status,
        told=heard.error,
        calls=tuple(_call(record, began) for record in _in_order(seen.records)),
    )


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.began)


def _call(record: Record, began: float) -> Call:
    return Call(
        provider=record.provider,
        primary=record.primary,
        began=round(record.began - began, 4),
        first=None if record.first is None else round(record.first - began, 4),
        ended=None if record.ended is None else round(record.ended - began, 4),
        outcome=record.outcome or "running",
    )


def unasked(plan: RowPlan, why: str) -> Row:
    """Red: without a fault there is no answer to compare with."""
    return Row(
        workload=plan.workload,
        fault=plan.fault.name,
        level=plan.level,
        kind=plan.kind,
        expected=plan.expected,
        healthy=0,
        asks=(Ask(began=0, seconds=0, ended=Ended.SILENT, told="not asked"),),
        fault_began=0,
        fault_ended=0,
        wrong=(f"not asked: {why}",),
    )
