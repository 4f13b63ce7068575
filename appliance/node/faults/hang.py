"""The request is taken and never answered."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import SILENCE, Fault
from appliance.node.faults.visit import Visit


async def _strike(visit: Visit) -> web.StreamResponse:
    return await visit.stall()


HANG = Fault("hang", "takes the request and never answers", _strike, stream=SILENCE, whole=SILENCE)
