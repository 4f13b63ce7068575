"""The whole relay without sockets, in a time that passes at once: scripted upstreams, a client."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from appliance.contract.router_policy import Api, BreakerTimes, Deadlines, Mode, Provider, Target, Workload
from appliance.node.router.attempt import Upstream
from appliance.node.router.breaker import Breaker
from appliance.node.router.classify import Cause, Failed
from appliance.node.router.dialects import Ask, Question
from appliance.node.router.relay import Candidate, Relay
from appliance.node.router.shaping import Reply

T = TypeVar("T")
FOREVER = 1e6
LIMITS = Deadlines(hedge=5, whole_hedge=5, between=30, closing=5, start=110, total=570, comment=10)


class _Leap(selectors.SelectSelector):
    """Nothing ever comes from outside: waiting is leaping to the next timer."""

    time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.time += timeout
        assert timeout is not None, "nothing will ever happen again"
        return []


def run(work: Coroutine[Any, Any, T]) -> T:
    selector = _Leap()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.time  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(asyncio.wait_for(work, 10_000))
    finally:
        loop.close()


@dataclass
class Script:
    """What an upstream does: headers after `wait`, then each piece after its own wait. Ends as `end` says."""

    status: int = 200
    kind: str = "text/event-stream"
    pieces: Sequence[tuple[float, bytes]] = ()
    end: str = "close"  # close | drop | hang
    wait: float = 0
    calls: int = 0
    open_now: int = 0  # connections that nobody closed


@dataclass
class _Played:
    script: Script
    status: int
    headers: Mapping[str, str]
    at: int = 0
    closed: bool = False

    async def read(self) -> bytes:
        assert not self.closed, "read behind its close"
        if self.at < len(self.script.pieces):
            wait, data = self.script.pieces[self.at]
            await asyncio.sleep(wait)
            self.at += 1
            return data or await self.read()
        if self.script.end == "hang":
            await asyncio.sleep(FOREVER)
        if self.script.end == "drop":
            raise Failed(Cause.DROPPED)
        return b""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.script.open_now -= 1


@dataclass
class Stage:
    """Opener of all: providers are told apart by their URL."""

    scripts: Mapping[str, Script]

    async def open(self, question: Question, connect: float) -> Upstream:
        script = self.scripts[question.url.split("/")[2]]
        script.calls += 1
        await asyncio.sleep(script.wait)
        script.open_now += 1
        return _Played(script, script.status, {"content-type": script.kind})


@dataclass
class Listener:
    """The client: what it was given, and when."""

    headers: dict[str, str] | None = None
    data: bytes = b""
    times: list[float] = field(default_factory=list)

    async def begin(self, headers: dict[str, str]) -> None:
        assert self.headers is None, "begun twice"
        self.headers = headers

    async def write(self, data: bytes) -> None:
        assert self.headers is not None, "written before it began"
        self.data += data
        self.times.append(asyncio.get_running_loop().time())


@dataclass
class Seen:
    reply: Reply | None
    client: Listener
    relay: Relay
    seconds: float


def candidates(scripts: Mapping[str, Script], apis: Mapping[str, Api]) -> list[Candidate]:
    return [
        Candidate(
            Target(provider=name, model=f"{name}-large"),
            Provider(api=apis.get(name, Api.OPENAI), base_url=f"http://{name}/v1", credential=name),
            f"key-of-{name}",
            Breaker(BreakerTimes()),
            None,
        )
        for name in scripts
    ]


async def asked(
    scripts: Mapping[str, Script],
    *,
    stream: bool = True,
    mode: Mode = Mode.PASS,
    apis: Mapping[str, Api] | None = None,
    limits: Deadlines = LIMITS,
    usage: bool = False,
    client: Listener | None = None,
) -> Seen:
    """One request to these providers, in their order; ends when all that was begun is over."""
    loop = asyncio.get_running_loop()
    body: dict[str, Any] = {"model": "w", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    if usage:
        body["stream_options"] = {"include_usage": True}
    tried = candidates(scripts, apis or {})
    targets = [candidate.target for candidate in tried]
    workload = Workload(
        primary=targets[0],
        fallbacks=tuple(targets[1:]),
        fail_closed=len(targets) == 1,
        mode=mode,
        deadlines=limits,
    )
    client = client or Listener()
    relay = Relay(Ask("w", body, 1), workload, tried, Stage(scripts), client)
    begun = loop.time()
    reply = await relay.answer()
    seconds = loop.time() - begun
    await asyncio.sleep(5)  # connections are read to their ends meanwhile
    return Seen(reply, client, relay, seconds)
