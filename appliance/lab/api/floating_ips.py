"""/floating_ips"""

from __future__ import annotations

from typing import Any, Literal

from appliance.lab.api.addresses import new_public_ipv4, new_public_ipv6
from appliance.lab.api.catalogue import location_view
from appliance.lab.api.core import Lab
from appliance.lab.api.dns_ptr import change_dns_ptr
from appliance.lab.api.errors import ApiError
from appliance.lab.api.primary_ips import location_for
from appliance.lab.api.references import named
from appliance.lab.api.resource import Answer, Body, Operation, Rename, Resource, begun
from appliance.lab.api.views import action_view, dns_ptr_view, time
from appliance.lab.api.wiring import perform_rewire, rewiring
from appliance.lab.records import Action, FloatingIp, Server


class Create(Body):
    type: Literal["ipv4", "ipv6"]
    name: str | None = None
    description: str | None = None
    server: int | None = None
    home_location: str | int | None = None
    labels: dict[str, str] = {}


class Update(Rename):
    description: str | None = None


class Assign(Body):
    server: int


def view(lab: Lab, ip: FloatingIp) -> dict[str, Any]:
    return {
        "id": ip.id,
        "name": ip.name,
        "description": ip.description,
        "ip": ip.ip,
        "type": ip.type,
        "server": ip.server,
        "dns_ptr": dns_ptr_view(ip.dns_ptr),
        "home_location": location_view(ip.home_location),
        "blocked": False,
        "protection": {"delete": ip.protected},
        "labels": ip.labels,
        "created": time(ip.created),
    }


def create(lab: Lab, body: Create) -> Answer:
    server = _server(lab, body.server) if body.server is not None else None
    location = location_for(server, "home_location", body.home_location)
    id_ = lab.store.new_id()
    address = new_public_ipv4(lab.state, lab.public) if body.type == "ipv4" else new_public_ipv6(lab.state)
    ip = FloatingIp(
        id=id_,
        name=body.name or f"floating-ip-{id_}",
        description=body.description,
        type=body.type,
        ip=address,
        home_location=location,
        labels=body.labels,
        server=server.id if server else None,
    )
    lab.state.floating_ips[id_] = ip
    action = action_view(_begin(lab, ip, "assign_floating_ip", server.id)) if server else None
    return FLOATING_IPS.answer(lab, ip, 201, action=action)


def _server(lab: Lab, server_id: int) -> Server:
    return named(lab.state.servers, "server", "server", server_id)


def _begin(lab: Lab, ip: FloatingIp, command: str, *servers: int) -> Action:
    refs = [("server", i) for i in servers]
    holds = (("floating_ip", ip.id),)
    action = lab.action(command, ("floating_ip", ip.id), *refs, holds=holds, args=rewiring(servers))
    lab.start(action)
    return action


def updated(lab: Lab, ip: FloatingIp, body: Update) -> None:
    if body.description is not None:
        ip.description = body.description


def assign(lab: Lab, ip: FloatingIp, body: Assign) -> Answer:
    """From wherever it is: a floating IP moves between running servers."""
    server, before = _server(lab, body.server), ip.server
    if before == server.id:
        raise ApiError("floating_ip_assigned", f"floating IP is already assigned to server {server.id}")
    ip.server = server.id
    touched = [server.id] if before is None else [before, server.id]  # never on two machines
    action = _begin(lab, ip, "assign_floating_ip", *touched)
    return begun(action)


def unassign(lab: Lab, ip: FloatingIp, body: Body) -> Answer:
    if ip.server is None:
        raise ApiError("floating_ip_not_assigned", "floating IP is not assigned", status=422)
    before, ip.server = ip.server, None
    return begun(_begin(lab, ip, "unassign_floating_ip", before))


def delete(lab: Lab, ip: FloatingIp) -> Answer:
    if ip.server is not None:
        raise ApiError("must_be_unassigned", "floating IP must be unassigned first")
    del lab.state.floating_ips[ip.id]
    return 204, None


FLOATING_IPS = Resource(
    "floating_ip",
    "floating_ips",
    table=lambda state: state.floating_ips,
    view=view,
    create=(create, Create),
    update=Update,
    updated=updated,
    delete=delete,
    protects=True,
    operations={
        "assign": Operation(assign, Assign),
        "unassign": Operation(unassign),
        "change_dns_ptr": change_dns_ptr("floating_ip"),
    },
    performers=dict.fromkeys(("assign_floating_ip", "unassign_floating_ip"), perform_rewire),
)
