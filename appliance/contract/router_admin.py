"""The router's own door for root on the node: a Unix socket that no other user may open.

    POST   /reload         policy and keys anew; 422 and all stays as it was
    PUT    /drill/<lane>   a Lane: a shadow workload `drill-<lane>` for a time; what was there is replaced
    DELETE /drill/<lane>
    POST   /canary         Canaries (contract/drill.py): each provider and model of the policy asked directly

Who can name a provider's address can have its key sent there: so none of this is on the router's port.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from appliance.contract.router_policy import Policy, Provider, Seconds, Workload

SOCKET = "/run/appliance-router/admin.sock"
DRILL = "drill-"
GATEWAY_LANES = ("1", "2", "3", "4")  # that edge and gateway know; at the router any lane will do
DRILL_WORKLOADS = tuple(DRILL + lane for lane in GATEWAY_LANES)


class Lane(Policy):
    """Breakers of its own: the providers' names begin with `drill-`, so no user's breaker is meant.

    seconds: the lane ends by itself then, whatever became of whoever made it.
    keep: the breakers stay as they are; else they begin closed.
    """

    seconds: Seconds
    workload: Workload
    providers: dict[str, Provider] = Field(min_length=1)
    keep: bool = False

    @model_validator(mode="after")
    def _shadows_only(self) -> Self:
        if real := sorted(name for name in self.providers if not name.startswith(DRILL)):
            raise ValueError(f"a lane's providers are named {DRILL}…, not {', '.join(real)}")
        if unknown := sorted({t.provider for t in self.workload.targets} - self.providers.keys()):
            raise ValueError(f"unknown provider: {', '.join(unknown)}")
        return self
