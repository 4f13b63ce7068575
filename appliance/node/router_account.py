"""How this node's router is by its own account; root says more to it by router_admin.py."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

from pydantic import TypeAdapter, ValidationError

from appliance.contract.node_report import Breaker
from appliance.contract.router_policy import PORT
from appliance.contract.trouble import NodeTrouble

HEALTH = f"http://127.0.0.1:{PORT}/healthz"
ANSWER_SECONDS = 5

_BREAKERS = TypeAdapter(list[Breaker])


class Unanswered(NodeTrouble):
    """The router is not there, or says nothing."""


def account() -> dict[str, Any] | None:
    """None: it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(HEALTH, timeout=ANSWER_SECONDS) as answer:
            said = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return said if isinstance(said, dict) else None


def breakers(said: dict[str, Any] | None) -> list[Breaker]:
    """Of its account; none where there is no account."""
    try:
        return _BREAKERS.validate_python((said or {}).get("breakers", []))
    except ValidationError:
        return []
