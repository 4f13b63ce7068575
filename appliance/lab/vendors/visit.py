"""One request on its way to its answer: what faults get to work with."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from appliance.lab.vendors.answers import Ask, Dialect, Part, Refusal


class Order(BaseModel):
    """What PUT /_lab/fault takes: a fault's name, what it strikes, and its figures."""

    model_config = ConfigDict(extra="forbid")

    fault: str
    model: str = "*"  # glob
    path: str = "*"  # glob
    stream: bool | None = None  # only streams, or only whole answers
    count: int | None = Field(None, ge=1)  # strikes so often, then heals by itself
    status: int = Field(503, ge=400, le=599)
    retry_after: int | None = Field(None, ge=0, le=86400)  # seconds
    seconds: float = Field(60, gt=0, le=600)  # no fault holds a request longer
    tokens: int = Field(1, ge=0, le=1000)  # pieces of content that pass before it strikes
    pace: float = Field(0, ge=0, le=10)  # seconds between pieces, or between bytes that trickle


@dataclass
class Standing:
    """A fault in force."""

    order: Order
    left: int | None
    healed: asyncio.Event = field(default_factory=asyncio.Event)

    def strikes(self, path: str, model: str, stream: bool) -> bool:
        order = self.order
        return (
            self.left != 0
            and not self.healed.is_set()
            and fnmatchcase(path, order.path)
            and fnmatchcase(model, order.model)
            and order.stream in (None, stream)
        )


@dataclass
class Record:
    """What `GET /_lab/requests` tells of a request. No key, and of the words only their beginning."""

    number: int
    at: float  # Unix time
    method: str
    path: str
    vendor_api: str
    agent: str
    size: int = 0  # bytes of the body
    model: str = ""
    stream: bool = False
    heard: str = ""
    heard_digest: str = ""
    before: list[str] = field(default_factory=list)  # the user's earlier words: the conversation so far
    fault: str = ""
    status: int = 0
    outcome: str = "running"  # running | answered | refused | broken | client left
    seconds: float = 0


@dataclass
class Visit:
    request: web.Request
    dialect: Dialect
    ask: Ask | None  # None: the list of models
    parts: list[Part]  # the body of the healthy answer
    record: Record
    standing: Standing

    @property
    def stream(self) -> bool:
        return self.ask is not None and self.ask.stream

    @property
    def order(self) -> Order:
        return self.standing.order

    async def wait(self, seconds: float) -> None:
        """Until the time is over, the fault is healed or the client has left."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.gone:
            try:
                await asyncio.wait_for(self.standing.healed.wait(), min(left, 0.2))
            except TimeoutError:
                continue
            return

    @property
    def gone(self) -> bool:
        return self.request.transport is None or self.request.transport.is_closing()

    async def begin(self, *, sized: bool = True, kind: str = "") -> web.StreamResponse:
        """Send the headers of a 200. `sized`: a whole answer says its length, as the vendors' do."""
        response = web.StreamResponse()
        response.content_type = kind or ("text/event-stream" if self.stream else "application/json")
        if self.stream:
            response.headers["Cache-Control"] = "no-cache"
        elif sized:
            response.content_length = sum(len(part.data) for part in self.parts)
        await response.prepare(self.request)
        return response

    async def send(self, response: web.StreamResponse, parts: Iterable[Part], pace: float = 0) -> None:
        for part in parts:
            await response.write(part.data)
            if pace and part.stage == "content":
                await self.wait(pace)

    def head(self, tokens: int) -> list[Part]:
        """The parts up to and with the first `tokens` pieces of content."""
        opening = [part for part in self.parts if part.stage == "opening"]
        return opening + [part for part in self.parts if part.stage == "content"][:tokens]

    def cut(self, response: web.StreamResponse) -> web.StreamResponse:
        """End the connection where the answer stands: what was written goes out, the end never comes."""
        self.record.outcome = "client left" if self.gone else "broken"
        if self.request.transport is not None:
            self.request.transport.close()
        return response

    def refuse(self, refusal: Refusal) -> web.Response:
        self.record.outcome = "refused"
        return json_answer(self.dialect.error(refusal), refusal.status, refusal.headers, self.record.number)


def json_answer(body: dict[str, Any], status: int, headers: Mapping[str, str], number: int) -> web.Response:
    """Request ids as the vendors give them, each in its own header."""
    ids = {"x-request-id": f"req_{number:012d}", "request-id": f"req_{number:012d}"}
    return web.Response(
        text=json.dumps(body), status=status, content_type="application/json", headers={**ids, **headers}
    )
