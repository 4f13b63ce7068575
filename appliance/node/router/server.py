"""The router's HTTP side on loopback: chat completions, models, health, reload."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from appliance.contract.router_policy import BODY_BYTES, MODEL_PREFIX, RouterPolicy, Target
from appliance.contract.trouble import Trouble
from appliance.node.router import shaping
from appliance.node.router.attempt import Opener
from appliance.node.router.breaker import Breaker, Key
from appliance.node.router.classify import Failed
from appliance.node.router.content import parse_object
from appliance.node.router.dialects import Ask
from appliance.node.router.keys import Keys
from appliance.node.router.relay import Candidate, Relay, Story
from appliance.node.router.shaping import Reply
from appliance.node.router.upstream import HttpOpener, new_session

log = logging.getLogger("router")
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


@dataclass(frozen=True)
class InForce:
    """A policy and its keys. A request keeps those that it began with."""

    policy: RouterPolicy
    keys: Keys


class Router:
    """What outlives a request: policy and keys in force, breakers, counters."""

    def __init__(self, load: Callable[[], InForce]) -> None:
        """`load` reads policy and keys anew; raises Trouble."""
        self._load = load
        self.now = load()
        self.in_flight = 0
        self._breakers: dict[Key, Breaker] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._loaded_at = time.time()
        self._forget_breakers()

    def reload(self) -> None:
        """Raises Trouble, and everything stays as it was."""
        self.now = self._load()
        self._loaded_at = time.time()
        self._forget_breakers()
        log.info("policy reloaded: workloads %s", ", ".join(self.now.policy.workloads))

    def candidates(self, workload: str, now: float) -> list[Candidate]:
        """In the order of this request: open breakers last, the one that is over soonest first of them."""
        made = [self._candidate(target, now) for target in self.now.policy.workloads[workload].targets]
        return sorted(made, key=lambda c: (c.open is not None, c.breaker.seconds_left(now) if c.open else 0))

    def tell(self, story: Story) -> None:
        counts = self._counts.setdefault(story.workload, {})
        ended = "broke" if story.broke else story.provider or f"failed {story.status}"
        ended = ended if story.status else "client left"
        counts[ended] = counts.get(ended, 0) + 1
        if story.passed or story.broke or story.status != 200:
            who = shaping.told_by(story.provider, story.passed)
            log.info(
                "workload=%s provider=%s failover=%r status=%d broke=%s seconds=%.3f",
                story.workload,
                who[shaping.PROVIDER],
                who[shaping.FAILOVER],
                story.status,
                story.broke.cause if story.broke else "no",
                story.seconds,
            )

    def health(self, now: float) -> dict[str, Any]:
        """degraded: of some workload a provider stands behind an open breaker; failing: all of them do."""
        workloads = {}
        for name in self.now.policy.workloads:
            opened = [candidate.open is not None for candidate in self.candidates(name, now)]
            workloads[name] = "failing" if all(opened) else "degraded" if any(opened) else "ok"
        worst = next((w for w in ("failing", "degraded") if w in workloads.values()), "ok")
        return {
            "status": worst,
            "workloads": workloads,
            "breakers": [self._account(key, breaker, now) for key, breaker in self._breakers.items()],
            "requests": self._counts,
            "in_flight": self.in_flight,
            "loaded_at": round(self._loaded_at, 3),
        }

    def _candidate(self, target: Target, now: float) -> Candidate:
        provider = self.now.policy.providers[target.provider]
        breaker = self._breakers[self._key(target)]
        closed = breaker.admits(now)
        key = self.now.keys.get(provider.credential)
        return Candidate(target, provider, key, breaker, None if closed else breaker.cause)

    def _key(self, target: Target) -> Key:
        credential = self.now.policy.providers[target.provider].credential
        return Key(target.provider, self.now.keys.digest(credential), target.model)

    def _forget_breakers(self) -> None:
        """Those still in the policy stay as they are; a new key begins with a closed one."""
        targets = [target for w in self.now.policy.workloads.values() for target in w.targets]
        wanted = {self._key(target) for target in targets}
        times = self.now.policy.breaker
        lease = max(workload.deadlines.total for workload in self.now.policy.workloads.values())
        self._breakers = {key: self._breakers.get(key) or Breaker(times) for key in sorted(wanted)}
        for breaker in self._breakers.values():
            breaker.times, breaker.lease = times, min(lease, breaker.lease)

    @staticmethod
    def _account(key: Key, breaker: Breaker, now: float) -> dict[str, Any]:
        return {
            "provider": key.provider,
            "model": key.model,
            "state": breaker.state(now),
            "cause": breaker.cause,
            "seconds_left": round(breaker.seconds_left(now), 1),
        }


class _HttpClient:
    """The client of one request, once its answer is a stream."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: web.StreamResponse | None = None

    async def begin(self, headers: dict[str, str]) -> None:
        self.response = web.StreamResponse(headers={**STREAM_HEADERS, **headers})
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        assert self.response is not None
        await self.response.write(data)


