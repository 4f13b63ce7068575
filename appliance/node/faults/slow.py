"""Healthy, only slow: what must never be harmed."""

from __future__ import annotations

import time

from aiohttp import web

from appliance.node.faults.fault import Costs, Fault, Meaning, Rule, Strike
from appliance.node.faults.reading import Stage
from appliance.node.faults.visit import Visit

SLOW = 0.6  # of the hedge: never hedged
SLOWER = 1.6  # of the hedge: hedged, and still first ...
SLOWEST = 1.6  # ... since the fallback, which begins a hedge later, takes so long from there


def _first_at(share: float) -> Strike:
    async def strike(visit: Visit) -> web.StreamResponse:
        visit.record.outcome = "slow"
        at = visit.record.began + share * visit.hedge
        async with visit.upstream() as got:
            if not visit.stream:
                await visit.wait(at - time.monotonic())
            response = await visit.begin(got)
            async for piece in visit.pieces(got):
                if piece.stage is not Stage.OPENING:
                    await visit.wait(at - time.monotonic())
                await visit.write(response, piece)
            return response

    return strike


_MEANING = Meaning(Rule.PRIMARY, Costs.WAIT)
SLOW_ANSWER = Fault(
    "slow",
    "the first content comes late, and right",
    _first_at(SLOW),
    stream=_MEANING,
    whole=_MEANING,
    first=SLOW,
)
SLOWER_ANSWER = Fault(
    "slower",
    "later than the hedge, and the fallback later still",
    _first_at(SLOWER),
    stream=_MEANING,
    whole=_MEANING,
    beside=_first_at(SLOWEST),
    first=SLOWER,
)
