"""One request on its way through the proxy: what faults get to work with, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from appliance.contract.router_policy import Api, Deadlines, Provider
from appliance.node.faults import reading, words
from appliance.node.faults.reading import Piece, Stage

LONGEST = 600  # seconds that a fault holds a request
BEAT = 0.05  # seconds between content and what strikes behind it, so that the content is on its way
KEPT = 256 * 1024  # characters of an answer's text
_OURS = {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect"}
_PASSED = ("content-type", "cache-control", "retry-after", "retry-after-ms", "request-id", "x-request-id")


@dataclass
class Record:
    """A request that reached a provider. `text` is what flowed of the answer; times are time.monotonic()."""

    target: str
    provider: str
    primary: bool
    model: str  # that it was asked for
    asked: str  # the mark of the ask it belongs to
    began: float
    first: float | None = None
    ended: float | None = None
    outcome: str = ""
    text: str = ""
    whole: bool = False  # all of the answer flowed, up to the words that say so


class Refused(Exception):  # noqa: N818 - the word of the house
    """The provider itself answers with an error, where a fault wanted an answer to work on."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass
class Visit:
    request: web.Request
    body: bytes
    stream: bool
    provider: Provider
    limits: Deadlines
    session: aiohttp.ClientSession
    over: asyncio.Event  # the fault has ended
    record: Record
    headers: dict[str, str] = field(default_factory=dict)  # in place of the client's own

    @property
    def api(self) -> Api:
        return self.provider.api

    @property
    def hedge(self) -> float:
        return self.limits.hedge if self.stream else self.limits.whole_hedge

    # --- the provider

    @asynccontextmanager
    async def upstream(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """The provider's own 200. Refused: it gave something else. aiohttp.ClientError, OSError."""
        url = self.provider.base_url + "/" + self.request.match_info["tail"]
        passed = {k: v for k, v in self.request.headers.items() if k.lower() not in _OURS}
        own = {key.lower() for key in self.headers}
        headers = {k: v for k, v in passed.items() if k.lower() not in own} | self.headers
        async with self.session.post(url, data=self.body, headers=headers, allow_redirects=False) as got:
            if got.status != 200:
                raise Refused(self.say(got.status, await got.read(), _kept(got.headers)))
            yield got

    async def give(
        self, response: web.StreamResponse, got: aiohttp.ClientResponse, content: int | None = None
    ) -> None:
        """Pass on the answer, or only until so many pieces of content are through."""
        async for piece in self.pieces(got):
            if content is not None and piece.stage is not Stage.OPENING:
                if content == 0 or piece.stage is Stage.CLOSING:
                    return
                content -= 1
            await self.write(response, piece)
            if content == 0 and piece.stage is Stage.CONTENT:
                await self.wait(BEAT)
                return

    async def pieces(self, got: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
        if not self.stream:
            for piece in reading.whole(self.api, await got.read()):
                yield piece
            return
        events = reading.Events(self.api)
        async for data in got.content.iter_any():
            for piece in events.feed(data):
                yield piece
        for piece in events.close():
            yield piece

    # --- the client, which is the router

    async def begin(self, got: aiohttp.ClientResponse | None = None, kind: str = "") -> web.StreamResponse:
        """The head of a 200: the provider's, or one of our own."""
        response = web.StreamResponse(headers=_kept(got.headers) if got is not None else None)
        if got is None:
            response.content_type = kind or ("text/event-stream" if self.stream else "application/json")
        response.force_close()  # what a kept connection's end means nobody can tell: a drill has none
        await response.prepare(self.request)
        return response

    async def write(self, response: web.StreamResponse, piece: Piece) -> None:
        await response.write(piece.data)
        if piece.stage is Stage.CONTENT and self.record.first is None:
            self.record.first = time.monotonic()
        if piece.stage is Stage.CLOSING:
            self.record.whole = True
        if len(self.record.text) < KEPT:
            self.record.text += piece.text

    def refuse(self, reason: int | str, headers: Mapping[str, str] | None = None) -> web.Response:
        """An error in the vendor's own words."""
        body = json.dumps(words.error(self.api, reason)).encode()
        told = {"Content-Type": "application/json", **(headers or {})}
        return self.say(words.status_of(self.api, reason), body, told)

    def say(self, status: int, body: bytes, headers: Mapping[str, str]) -> web.Response:
        self.record.outcome = str(status)
        response = web.Response(status=status, body=body, headers=headers)
        response.force_close()
        return response

    async def wait(self, seconds: float) -> None:
        """Until the time is over or the fault has ended. The client's leaving cancels it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), min(seconds, LONGEST))

    async def stall(self, response: web.StreamResponse | None = None) -> web.StreamResponse:
        """Nothing more comes. When the fault has ended, the connection does."""
        self.record.outcome = "fell silent"
        await self.wait(LONGEST)
        return self.cut(response, "fell silent")

    def cut(self, response: web.StreamResponse | None = None, outcome: str = "cut off") -> web.StreamResponse:
        """End the connection where the answer stands."""
        self.record.outcome = outcome
        if self.request.transport is not None:
            self.request.transport.close()
        return response if response is not None else web.Response()


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in _PASSED if name in headers}
