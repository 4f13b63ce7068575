"""What the operator of a real box does in Hetzner's console, and what breaks: below /_lab/storagebox.

GET                        address, host key, accounts, snapshots, bytes used and quota, fault
PUT    /accounts/{name}    {"folder": "node", "keys": ["ssh-ed25519 ...", ...]}: lines of authorized_keys
POST   /accounts/{name}/keys      {"keys": [...]}: these too
PUT    /accounts/{name}/password  {"password": "..."}
PUT    /quota              {"bytes": n}; 0 makes it just full, null is what it came with
PUT    /snapshots/{name}   take one; POST /snapshots/{name}/roll_back; DELETE /snapshots/{name}
POST   /host_key           another one from now on
PUT    /fault              {"fault": "refuse" | "hang" | "cut" | "slow", "bytes": n, "times": n}: door.py
DELETE /fault
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.lab.storagebox.box import Box, Trouble
from appliance.lab.storagebox.door import Door, Fault

ROUTE = "/_lab/storagebox"
Shape = TypeVar("Shape", bound=BaseModel)


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str = ""
    keys: list[str]


class _Password(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: str = Field(pattern=r"^[!-~]{8,}$")


class _Quota(BaseModel):
    model_config = ConfigDict(extra="forbid")

    bytes: int | None = Field(ge=0)


class _Console:
    def __init__(self, box: Box, door: Door) -> None:
        self.box = box
        self.door = door

    async def show(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._view))

    def _view(self) -> dict[str, object]:
        used, quota = self.box.usage()
        return {
            "host": self.door.host,
            "port": self.door.port,
            "user": self.box.user,
            "host_key": self.box.host_key(),
            "files": str(self.box.files),
            "used": used,
            "quota": quota,
            "accounts": [dataclasses.asdict(account) for account in self.box.accounts()],
            "snapshots": self.box.snapshot_names(),
            "fault": self.door.fault.model_dump() if self.door.fault else None,
        }

    async def authorize(self, request: web.Request) -> web.Response:
        given = await _read(request, _Keys)
        name = request.match_info["name"]
        return await self._do(request, lambda: self.box.authorize(name, given.folder, given.keys))

    async def add_keys(self, request: web.Request) -> web.Response:
        keys = (await _read(request, _Keys)).keys
        return await self._do(request, lambda: self.box.add_keys(request.match_info["name"], keys))

    async def password(self, request: web.Request) -> web.Response:
        password = (await _read(request, _Password)).password
        name = request.match_info["name"]
        return await self._do(request, lambda: self.box.set_password(name, password))

    async def quota(self, request: web.Request) -> web.Response:
        size = (await _read(request, _Quota)).bytes
        return await self._do(request, lambda: self.box.set_quota(size))

    async def snapshot(self, request: web.Request) -> web.Response:
        return await self._do(request, lambda: self.box.snapshot(request.match_info["name"]))

    async def roll_back(self, request: web.Request) -> web.Response:
        return await self._do(request, lambda: self.box.roll_back(request.match_info["name"]))

    async def delete_snapshot(self, request: web.Request) -> web.Response:
        return await self._do(request, lambda: self.box.delete_snapshot(request.match_info["name"]))

    async def host_key(self, request: web.Request) -> web.Response:
        return await self._do(request, self.box.new_host_key)

    async def put_fault(self, request: web.Request) -> web.Response:
        await self.door.break_(await _read(request, Fault))
        return await self.show(request)

    async def delete_fault(self, request: web.Request) -> web.Response:
        await self.door.break_(None)
        return await self.show(request)

    async def _do(self, request: web.Request, deed: Callable[[], None]) -> web.Response:
        try:
            await asyncio.to_thread(deed)
        except Trouble as trouble:
            return web.json_response({"error": str(trouble)}, status=400)
        return await self.show(request)


async def _read(request: web.Request, shape: type[Shape]) -> Shape:
    """Raises HTTPBadRequest that says what is wrong."""
    try:
        return shape.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def routes(box: Box, door: Door) -> list[web.RouteDef]:
    console = _Console(box, door)
    put: list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
        ("accounts/{name}", console.authorize),
        ("accounts/{name}/password", console.password),
        ("quota", console.quota),
        ("snapshots/{name}", console.snapshot),
        ("fault", console.put_fault),
    ]
    return [
        web.get(ROUTE, console.show),
        *(web.put(f"{ROUTE}/{path}", handler) for path, handler in put),
        web.post(f"{ROUTE}/accounts/{{name}}/keys", console.add_keys),
        web.post(f"{ROUTE}/snapshots/{{name}}/roll_back", console.roll_back),
        web.delete(f"{ROUTE}/snapshots/{{name}}", console.delete_snapshot),
        web.post(f"{ROUTE}/host_key", console.host_key),
        web.delete(f"{ROUTE}/fault", console.delete_fault),
    ]
