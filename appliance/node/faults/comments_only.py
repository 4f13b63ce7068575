"""Signs of life and no answer: comments in a stream, blanks before a whole answer; or behind content."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import SILENCE, Costs, Fault, Meaning, Rule
from appliance.node.faults.reading import Piece, Stage
from appliance.node.faults.visit import LONGEST, Visit

BEATS = 10  # in a hedge


async def _beat(visit: Visit, response: web.StreamResponse) -> web.StreamResponse:
    visit.record.outcome = "only comments"
    beat, pace = b": ping\n\n" if visit.stream else b" ", visit.hedge / BEATS
    for _ in range(int(LONGEST / pace)):
        if visit.over.is_set():
            break
        await visit.write(response, Piece(beat, Stage.OPENING))
        await visit.wait(pace)
    return visit.cut(response, "only comments")


async def _only(visit: Visit) -> web.StreamResponse:
    return await _beat(visit, await visit.begin())


async def _after_token(visit: Visit) -> web.StreamResponse:
    async with visit.upstream() as got:
        response = await visit.begin(got)
        await visit.give(response, got, content=1)
        return await _beat(visit, response)


COMMENTS_ONLY = Fault(
    "comments-only", "comments keep the connection alive, no content", _only, stream=SILENCE, whole=SILENCE
)
COMMENTS_AFTER_TOKEN = Fault(
    "comments-after-token",
    "one piece of content, then only comments",
    _after_token,
    stream=Meaning(Rule.AFTER_CONTENT, Costs.GAP),
    whole=None,
    asks=True,
    router_only=True,  # as stall-after-token
)
