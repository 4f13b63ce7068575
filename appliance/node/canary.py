"""Have the router ask each provider and model directly; keep the answers for `status` and the health page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from appliance.contract.bundle import ROUTER_POLICY
from appliance.contract.drill import LAST_CANARY, Canaries
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node import evidence
from appliance.node.system import Paths, write

AGAIN = 15 * 60.0  # seconds until one that failed is asked again


def canary(paths: Paths = Paths()) -> Canaries:  # noqa: B008 - frozen
    """Raises NodeTrouble: the router does not answer."""
    # Here: most runs find nothing due, and aiohttp takes long to import.
    from appliance.node.router_admin import RouterAdmin

    said = asyncio.run(RouterAdmin(str(paths.router / "admin.sock")).canary())
    write(paths.evidence / Path(LAST_CANARY).name, said.model_dump_json().encode())
    return said


def canary_if_due(paths: Paths = Paths()) -> Canaries | None:  # noqa: B008 - frozen
    """None: it was not. Raises NodeTrouble."""
    now = datetime.now(UTC)
    if not due(evidence.last_canary(paths), now, _every(paths), _given(paths)):
        return None
    return canary(paths)


def due(last: Canaries | None, now: datetime, every: float, given: datetime | None) -> bool:
    """`every`: seconds. `given`: when the router got its policy and keys, if that was since boot."""
    if last is None or last.at > now or (given is not None and given > last.at):
        return True
    return now - last.at >= timedelta(seconds=every if last.ok else min(every, AGAIN))


def _every(paths: Paths) -> float:
    path = paths.current / "files" / ROUTER_POLICY
    try:
        return RouterPolicy.model_validate_json(path.read_bytes()).canary.every
    except OSError as error:
        raise NodeTrouble("No policy of the router is in force.", why=f"{path}: {error.strerror}") from None
    except ValidationError:
        raise NodeTrouble(f"{path} is no policy of the router.", fix="Push again.") from None


def _given(paths: Paths) -> datetime | None:
    """The end of the last activation: new keys are tried soon."""
    try:
        return datetime.fromtimestamp(paths.applied.stat().st_mtime, UTC)
    except OSError:
        return None
