"""/firewalls: stateful, on public wires only, at most five a server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any, Literal

from pydantic import Field

from appliance.lab.api.core import Lab, Ref
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.labels import parse_selector
from appliance.lab.api.references import SelectorRef, ServerRef
from appliance.lab.api.resource import Answer, Body, Operation, Rename, Resource
from appliance.lab.api.specs import covered, firewalls_of, primary_ip, selected
from appliance.lab.api.views import action_view, time
from appliance.lab.api.wiring import perform_rewire, rewiring
from appliance.lab.records import Firewall, FirewallRule

MOST_RULES = 50
MOST_PER_SERVER = 5
_PORT = re.compile(r"any|(\d{1,5})(?:-(\d{1,5}))?")


class RuleBody(Body):
    direction: Literal["in", "out"]
    protocol: Literal["tcp", "udp", "icmp", "esp", "gre"]
    port: str | None = None
    source_ips: list[str] = []
    destination_ips: list[str] = []
    description: str | None = None


class On(Body):
    type: Literal["server", "label_selector"]
    server: ServerRef | None = None
    label_selector: SelectorRef | None = None


class Create(Body):
    name: str
    labels: dict[str, str] = {}
    rules: list[RuleBody] = Field(default=[], max_length=MOST_RULES)
    apply_to: list[On] = []


class Apply(Body):
    apply_to: list[On]


class Remove(Body):
    remove_from: list[On]


class SetRules(Body):
    rules: list[RuleBody] = Field(max_length=MOST_RULES)


def view(lab: Lab, firewall: Firewall) -> dict[str, Any]:
    applied: list[dict[str, Any]] = [{"type": "server", "server": {"id": i}} for i in firewall.servers]
    for selector in firewall.selectors:
        found = [{"type": "server", "server": {"id": i}} for i in selected(lab.state, selector)]
        applied.append(
            {
                "type": "label_selector",
                "label_selector": {"selector": selector},
                "applied_to_resources": found,
            }
        )
    return {
        "id": firewall.id,
        "name": firewall.name,
        "labels": firewall.labels,
        "created": time(firewall.created),
        "rules": [r.model_dump() for r in firewall.rules],
        "applied_to": applied,
    }


def _rules(bodies: list[RuleBody]) -> list[FirewallRule]:
    for i, rule in enumerate(bodies):
        at = f"rules.{i}"
        if rule.protocol in ("tcp", "udp"):
            match = _PORT.fullmatch(rule.port or "")
            bounds = [int(g) for g in match.groups() if g] if match else []
            if not match or any(not 1 <= b <= 65535 for b in bounds) or bounds != sorted(bounds):
                raise invalid(f"{at}.port", "must be a port, a range as 80-85, or any")
        elif rule.port is not None:
            raise invalid(f"{at}.port", f"{rule.protocol} has no ports")
        peers = "source_ips" if rule.direction == "in" else "destination_ips"
        for peer in getattr(rule, peers):
            try:
                ip_network(peer)
            except ValueError as e:
                raise invalid(f"{at}.{peers}", f"'{peer}' is not a network in CIDR notation") from e
        if not getattr(rule, peers):
            raise invalid(f"{at}.{peers}", "must not be empty")
    return [FirewallRule(**b.model_dump()) for b in bodies]


def create(lab: Lab, body: Create) -> Answer:
    firewall = Firewall(id=0, name=body.name, labels=body.labels, rules=_rules(body.rules))
    for on in body.apply_to:
        try:
            _apply(lab, firewall, on)
        except ApiError as e:
            raise _at_create(e) from e
    firewall.id = lab.store.new_id()
    lab.state.firewalls[firewall.id] = firewall
    actions = []
    if body.rules:
        actions.append(_begin(lab, firewall, "set_firewall_rules", covered(lab.state, firewall)))
    if body.apply_to:
        actions.append(_begin(lab, firewall, "apply_firewall", covered(lab.state, firewall)))
    return FIREWALLS.answer(lab, firewall, 201, actions=[action_view(a) for a in actions])


def _at_create(error: ApiError) -> ApiError:
    """The same refusals have other names and statuses where a firewall is made."""
    if error.code == "firewall_resource_not_found":
        return ApiError(error.code, error.message, status=422)
    if error.code == "firewall_already_applied":
        return ApiError("server_already_added", error.message)
    return error


def _begin(lab: Lab, firewall: Firewall, command: str, servers: Iterable[int]) -> Any:
    """One action for the firewall and all servers it touches. It holds none: firewalls change under way."""
    touched: list[Ref] = [("server", i) for i in sorted(servers)]
    action = lab.action(command, *touched, ("firewall", firewall.id), holds=(), args=rewiring(servers))
    lab.start(action)
    return action


def _apply(lab: Lab, firewall: Firewall, on: On) -> None:
    if on.type == "label_selector":
        if on.label_selector is None:
            raise invalid("label_selector", "is required")
        parse_selector(on.label_selector.selector)
        if on.label_selector.selector in firewall.selectors:
            raise ApiError("firewall_already_applied", "firewall is already applied to the label selector")
        firewall.selectors.append(on.label_selector.selector)
        return
    server_id = on.server.id if on.server else 0
    refuse_if_unfit(lab, firewall, server_id)
    firewall.servers.append(server_id)


def refuse_if_unfit(lab: Lab, firewall: Firewall, server_id: int) -> None:
    """Raises firewall_resource_not_found, firewall_already_applied, private_net_only_server, …"""
    server = lab.state.servers.get(server_id)
    if server is None:
        raise ApiError("firewall_resource_not_found", f"server {server_id} not found")
    if server_id in firewall.servers:
        raise ApiError("firewall_already_applied", f"firewall is already applied to server {server_id}")
    if not any(primary_ip(lab.state, server_id, kind) for kind in ("ipv4", "ipv6")):
        raise ApiError("private_net_only_server", f"server {server_id} has no public interface")
    if len(list(firewalls_of(lab.state, server))) >= MOST_PER_SERVER:
        raise ApiError(
            "resource_limit_exceeded",
            f"a server has at most {MOST_PER_SERVER} firewalls",
            details={"limits": [{"name": "firewalls_per_server"}]},
        )


def apply(lab: Lab, firewall: Firewall, body: Apply) -> Answer:
    before = covered(lab.state, firewall)
    trial = firewall.model_copy(deep=True)
    for on in body.apply_to:
        _apply(lab, trial, on)
    lab.state.firewalls[firewall.id] = trial
    action = _begin(lab, trial, "apply_firewall", covered(lab.state, trial) - before)
    return 201, {"actions": [action_view(action)]}


def remove(lab: Lab, firewall: Firewall, body: Remove) -> Answer:
    before = covered(lab.state, firewall)
    for on in body.remove_from:
        if on.server and on.server.id in firewall.servers:
            firewall.servers.remove(on.server.id)
        elif on.label_selector and on.label_selector.selector in firewall.selectors:
            firewall.selectors.remove(on.label_selector.selector)
        elif on.server and on.server.id in before:
            raise ApiError(
                "firewall_managed_by_label_selector", f"server {on.server.id} is covered by a label selector"
            )
        else:
            raise ApiError("firewall_resource_not_found", "firewall is not applied there")
    action = _begin(lab, firewall, "remove_firewall", before - covered(lab.state, firewall))
    return 201, {"actions": [action_view(action)]}


def set_rules(lab: Lab, firewall: Firewall, body: SetRules) -> Answer:
    firewall.rules = _rules(body.rules)
    action = _begin(lab, firewall, "set_firewall_rules", covered(lab.state, firewall))
    return 201, {"actions": [action_view(action)]}


def delete(lab: Lab, firewall: Firewall) -> Answer:
    if firewall.servers or firewall.selectors:
        raise ApiError("resource_in_use", "firewall is still applied")
    del lab.state.firewalls[firewall.id]
    return 204, None


FIREWALLS = Resource(
    "firewall",
    "firewalls",
    table=lambda state: state.firewalls,
    view=view,
    create=(create, Create),
    update=Rename,
    delete=delete,
    operations={
        "apply_to_resources": Operation(apply, Apply),
        "remove_from_resources": Operation(remove, Remove),
        "set_rules": Operation(set_rules, SetRules),
    },
    performers=dict.fromkeys(("set_firewall_rules", "apply_firewall", "remove_firewall"), perform_rewire),
)
