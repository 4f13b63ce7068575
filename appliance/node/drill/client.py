"""The drill's questions: at the router itself, and as a client through edge and gateway."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from appliance.contract.drill import Kind, Level
from appliance.contract.router_policy import PORT
from appliance.node import gateway_files
from appliance.node.drill.heard import Heard
from appliance.node.system import Paths

TOLD_BY = "x-appliance-provider"
QUESTION = "Say one sentence of about fifteen words about rivers."


@dataclass(frozen=True)
class Door:
    """Where a level is asked. `by_path`: the edge tells workloads by their path, the router by the model."""

    url: str
    headers: dict[str, str]
    trust: ssl.SSLContext | None
    by_path: bool


def router_door(port: int = PORT) -> Door:
    return Door(f"http://127.0.0.1:{port}", {}, None, by_path=False)


def gateway_door(paths: Paths) -> Door:
    """As a client from outside has it: the node's own address, 443, the gateway's token. NodeTrouble."""
    bearer = {"Authorization": f"Bearer {gateway_files.token(paths)}"}
    address = own_address()
    at = f"[{address}]" if ":" in address else address
    return Door(f"https://{at}", bearer, edge_trust(paths.tls / "certificate.pem"), by_path=True)


def own_address() -> str:
    """That the way out begins at; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # RFC 5737: an example's
        return str(probe.getsockname()[0])


def edge_trust(certificate: Path) -> ssl.SSLContext:
    """The very certificate that this node has, and no other: its names may be only those of a domain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context


def mark() -> str:
    """What a question is known by, at the proxy and in what is said of it."""
    return f"drill-{secrets.token_hex(4)}"


class Client:
    """`asking`: makes one. A connection each, as strangers have."""

    def __init__(self, session: aiohttp.ClientSession, doors: dict[Level, Door]) -> None:
        self._session = session
        self._doors = doors

    async def ask(self, level: Level, kind: Kind, workload: str, marked: str, patience: float) -> Heard:
        """Never raises: what goes wrong is what was heard."""
        heard, begun = Heard(), time.monotonic()
        try:
            async with asyncio.timeout(patience):
                await self._ask(self._doors[level], kind, workload, marked, heard, begun)
        except TimeoutError:
            heard.silent = True
        except (aiohttp.ClientError, OSError) as error:
            heard.broke(f"the connection broke ({type(error).__name__})")
        heard.seconds = time.monotonic() - begun
        return heard

    async def _ask(
        self, door: Door, kind: Kind, workload: str, marked: str, heard: Heard, begun: float
    ) -> None:
        body: dict[str, Any] = {
            "model": "openclaw" if door.by_path else workload,
            "messages": [{"role": "user", "content": f"{QUESTION} ({marked})"}],
            "stream": kind is Kind.STREAM,
        }
        url = door.url + (f"/{workload}" if door.by_path else "") + "/v1/chat/completions"
        more: dict[str, Any] = {"ssl": door.trust} if door.trust else {}
        async with self._session.post(url, json=body, headers=door.headers, **more) as got:
            heard.begin(got.status, got.headers.get(TOLD_BY, ""))
            if got.content_type != "text/event-stream":
                heard.whole(await got.read(), time.monotonic() - begun)
                return
            async for data in got.content.iter_any():
                heard.stream(data, time.monotonic() - begun)


@asynccontextmanager
async def asking(doors: dict[Level, Door]) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
    ) as session:
        yield Client(session, doors)
