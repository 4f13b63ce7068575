"""The router's HTTP side on loopback: chat completions, models, health."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from aiohttp import web

from appliance.contract.router_policy import BODY_BYTES, MODEL_PREFIX
from appliance.node.router import shaping
from appliance.node.router.attempt import Opener
from appliance.node.router.classify import Failed
from appliance.node.router.content import parse_object
from appliance.node.router.dialects import Ask
from appliance.node.router.relay import Relay, Story
from appliance.node.router.shaping import Reply
from appliance.node.router.switchboard import InForce
from appliance.node.router.switchboards import Switchboards
from appliance.node.router.upstream import HttpOpener, new_session

log = logging.getLogger("router")
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


class Router:
    """What outlives a request: switchboards, and how many requests are in flight."""

    def __init__(self, load: Callable[[], InForce]) -> None:
        """`load` reads policy and keys anew; raises Trouble."""
        self.boards = Switchboards(load)
        self.in_flight = 0
        self._loaded_at = time.time()

    def reload(self) -> None:
        """Raises Trouble, and everything stays as it was."""
        self.boards.reload()
        self._loaded_at = time.time()
        log.info("policy reloaded: workloads %s", ", ".join(self.boards.users.force.policy.workloads))

    def health(self, now: float) -> dict[str, Any]:
        """Users' alone: a drill's lanes have no part in it."""
        own = {"in_flight": self.in_flight, "loaded_at": round(self._loaded_at, 3)}
        return self.boards.users.health(now) | own


def _log(story: Story) -> None:
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
    body = await _read(request)
    if isinstance(body, Reply):
        return _response(body)
    now = asyncio.get_running_loop().time()
    found = router.boards.find(body["model"], now)
    if found is None:
        names = ", ".join(MODEL_PREFIX + name for name in router.boards.users.force.policy.workloads)
        return _response(shaping.refusal(404, f"The model is unknown. There are {names}."))
    board, name = found
    client = _HttpClient(request)
    workload = board.force.policy.workloads[name]
    asked = Ask(name, body, int(time.time()))
    relay = Relay(asked, workload, board.candidates(name, now), request.app[OPENER], client)
    router.in_flight += 1
    try:
        reply = await relay.answer()
    except (TimeoutError, ConnectionError):  # it reads no more, or is gone
        if request.transport is not None:
            request.transport.abort()
        return client.response or web.Response()
    finally:
        router.in_flight -= 1
        board.count(relay.story)
        _log(relay.story)
    if reply is not None:
        return _response(reply)
    assert client.response is not None
    return client.response


async def _read(request: web.Request) -> dict[str, Any] | Reply:
    """A body with a `model` and messages, or why there is none."""
    try:
        body = parse_object(await request.read())
    except web.HTTPRequestEntityTooLarge:
        return shaping.refusal(400, f"The request is larger than {BODY_BYTES // 1024 // 1024} MB.")
    except Failed:
        return shaping.refusal(400, "The request is not a JSON object.")
    messages = body.get("messages")
    if not isinstance(body.get("model"), str):
        return shaping.refusal(404, "The request names no model.")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        return shaping.refusal(400, "messages: a list of at least one message is needed.")
    return body


async def models(request: web.Request) -> web.Response:
    names = request.app[ROUTER].boards.users.force.policy.workloads
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "router"} for name in names]
    return web.json_response({"object": "list", "data": data})


async def healthz(request: web.Request) -> web.Response:
    """200 as long as the router itself works: that providers fail is told, not answered with a restart."""
    account = request.app[ROUTER].health(asyncio.get_running_loop().time())
    return web.json_response(account, headers={"Cache-Control": "no-store"})


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
    return app


def runner(router: Router, drain: float) -> web.AppRunner:
    """`drain`: seconds that answers in flight have when the router is told to end."""
    return web.AppRunner(
        application(router), access_log=None, handler_cancellation=True, shutdown_timeout=drain
    )
