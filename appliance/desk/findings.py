"""What a check found, thing by thing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    level: Level
    subject: str  # the path in appliance.yaml, or "cloud"
    what: str
    right: str = ""
    at_desk: bool = False  # the desk's own matter, not the cloud's
