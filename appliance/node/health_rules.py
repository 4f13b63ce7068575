"""What the health page says, given the facts. Pure.

A workload without a usable provider makes the page degraded and stays in service: providers and nodes fail
over in different layers. A vendor that is down is down for every node, and a balancer that believed it would
take away all nodes at once. Only when no workload has any provider left is this node's own way out the likely
cause: then it is unhealthy, with the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.contract.health import Check, HealthPage

DISK_WARN, DISK_FULL = 85.0, 95.0  # percent used
MEMORY_WARN, MEMORY_OUT = 90.0, 97.0  # percent not available


@dataclass(frozen=True)
class Believed:
    """What the last look at a provider gave. `usable` None: nobody has looked yet."""

    usable: bool | None
    detail: str


@dataclass(frozen=True)
class Facts:
    node: str
    bundle: str | None
    gateway_ready: bool
    gateway_detail: str
    workloads: Mapping[str, Sequence[str]]  # name -> its providers
    providers: Mapping[str, Believed]
    disk_used_percent: float
    memory_used_percent: float
    clock_synchronised: bool | None  # None: somebody else keeps the clock (a container's host)
    draining: bool


def page(facts: Facts) -> HealthPage:
    checks = [
        Check(name="gateway", ok=facts.gateway_ready, detail=facts.gateway_detail),
        Check(name="router", ok=True, vital=False, detail="absent: OpenClaw asks each primary itself"),
        *_workloads(facts),
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
    """One workload without a provider degrades the node; only when none has any is the node of no use."""
    usable = {
        name: any(_of(facts, provider).usable is not False for provider in providers)
        for name, providers in facts.workloads.items()
    }
    none_left = not any(usable.values())
    return [
        Check(
            name=f"workload:{name}",
            ok=usable[name],
            vital=none_left,
            detail="; ".join(f"{provider}: {_of(facts, provider).detail}" for provider in providers),
        )
        for name, providers in facts.workloads.items()
    ]


def _of(facts: Facts, provider: str) -> Believed:
    return facts.providers.get(provider, Believed(None, "not looked at yet"))


def _level(name: str, percent: float, warn: float, out: float) -> Check:
    return Check(name=name, ok=percent < warn, vital=percent >= out, detail=f"{percent:.0f} % used")


def _clock(synchronised: bool | None) -> Check:
    detail = {True: "synchronised", False: "not synchronised yet", None: "kept by the host"}[synchronised]
    return Check(name="clock", ok=synchronised is not False, vital=False, detail=detail)
