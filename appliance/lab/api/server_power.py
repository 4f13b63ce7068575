"""Power of servers: on, off, reset, reboot, shutdown, and root's password."""

from __future__ import annotations

import secrets
from typing import Any

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError
from appliance.lab.api.resource import Answer, Body, Operation, begun
from appliance.lab.api.specs import machine_spec
from appliance.lab.records import Action, Server


def begin(lab: Lab, server: Server, command: str, args: dict[str, Any] | None = None) -> Answer:
    action = lab.action(command, ("server", server.id), args=args)
    lab.start(action)
    return begun(action)


def power_on(lab: Lab, server: Server, body: Body) -> Answer:
    return begin(lab, server, "start_server")


def power_off(lab: Lab, server: Server, body: Body) -> Answer:
    return begin(lab, server, "stop_server")


def shutdown(lab: Lab, server: Server, body: Body) -> Answer:
    return begin(lab, server, "shutdown_server")


def reboot(lab: Lab, server: Server, body: Body) -> Answer:
    _refuse_unless_running(server)
    return begin(lab, server, "reboot_server")


def reset(lab: Lab, server: Server, body: Body) -> Answer:
    return begin(lab, server, "reset_server")


def reset_password(lab: Lab, server: Server, body: Body) -> Answer:
    _refuse_unless_running(server)
    server.new_password = secrets.token_urlsafe(15)
    status, answer = begin(lab, server, "reset_password")
    return status, {**(answer or {}), "root_password": server.new_password}


def _refuse_unless_running(server: Server) -> None:
    if server.status != "running":
        raise ApiError("server_not_running", "server must be running", status=422)


def _server(lab: Lab, action: Action) -> Server:
    return lab.state.servers[action.resources[0][1]]


async def perform_start(lab: Lab, action: Action) -> None:
    server = _server(lab, action)
    if server.status != "running":
        server.status = "starting"
    try:
        await lab.do(("server", server.id), lab.hardware.start, machine_spec(lab.state, server))
    except Exception:
        server.status = "off"
        raise
    server.status = "running"
    await set_new_password(lab, server)


async def set_new_password(lab: Lab, server: Server) -> None:
    if server.new_password:
        on = ("server", server.id)
        await lab.do(on, lab.hardware.set_password, server.id, server.new_password)
        server.new_password = None


async def perform_stop(lab: Lab, action: Action) -> None:
    server = _server(lab, action)
    await lab.do(("server", server.id), lab.hardware.power_off, server.id)
    server.status = "off"


async def perform_shutdown(lab: Lab, action: Action) -> None:
    """Done when the button was pressed; the watch sees the machine go off."""
    server = _server(lab, action)
    if server.status == "running":
        await lab.do(("server", server.id), lab.hardware.shutdown, server.id)


async def perform_reboot(lab: Lab, action: Action) -> None:
    server = _server(lab, action)
    await lab.do(("server", server.id), lab.hardware.reboot, server.id)


async def perform_reset(lab: Lab, action: Action) -> None:
    server = _server(lab, action)
    await lab.do(("server", server.id), lab.hardware.reset, machine_spec(lab.state, server))
    server.status = "running"


async def perform_password(lab: Lab, action: Action) -> None:
    await set_new_password(lab, _server(lab, action))


OPERATIONS: dict[str, Operation[Server]] = {
    "poweron": Operation(power_on),
    "poweroff": Operation(power_off),
    "shutdown": Operation(shutdown),
    "reboot": Operation(reboot),
    "reset": Operation(reset),
    "reset_password": Operation(reset_password),
}
PERFORMERS = {
    "start_server": perform_start,
    "stop_server": perform_stop,
    "shutdown_server": perform_shutdown,
    "reboot_server": perform_reboot,
    "reset_server": perform_reset,
    "reset_password": perform_password,
}
