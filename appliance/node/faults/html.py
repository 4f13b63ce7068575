"""A 200 that some box on the way made up."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit

PAGE = b"<!doctype html><title>Sign in</title><h1>Sign in</h1>"


async def _strike(visit: Visit) -> web.StreamResponse:
    response = visit.say(200, PAGE, {"Content-Type": "text/html"})
    visit.record.outcome = "a page"
    return response


HTML = Fault("html", "a 200 with a sign-in page", _strike)
