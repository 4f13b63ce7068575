"""How the node is after a drill, by looking and by asking."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from appliance.contract.drill import Aftermath, Kind, Level
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node.drill.client import Client, mark
from appliance.node.router_admin import RouterAdmin

PATIENCE = 120  # seconds


async def aftermath(
    policy: RouterPolicy,
    admin: RouterAdmin,
    client: Client,
    before: dict[str, Any],
    levels: Collection[Level],
) -> Aftermath:
    """`before`: the router's own account, taken before the drill."""
    wrong = await _router(admin, before)
    for level in levels:
        for workload in policy.workloads:
            heard = await client.ask(level, Kind.STREAM, workload, mark(), PATIENCE)
            if not (heard.done and heard.text) or heard.error:
                why = heard.error or ("silence" if heard.silent else "an answer that is none")
                wrong.append(f"{workload} does not answer at the {level}: {why}")
    if wrong:
        return Aftermath(ok=False, detail="; ".join(wrong))
    asked = " and ".join(levels)
    return Aftermath(
        ok=True, detail=f"no lane is left, breakers are as before, all workloads answer ({asked})"
    )


async def _router(admin: RouterAdmin, before: dict[str, Any]) -> list[str]:
    try:
        now = await admin.healthz()
    except NodeTrouble as trouble:
        return [str(trouble)]
    left = sorted(now.get("lanes", {}))
    wrong = [f"lanes are left: {', '.join(left)}"] if left else []
    opened = sorted(_not_closed(now) - _not_closed(before))
    return wrong + [f"the breaker of {name} opened meanwhile" for name in opened]


def _not_closed(account: dict[str, Any]) -> set[str]:
    return {
        f"{breaker['provider']}/{breaker['model']}"
        for breaker in account.get("breakers", [])
        if breaker["state"] != "closed"
    }
