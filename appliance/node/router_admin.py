"""The router's admin socket as the node's other programs use it (contract/router_admin.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from appliance.contract.drill import Canaries
from appliance.contract.router_admin import SOCKET, Lane
from appliance.contract.trouble import NodeTrouble
from appliance.node.router_account import Unanswered

SECONDS = 10.0
CANARY_SECONDS = 45.0  # the router itself gives the providers 30


@dataclass(frozen=True)
class RouterAdmin:
    """All raise NodeTrouble: the router does not answer, or says no."""

    socket: str = SOCKET

    async def reload(self) -> None:
        await self._call("POST", "/reload")

    async def open_lane(self, name: str, lane: Lane) -> None:
        """`drill-<name>` is a workload from now on, for `lane.seconds`; what was there is replaced."""
        await self._call("PUT", f"/drill/{name}", lane.model_dump_json())

    async def close_lane(self, name: str) -> None:
        """No trouble where there is none any more."""
        await self._call("DELETE", f"/drill/{name}")

    async def canary(self) -> Canaries:
        """Half a minute at most. Costs a short question a provider and model."""
        return Canaries.model_validate(await self._call("POST", "/canary", seconds=CANARY_SECONDS))

    async def healthz(self) -> dict[str, Any]:
        """What the router's port says, and `lanes`: the same of each, by name, with its `seconds` left."""
        return await self._call("GET", "/healthz")

    async def _call(
        self, method: str, path: str, body: str | None = None, seconds: float = SECONDS
    ) -> dict[str, Any]:
        connector = aiohttp.UnixConnector(self.socket)
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, f"http://router{path}", data=body) as answer,
            ):
                said = await answer.json(content_type=None)
        except TimeoutError:
            raise _silent(f"no answer to {path} within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _silent(str(error)) from None
        if not isinstance(said, dict) or answer.status != 200:
            why = said.get("error", "") if isinstance(said, dict) else ""
            raise NodeTrouble(f"The router refuses {path}.", why=why or f"it answers {answer.status}")
        return said


def _silent(why: str) -> Unanswered:
    return Unanswered(
        "The router does not answer root.", why=why, fix="See `journalctl -u appliance-router`."
    )
