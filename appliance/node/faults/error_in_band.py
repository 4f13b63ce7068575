"""A 200 whose answer is an error: as the first event, or behind content."""

from __future__ import annotations

import json

from aiohttp import web

from appliance.contract.router_policy import Api
from appliance.node.faults import words
from appliance.node.faults.fault import Fault, Meaning, Rule
from appliance.node.faults.reading import Piece, Stage
from appliance.node.faults.visit import Visit


def _reason(visit: Visit) -> int:
    return 529 if visit.api is Api.ANTHROPIC else 500


async def _first(visit: Visit) -> web.StreamResponse:
    visit.record.outcome = "an error in band"
    event = words.error_event(visit.api, _reason(visit))
    body = json.dumps(words.error(visit.api, _reason(visit))).encode()
    response = await visit.begin()
    await visit.write(response, Piece(event if visit.stream else body, Stage.OPENING))
    return response


async def _after(visit: Visit) -> web.StreamResponse:
    async with visit.upstream() as got:
        response = await visit.begin(got)
        await visit.give(response, got, content=1)
        visit.record.outcome = "an error in band"
        event = words.error_event(visit.api, _reason(visit))
        await visit.write(response, Piece(event, Stage.CONTENT))
        return response


ERROR_IN_BAND = Fault("error-in-band", "a 200 whose first event is an error", _first)
ERROR_AFTER_CONTENT = Fault(
    "error-after-content",
    "content, then an error in band",
    _after,
    stream=Meaning(Rule.AFTER_CONTENT),
    whole=None,
    asks=True,
)
