"""Errors that a status tells, in the vendor's own words."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit

RETRY_AFTER = 3  # seconds: other than any breaker's own time, so that it is seen to be honoured
_WHAT = {
    401: "the key is refused",
    402: "the account must pay",
    403: "access is forbidden",
    404: "the model is unknown",
    429: "too many requests, no Retry-After",
    500: "an internal error",
    502: "a bad gateway at the vendor",
    503: "unavailable",
    504: "a timeout at the vendor",
    529: "overloaded, as Anthropic says it",
}


def _status(code: int) -> Fault:
    async def strike(visit: Visit) -> web.StreamResponse:
        return visit.refuse(code)

    return Fault(str(code), _WHAT[code], strike)


async def _later(visit: Visit) -> web.StreamResponse:
    return visit.refuse(429, {"Retry-After": str(RETRY_AFTER)})


STATUSES = tuple(_status(code) for code in _WHAT)
RETRY_AFTER_429 = Fault(
    "429-retry-after", f"too many requests, Retry-After: {RETRY_AFTER}", _later, heals=RETRY_AFTER
)
