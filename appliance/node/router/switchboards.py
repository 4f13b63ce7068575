"""Users' switchboard and those of the lanes: a drill's shadow workloads, each for the time of its lease.

No effects; `now` is monotonic. A lane whose time is over is forgotten at the next look at any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.contract.router_admin import DRILL, Lane
from appliance.contract.router_policy import MODEL_PREFIX, RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node.router.switchboard import InForce, Switchboard


@dataclass(frozen=True)
class _Open:
    lane: Lane
    board: Switchboard
    until: float


class Switchboards:
    """`load` reads policy and keys; raises Trouble."""

    def __init__(self, load: Callable[[], InForce]) -> None:
        self._load = load
        self.users = Switchboard(load())
        self._lanes: dict[str, _Open] = {}

    def reload(self) -> None:
        """Raises Trouble, and everything stays as it was. Lanes stay, with the new keys."""
        force = self._load()
        self.users.renew(force)
        for workload, lane in self._lanes.items():
            lane.board.renew(_shadow(workload, lane.lane, force))

    def find(self, model: str, now: float) -> tuple[Switchboard, str] | None:
        """Who answers a client's `model`, and by which name of a workload. Users' workloads go first."""
        if workload := self.users.force.policy.workload_of(model):
            return self.users, workload
        self._forget(now)
        workload = model.removeprefix(MODEL_PREFIX)
        lane = self._lanes.get(workload)
        return (lane.board, workload) if lane else None

    def open(self, name: str, lane: Lane, now: float) -> None:
        """Replaces what was there. NodeTrouble: the policy has a workload of that name."""
        workload = DRILL + name
        if workload in self.users.force.policy.workloads:
            raise NodeTrouble(f"{workload} is a workload of users: a lane cannot have its name")
        self._forget(now)
        force = _shadow(workload, lane, self.users.force)
        before = self._lanes.get(workload)
        if lane.keep and before:
            before.board.renew(force)
        board = before.board if lane.keep and before else Switchboard(force)
        self._lanes[workload] = _Open(lane, board, now + lane.seconds)

    def close(self, name: str) -> None:
        """A lane that has ended by itself is closed already."""
        self._lanes.pop(DRILL + name, None)

    def lanes(self, now: float) -> dict[str, dict[str, Any]]:
        """Health of each lane by its name, and the seconds it still has."""
        self._forget(now)
        return {
            workload.removeprefix(DRILL): lane.board.health(now) | {"seconds": round(lane.until - now, 1)}
            for workload, lane in self._lanes.items()
        }

    def _forget(self, now: float) -> None:
        self._lanes = {workload: lane for workload, lane in self._lanes.items() if now < lane.until}


def _shadow(workload: str, lane: Lane, users: InForce) -> InForce:
    policy = RouterPolicy(
        providers=lane.providers, workloads={workload: lane.workload}, breaker=users.policy.breaker
    )
    return InForce(policy, users.keys)
