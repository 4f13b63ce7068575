"""Who is asked for a workload, in which order, and how their breakers stand. No effects; `now` is monotonic.

Users' workloads have one, each lane of a drill has its own: neither can touch the other's breakers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.contract.router_policy import RouterPolicy, Target
from appliance.node.router.breaker import Breaker, Key
from appliance.node.router.keys import Keys
from appliance.node.router.relay import Candidate, Story


@dataclass(frozen=True)
class InForce:
    """A policy and its keys. A request keeps those that it began with."""

    policy: RouterPolicy
    keys: Keys


class Switchboard:
    """A policy and its keys in force, the breakers of its targets, counters of its requests."""

    def __init__(self, force: InForce) -> None:
        self.force = force
        self._breakers: dict[Key, Breaker] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self.renew(force)

    def renew(self, force: InForce) -> None:
        """Breakers still in the policy stay as they are; a new key begins with a closed one."""
        self.force = force
        workloads = force.policy.workloads.values()
        wanted = {self._key(target) for workload in workloads for target in workload.targets}
        times = force.policy.breaker
        lease = max(workload.deadlines.total for workload in workloads)
        self._breakers = {key: self._breakers.get(key) or Breaker(times) for key in sorted(wanted)}
        for breaker in self._breakers.values():
            breaker.times, breaker.lease = times, min(lease, breaker.lease)

    def candidates(self, workload: str, now: float) -> list[Candidate]:
        """In the order of this request: open breakers last, the one that is over soonest first of them."""
        made = [self._candidate(target, now) for target in self.force.policy.workloads[workload].targets]
        return sorted(made, key=lambda c: (c.open is not None, c.breaker.seconds_left(now) if c.open else 0))

    def count(self, story: Story) -> None:
        counts = self._counts.setdefault(story.workload, {})
        ended = "broke" if story.broke else story.provider or f"failed {story.status}"
        ended = ended if story.status else "client left"
        counts[ended] = counts.get(ended, 0) + 1

    def health(self, now: float) -> dict[str, Any]:
        """degraded: of some workload a provider stands behind an open breaker; failing: all of them do."""
        workloads = {}
        for name in self.force.policy.workloads:
            opened = [candidate.open is not None for candidate in self.candidates(name, now)]
            workloads[name] = "failing" if all(opened) else "degraded" if any(opened) else "ok"
        worst = next((w for w in ("failing", "degraded") if w in workloads.values()), "ok")
        return {
            "status": worst,
            "workloads": workloads,
            "breakers": [_account(key, breaker, now) for key, breaker in self._breakers.items()],
            "requests": self._counts,
        }

    def _candidate(self, target: Target, now: float) -> Candidate:
        provider = self.force.policy.providers[target.provider]
        breaker = self._breakers[self._key(target)]
        closed = breaker.admits(now)
        key = self.force.keys.get(provider.credential)
        return Candidate(target, provider, key, breaker, None if closed else breaker.cause)

    def _key(self, target: Target) -> Key:
        credential = self.force.policy.providers[target.provider].credential
        return Key(target.provider, self.force.keys.digest(credential), target.model)


def _account(key: Key, breaker: Breaker, now: float) -> dict[str, Any]:
    return {
        "provider": key.provider,
        "model": key.model,
        "state": breaker.state(now),
        "cause": breaker.cause,
        "seconds_left": round(breaker.seconds_left(now), 1),
    }
