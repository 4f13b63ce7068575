"""Signs of life and no answer: comments in a stream, blanks before a whole answer."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import SILENCE, Fault
from appliance.node.faults.reading import Piece, Stage
from appliance.node.faults.visit import LONGEST, Visit

BEATS = 10  # in a hedge


async def _strike(visit: Visit) -> web.StreamResponse:
    visit.record.outcome = "only comments"
    response = await visit.begin()
    beat, pace = b": ping\n\n" if visit.stream else b" ", visit.hedge / BEATS
    for _ in range(int(LONGEST / pace)):
        if visit.over.is_set():
            break
        await visit.write(response, Piece(beat, Stage.OPENING))
        await visit.wait(pace)
    return visit.cut(response, "only comments")


COMMENTS_ONLY = Fault(
    "comments-only", "comments keep the connection alive, no content", _strike, stream=SILENCE, whole=SILENCE
)
