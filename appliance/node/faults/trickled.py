"""A byte at a time: signs of life that never amount to content."""

from __future__ import annotations

import asyncio

from aiohttp import web

from appliance.node.faults.fault import SILENCE, Fault
from appliance.node.faults.reading import Piece, Stage
from appliance.node.faults.visit import LONGEST, Visit

BYTES = 20  # before a hedge: less than any event or answer takes


async def _headers(visit: Visit) -> web.StreamResponse:
    """The header section never ends."""
    visit.record.outcome = "trickled"
    transport = visit.request.transport
    pace = visit.hedge / BYTES
    for index in range(int(LONGEST / pace)):
        if visit.over.is_set() or not isinstance(transport, asyncio.Transport) or transport.is_closing():
            break
        transport.write(b"HTTP/1.1 200 OK\r\nX-Trickle: "[index : index + 1] or b".")
        await visit.wait(pace)
    return visit.cut(outcome="trickled")


async def _body(visit: Visit) -> web.StreamResponse:
    """The provider's right answer, far too slowly."""
    async with visit.upstream() as got:
        visit.record.outcome = "trickled"
        data = b"".join([piece.data async for piece in visit.pieces(got)])
        response = await visit.begin(got)
        for index in range(len(data)):
            if visit.over.is_set():
                break
            await visit.write(response, Piece(data[index : index + 1], Stage.OPENING))
            await visit.wait(visit.hedge / BYTES)
        return visit.cut(response, "trickled")


TRICKLED_HEADERS = Fault(
    "trickled-headers", "headers come byte by byte and never end", _headers, stream=SILENCE, whole=SILENCE
)
TRICKLED_BODY = Fault(
    "trickled-body", "the answer comes byte by byte, too slowly", _body, stream=SILENCE, whole=SILENCE
)
