"""The connection is reset when the request has been sent."""

from __future__ import annotations

import socket
import struct

from aiohttp import web

from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit

RST = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends RST instead of FIN


async def _strike(visit: Visit) -> web.StreamResponse:
    visit.record.outcome = "reset"
    transport = visit.request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        transport.abort()
    return web.Response()


RESET = Fault("reset", "the connection is reset after the request", _strike)
