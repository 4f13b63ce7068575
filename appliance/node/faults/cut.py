"""The connection ends in the middle of the answer."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import Fault, Meaning, Rule
from appliance.node.faults.visit import Visit


async def _cut(visit: Visit, content: int) -> web.StreamResponse:
    async with visit.upstream() as got:
        response = await visit.begin(got)
        await visit.give(response, got, content)
        return visit.cut(response)


async def _before(visit: Visit) -> web.StreamResponse:
    return await _cut(visit, 0)


async def _after(visit: Visit) -> web.StreamResponse:
    return await _cut(visit, 1)


CUT_BEFORE_CONTENT = Fault("cut-before-content", "cut off before any content", _before, asks=True)
CUT_AFTER_CONTENT = Fault(
    "cut-after-content", "cut off after content", _after, stream=Meaning(Rule.AFTER_CONTENT), asks=True
)
