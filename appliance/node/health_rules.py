"""What the health page says, given the facts. Pure.

A workload of which a provider is amiss makes the page degraded and stays in service: providers and nodes fail
over in different layers. A vendor that is down is down for every node, and a balancer that believed it would
take away all nodes at once. Only when no workload has any provider left is this node's own way out the likely
cause: then it is unhealthy, with the reasons. Without its router a node answers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.contract.backup import LastBackup
from appliance.contract.drill import Canaries
from appliance.contract.health import Check, HealthPage
from appliance.contract.node_report import Breaker

DISK_WARN, DISK_FULL = 85.0, 95.0  # percent used
MEMORY_WARN, MEMORY_OUT = 90.0, 97.0  # percent not available
CANARIES_MISSED = 2  # in a row, and the timer is amiss


@dataclass(frozen=True)
class Believed:
    """What the last look at a provider gave. `usable` None: nobody has looked yet."""

    usable: bool | None
    detail: str


@dataclass(frozen=True)
class Asked:
    """A model at a provider, as a workload's policy names it."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True)
class Facts:
    node: str
    bundle: str | None
    now: datetime
    gateway_ready: bool
    gateway_detail: str
    router_ready: bool
    router_detail: str
    workloads: Mapping[str, Sequence[Asked]]  # name -> its primary, then its fallbacks
    providers: Mapping[str, Believed]
    breakers: Sequence[Breaker]
    canaries: Canaries | None  # None: never asked
    canary_every: float  # seconds
    backup_every_hours: int | None  # None: no backups are ordered
    last_backup: LastBackup | None
    disk_used_percent: float
    memory_used_percent: float
    clock_synchronised: bool | None  # None: somebody else keeps the clock (a container's host)
    draining: bool


def page(facts: Facts) -> HealthPage:
    checks = [
        Check(name="gateway", ok=facts.gateway_ready, detail=facts.gateway_detail),
        Check(name="router", ok=facts.router_ready, detail=facts.router_detail),
        *_workloads(facts),
        _canary(facts),
        _backup(facts),
        _level("disk", facts.disk_used_percent, DISK_WARN, DISK_FULL),
        _level("memory", facts.memory_used_percent, MEMORY_WARN, MEMORY_OUT),
        _clock(facts.clock_synchronised),
        Check(name="draining", ok=not facts.draining, detail="yes" if facts.draining else "no"),
    ]
    return HealthPage(status=_status(checks), node=facts.node, bundle=facts.bundle, checks=checks)


def http_status(said: HealthPage) -> int:
    return 503 if said.status == "unhealthy" else 200


def _status(checks: Sequence[Check]) -> str:
    failed = [check for check in checks if not check.ok]
    if any(check.vital for check in failed):
        return "unhealthy"
    return "degraded" if failed else "ok"


def _workloads(facts: Facts) -> list[Check]:
    """Any provider amiss degrades; only when no workload can reach any is the node of no use."""
    none_left = not any(
        _believed(facts, asked).usable is not False
        for targets in facts.workloads.values()
        for asked in targets
    )
    return [
        Check(
            name=f"workload:{name}",
            ok=not any(_amiss(facts, asked) for asked in targets),
            vital=none_left,
            detail="; ".join(
                f"{asked}: {_amiss(facts, asked) or _believed(facts, asked).detail}" for asked in targets
            ),
        )
        for name, targets in facts.workloads.items()
    ]


def _amiss(facts: Facts, asked: Asked) -> str:
    """What is known to be wrong with it, the surest first; empty where nothing is."""
    believed = _believed(facts, asked)
    if believed.usable is False:
        return believed.detail
    for breaker in facts.breakers:
        if (breaker.provider, breaker.model) == (asked.provider, asked.model) and breaker.state == "open":
            cause = (breaker.cause or "it failed").replace("-", " ")
            return f"asked last for {breaker.seconds_left:.0f} s ({cause})"
    for canary in facts.canaries.canaries if facts.canaries else ():
        if (canary.provider, canary.model) == (asked.provider, asked.model) and not canary.ok:
            return f"its canary: {canary.detail}"
    return ""


def _believed(facts: Facts, asked: Asked) -> Believed:
    return facts.providers.get(asked.provider, Believed(None, "not looked at yet"))


def _canary(facts: Facts) -> Check:
    """Whether they are sung at all; what they sing is told with the workloads."""
    if facts.canaries is None:
        return Check(name="canary", ok=True, vital=False, detail="not asked yet")
    age = (facts.now - facts.canaries.at).total_seconds()
    stale = age > CANARIES_MISSED * facts.canary_every
    refused = sum(not canary.ok for canary in facts.canaries.canaries)
    detail = f"{refused or 'none'} of {len(facts.canaries.canaries)} refused, {age / 3600:.1f} h ago"
    return Check(name="canary", ok=not stale, vital=False, detail=detail)


def _backup(facts: Facts) -> Check:
    if facts.backup_every_hours is None:
        return Check(name="backup", ok=True, vital=False, detail="no backups are ordered")
    last = facts.last_backup
    complaint = last.complaint(facts.now, facts.backup_every_hours) if last else None
    good = f"the last is of {last.at:%Y-%m-%d %H:%M} UTC" if last and last.at else "none yet"
    detail = complaint or good
    return Check(name="backup", ok=complaint is None, vital=False, detail=detail)


def _level(name: str, percent: float, warn: float, out: float) -> Check:
    return Check(name=name, ok=percent < warn, vital=percent >= out, detail=f"{percent:.0f} % used")


def _clock(synchronised: bool | None) -> Check:
    detail = {True: "synchronised", False: "not synchronised yet", None: "kept by the host"}[synchronised]
    return Check(name="clock", ok=synchronised is not False, vital=False, detail=detail)
