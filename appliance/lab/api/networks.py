"""/networks"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from appliance.lab.api.addresses import gateway, private_ips
from appliance.lab.api.balancers import apply
from appliance.lab.api.catalogue import ZONES
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, beyond_the_lab, invalid
from appliance.lab.api.resource import Answer, Body, Operation, Rename, Resource, begun
from appliance.lab.api.views import time
from appliance.lab.api.wiring import make_network, rewire
from appliance.lab.records import Action, LoadBalancer, Network, Route, Server, Subnet

PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
SMALLEST_NETWORK, SMALLEST_SUBNET = 24, 30  # prefix lengths


class SubnetBody(Body):
    type: Literal["cloud", "server", "vswitch"]
    network_zone: str
    ip_range: str | None = None


class RouteBody(Body):
    destination: str
    gateway: str


class Create(Body):
    name: str
    ip_range: str
    labels: dict[str, str] = {}
    subnets: list[SubnetBody] = []
    routes: list[RouteBody] = []
    expose_routes_to_vswitch: bool = False


class Update(Rename):
    expose_routes_to_vswitch: bool | None = None


class IpRange(Body):
    ip_range: str


def view(lab: Lab, network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": network.name,
        "ip_range": network.ip_range,
        "subnets": [{**s.model_dump(), "gateway": gateway(network)} for s in network.subnets],
        "routes": [r.model_dump() for r in network.routes],
        "servers": [s.id for s in lab.state.servers.values() if _is_in(s.private, network.id)],
        "load_balancers": [b.id for b in lab.state.load_balancers.values() if _is_in(b.private, network.id)],
        "protection": {"delete": network.protected},
        "labels": network.labels,
        "created": time(network.created),
        "expose_routes_to_vswitch": network.expose_routes_to_vswitch,
    }


def _is_in(nics: list[Any], network_id: int) -> bool:
    return any(nic.network == network_id for nic in nics)


def cidr(field: str, text: str) -> IPv4Network:
    """Raises invalid_input."""
    try:
        return IPv4Network(text)
    except ValueError as e:
        raise invalid(field, f"'{text}' is not a network in CIDR notation") from e


def _network_range(text: str) -> IPv4Network:
    found = cidr("ip_range", text)
    if found.prefixlen > SMALLEST_NETWORK or not any(found.subnet_of(p) for p in PRIVATE):
        raise invalid("ip_range", f"must be private (RFC 1918) and /{SMALLEST_NETWORK} or larger")
    return found


def _add_subnet(network: Network, body: SubnetBody) -> None:
    if body.type == "vswitch":
        raise beyond_the_lab("A vSwitch subnet")
    if body.network_zone not in ZONES:
        raise invalid("network_zone", f"unknown network zone '{body.network_zone}'")
    whole = IPv4Network(network.ip_range)
    taken = [IPv4Network(s.ip_range) for s in network.subnets]
    if body.ip_range is None:
        size = max(whole.prefixlen, 24)
        free = (s for s in whole.subnets(new_prefix=size) if not any(s.overlaps(t) for t in taken))
        chosen = next(free, None)
        if chosen is None:
            raise invalid("ip_range", "no free range is left in the network")
    else:
        chosen = cidr("ip_range", body.ip_range)
        if chosen.prefixlen > SMALLEST_SUBNET or not chosen.subnet_of(whole):
            raise invalid("ip_range", f"must lie in the network and be /{SMALLEST_SUBNET} or larger")
        if any(chosen.overlaps(t) for t in taken):
            raise invalid("ip_range", "overlaps with another subnet")
    network.subnets.append(Subnet(type=body.type, ip_range=str(chosen), network_zone=body.network_zone))


def _add_route(network: Network, body: RouteBody) -> None:
    cidr("destination", body.destination)
    if any(r.destination == body.destination for r in network.routes):
        raise invalid("destination", "the network has a route there")
    try:
        inside = IPv4Address(body.gateway) in IPv4Network(network.ip_range)
    except ValueError:
        inside = False
    if not inside or body.gateway == gateway(network):
        raise invalid("gateway", "must be an address in the network, and not its first")
    network.routes.append(Route(destination=body.destination, gateway=body.gateway))


def create(lab: Lab, body: Create) -> Answer:
    network = Network(id=0, name=body.name, ip_range=str(_network_range(body.ip_range)), labels=body.labels)
    network.expose_routes_to_vswitch = body.expose_routes_to_vswitch
    for subnet in body.subnets:
        _add_subnet(network, subnet)
    for route in body.routes:
        _add_route(network, route)
    network.id = lab.store.new_id()
    lab.state.networks[network.id] = network
    lab.start(lab.action("lay_network", args={"network": network.id}, hidden=True))
    return NETWORKS.answer(lab, network, 201)


def updated(lab: Lab, network: Network, body: Update) -> None:
    if body.expose_routes_to_vswitch is not None:
        network.expose_routes_to_vswitch = body.expose_routes_to_vswitch


def delete(lab: Lab, network: Network) -> Answer:
    """Servers and load balancers in it are detached in the background."""
    servers = [s for s in lab.state.servers.values() if _is_in(s.private, network.id)]
    balancers = [b for b in lab.state.load_balancers.values() if _is_in(b.private, network.id)]
    members: tuple[Server | LoadBalancer, ...] = (*servers, *balancers)
    for member in members:
        member.private = [nic for nic in member.private if nic.network != network.id]
    del lab.state.networks[network.id]
    args = {
        "network": network.id,
        "servers": [s.id for s in servers],
        "load_balancers": [b.id for b in balancers],
    }
    lab.start(lab.action("lift_network", args=args, hidden=True))
    return 204, None


def _changed(lab: Lab, network: Network, command: str) -> Answer:
    action = lab.action(command, ("network", network.id), args={"network": network.id})
    lab.start(action)
    return begun(action)


def add_subnet(lab: Lab, network: Network, body: SubnetBody) -> Answer:
    _add_subnet(network, body)
    return _changed(lab, network, "add_subnet")


def delete_subnet(lab: Lab, network: Network, body: IpRange) -> Answer:
    going = next((s for s in network.subnets if s.ip_range == body.ip_range), None)
    if going is None:
        raise ApiError("not_found", "subnet not found")
    if any(IPv4Address(ip) in IPv4Network(going.ip_range) for ip in private_ips(lab.state, network.id)):
        raise ApiError("resource_in_use", "the subnet is in use", status=409)
    network.subnets.remove(going)
    return _changed(lab, network, "delete_subnet")


def add_route(lab: Lab, network: Network, body: RouteBody) -> Answer:
    _add_route(network, body)
    return _changed(lab, network, "add_route")


def delete_route(lab: Lab, network: Network, body: RouteBody) -> Answer:
    going = Route(destination=body.destination, gateway=body.gateway)
    if going not in network.routes:
        raise ApiError("not_found", "route not found")
    network.routes.remove(going)
    return _changed(lab, network, "delete_route")


def change_ip_range(lab: Lab, network: Network, body: IpRange) -> Answer:
    """It can only be extended."""
    wider, old = _network_range(body.ip_range), IPv4Network(network.ip_range)
    if not old.subnet_of(wider) or old.network_address != wider.network_address:
        raise invalid("ip_range", "can only be extended, from the same first address")
    network.ip_range = str(wider)
    return _changed(lab, network, "change_ip_range")


async def perform_lay(lab: Lab, action: Action) -> None:
    await make_network(lab, action.args["network"])


async def perform_lift(lab: Lab, action: Action) -> None:
    for server_id in action.args["servers"]:
        await rewire(lab, server_id)
    for balancer_id in action.args["load_balancers"]:
        if balancer_id in lab.state.load_balancers:
            await apply(lab, lab.state.load_balancers[balancer_id])
    network_id = action.args["network"]
    await lab.do(("network", network_id), lab.hardware.delete_network, network_id)


NETWORKS = Resource(
    "network",
    "networks",
    table=lambda state: state.networks,
    view=view,
    create=(create, Create),
    update=Update,
    updated=updated,
    delete=delete,
    protects=True,
    busy="conflict",
    operations={
        "add_subnet": Operation(add_subnet, SubnetBody),
        "delete_subnet": Operation(delete_subnet, IpRange),
        "add_route": Operation(add_route, RouteBody),
        "delete_route": Operation(delete_route, RouteBody),
        "change_ip_range": Operation(change_ip_range, IpRange),
    },
    performers={
        "lay_network": perform_lay,
        "lift_network": perform_lift,
        **dict.fromkeys(
            ("add_subnet", "delete_subnet", "add_route", "delete_route", "change_ip_range"), perform_lay
        ),
    },
)
