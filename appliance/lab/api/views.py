"""Pieces of answers that several resources share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from appliance.lab.records import Action


def time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def action_view(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "command": action.command,
        "status": action.status,
        "progress": action.progress,
        "started": time(action.started),
        "finished": time(action.finished) if action.finished else None,
        "resources": [{"id": i, "type": kind} for kind, i in action.resources],
        "error": action.error.model_dump() if action.error else None,
    }


def dns_ptr_view(pointers: dict[str, str]) -> list[dict[str, str]]:
    return [{"ip": ip, "dns_ptr": name} for ip, name in pointers.items()]
