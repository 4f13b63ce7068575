"""The fault proxy: on loopback, between the router's drill lanes and the real providers.

A lane is a path, /<lane>/<target>/...; all that is asked there goes on to the real provider, key and body
untouched, but where a fault strikes. Keys are never kept, shown or logged.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from appliance.contract.router_policy import BODY_BYTES, Deadlines, Provider
from appliance.node.faults.fault import Fault, Strike
from appliance.node.faults.visit import Record, Refused, Visit
from appliance.node.faults.wires import HOST, Wires

MARK = re.compile(rb"drill-[0-9a-f]{8}\b")  # in what is asked: tells whose call it is
CONNECT = 30  # seconds; the router gives up before


@dataclass(frozen=True)
class Behind:
    """A target of a lane: whom the proxy asks. `provider` is its name in the policy."""

    provider: str
    at: Provider


@dataclass
class _Lane:
    targets: Mapping[str, Behind]  # by their names in the lane; the first one is the primary
    limits: Deadlines
    strikes: Mapping[str, Strike] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    records: list[Record] = field(default_factory=list)


class Proxy:
    """async with: it listens."""

    def __init__(self) -> None:
        self.wires = Wires()
        self._lanes: dict[str, _Lane] = {}
        self._port = 0
        app = web.Application(client_max_size=BODY_BYTES + 64 * 1024)
        app.router.add_post("/{lane}/{target}/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)

    async def __aenter__(self) -> Proxy:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
        )
        await self.wires.start()
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for lane in self._lanes.values():
            lane.over.set()
        await self._runner.cleanup()
        await self.wires.close()
        await self._session.close()

    def open(self, lane: str, targets: Mapping[str, Behind], limits: Deadlines) -> None:
        """Anew, without a fault and without records."""
        self.close(lane)
        self._lanes[lane] = _Lane(targets, limits)

    def close(self, lane: str) -> None:
        if old := self._lanes.pop(lane, None):
            old.over.set()

    def inject(self, lane: str, fault: Fault) -> None:
        """At the lane's primary, and beside it where the fault says so."""
        at = self._lanes[lane]
        primary, *others = at.targets
        at.strikes = {primary: fault.strike} if fault.strike else {}
        if fault.beside:
            at.strikes |= dict.fromkeys(others, fault.beside)

    def heal(self, lane: str) -> None:
        """No fault any more; what it held is cut off."""
        at = self._lanes[lane]
        at.strikes = {}
        at.over.set()
        at.over = asyncio.Event()

    def url(self, lane: str, target: str) -> str:
        return f"http://{HOST}:{self._port}/{lane}/{target}"

    def records(self, lane: str, mark: str) -> Sequence[Record]:
        """The calls that were made for the ask with this mark."""
        return [record for record in self._lanes[lane].records if record.asked == mark]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        lane = self._lanes.get(request.match_info["lane"])
        target = request.match_info["target"]
        if lane is None or target not in lane.targets:
            return web.Response(status=404)
        body = await request.read()
        asked = _object(body)
        behind = lane.targets[target]
        record = Record(
            target=target,
            provider=behind.provider,
            primary=target == next(iter(lane.targets)),
            model=str(asked.get("model", "")),
            asked=mark_of(body),
            began=time.monotonic(),
        )
        lane.records.append(record)
        visit = Visit(
            request,
            body,
            asked.get("stream") is True,
            behind.at,
            lane.limits,
            self._session,
            lane.over,
            record,
        )
        try:
            return await (lane.strikes.get(target) or _pass_on)(visit)
        except Refused as refused:
            return refused.response
        except asyncio.CancelledError:
            record.outcome = record.outcome or "cancelled"
            raise
        except ConnectionResetError:
            record.outcome = record.outcome or "cancelled"
            return web.Response()
        except (aiohttp.ClientError, OSError) as error:
            return visit.cut(outcome=f"could not be asked ({type(error).__name__})")
        finally:
            record.ended = time.monotonic()
            if record.whole:
                record.outcome = record.outcome or "answered"


async def _pass_on(visit: Visit) -> web.StreamResponse:
    async with visit.upstream() as got:
        response = await visit.begin(got)
        await visit.give(response, got)
        return response


def mark_of(body: bytes) -> str:
    """The last mark in it: what was asked last."""
    found = MARK.findall(body)
    return found[-1].decode() if found else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