ROUTER = web.AppKey("router", Router)
OPENER = web.AppKey("opener", Opener)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    router = request.app[ROUTER]
    asked = await _read(request, router.now.policy)
    if isinstance(asked, Reply):
        return _response(asked)
    client = _HttpClient(request)
    workload = router.now.policy.workloads[asked.workload]
    candidates = router.candidates(asked.workload, asyncio.get_running_loop().time())
    relay = Relay(asked, workload, candidates, request.app[OPENER], client)
    router.in_flight += 1
    try:
        reply = await relay.answer()
    except (TimeoutError, ConnectionError):  # it reads no more, or is gone
        if request.transport is not None:
            request.transport.abort()
        return client.response or web.Response()
    finally:
        router.in_flight -= 1
        router.tell(relay.story)
    if reply is not None:
        return _response(reply)
    assert client.response is not None
    return client.response


async def _read(request: web.Request, policy: RouterPolicy) -> Ask | Reply:
    try:
        body = parse_object(await request.read())
    except web.HTTPRequestEntityTooLarge:
        return shaping.refusal(400, f"The request is larger than {BODY_BYTES // 1024 // 1024} MB.")
    except Failed:
        return shaping.refusal(400, "The request is not a JSON object.")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or (workload := policy.workload_of(model)) is None:
        names = ", ".join(MODEL_PREFIX + name for name in policy.workloads)
        return shaping.refusal(404, f"The model is unknown. There are {names}.")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        return shaping.refusal(400, "messages: a list of at least one message is needed.")
    return Ask(workload, body, int(time.time()))


async def models(request: web.Request) -> web.Response:
    names = request.app[ROUTER].now.policy.workloads
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "router"} for name in names]
    return web.json_response({"object": "list", "data": data})


async def healthz(request: web.Request) -> web.Response:
    """200 as long as the router itself works: that providers fail is told, not answered with a restart."""
    account = request.app[ROUTER].health(asyncio.get_running_loop().time())
    return web.json_response(account, headers={"Cache-Control": "no-store"})


async def reload(request: web.Request) -> web.Response:
    try:
        request.app[ROUTER].reload()
    except Trouble as trouble:
        log.error("not reloaded, the old policy stays: %s", trouble)
        return web.json_response({"ok": False, "error": str(trouble)}, status=422)
    return web.json_response({"ok": True})


def _response(reply: Reply) -> web.Response:
    headers: Mapping[str, str] = {"Content-Type": "application/json", **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _connected(app: web.Application) -> AsyncIterator[None]:
    async with new_session() as session:
        app[OPENER] = HttpOpener(session)
        yield


def application(router: Router) -> web.Application:
    app = web.Application(client_max_size=BODY_BYTES + 1024)
    app[ROUTER] = router
    app.cleanup_ctx.append(_connected)
    app.router.add_post("/v1/chat/completions", chat_completions)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/healthz", healthz)
    app.router.add_post("/reload", reload)
    return app


def runner(router: Router, drain: float) -> web.AppRunner:
    """`drain`: seconds that answers in flight have when the router is told to end."""
    return web.AppRunner(
        application(router), access_log=None, handler_cancellation=True, shutdown_timeout=drain
    )
