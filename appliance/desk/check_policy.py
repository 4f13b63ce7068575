"""What the policy of appliance.yaml costs and asks of clients: nothing wrong, but to be known. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.contract.router_policy import Mode
from appliance.desk.findings import Finding, Level
from appliance.desk.policy import CanaryCost
from appliance.desk.settings import Settings


def judge_policy(settings: Settings, cost: CanaryCost) -> Iterator[Finding]:
    for workload in settings.workloads:
        if workload.mode is Mode.HOLD:
            total = workload.deadlines.total
            what = f"streams are held until they are whole, up to {total:g} s; clients must wait longer"
            yield Finding(Level.OK, f"workloads.{workload.name}.mode", what, at_desk=True)
    models = "a model is" if cost.models == 1 else f"{cost.models} models are"
    what = (
        f"{models} asked every {cost.hours:g} h: {cost.requests_a_day} requests and at most "
        f"about {cost.tokens_a_day} tokens a day"
    )
    yield Finding(Level.OK, "canary", what, at_desk=True)
