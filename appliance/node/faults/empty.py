"""A 200 without a body."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit


async def _strike(visit: Visit) -> web.StreamResponse:
    visit.record.outcome = "empty"
    return await visit.begin()


EMPTY = Fault("empty", "a 200 with nothing in it", _strike)
