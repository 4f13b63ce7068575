"""/load_balancers. What HAProxy is told: balancers.py; services and targets have files of their own."""

from __future__ import annotations

from typing import Any, Literal

from appliance.lab.api import balancer_services, balancer_targets
from appliance.lab.api.addresses import new_mac, new_private_ip, new_public_ipv4, new_public_ipv6
from appliance.lab.api.balancer_services import ServiceBody
from appliance.lab.api.balancer_targets import TargetBody
from appliance.lab.api.balancers import apply, begin, perform_apply, refuse_beyond
from appliance.lab.api.catalogue import (
    LOAD_BALANCER_TYPES,
    LOCATIONS,
    LoadBalancerType,
    included_traffic,
    load_balancer_type_view,
    location_view,
)
from appliance.lab.api.core import Lab
from appliance.lab.api.dns_ptr import DnsPtr, set_dns_ptr
from appliance.lab.api.errors import ApiError, beyond_the_lab, invalid
from appliance.lab.api.primary_ips import location_named
from appliance.lab.api.references import named, offered
from appliance.lab.api.resource import Answer, Body, Operation, Resource, begun, done
from appliance.lab.api.views import action_view, time
from appliance.lab.records import Action, LoadBalancer, PrivateNic


class Algorithm(Body):
    type: Literal["round_robin", "least_connections"]


class Create(Body):
    name: str
    load_balancer_type: int | str
    algorithm: Algorithm = Algorithm(type="round_robin")
    services: list[ServiceBody] = []
    targets: list[TargetBody] = []
    labels: dict[str, str] = {}
    public_interface: bool = True
    public_net: dict[str, Any] | None = None
    network: int | None = None
    network_zone: str | None = None
    location: str | int | None = None


class Attach(Body):
    network: int
    ip: str | None = None
    ip_range: str | None = None


class Detach(Body):
    network: int


class ChangeType(Body):
    load_balancer_type: int | str


def view(lab: Lab, balancer: LoadBalancer) -> dict[str, Any]:
    ipv6 = balancer.ipv6
    return {
        "id": balancer.id,
        "name": balancer.name,
        "public_net": {
            "enabled": balancer.public,
            "ipv4": {"ip": balancer.ipv4, "dns_ptr": balancer.dns_ptr.get(balancer.ipv4, "")},
            "ipv6": {"ip": ipv6, "dns_ptr": balancer.dns_ptr.get(ipv6, "")},
        },
        "private_net": [{"network": n.network, "ip": n.ip} for n in balancer.private],
        "location": location_view(balancer.location),
        "load_balancer_type": load_balancer_type_view(LOAD_BALANCER_TYPES[balancer.type]),
        "protection": {"delete": balancer.protected},
        "labels": balancer.labels,
        "created": time(balancer.created),
        "services": [balancer_services.view(s) for s in balancer.services],
        "targets": [balancer_targets.view(lab, balancer, t) for t in balancer.targets],
        "algorithm": {"type": balancer.algorithm},
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": included_traffic(balancer.location),
    }


def create(lab: Lab, body: Create) -> Answer:
    if body.public_net:
        raise beyond_the_lab("A load balancer on given Primary IPs")
    kind = _type(body.load_balancer_type)
    location = _location(body)
    balancer = LoadBalancer(
        id=0,
        name=body.name,
        labels=body.labels,
        type=kind.name,
        location=location,
        algorithm=body.algorithm.type,
        public=body.public_interface,
        ipv4=new_public_ipv4(lab.state, lab.public),
        ipv6=new_public_ipv6(lab.state).replace("::/64", "::1"),
    )
    if body.network is not None:
        _attach(lab, balancer, Attach(network=body.network))
    for service in body.services:
        balancer_services.add(lab, balancer, service)
    for target in body.targets:
        balancer_targets.add(lab, balancer, target)
    refuse_beyond(balancer)
    balancer.id = lab.store.new_id()
    lab.state.load_balancers[balancer.id] = balancer
    action = begin(lab, balancer, "create_load_balancer")
    return LOAD_BALANCERS.answer(lab, balancer, 201, action=action_view(action))


def _type(wanted: int | str) -> LoadBalancerType:
    return offered(LOAD_BALANCER_TYPES.values(), "load_balancer_type", "load balancer type", wanted)


def _location(body: Create) -> str:
    if (body.location is None) == (body.network_zone is None):
        raise invalid("location", "either location or network_zone is required")
    if body.location is not None:
        return location_named("location", body.location)
    for at in LOCATIONS.values():
        if at.network_zone == body.network_zone:
            return at.name
    raise invalid("network_zone", f"unknown network zone '{body.network_zone}'")


