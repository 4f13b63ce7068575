"""Root's door to the router: contract/router_admin.py over a Unix socket of mode 0600."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from appliance.contract.router_admin import Lane
from appliance.contract.trouble import NodeTrouble, Trouble
from appliance.node.router.canary import ask_all
from appliance.node.router.server import ROUTER, Router
from appliance.node.router.upstream import HttpOpener, new_session

LANE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
ENDING = 5  # seconds that what is asked here has when the router ends

log = logging.getLogger("router")


async def reload(request: web.Request) -> web.Response:
    try:
        request.app[ROUTER].reload()
    except Trouble as trouble:
        log.error("not reloaded, the old policy stays: %s", trouble)
        return _refused(str(trouble))
    return web.json_response({"ok": True})


async def open_lane(request: web.Request) -> web.Response:
    name = request.match_info["lane"]
    if not LANE.fullmatch(name):
        return _refused("a lane's name is of small letters, digits and dashes")
    try:
        lane = Lane.model_validate_json(await request.read())
        request.app[ROUTER].boards.open(name, lane, _now())
    except ValidationError as error:
        return _refused(f"no lane: {wrong_in(error)}")
    except Trouble as trouble:
        return _refused(str(trouble))
    log.info("lane %s is open for %g s", name, lane.seconds)
    return web.json_response({"ok": True})


async def close_lane(request: web.Request) -> web.Response:
    name = request.match_info["lane"]
    request.app[ROUTER].boards.close(name)
    log.info("lane %s is closed", name)
    return web.json_response({"ok": True})


async def canary(request: web.Request) -> web.Response:
    """By connections of its own: those that are kept open say nothing of names and certificates."""
    async with new_session() as session:
        told = await ask_all(request.app[ROUTER].boards.users.force, HttpOpener(session))
    for bird in told.canaries:
        if not bird.ok:
            log.warning("canary: %s (%s) %s", bird.provider, bird.model, bird.detail)
    return web.Response(text=told.model_dump_json(), content_type="application/json")


async def healthz(request: web.Request) -> web.Response:
    """As on the port, and the lanes; and the tasks that run, by which a leak is seen."""
    router, now = request.app[ROUTER], _now()
    more = {"lanes": router.boards.lanes(now), "tasks": len(asyncio.all_tasks())}
    return web.json_response(router.health(now) | more)


def wrong_in(error: ValidationError) -> str:
    """Where and what, without what was given."""
    wrong = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong)


def application(router: Router) -> web.Application:
    app = web.Application()
    app[ROUTER] = router
    app.router.add_post("/reload", reload)
    app.router.add_put("/drill/{lane}", open_lane)
    app.router.add_delete("/drill/{lane}", close_lane)
    app.router.add_post("/canary", canary)
    app.router.add_get("/healthz", healthz)
    return app


@asynccontextmanager
async def door(router: Router, path: Path) -> AsyncIterator[None]:
    """Open while it lasts. NodeTrouble: the socket cannot be made, or another router answers there."""
    app = application(router)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=ENDING)
    with _listening(path) as listener:
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Mode 0600 from its first moment. A socket that nobody answers at is a dead process's."""
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            _remove_stale(path)
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            mine = path.stat().st_ino
        except OSError as error:
            raise NodeTrouble(f"the router cannot make {path}", why=error.strerror or str(error)) from None
        try:
            yield listener
        finally:
            with suppress(OSError):
                if path.stat().st_ino == mine:
                    path.unlink()


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise NodeTrouble(f"{path} is there and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise NodeTrouble(f"another router answers at {path}")


def _refused(why: str) -> web.Response:
    return web.json_response({"ok": False, "error": why}, status=422)


def _now() -> float:
    return asyncio.get_running_loop().time()
