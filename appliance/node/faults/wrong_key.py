"""The provider itself is asked, with a key that is none: its own refusal, in its own words."""

from __future__ import annotations

import secrets

from aiohttp import web

from appliance.contract.router_policy import Api
from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit


async def _strike(visit: Visit) -> web.StreamResponse:
    wrong = secrets.token_urlsafe(24)
    own = {"x-api-key": wrong} if visit.api is Api.ANTHROPIC else {"Authorization": f"Bearer {wrong}"}
    visit.headers.update(own)
    async with visit.upstream() as got:  # refused, or the provider takes any key
        response = await visit.begin(got)
        await visit.give(response, got)
        return response


WRONG_KEY = Fault("wrong-key", "the vendor is asked with a key that is none", _strike, asks=True)
