"""The health page: what balancers and people read at https://node/healthz. 200 or 503, with the reasons."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

PATH = "/healthz"
PORT = 8790  # loopback on the node; the edge passes PATH on to it
DRAIN_FLAG = "/run/appliance/draining"


class Check(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str  # gateway | router | workload:<name> | canary | backup | disk | memory | clock | draining
    ok: bool
    detail: str
    vital: bool = True  # a failing vital check makes the page 503


class HealthPage(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: str  # ok | degraded | unhealthy
    node: str
    bundle: str | None
    checks: list[Check]

    @property
    def reasons(self) -> list[str]:
        return [f"{c.name}: {c.detail}" for c in self.checks if not c.ok]
