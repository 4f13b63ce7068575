"""/primary_ips"""

from __future__ import annotations

from typing import Any, Literal

from appliance.lab.api.addresses import new_public_ipv4, new_public_ipv6
from appliance.lab.api.catalogue import LOCATIONS, location_view
from appliance.lab.api.core import Lab
from appliance.lab.api.dns_ptr import change_dns_ptr
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.references import named, offered
from appliance.lab.api.resource import Answer, Body, Operation, Rename, Resource, begun
from appliance.lab.api.specs import primary_ip
from appliance.lab.api.views import action_view, dns_ptr_view, time
from appliance.lab.api.wiring import perform_rewire, rewiring
from appliance.lab.records import PrimaryIp, Server


class Create(Body):
    name: str
    type: Literal["ipv4", "ipv6"]
    labels: dict[str, str] = {}
    location: str | int | None = None
    assignee_type: Literal["server", "unassigned"] | None = None
    assignee_id: int | None = None
    auto_delete: bool = False


class Update(Rename):
    auto_delete: bool | None = None


class Assign(Body):
    assignee_id: int
    assignee_type: Literal["server"]


def view(lab: Lab, ip: PrimaryIp) -> dict[str, Any]:
    return {
        "id": ip.id,
        "name": ip.name,
        "labels": ip.labels,
        "created": time(ip.created),
        "blocked": False,
        "location": location_view(ip.location),
        "ip": ip.ip,
        "dns_ptr": dns_ptr_view(ip.dns_ptr),
        "protection": {"delete": ip.protected},
        "type": ip.type,
        "auto_delete": ip.auto_delete,
        "assignee_type": "server" if ip.assignee_id else "unassigned",
        "assignee_id": ip.assignee_id,
    }


def location_named(field: str, wanted: str | int) -> str:
    """By name or id. Raises invalid_input."""
    return offered(LOCATIONS.values(), field, "location", wanted).name


def location_for(server: Server | None, field: str, wanted: str | int | None) -> str:
    """Where something comes to be: with its server, or where it is wanted. Raises invalid_input."""
    if server is not None:
        return server.location
    if wanted is None:
        raise invalid(field, f"{field} is required without a server")
    return location_named(field, wanted)


def new(lab: Lab, name: str | None, kind: str, location: str, **more: Any) -> PrimaryIp:
    """Also for servers that bring none of their own; those are named after their own id."""
    id_ = lab.store.new_id()
    address = new_public_ipv4(lab.state, lab.public) if kind == "ipv4" else new_public_ipv6(lab.state)
    made = PrimaryIp(
        id=id_,
        name=name or f"primary_ip-{id_}",
        type=kind,
        ip=address,
        location=location,
        **more,
    )
    if kind == "ipv4":
        made.dns_ptr[address] = f"static.{'.'.join(reversed(address.split('.')))}.lab.invalid"
    lab.state.primary_ips[id_] = made
    return made


def create(lab: Lab, body: Create) -> Answer:
    server = _server_for(lab, body.assignee_id, body.type) if body.assignee_id is not None else None
    location = location_for(server, "location", body.location)
    ip = new(lab, body.name, body.type, location, labels=body.labels, auto_delete=body.auto_delete)
    action = None
    if server is not None:
        ip.assignee_id = server.id
        action = action_view(_begin(lab, ip, "assign_primary_ip", server.id))
    return PRIMARY_IPS.answer(lab, ip, 201, action=action)


def _server_for(lab: Lab, server_id: int, kind: str) -> Server:
    server = named(lab.state.servers, "assignee_id", "server", server_id)
    lab.refuse_if_locked(("server", server_id))
    if server.status != "off":
        raise ApiError("server_not_stopped", "server must be off")
    if primary_ip(lab.state, server_id, kind):
        raise ApiError(f"server_has_{kind}", f"server has an {kind} already")
    return server


def _begin(lab: Lab, ip: PrimaryIp, command: str, server_id: int) -> Any:
    refs = (("primary_ip", ip.id), ("server", server_id))
    action = lab.action(command, *refs, args=rewiring([server_id]))
    lab.start(action)
    return action


def updated(lab: Lab, ip: PrimaryIp, body: Update) -> None:
    if body.auto_delete is not None:
        ip.auto_delete = body.auto_delete


def delete(lab: Lab, ip: PrimaryIp) -> Answer:
    if ip.assignee_id is not None:
        raise ApiError("must_be_unassigned", "primary IP must be unassigned first")
    del lab.state.primary_ips[ip.id]
    return 204, None


def assign(lab: Lab, ip: PrimaryIp, body: Assign) -> Answer:
    if ip.assignee_id is not None:
        raise ApiError("primary_ip_already_assigned", "primary IP is already assigned")
    server = _server_for(lab, body.assignee_id, ip.type)
    if server.location != ip.location:
        raise invalid("assignee_id", "server and primary IP must be in the same location")
    ip.assignee_id = server.id
    return begun(_begin(lab, ip, "assign_primary_ip", server.id))


def unassign(lab: Lab, ip: PrimaryIp, body: Body) -> Answer:
    if ip.assignee_id is None:
        raise ApiError("primary_ip_not_assigned", "primary IP is not assigned")
    server = lab.state.servers[ip.assignee_id]
    lab.refuse_if_locked(("server", server.id))
    if server.status != "off":
        raise ApiError("server_not_stopped", "server must be off")
    if ip.type == "ipv4" and any(
        t.server == server.id and not t.use_private_ip
        for b in lab.state.load_balancers.values()
        for t in b.targets
    ):
        raise ApiError("server_is_load_balancer_target", "a load balancer reaches the server by it")
    ip.assignee_id = None
    return begun(_begin(lab, ip, "unassign_primary_ip", server.id))


PRIMARY_IPS = Resource(
    "primary_ip",
    "primary_ips",
    table=lambda state: state.primary_ips,
    view=view,
    create=(create, Create),
    update=Update,
    updated=updated,
    delete=delete,
    filters={"ip": lambda ip, wanted: ip.ip in wanted},
    protects=True,
    operations={
        "assign": Operation(assign, Assign),
        "unassign": Operation(unassign),
        "change_dns_ptr": change_dns_ptr("primary_ip"),
    },
    performers=dict.fromkeys(("assign_primary_ip", "unassign_primary_ip"), perform_rewire),
)
