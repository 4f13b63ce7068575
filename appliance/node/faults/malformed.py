"""A 200 of the right type whose body is none."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import Fault
from appliance.node.faults.reading import Piece, Stage
from appliance.node.faults.visit import Visit

EVENT = b'data: {"id": "chatcmpl-\n\n'
BODY = b'{"id": "chatcmpl-1", "choices": [{"index": 0, "mess'


async def _strike(visit: Visit) -> web.StreamResponse:
    visit.record.outcome = "malformed"
    response = await visit.begin()
    await visit.write(response, Piece(EVENT if visit.stream else BODY, Stage.OPENING))
    return response


MALFORMED = Fault("malformed", "a 200 whose JSON is broken", _strike)
