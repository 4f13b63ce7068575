"""`appliance-node drill`: one at a time, for as long as somebody listens; JSON lines on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.contract.drill import LAST_DRILL, Level, Report
from appliance.contract.router_policy import PORT, RouterPolicy
from appliance.contract.trouble import ExitCode, LockedTrouble, NodeTrouble
from appliance.node.drill import client as clients
from appliance.node.drill.aftermath import aftermath
from appliance.node.drill.engine import Engine, Say
from appliance.node.drill.lanes import Lanes
from appliance.node.drill.plan import plan
from appliance.node.faults import FAULTS
from appliance.node.faults.proxy import Proxy
from appliance.node.router_admin import RouterAdmin
from appliance.node.system import Paths, write

LONGEST = 1800  # seconds
LOCK = Path("/run/appliance/drill.lock")


@dataclass(frozen=True)
class Site:
    """The node that is drilled; tests have another one."""

    policy: RouterPolicy
    admin: RouterAdmin
    doors: dict[Level, clients.Door]
    node: str
    bundle: str | None
    lock: Path = LOCK
    summary: Path = Path(LAST_DRILL)


@dataclass(frozen=True)
class Wanted:
    """Empty: all."""

    workloads: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()


def wanted(workloads: Sequence[str], faults: Sequence[str], levels: Sequence[str]) -> Wanted:
    """Of the command line's words; ValueError for a level that is none."""
    return Wanted(tuple(workloads), tuple(faults), tuple(Level(level) for level in levels))


def this_node(levels: Collection[Level], paths: Paths = Paths()) -> Site:  # noqa: B008 - frozen
    """NodeTrouble: no bundle is in force, or the gateway has no secrets."""
    from appliance.node.activate import in_force
    from appliance.node.router_files import policy_in_force

    policy = policy_in_force(paths)
    if policy is None:
        raise NodeTrouble("There is nothing to drill.", why="no bundle is in force", fix="`appliance push`")
    doors = {Level.ROUTER: clients.router_door(PORT)}
    if not levels or Level.GATEWAY in levels:
        doors[Level.GATEWAY] = clients.gateway_door(paths)
    return Site(policy, RouterAdmin(), doors, socket.gethostname(), in_force(paths))


def main(asked: Wanted, site: Site | None = None) -> int:
    """Exit code: red is UNVERIFIED. Trouble: it could not begin."""
    site = site or this_node(asked.levels)
    with _alone(site.lock):
        try:
            return asyncio.run(_attended(site, asked))
        except asyncio.CancelledError:
            return int(ExitCode.INTERRUPTED)


def list_faults() -> None:
    for fault in FAULTS.values():
        _say({"event": "fault", "name": fault.name, "about": fault.what})


async def _attended(site: Site, asked: Wanted) -> int:
    task = asyncio.current_task()
    assert task is not None
    say = _sayer(task)
    with _ending_with_listener(task):
        report = await drill(site, asked, say)
    write(site.summary, report.summary().model_dump_json().encode())
    say({"event": "report", **report.model_dump(mode="json")})
    return int(ExitCode.OK if report.ok else ExitCode.UNVERIFIED)


async def drill(site: Site, asked: Wanted, say: Say) -> Report:
    """Trouble: a name is unknown, the router is not ready, or it took too long."""
    begun, at = time.monotonic(), datetime.now(UTC)
    levels = asked.levels or tuple(Level)
    plans = plan(site.policy, FAULTS, asked.workloads, asked.faults, levels)
    try:
        before = await site.admin.healthz()
    except NodeTrouble as trouble:
        raise NodeTrouble("The router is not ready to be drilled.", why=str(trouble)) from None
    say({"event": "plan", "rows": len(plans)})
    try:
        async with asyncio.timeout(LONGEST), Proxy() as proxy, clients.asking(site.doors) as client:
            engine = Engine(site.policy, client, Lanes(site.policy, site.admin, proxy), say)
            rows = await engine.run(plans)
            engine.phase("each provider asked directly, and each workload once more")
            canaries = await site.admin.canary()
            after = await aftermath(site.policy, site.admin, client, before, levels)
    except TimeoutError:
        raise NodeTrouble(
            f"The drill did not end within {LONGEST} s.", fix="Drill a workload or level at a time."
        ) from None
    return Report(
        node=site.node,
        bundle=site.bundle,
        at=at,
        seconds=round(time.monotonic() - begun, 1),
        rows=rows,
        canaries=canaries,
        aftermath=after,
    )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """The kernel lets go of it, whatever becomes of this process."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedTrouble(
                "Another drill is at work on this node.", fix="Wait for its end: a few minutes."
            ) from None
        yield


@contextmanager
def _ending_with_listener(task: asyncio.Task[Any]) -> Iterator[None]:
    """Cancels it at a signal, and at the end of stdin where that is a pipe or socket: the desk's."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    watched = _is_somebody(0)
    if watched:
        loop.add_reader(0, _read_or, task.cancel)
    try:
        yield
    finally:
        if watched:
            loop.remove_reader(0)
        for number in signals:
            loop.remove_signal_handler(number)


def _is_somebody(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read_or(end: Callable[[], object]) -> None:
    with contextlib.suppress(BlockingIOError):
        if not os.read(0, 4096):
            asyncio.get_running_loop().remove_reader(0)
            end()


def _sayer(task: asyncio.Task[Any]) -> Say:
    """Says, and ends the drill when nobody reads any more."""

    def say(event: dict[str, Any]) -> None:
        try:
            _say(event)
        except OSError:
            sys.stdout = None  # and no complaint at exit
            task.cancel()

    return say


def _say(event: dict[str, Any]) -> None:
    if sys.stdout is not None:
        print(json.dumps(event), flush=True)  # noqa: T201
