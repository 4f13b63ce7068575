"""The answer begins, and then there is silence on an open connection."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import SILENCE, Costs, Fault, Meaning, Rule
from appliance.node.faults.visit import Visit


async def _stall(visit: Visit, content: int) -> web.StreamResponse:
    async with visit.upstream() as got:
        response = await visit.begin(got)
        await visit.give(response, got, content)
        return await visit.stall(response)


async def _after_role(visit: Visit) -> web.StreamResponse:
    return await _stall(visit, 0)


async def _after_token(visit: Visit) -> web.StreamResponse:
    return await _stall(visit, 1)


STALL_AFTER_ROLE = Fault(
    "stall-after-role",
    "what comes before content, then silence",
    _after_role,
    stream=SILENCE,
    whole=SILENCE,
)
STALL_AFTER_TOKEN = Fault(
    "stall-after-token",
    "one piece of content, then silence",
    _after_token,
    stream=Meaning(Rule.AFTER_CONTENT, Costs.GAP),
    whole=SILENCE,
    asks=True,
)
