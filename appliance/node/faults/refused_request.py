"""A 400 of the request itself: too long for this model, or the client's own mistake."""

from __future__ import annotations

from aiohttp import web

from appliance.node.faults import words
from appliance.node.faults.fault import Fault, Meaning, Rule
from appliance.node.faults.visit import Visit


async def _too_long(visit: Visit) -> web.StreamResponse:
    return visit.refuse(words.CONTEXT)


async def _clients_own(visit: Visit) -> web.StreamResponse:
    return visit.refuse(words.BAD_REQUEST)


_CONTEXT, _OWN = Meaning(Rule.CONTEXT), Meaning(Rule.CLIENTS_OWN)
CONTEXT_LENGTH = Fault("context-length", "the prompt is too long", _too_long, stream=_CONTEXT, whole=_CONTEXT)
CLIENT_ERROR = Fault("client-error", "the client's own 400", _clients_own, stream=_OWN, whole=_OWN)
