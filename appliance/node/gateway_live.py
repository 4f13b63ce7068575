"""Give the running gateway new config and secrets without a restart, and know that it has taken them.

OpenClaw's own way, by the docs in its package, below gateway/: it watches its config (configuration/
hot-reload.md), and `config.get` tells the revision on file and the one applied, equal when the runtime has
it (protocol/handshake.md). `secrets.reload` answers once the new values are in use (secrets/
runtime-model.md). A `gateway-client` backend on loopback needs no paired device (protocol/auth.md).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from appliance.contract.trouble import NodeTrouble
from appliance.node import gateway_files
from appliance.node.system import Paths

URL = "ws://127.0.0.1:18789"
PROTOCOL = 4
APPLY_SECONDS = 20
POLL_SECONDS = 0.2


class Lost(Exception):  # noqa: N818 - the word of the house
    """The connection has ended, or was not let in."""


def apply(paths: Paths, *, config: bool, secrets: bool) -> None:
    """Raises NodeTrouble when the gateway has not applied what is in force within APPLY_SECONDS."""
    try:
        asyncio.run(_bounded(paths, config=config, secrets=secrets))
    except TimeoutError as error:
        raise NodeTrouble(f"The gateway did not apply it within {APPLY_SECONDS} s.") from error
    except (Lost, OSError, aiohttp.ClientError) as error:
        raise NodeTrouble("The gateway cannot be told.", why=str(error)) from error


def applied(before: dict[str, Any], now: dict[str, Any], *, changed: bool) -> bool:
    """Two answers to `config.get`, the first from before the file was written. Pure.

    The gateway keeps its answer until its watcher has seen the file: an old one says "applied" of the old.
    """
    seen = not changed or now.get("hash") != before.get("hash")
    revision = now.get("configRevisionHash")
    return seen and revision is not None and revision == now.get("appliedConfigHash")


async def _bounded(paths: Paths, *, config: bool, secrets: bool) -> None:
    async with asyncio.timeout(APPLY_SECONDS), aiohttp.ClientSession() as session:
        gateway = Gateway(session, gateway_files.token(paths))
        before = await gateway.ask("config.get")
        kept = _config(paths)
        if secrets:  # first: the config that names a new one makes the gateway read them
            gateway_files.put_secrets(paths)
            gateway.token = gateway_files.token(paths)
        if config:
            gateway_files.put_config(paths)
            changed = _config(paths) != kept
            while not applied(before, await gateway.ask_until_told("config.get"), changed=changed):
                await asyncio.sleep(POLL_SECONDS)
        if secrets:
            await gateway.ask_until_told("secrets.reload")


def _config(paths: Paths) -> bytes:
    return (paths.gateway / gateway_files.CONFIG).read_bytes()


class Gateway:
    """One connection, made anew where the gateway ended it: it does so when its token changes."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self.token = token  # for the next connection
        self._session = session
        self._wire: aiohttp.ClientWebSocketResponse | None = None

    async def ask(self, method: str) -> dict[str, Any]:
        """Its payload. Raises Lost, aiohttp's errors, and NodeTrouble where the gateway says no."""
        if self._wire is None:
            self._wire = await self._connect()
        answer = await _call(self._wire, method, {})
        if not answer.get("ok"):
            why = str((answer.get("error") or {}).get("message", ""))
            raise NodeTrouble(f"The gateway refuses {method}.", why=why)
        return dict(answer.get("payload") or {})

    async def ask_until_told(self, method: str) -> dict[str, Any]:
        """As `ask`, by as many connections as it takes."""
        while True:
            try:
                return await self.ask(method)
            except (Lost, OSError, aiohttp.ClientError):
                self._wire = None
                await asyncio.sleep(POLL_SECONDS)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        wire = await self._session.ws_connect(URL, max_msg_size=0)
        hello = {
            "minProtocol": PROTOCOL,
            "maxProtocol": PROTOCOL,
            "client": {"id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend"},
            "role": "operator",
            "scopes": ["operator.read", "operator.admin"],
            "caps": [],
            "auth": {"token": self.token},
        }
        answer = await _call(wire, "connect", hello)
        if not answer.get("ok"):
            await wire.close()
            raise Lost("it does not let this node's token in")
        return wire


async def _call(wire: aiohttp.ClientWebSocketResponse, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The answer among the events that come on the same connection."""
    await wire.send_json({"type": "req", "id": method, "method": method, "params": params})
    async for message in wire:
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        said: dict[str, Any] = json.loads(message.data)
        if said.get("type") == "res" and said.get("id") == method:
            return said
    raise Lost("it ended the connection")
