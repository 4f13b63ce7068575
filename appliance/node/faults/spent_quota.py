"""The account is spent: OpenAI says 429 to that, Anthropic 400."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults import words
from appliance.node.faults.fault import Fault
from appliance.node.faults.visit import Visit


async def _strike(visit: Visit) -> web.StreamResponse:
    return visit.refuse(words.QUOTA)


SPENT_QUOTA = Fault("spent-quota", "the account is spent, in the vendor's own words", _strike)
