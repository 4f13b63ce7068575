"""Every operation that the lab serves is walked once, and each answer held against the public description."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.lab.certificate import certificate_and_key
from tests.lab.rest import Rest, public_key
from tests.lab.served import LabApi

ROOT = Path(__file__).parents[2]
PLACES = [
    Path(os.environ.get("APPLIANCE_CLOUD_SPEC", "/nonexistent")),
    ROOT.parent / "shared/hetzner/cloud.spec.json",
]
URI = "urn:cloud"
# Served, but the lab has nothing there: no ISO, and no action of an uploaded certificate.
EMPTY = {
    ("get", "/isos/{id}"),
    ("get", "/certificates/actions/{id}"),
    ("get", "/certificates/{id}/actions/{action_id}"),
    ("post", "/certificates/{id}/actions/retry"),
}
METHODS = ("get", "post", "put", "delete")


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    for place in PLACES:
        if place.is_file():
            return amended(json.loads(place.read_text()))
    pytest.skip("cloud.spec.json is not at hand: APPLIANCE_CLOUD_SPEC may name it")


def amended(spec: dict[str, Any]) -> dict[str, Any]:
    """With what the API changed after the description of 2026-07-08 was written."""
    paths = spec["paths"]
    action = paths["/servers/{id}"]["delete"]["responses"]["200"]
    paths["/load_balancers/{id}"]["delete"]["responses"] = {"201": action}
    text = json.dumps(spec)
    spec = json.loads(text)
    for node in _walk(spec):
        properties = node.get("properties")
        if isinstance(properties, dict) and "assignee_type" in properties and "blocked" in properties:
            properties["assignee_type"]["enum"].append("unassigned")
    return spec


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value)


class Checked(Rest):
    """Holds every answer against the description, and remembers which operations it has seen."""

    def __init__(self, api: LabApi, spec: dict[str, Any]) -> None:
        super().__init__(api)
        self.spec = spec
        self.registry = Registry().with_resource(URI, Resource.from_contents(spec, DRAFT202012))
        self.seen: set[tuple[str, str]] = set()
        self.patterns = [
            (re.compile(re.sub(r"\{[^}]+\}", r"[^/]+", path) + "$"), path)
            for path in sorted(spec["paths"], key=lambda p: p.count("{"))
        ]

    def __call__(self, method: str, path: str, json: Any = None, **how: Any) -> requests.Response:
        response = super().__call__(method, path, json, **how)
        template = next(t for pattern, t in self.patterns if pattern.match(path.partition("?")[0]))
        operation = self.spec["paths"][template][method.lower()]
        status = str(response.status_code)
        if status not in operation["responses"]:
            status = f"{status[0]}xx"
        assert status in operation["responses"], f"{method} {path} answered {response.status_code}"
        if response.ok:
            self.seen.add((method.lower(), template))
        if "content" in operation["responses"][status]:
            steps = ("paths", template, method.lower(), "responses", status, "content", "application/json")
            pointer = "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
            schema = {"$ref": f"{URI}#/{pointer}/schema"}
            validator = Draft202012Validator(schema, registry=self.registry)
            errors = [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(response.json())]
            assert not errors, f"{method} {path}: {errors}"
        else:
            assert not response.content
        return response


def test_every_answer_is_as_described(spec: dict[str, Any], lab_api: LabApi) -> None:
    rest = Checked(lab_api, spec)
    walk_catalogue(rest)
    network = walk_networks(rest)
    key = walk_keys(rest)
    server = walk_servers(rest, network, key)
    walk_images(rest, server)
    walk_addresses(rest, server)
    walk_firewalls(rest, server)
    walk_volumes(rest, server)
    walk_balancers(rest, network, server)
    rest.ok("DELETE", f"/servers/{server}")
    rest.ok("DELETE", f"/networks/{network}")
    everything = {
        (method, path)
        for path, operations in spec["paths"].items()
        for method in METHODS
        if method in operations
    }
    for method, path in sorted(everything - rest.seen):
        answer = Rest.__call__(rest, method.upper(), re.sub(r"\{[^}]+\}", "1", path), {})
        expected = 404 if (method, path) in EMPTY else 410 if path.startswith("/datacenters") else 501
        assert answer.status_code == expected, f"{method} {path} was not walked, and answers {answer.text}"


def walk_catalogue(rest: Checked) -> None:
    for path in ("locations", "server_types", "load_balancer_types", "isos", "pricing"):
        items = rest.ok("GET", f"/{path}")[path]
        if path not in ("isos", "pricing"):
            rest.ok("GET", f"/{path}/{items[0]['id']}")


def look(rest: Checked, plural: str, id_: int, *, actions: bool = True) -> None:
    """What is the same for all resources: list, get, and its actions."""
    rest.ok("GET", f"/{plural}?label_selector=a,!b&sort=id:desc")
    rest.ok("GET", f"/{plural}/{id_}")
    if actions:
        found = rest.ok("GET", f"/{plural}/{id_}/actions")["actions"]
        rest.ok("GET", f"/{plural}/actions")
        assert found
        rest.ok("GET", f"/{plural}/{id_}/actions/{found[0]['id']}")
        rest.ok("GET", f"/{plural}/actions/{found[0]['id']}")
        rest.ok("GET", f"/actions/{found[0]['id']}")
        rest.ok("GET", f"/actions?id={found[0]['id']}")


def walk_networks(rest: Checked) -> int:
    network = rest.network()
    at, subnet = f"/networks/{network}", "10.0.2.0/24"
    zone = {"type": "cloud", "network_zone": "eu-central", "ip_range": subnet}
    route = {"destination": "10.100.1.0/24", "gateway": "10.0.1.4"}
    rest.ok("PUT", at, {"labels": {"a": "1"}})
    rest.ok("POST", f"{at}/actions/add_subnet", zone)
    rest.ok("POST", f"{at}/actions/delete_subnet", {"ip_range": subnet})
    rest.ok("POST", f"{at}/actions/add_route", route)
    rest.ok("POST", f"{at}/actions/delete_route", route)
    rest.ok("POST", f"{at}/actions/change_ip_range", {"ip_range": "10.0.0.0/12"})
    rest.ok("POST", f"{at}/actions/change_protection", {"delete": True})
    rest.refused("DELETE", at)
    rest.ok("POST", f"{at}/actions/change_protection", {"delete": False})
    look(rest, "networks", network)
    return network


def walk_keys(rest: Checked) -> int:
    key = rest.key()
    rest.ok("PUT", f"/ssh_keys/{key}", {"labels": {"a": "1"}, "name": "k2"})
    look(rest, "ssh_keys", key, actions=False)
    other = rest.ok("POST", "/ssh_keys", {"name": "k3", "public_key": public_key()})["ssh_key"]["id"]
    rest.ok("DELETE", f"/ssh_keys/{other}")
    return key


def walk_servers(rest: Checked, network: int, key: int) -> int:
    group = rest.ok("POST", "/placement_groups", {"name": "g", "type": "spread", "labels": {"a": "1"}})
    group_id = group["placement_group"]["id"]
    server: int = rest.server(
        ssh_keys=[key], networks=[network], placement_group=group_id, labels={"a": "1"}, user_data="#!x"
    )["id"]
    without_key = rest.server("t", start_after_create=False)
    rest.ok("DELETE", f"/servers/{without_key['id']}")
    at = f"/servers/{server}/actions"
    rest.ok("PUT", f"/servers/{server}", {"name": "s2"})
    for action in ("reboot", "reset", "reset_password", "shutdown", "poweroff", "poweron", "enable_backup"):
        rest.ok("POST", f"{at}/{action}")
    rest.ok("POST", f"{at}/create_image", {"type": "backup"})
    rest.ok("POST", f"{at}/disable_backup")
    rest.ok("POST", f"{at}/change_protection", {"delete": True, "rebuild": True})
    rest.ok("POST", f"{at}/change_protection", {"delete": False, "rebuild": False})
    rest.ok("POST", f"{at}/change_alias_ips", {"network": network, "alias_ips": ["10.0.1.9"]})
    rest.ok("POST", f"{at}/detach_from_network", {"network": network})
    rest.ok("POST", f"{at}/attach_to_network", {"network": network})
    ip = rest.ok("GET", f"/servers/{server}")["server"]["public_net"]["ipv4"]["ip"]
    rest.ok("POST", f"{at}/change_dns_ptr", {"ip": ip, "dns_ptr": "s.example.org"})
    rest.ok("POST", f"{at}/poweroff")
    rest.ok("POST", f"{at}/remove_from_placement_group")
    rest.ok("POST", f"{at}/add_to_placement_group", {"placement_group": group_id})
    rest.ok("POST", f"{at}/change_type", {"server_type": "cx33", "upgrade_disk": False})
    rest.ok("POST", f"{at}/rebuild", {"image": "debian-13"})
    rest.ok("PUT", f"/placement_groups/{group_id}", {"name": "g2"})
    look(rest, "placement_groups", group_id, actions=False)
    look(rest, "servers", server)
    rest.ok("DELETE", f"/placement_groups/{group_id}")
    return server


def walk_images(rest: Checked, server: int) -> None:
    made = rest.ok("POST", f"/servers/{server}/actions/create_image", {"labels": {"a": "1"}})
    image = made["image"]["id"]
    rest.ok("PUT", f"/images/{image}", {"description": "x", "labels": {"a": "2"}})
    rest.ok("POST", f"/images/{image}/actions/change_protection", {"delete": True})
    rest.ok("POST", f"/images/{image}/actions/change_protection", {"delete": False})
    look(rest, "images", image)
    other = rest.server("from-snapshot", image=image)
    rest.ok("DELETE", f"/servers/{other['id']}")
    rest.ok("DELETE", f"/images/{image}")


def walk_addresses(rest: Checked, server: int) -> None:
    rest.ok("POST", f"/servers/{server}/actions/poweroff")
    old = rest.ok("GET", f"/servers/{server}")["server"]["public_net"]["ipv4"]["id"]
    rest.ok("POST", f"/primary_ips/{old}/actions/unassign")
    wanted = {"name": "p", "type": "ipv4", "location": "fsn1", "labels": {"a": "1"}}
    ip = rest.ok("POST", "/primary_ips", wanted)["primary_ip"]
    at = f"/primary_ips/{ip['id']}"
    rest.ok("PUT", at, {"name": "p2", "auto_delete": False})
    rest.ok("POST", f"{at}/actions/assign", {"assignee_id": server, "assignee_type": "server"})
    rest.ok("POST", f"{at}/actions/change_dns_ptr", {"ip": ip["ip"], "dns_ptr": "a.example.org"})
    rest.ok("POST", f"{at}/actions/change_protection", {"delete": False})
    look(rest, "primary_ips", ip["id"])
    rest.ok("DELETE", f"/primary_ips/{old}")
    rest.ok("POST", f"/servers/{server}/actions/poweron")

    floating = rest.ok("POST", "/floating_ips", {"type": "ipv4", "home_location": "fsn1", "name": "f"})
    floating = floating["floating_ip"]
    at = f"/floating_ips/{floating['id']}"
    rest.ok("PUT", at, {"description": "d", "labels": {"a": "1"}})
    rest.ok("POST", f"{at}/actions/assign", {"server": server})
    rest.ok("POST", f"{at}/actions/change_dns_ptr", {"ip": floating["ip"], "dns_ptr": None})
    rest.ok("POST", f"{at}/actions/change_protection", {"delete": False})
    look(rest, "floating_ips", floating["id"])
    rest.ok("POST", f"{at}/actions/unassign")
    rest.ok("DELETE", at)


def walk_firewalls(rest: Checked, server: int) -> None:
    rule = {"direction": "in", "protocol": "tcp", "port": "443", "source_ips": ["0.0.0.0/0", "::/0"]}
    on = [{"type": "server", "server": {"id": server}}]
    by_label = [{"type": "label_selector", "label_selector": {"selector": "a=1"}}]
    made = rest.ok("POST", "/firewalls", {"name": "f", "rules": [rule], "apply_to": by_label})
    firewall = made["firewall"]["id"]
    at = f"/firewalls/{firewall}"
    rest.ok("PUT", at, {"labels": {"a": "1"}})
    rest.ok("POST", f"{at}/actions/apply_to_resources", {"apply_to": on})
    look(rest, "firewalls", firewall)
    rest.ok("POST", f"{at}/actions/set_rules", {"rules": [{**rule, "protocol": "icmp", "port": None}]})
    rest.ok("GET", "/servers")
    rest.ok("POST", f"{at}/actions/remove_from_resources", {"remove_from": [*on, *by_label]})
    rest.ok("DELETE", at)


def walk_volumes(rest: Checked, server: int) -> None:
    made = rest.ok("POST", "/volumes", {"name": "v", "size": 10, "server": server, "format": "ext4"})
    volume = made["volume"]["id"]
    at = f"/volumes/{volume}"
    rest.ok("PUT", at, {"labels": {"a": "1"}})
    rest.ok("POST", f"{at}/actions/detach")
    rest.ok("POST", f"{at}/actions/attach", {"server": server})
    rest.ok("POST", f"{at}/actions/resize", {"size": 20})
    rest.ok("POST", f"{at}/actions/change_protection", {"delete": False})
    look(rest, "volumes", volume)
    rest.ok("POST", f"{at}/actions/detach")
    rest.ok("DELETE", at)


def walk_balancers(rest: Checked, network: int, server: int) -> None:
    chain, key = certificate_and_key("lb.example.org")
    uploaded = rest.ok("POST", "/certificates", {"name": "c", "certificate": chain, "private_key": key})
    certificate = uploaded["certificate"]["id"]
    rest.ok("PUT", f"/certificates/{certificate}", {"labels": {"a": "1"}})
    check = {"protocol": "tcp", "port": 80, "interval": 3, "timeout": 2, "retries": 2}
    tcp = {
        "protocol": "tcp",
        "listen_port": 22,
        "destination_port": 22,
        "proxyprotocol": False,
        "health_check": check,
    }
    wanted = {"name": "b", "load_balancer_type": "lb11", "location": "fsn1", "services": [tcp]}
    balancer = rest.ok("POST", "/load_balancers", wanted)["load_balancer"]["id"]
    one, at = f"/load_balancers/{balancer}", f"/load_balancers/{balancer}/actions"
    rest.ok("PUT", one, {"labels": {"a": "1"}})
    rest.ok("POST", f"{at}/attach_to_network", {"network": network})
    https = {"protocol": "https", "http": {"certificates": [certificate], "sticky_sessions": True}}
    rest.ok("POST", f"{at}/add_service", https)
    rest.ok("POST", f"{at}/add_service", {"protocol": "http", "health_check": {**check, "protocol": "http"}})
    rest.ok("POST", f"{at}/update_service", {"listen_port": 80, "health_check": {"retries": 5}})
    by_label = {"type": "label_selector", "label_selector": {"selector": "a=1"}, "use_private_ip": True}
    public = rest.ok("GET", f"/servers/{server}")["server"]["public_net"]["ipv4"]["ip"]
    by_ip = {"type": "ip", "ip": {"ip": public}}
    by_id = {"type": "server", "server": {"id": server}, "use_private_ip": True}
    for target in (by_id, by_label, by_ip):
        rest.ok("POST", f"{at}/add_target", target)
    look(rest, "load_balancers", balancer)
    rest.ok("GET", f"/certificates/{certificate}")
    rest.ok("GET", "/certificates")
    rest.ok("GET", "/certificates/actions")
    rest.ok("GET", f"/certificates/{certificate}/actions")
    rest.ok("GET", f"/networks/{network}")
    rest.ok("POST", f"{at}/remove_target", by_ip)
    rest.ok("POST", f"{at}/disable_public_interface")
    rest.ok("POST", f"{at}/enable_public_interface")
    rest.ok("POST", f"{at}/change_algorithm", {"type": "least_connections"})
    rest.ok("POST", f"{at}/change_type", {"load_balancer_type": "lb21"})
    ip = rest.ok("GET", one)["load_balancer"]["public_net"]["ipv4"]["ip"]
    rest.ok("POST", f"{at}/change_dns_ptr", {"ip": ip, "dns_ptr": "b.example.org"})
    rest.ok("POST", f"{at}/change_protection", {"delete": False})
    for target in (by_id, by_label):
        rest.ok("POST", f"{at}/remove_target", target)
    rest.ok("POST", f"{at}/delete_service", {"listen_port": 443})
    rest.ok("POST", f"{at}/detach_from_network", {"network": network})
    rest.ok("DELETE", f"/certificates/{certificate}")
    rest.ok("DELETE", one)