def _attach(lab: Lab, balancer: LoadBalancer, body: Attach) -> None:
    network = named(lab.state.networks, "network", "network", body.network)
    if balancer.private:
        raise ApiError("load_balancer_already_attached", "load balancer is already attached to a network")
    zone = LOCATIONS[balancer.location].network_zone
    ip = new_private_ip(lab.state, network, zone, body.ip, body.ip_range)
    balancer.private.append(PrivateNic(network=network.id, ip=ip, mac=new_mac("86")))


def attach(lab: Lab, balancer: LoadBalancer, body: Attach) -> Answer:
    _attach(lab, balancer, body)
    return begun(begin(lab, balancer, "attach_to_network", ("network", body.network)))


def detach(lab: Lab, balancer: LoadBalancer, body: Detach) -> Answer:
    if not any(n.network == body.network for n in balancer.private):
        raise ApiError(
            "load_balancer_not_attached_to_network", "load balancer is not attached to the network"
        )
    if any(t.use_private_ip for t in balancer.targets):
        raise ApiError("targets_without_use_private_ip", "targets use their private addresses")
    balancer.private = []
    return begun(begin(lab, balancer, "detach_from_network", ("network", body.network)))


def disable_public(lab: Lab, balancer: LoadBalancer, body: Body) -> Answer:
    if not balancer.private:
        raise ApiError("load_balancer_not_attached_to_network", "load balancer is not attached to a network")
    if any(not t.use_private_ip for t in balancer.targets):
        raise ApiError("targets_without_use_private_ip", "a target does not use its private address")
    balancer.public = False
    return begun(begin(lab, balancer, "disable_public_interface"))


def enable_public(lab: Lab, balancer: LoadBalancer, body: Body) -> Answer:
    balancer.public = True
    return begun(begin(lab, balancer, "enable_public_interface"))


def change_algorithm(lab: Lab, balancer: LoadBalancer, body: Algorithm) -> Answer:
    balancer.algorithm = body.type
    return begun(begin(lab, balancer, "change_algorithm"))


def change_type(lab: Lab, balancer: LoadBalancer, body: ChangeType) -> Answer:
    changed = balancer.model_copy(update={"type": _type(body.load_balancer_type).name})
    try:
        refuse_beyond(changed)
    except ApiError as e:
        raise ApiError("invalid_load_balancer_type", e.message) from e
    balancer.type = changed.type
    return begun(begin(lab, balancer, "change_load_balancer_type"))


def change_dns_ptr(lab: Lab, balancer: LoadBalancer, body: DnsPtr) -> Answer:
    set_dns_ptr(balancer.dns_ptr, body, balancer.ipv4, balancer.ipv6)
    return done(lab, "change_dns_ptr", ("load_balancer", balancer.id))


def delete(lab: Lab, balancer: LoadBalancer) -> Answer:
    return begun(begin(lab, balancer, "delete_load_balancer"))


async def perform_delete(lab: Lab, action: Action) -> None:
    balancer_id = action.resources[0][1]
    await lab.do(("load_balancer", balancer_id), lab.hardware.delete_balancer, balancer_id)
    lab.state.load_balancers.pop(balancer_id, None)
    lab.balancers.pop(balancer_id, None)


async def perform_create(lab: Lab, action: Action) -> None:
    balancer = lab.state.load_balancers[action.resources[0][1]]
    try:
        await apply(lab, balancer)
    except Exception:
        await lab.do(("load_balancer", balancer.id), lab.hardware.delete_balancer, balancer.id)
        lab.state.load_balancers.pop(balancer.id, None)
        raise


LOAD_BALANCERS = Resource(
    "load_balancer",
    "load_balancers",
    table=lambda state: state.load_balancers,
    view=view,
    create=(create, Create),
    delete=delete,
    protects=True,
    operations={
        **balancer_services.OPERATIONS,
        **balancer_targets.OPERATIONS,
        "attach_to_network": Operation(attach, Attach),
        "detach_from_network": Operation(detach, Detach),
        "disable_public_interface": Operation(disable_public),
        "enable_public_interface": Operation(enable_public),
        "change_algorithm": Operation(change_algorithm, Algorithm),
        "change_type": Operation(change_type, ChangeType),
        "change_dns_ptr": Operation(change_dns_ptr, DnsPtr),
    },
    performers={
        "create_load_balancer": perform_create,
        "delete_load_balancer": perform_delete,
        **dict.fromkeys(
            (
                "add_service",
                "update_service",
                "delete_service",
                "add_target",
                "remove_target",
                "disable_public_interface",
                "enable_public_interface",
                "change_algorithm",
                "change_load_balancer_type",
            ),
            perform_apply,
        ),
    },
)
