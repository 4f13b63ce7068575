"""The API as an aiohttp application: what stands before and after every operation."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Network
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from appliance.lab.api import catalogue_routes, network_members, unserved
from appliance.lab.api.catalogue import set_system_images
from appliance.lab.api.certificates import CERTIFICATES
from appliance.lab.api.core import Lab, Performer
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.faults import Fault
from appliance.lab.api.firewalls import FIREWALLS
from appliance.lab.api.floating_ips import FLOATING_IPS
from appliance.lab.api.images import IMAGES
from appliance.lab.api.limits import Bucket
from appliance.lab.api.load_balancers import LOAD_BALANCERS
from appliance.lab.api.networks import NETWORKS
from appliance.lab.api.placement_groups import PLACEMENT_GROUPS
from appliance.lab.api.primary_ips import PRIMARY_IPS
from appliance.lab.api.resource import LAB, Resource, list_actions
from appliance.lab.api.servers import SERVERS
from appliance.lab.api.ssh_keys import SSH_KEYS
from appliance.lab.api.views import action_view
from appliance.lab.api.volumes import VOLUMES
from appliance.lab.api.watch import watch
from appliance.lab.hardware import Hardware
from appliance.lab.state import Store

log = logging.getLogger(__name__)

RESOURCES: tuple[Resource[Any], ...] = (
    SSH_KEYS,
    IMAGES,
    NETWORKS,
    FIREWALLS,
    PLACEMENT_GROUPS,
    PRIMARY_IPS,
    SERVERS,
    FLOATING_IPS,
    VOLUMES,
    CERTIFICATES,
    LOAD_BALANCERS,
)
FAULTS = "/_lab/faults"
TOKEN = web.AppKey("token", str)
BUCKET = web.AppKey("bucket", Bucket)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def performers() -> dict[str, Performer]:
    return {command: do for resource in RESOURCES for command, do in resource.performers.items()}


def make_lab(
    store: Store,
    hardware: Hardware,
    public: IPv4Network,
    base: Sequence[str] = ("debian-13",),
    architecture: str = "x86",
) -> Lab:
    """`public` is the range that servers' addresses come from, `base` the layers of image debian-13."""
    set_system_images(store.state, base, architecture)
    return Lab(store, hardware, public, performers())


def make_app(
    lab: Lab, token: str, bucket: Bucket | None = None, more: Iterable[web.RouteDef] = ()
) -> web.Application:
    """`more`: the lab's own routes of others, below /_lab."""
    app = web.Application(middlewares=[_envelope, _guard, _strike])
    app[LAB], app[TOKEN], app[BUCKET] = lab, token, bucket or Bucket()
    for resource in RESOURCES:
        app.add_routes(resource.routes())
    app.add_routes(catalogue_routes.routes())
    app.add_routes(network_members.routes())
    app.add_routes(
        [
            web.get("/v1/actions", _actions),
            web.get("/v1/actions/{id:\\d+}", _action),
            web.get(FAULTS, _show_faults),
            web.put(FAULTS, _set_faults),
            web.delete(FAULTS, _clear_faults),
        ]
    )
    app.add_routes(more)
    app.add_routes(unserved.routes())
    app.cleanup_ctx.append(_watching)
    return app


async def _watching(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(watch(app[LAB]))
    yield
    task.cancel()
    app[LAB].close()


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as the API's error envelope, every answer with its id and the state of the bucket."""
    try:
        response = await handler(request)
    except ApiError as e:
        response = web.json_response(e.body(), status=e.status)
    except web.HTTPNotFound:
        error = ApiError("not_found", "path not found")
        response = web.json_response(error.body(), status=error.status)
    except web.HTTPMethodNotAllowed:
        error = ApiError("method_not_allowed", f"{request.method} is not allowed here")
        response = web.json_response(error.body(), status=error.status)
    except (ConnectionError, web.HTTPException):
        raise
    except Exception:
        log.exception("%s %s", request.method, request.path)
        error = ApiError("server_error", "a bug of the lab: its log tells")
        response = web.json_response(error.body(), status=error.status)
    response.headers["X-Correlation-Id"] = secrets.token_hex(8)
    if not request.path.startswith("/_lab"):
        response.headers.update(request.app[BUCKET].headers())
    return response


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The path is routed first, then the bucket, then the token; what was changed is saved."""
    if request.match_info.http_exception is not None:
        raise request.match_info.http_exception
    lab = request.app[LAB]
    if not request.path.startswith("/_lab") and not request.app[BUCKET].take():
        raise ApiError("rate_limit_exceeded", "limit of requests per hour reached")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), request.app[TOKEN].encode()):
        raise ApiError("unauthorized", "unable to authenticate")
    response = await handler(request)
    if request.method != "GET":
        lab.store.save()
    return response


@web.middleware
async def _strike(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Faults that were asked for."""
    if request.path.startswith("/_lab"):
        return await handler(request)
    effect = request.app[LAB].faults.on_call(request.method, request.path.removeprefix("/v1"))
    if effect is None:
        return await handler(request)
    if effect.kind == "answer":
        raise ApiError(
            effect.code or "unavailable", effect.message or "a fault of the lab", status=effect.status
        )
    if effect.kind in ("hang", "slow"):
        await asyncio.sleep(effect.seconds)
    if effect.kind == "slow":
        return await handler(request)
    if effect.kind == "lose_answer":
        await handler(request)
        request.app[LAB].store.save()
    return _cut(request)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut by a fault")


async def _actions(request: web.Request) -> web.StreamResponse:
    if "id" not in request.query:
        raise ApiError("deprecated_api_endpoint", "listing all actions is gone: ask with ?id=")
    return list_actions(request, lambda a: True)


async def _action(request: web.Request) -> web.StreamResponse:
    action = request.app[LAB].state.actions.get(int(request.match_info["id"]))
    if action is None or action.hidden:
        raise ApiError("not_found", f"action with ID '{request.match_info['id']}' not found")
    return web.json_response({"action": action_view(action)})


async def _show_faults(request: web.Request) -> web.StreamResponse:
    return web.json_response([f.model_dump() for f in request.app[LAB].faults.present])


async def _set_faults(request: web.Request) -> web.StreamResponse:
    try:
        faults = TypeAdapter(list[Fault]).validate_json(await request.text())
    except ValidationError as e:
        raise invalid("faults", str(e)) from e
    request.app[LAB].faults.present = faults
    return await _show_faults(request)


async def _clear_faults(request: web.Request) -> web.StreamResponse:
    request.app[LAB].faults.present = []
    return web.Response(status=204)
