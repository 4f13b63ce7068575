"""Targets of load balancers, and how healthy they are."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, Literal

from appliance.lab.api.addresses import public_ipv4s
from appliance.lab.api.balancers import add_within_limits, address_of, begin, expand, target_key
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.labels import parse_selector
from appliance.lab.api.networks import PRIVATE
from appliance.lab.api.references import SelectorRef, ServerRef, named
from appliance.lab.api.resource import Answer, Body, Operation, begun
from appliance.lab.hardware import TargetHealth
from appliance.lab.records import LoadBalancer, Target


class IpRef(Body):
    ip: str


class TargetBody(Body):
    type: Literal["server", "label_selector", "ip"]
    server: ServerRef | None = None
    label_selector: SelectorRef | None = None
    ip: IpRef | None = None
    use_private_ip: bool = False


def view(lab: Lab, balancer: LoadBalancer, target: Target) -> dict[str, Any]:
    if target.selector is None:
        return _view_one(lab, balancer, target)
    return {
        "type": "label_selector",
        "label_selector": {"selector": target.selector},
        "use_private_ip": target.use_private_ip,
        "targets": [_view_one(lab, balancer, one) for one in expand(lab.state, target)],
    }


def _view_one(lab: Lab, balancer: LoadBalancer, target: Target) -> dict[str, Any]:
    known = lab.health.get(balancer.id, {})
    health = [
        _health_view(s.listen_port, known.get((target_key(target), s.listen_port))) for s in balancer.services
    ]
    if target.ip is not None:
        return {"type": "ip", "ip": {"ip": target.ip}, "health_status": health}
    address = address_of(lab.state, balancer, target) or ""
    return {
        "type": "server",
        "server": {"id": target.server, "ip": address},
        "use_private_ip": target.use_private_ip,
        "health_status": health,
    }


def _health_view(port: int, health: TargetHealth | None) -> dict[str, Any]:
    """`detail` and `http_status_code` are there only while unhealthy."""
    shown: dict[str, Any] = {"listen_port": port, "status": health.status if health else "unknown"}
    if health is not None and health.status == "unhealthy":
        shown["detail"] = health.detail or "unspecified"
        if health.http_status_code is not None:
            shown["http_status_code"] = health.http_status_code
    return shown


def _read(body: TargetBody) -> Target:
    match body:
        case TargetBody(type="server", server=ServerRef(id=id_)):
            return Target(server=id_, use_private_ip=body.use_private_ip)
        case TargetBody(type="label_selector", label_selector=SelectorRef(selector=selector)):
            parse_selector(selector)
            return Target(selector=selector, use_private_ip=body.use_private_ip)
        case TargetBody(type="ip", ip=IpRef(ip=ip)):
            return Target(ip=ip)
    raise invalid(body.type, "is required")


def add(lab: Lab, balancer: LoadBalancer, body: TargetBody) -> None:
    target = _read(body)
    if any(_same(target, t) for t in balancer.targets):
        raise ApiError("target_already_defined", "the target is already defined")
    if target.use_private_ip and not balancer.private:
        raise ApiError("load_balancer_not_attached_to_network", "load balancer is not attached to a network")
    if target.ip is None and not target.use_private_ip and not balancer.public:
        raise ApiError("load_balancer_public_interface_disabled", "the public interface is disabled")
    if target.ip is not None:
        _refuse_foreign(lab, balancer, target.ip)
    if target.server is not None:
        _refuse_unreachable(lab, balancer, target)
    balancer.targets.append(target)


def _refuse_foreign(lab: Lab, balancer: LoadBalancer, ip: str) -> None:
    try:
        address = IPv4Address(ip)
    except ValueError as e:
        raise invalid("ip", "must be an IPv4 address") from e
    if balancer.private and any(address in network for network in PRIVATE):
        raise ApiError(
            "network_has_no_vswitch_subnet", "private addresses are reached through a vSwitch only"
        )
    if ip not in set(public_ipv4s(lab.state)):
        raise ApiError("ip_not_owned", f"{ip} is not owned by the project")


def _refuse_unreachable(lab: Lab, balancer: LoadBalancer, target: Target) -> None:
    server_id = target.server or 0
    named(lab.state.servers, "server", "server", server_id)
    attaching = lab.under_way("attach_to_network", ("server", server_id))
    if address_of(lab.state, balancer, target) is None or (target.use_private_ip and attaching):
        kind = "private" if target.use_private_ip else "public"
        raise ApiError(
            f"resolve_cloud_{kind}_targets_error", f"server {server_id} has no {kind} address for this"
        )


def _same(one: Target, other: Target) -> bool:
    return (one.server, one.selector, one.ip) == (other.server, other.selector, other.ip)


def add_target(lab: Lab, balancer: LoadBalancer, body: TargetBody) -> Answer:
    add_within_limits(balancer, lambda trial: add(lab, trial, body))
    return begun(begin(lab, balancer, "add_target"))


def remove_target(lab: Lab, balancer: LoadBalancer, body: TargetBody) -> Answer:
    going = _read(body)
    left = [t for t in balancer.targets if not _same(t, going)]
    if len(left) == len(balancer.targets):
        raise ApiError("not_found", "there is no such target")
    balancer.targets = left
    return begun(begin(lab, balancer, "remove_target"))


OPERATIONS: dict[str, Operation[LoadBalancer]] = {
    "add_target": Operation(add_target, TargetBody),
    "remove_target": Operation(remove_target, TargetBody),
}
