"""How long a right answer may take: the one place. Pure; all in seconds.

Measured, not fixed: vendors' own answers vary. So what is allowed beyond the healthy median is twice what the
healthy answers differed by, since hundreds of asks are compared with five; and never less than FLOOR.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.contract.drill import Expected, Kind, Level
from appliance.contract.router_policy import Deadlines, Workload
from appliance.node.faults.fault import Costs, Fault, Rule
from appliance.node.faults.visit import BEAT

# The router's own part is measured at the router. Through the gateway it is OpenClaw's that varies, with the
# processor; what it must not do there, ask again or wait first, takes seconds.
FLOOR = {Level.ROUTER: 0.15, Level.GATEWAY: 0.5}
PATIENCE = 15  # beyond the limit, until an ask is given up as silent
HEAL = 3  # a probe's second, and what a busy node adds


@dataclass(frozen=True)
class Healthy:
    """Of one target without a fault."""

    median: float
    spread: float  # of the slowest over the fastest
    floor: float = FLOOR[Level.ROUTER]

    @property
    def allowed(self) -> float:
        return self.median + max(self.floor, 2 * self.spread)


def healthy(seconds: Sequence[float], level: Level) -> Healthy:
    return Healthy(statistics.median(seconds), max(seconds) - min(seconds), FLOOR[level])


@dataclass(frozen=True)
class Pair:
    """Fail-closed: no fallback."""

    primary: Healthy
    fallback: Healthy | None = None

    def of(self, expected: Expected) -> Healthy:
        """Who should answer, or fail."""
        return self.fallback if expected is Expected.FALLBACK and self.fallback else self.primary


def cost(fault: Fault, upstream: Kind, workload: Workload) -> float:
    """What must pass until the fault can be known; `workload` with the deadlines of its lane."""
    meaning, limits = fault.meaning(upstream), workload.deadlines
    assert meaning is not None
    streams = upstream is Kind.STREAM
    hedge = limits.hedge if streams else limits.whole_hedge
    match meaning.costs:
        case Costs.ERROR:
            return BEAT if meaning.rule is Rule.AFTER_CONTENT else 0
        case Costs.CONNECT:
            return limits.connect
        case Costs.GAP:
            return limits.between
        case Costs.WAIT:
            return fault.first * hedge
        case Costs.SILENCE:
            patience = limits.start if streams else limits.total
            return patience if workload.fail_closed else hedge


def longest(fault: Fault, upstream: Kind, workload: Workload, times: Pair, expected: Expected) -> float:
    """Of an ask that meets the fault."""
    through = times.primary.allowed if fault.asks and expected is Expected.FALLBACK else 0
    return cost(fault, upstream, workload) + through + times.of(expected).allowed


def shortened(limits: Deadlines, primary: Healthy) -> Deadlines:
    """For a fail-closed lane: it has nobody to hedge with, and its error after a silence, the same in a few
    seconds as in minutes, should be seen in a drill."""
    beat = max(1.0, 2 * primary.median)
    return limits.model_copy(
        update={
            "hedge": min(limits.hedge, beat),
            "whole_hedge": min(limits.whole_hedge, beat),
            "between": min(limits.between, 2 * beat),
            "start": min(limits.start, 3 * beat),
            "total": min(limits.total, 5 * beat),
        }
    )
