"""What the node remembers of its last canary and drill, below contract/drill.py's STATE."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from appliance.contract.drill import LAST_CANARY, LAST_DRILL, Canaries, Evidence, Summary
from appliance.node.system import Paths

E = TypeVar("E", bound=Evidence)


def last_canary(paths: Paths) -> Canaries | None:
    return _read(paths.evidence / Path(LAST_CANARY).name, Canaries)


def last_drill(paths: Paths) -> Summary | None:
    return _read(paths.evidence / Path(LAST_DRILL).name, Summary)


def _read(path: Path, kind: type[E]) -> E | None:
    """None: there is none, or it is of another version."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
