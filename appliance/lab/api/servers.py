"""/servers: what there is to servers besides making, power, networks and images, and the resource itself."""

from __future__ import annotations

from appliance.lab.api import images, server_images, server_networks, server_power
from appliance.lab.api.catalogue import SERVER_TYPES, ServerType
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.placement_groups import refuse_if_full
from appliance.lab.api.resource import Answer, Body, Operation, Rename, Resource, done
from appliance.lab.api.server_create import (
    Create,
    create,
    perform_create,
    server_type_named,
)
from appliance.lab.api.server_power import begin
from appliance.lab.api.server_view import server_view
from appliance.lab.api.views import action_view
from appliance.lab.api.wiring import perform_rewire, rewiring
from appliance.lab.records import Action, Server

BACKUP_WINDOW = "22-02"


class Protection(Body):
    delete: bool | None = None
    rebuild: bool | None = None


class ChangeType(Body):
    server_type: int | str
    upgrade_disk: bool


class JoinGroup(Body):
    placement_group: int


def updated(lab: Lab, server: Server, body: Rename) -> None:
    """New labels may bring a server below a firewall's selector, or out of it."""
    if body.labels is not None and any(f.selectors for f in lab.state.firewalls.values()):
        lab.start(lab.action("follow_labels", args=rewiring([server.id]), hidden=True))


def delete(lab: Lab, server: Server) -> Answer:
    server.status = "deleting"
    action = lab.action("delete_server", ("server", server.id))
    lab.start(action)
    return 200, {"action": action_view(action)}


async def perform_delete(lab: Lab, action: Action) -> None:
    server_id = action.resources[0][1]
    await lab.do(("server", server_id), lab.hardware.delete, server_id)
    remove(lab, server_id)


def remove(lab: Lab, server_id: int) -> None:
    """Take a server out of the records and let go of all that was its own."""
    state = lab.state
    state.servers.pop(server_id, None)
    for ip in [p for p in state.primary_ips.values() if p.assignee_id == server_id]:
        ip.assignee_id = None
        if ip.auto_delete:
            del state.primary_ips[ip.id]
    for image in [i for i in state.images.values() if i.bound_to == server_id]:
        images.forget(lab, image)
    for floating in state.floating_ips.values():
        floating.server = None if floating.server == server_id else floating.server
    for volume in state.volumes.values():
        volume.server = None if volume.server == server_id else volume.server
    for firewall in state.firewalls.values():
        firewall.servers = [i for i in firewall.servers if i != server_id]
    for balancer in state.load_balancers.values():
        balancer.targets = [t for t in balancer.targets if t.server != server_id]


async def perform_create_or_remove(lab: Lab, action: Action) -> None:
    """A server that could not be made is not left behind to be billed."""
    server_id = action.resources[0][1]
    try:
        await perform_create(lab, action)
    except Exception:
        await lab.do(("server", server_id), lab.hardware.delete, server_id)
        remove(lab, server_id)
        raise


def protect(lab: Lab, server: Server, body: Protection) -> Answer:
    delete = server.protected if body.delete is None else body.delete
    rebuild = server.rebuild_protected if body.rebuild is None else body.rebuild
    if delete != rebuild:
        raise invalid("delete", "delete and rebuild protection must be equal")
    server.protected, server.rebuild_protected = delete, rebuild
    return done(lab, "change_protection", ("server", server.id))


def change_type(lab: Lab, server: Server, body: ChangeType) -> Answer:
    kind = server_type_named(body.server_type)
    if server.status != "off":
        raise ApiError("server_not_stopped", "server must be off")
    if why := _unfit(server, kind):
        raise ApiError("invalid_server_type", why)
    if lab.faults.sold_out(kind.name, server.location):
        raise ApiError("resource_unavailable", "error during placement")
    server.server_type = kind.name
    if body.upgrade_disk:
        server.disk_size = kind.disk
    return begin(lab, server, "change_server_type", rewiring([server.id]))


def _unfit(server: Server, kind: ServerType) -> str | None:
    if server.location not in kind.locations or kind.retired:
        return f"{kind.name} is not offered in {server.location}"
    if kind.architecture != SERVER_TYPES[server.server_type].architecture:
        return f"{kind.name} is {kind.architecture}"
    if kind.disk < server.disk_size:
        return f"the disk of {kind.name} is smaller than the server's"
    return None


def enable_backup(lab: Lab, server: Server, body: Body) -> Answer:
    server.backup_window = BACKUP_WINDOW
    return done(lab, "enable_backup", ("server", server.id))


def disable_backup(lab: Lab, server: Server, body: Body) -> Answer:
    """Deletes all backups of the server."""
    server.backup_window = None
    for image in [i for i in lab.state.images.values() if i.bound_to == server.id]:
        images.forget(lab, image)
    return done(lab, "disable_backup", ("server", server.id))


def join_group(lab: Lab, server: Server, body: JoinGroup) -> Answer:
    if server.placement_group is not None:
        raise ApiError("already_in_placement_group", "server is in a placement group already")
    if server.status != "off":
        raise ApiError("server_not_stopped", "server must be off")
    refuse_if_full(lab, body.placement_group)
    server.placement_group = body.placement_group
    return done(lab, "add_to_placement_group", ("server", server.id))


def leave_group(lab: Lab, server: Server, body: Body) -> Answer:
    if server.placement_group is None:
        raise ApiError("not_in_placement_group", "server is in no placement group", status=422)
    server.placement_group = None
    return done(lab, "remove_from_placement_group", ("server", server.id))


SERVERS = Resource(
    "server",
    "servers",
    table=lambda state: state.servers,
    view=server_view,
    create=(create, Create),
    updated=updated,
    delete=delete,
    filters={"status": lambda server, wanted: server.status in wanted},
    operations={
        **server_power.OPERATIONS,
        **server_networks.OPERATIONS,
        **server_images.OPERATIONS,
        "change_protection": Operation(protect, Protection),
        "change_type": Operation(change_type, ChangeType),
        "enable_backup": Operation(enable_backup),
        "disable_backup": Operation(disable_backup),
        "add_to_placement_group": Operation(join_group, JoinGroup),
        "remove_from_placement_group": Operation(leave_group),
    },
    performers={
        **server_power.PERFORMERS,
        **server_networks.PERFORMERS,
        **server_images.PERFORMERS,
        "create_server": perform_create_or_remove,
        "delete_server": perform_delete,
        "change_server_type": perform_rewire,
        "follow_labels": perform_rewire,
    },
)
