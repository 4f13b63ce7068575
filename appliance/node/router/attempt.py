"""One provider asked once. It gives on only what is known to be part of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from appliance.contract.router_policy import Api, Deadlines, Provider, Target
from appliance.node.router import dialects
from appliance.node.router.classify import Cause, Failed, Outcome, refused
from appliance.node.router.content import StreamCheck, check_type
from appliance.node.router.dialects import Ask, Question
from appliance.node.router.sse import SseParser

ERROR_BYTES = 64 * 1024  # of an error's body; its status says most
ERROR_SECONDS = 1.0  # that an error's body may take
ANSWER_BYTES = 64 * 1024 * 1024


class Upstream(Protocol):
    """An answer whose headers are here."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    async def read(self) -> bytes:
        """Some more of the body; b"" at its proper end. Failed: it broke off."""

    def close(self) -> None:
        """Drop the connection, unless the body was read to its end."""


class Opener(Protocol):
    async def open(self, question: Question, connect: float) -> Upstream:
        """Ask, and wait for the headers as long as it takes. Failed."""


class Attempt:
    """`begin` reads up to the first content; then `more` gives the answer on, or `gather` makes it whole."""

    def __init__(
        self, ask: Ask, provider: Provider, target: Target, key: str | None, deadlines: Deadlines
    ) -> None:
        self.ask = ask
        self.target = target
        self.key = key
        self.head: list[bytes] = []  # what is known of the answer and not yet given on
        self._api: Api = provider.api
        self._provider = provider
        self._deadlines = deadlines
        self._upstream: Upstream | None = None
        self._check = StreamCheck()
        self._parser = SseParser()
        self._reader = dialects.reader(ask, provider.api)
        self._whole = False
        self._content_at = 0.0  # loop time of the last content
        self._broken: Failed | None = None  # met behind content of the same bytes

    @property
    def spent(self) -> bool:
        """Nothing is left to be read."""
        return self._whole

    @property
    def done(self) -> bool:
        """The answer is whole."""
        return self._whole or self._check.done

    async def begin(self, opener: Opener) -> None:
        """Until `head` has content (without a stream: all of it). Failed."""
        if not self.key:
            raise Failed(Cause.NO_KEY)
        asked = dialects.question(self.ask, self._provider, self.target, self.key)
        self._upstream = await opener.open(asked, self._deadlines.connect)
        if self._upstream.status != 200:
            raise await self._refusal(self._upstream)
        check_type(self._upstream.headers, self.ask.stream)
        if not self.ask.stream:
            self.head = [await self._read_whole(self._upstream)]
            self._whole = True
            return
        while not self._check.content:
            self.head += await self._step(self._upstream)
            if self._broken:
                raise self._broken
        self._content_at = _now()

    async def gather(self, on_content: Callable[[], None]) -> None:
        """The rest of the answer into `head`. Failed."""
        on_content()
        while not self.done:
            self.head.append(await self.more())

    async def more(self) -> bytes:
        """The next events. Failed: there is no content for too long, or what comes is no answer."""
        while not self.done:
            if self._broken:
                raise self._broken
            events = await self._step_in_time()
            if events:
                return b"".join(events)
        return b""

    async def settle(self, seconds: float) -> None:
        """Read to the connection's end of the answer, so that the next request can have the connection."""
        if self._upstream is None:
            return
        try:
            async with asyncio.timeout(seconds):
                while await self._upstream.read():
                    pass
        except (Failed, TimeoutError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        if self._upstream is not None:
            self._upstream.close()

    async def _step_in_time(self) -> list[bytes]:
        assert self._upstream is not None
        limits = self._deadlines
        patience = limits.closing if self._check.finished else limits.between
        try:
            async with asyncio.timeout_at(self._content_at + patience):
                return await self._step(self._upstream)
        except TimeoutError:
            if self._check.finished:  # whole, only its last words are missing
                return [self._check.end()]
            raise Failed(Cause.SILENT) from None

    async def _step(self, upstream: Upstream) -> list[bytes]:
        """What the next bytes bring. With content before a fault the content comes first."""
        try:
            data = await upstream.read()
        except Failed:
            if not self._check.finished:
                raise
            return [self._check.end()]
        made: list[bytes] = []
        try:
            for event in self._parser.feed(data) if data else self._parser.close():
                for item in self._reader.events(event):
                    chunk = self._check.take(item)
                    if chunk.data:
                        made.append(chunk.data)
                    if chunk.content:
                        self._content_at = _now()
                    if self._check.done:
                        return made
            if not data:
                made.append(self._check.end())
        except Failed as failed:
            self._broken = failed
        return made

    async def _read_whole(self, upstream: Upstream) -> bytes:
        pieces, size = [], 0
        while data := await upstream.read():
            pieces.append(data)
            size += len(data)
            if size > ANSWER_BYTES:
                raise Failed(Cause.MALFORMED)
        return dialects.whole(self.ask, self._api, b"".join(pieces))

    async def _refusal(self, upstream: Upstream) -> Failed:
        body = b""
        try:
            async with asyncio.timeout(ERROR_SECONDS):
                while len(body) < ERROR_BYTES and (data := await upstream.read()):
                    body += data
        except (Failed, TimeoutError):
            pass
        failed = Failed(Cause.SERVER_ERROR)
        failed.outcome = self._keyless(refused(upstream.status, upstream.headers, body))
        return failed

    def _keyless(self, outcome: Outcome) -> Outcome:
        """A vendor that shows the key, or an end of it, is not quoted."""
        key = self.key or ""
        shown = any(part in outcome.told for part in (key[:6], key[-6:]) if part)
        return Outcome(outcome.cause, outcome.status, outcome.retry_after) if shown else outcome


def _now() -> float:
    return asyncio.get_running_loop().time()
