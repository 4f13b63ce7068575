"""Servers and images: snapshots and backups of them, rebuilding them from one."""

from __future__ import annotations

import secrets
from typing import Literal

from appliance.lab.api import images
from appliance.lab.api.catalogue import SERVER_TYPES
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError
from appliance.lab.api.labels import check_labels
from appliance.lab.api.resource import Answer, Body, Operation
from appliance.lab.api.server_create import MOST_USER_DATA, refuse_unfit_image
from appliance.lab.api.server_power import begin, perform_start
from appliance.lab.api.specs import machine_spec
from appliance.lab.api.views import action_view
from appliance.lab.records import Action, Image, Server

BACKUP_SLOTS = 7
GB = 10**9


class CreateImage(Body):
    description: str | None = None
    type: Literal["snapshot", "backup"] = "snapshot"
    labels: dict[str, str] = {}


class Rebuild(Body):
    image: int | str
    user_data: str | None = None


def create_image(lab: Lab, server: Server, body: CreateImage) -> Answer:
    check_labels(body.labels)
    if body.type == "backup" and server.backup_window is None:
        raise ApiError("invalid_input", "backups are not enabled for this server")
    source = lab.state.images.get(server.image or 0)
    layer = f"snapshot-{lab.store.state.next_id}"
    image = Image(
        id=lab.store.new_id(),
        type=body.type,
        status="creating",
        description=body.description or f"{body.type} of {server.name}",
        disk_size=server.disk_size,
        created_from=(server.id, server.name or ""),
        bound_to=server.id if body.type == "backup" else None,
        labels=body.labels,
        os_flavor=source.os_flavor if source else "unknown",
        os_version=source.os_version if source else None,
        architecture=SERVER_TYPES[server.server_type].architecture,
        layers=[*server.layers, layer],
    )
    lab.state.images[image.id] = image
    if body.type == "backup":
        _free_a_slot(lab, server)
    action = lab.action("create_image", ("server", server.id), ("image", image.id))
    lab.start(action)
    return 201, {"image": images.view(lab, image), "action": action_view(action)}


def _free_a_slot(lab: Lab, server: Server) -> None:
    backups = [i for i in lab.state.images.values() if i.bound_to == server.id]
    for oldest in sorted(backups, key=lambda i: i.id)[:-BACKUP_SLOTS]:
        images.forget(lab, oldest)


async def perform_create_image(lab: Lab, action: Action) -> None:
    server = lab.state.servers[action.resources[0][1]]
    image = lab.state.images[action.resources[1][1]]
    layer = image.layers[-1]
    try:
        size = await lab.do(("server", server.id), lab.hardware.snapshot, server.id, layer)
    except Exception:
        images.forget(lab, image)
        raise
    image.image_size = round(size / GB, 3)
    image.status = "available"


def rebuild(lab: Lab, server: Server, body: Rebuild) -> Answer:
    if server.rebuild_protected:
        raise ApiError("protected", "server is rebuild protected")
    kind = SERVER_TYPES[server.server_type]
    image = images.find(lab, body.image, kind.architecture)
    refuse_unfit_image(image, kind)
    if body.user_data is not None:  # otherwise the old stays in force
        if len(body.user_data.encode()) > MOST_USER_DATA:
            raise ApiError("invalid_input", f"user_data must be at most {MOST_USER_DATA} bytes")
        server.user_data = body.user_data
    server.image, server.layers, server.status = image.id, list(image.layers), "rebuilding"
    server.new_password = None if server.ssh_keys else secrets.token_urlsafe(15)
    status, answer = begin(lab, server, "rebuild_server")
    return status, {**(answer or {}), "root_password": server.new_password}


async def perform_rebuild(lab: Lab, action: Action) -> None:
    server = lab.state.servers[action.resources[0][1]]
    on = ("server", server.id)
    await lab.do(on, lab.hardware.delete, server.id)
    await lab.do(on, lab.hardware.create, machine_spec(lab.state, server))
    await perform_start(lab, action)


OPERATIONS: dict[str, Operation[Server]] = {
    "create_image": Operation(create_image, CreateImage),
    "rebuild": Operation(rebuild, Rebuild),
}
PERFORMERS = {"create_image": perform_create_image, "rebuild_server": perform_rebuild}
