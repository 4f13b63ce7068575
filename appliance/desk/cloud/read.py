"""The API's JSON -> the desk's nouns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from appliance.desk.model import FirewallRule, Held, Image, Location, Server, ServerType, TypeLocation

Raw = Mapping[str, Any]

# kind -> the collection in the API's paths, in an order in which they can be deleted (servers first)
COLLECTIONS = {
    "primary_ip": "primary_ips",
    "placement_group": "placement_groups",
    "firewall": "firewalls",
    "network": "networks",
    "ssh_key": "ssh_keys",
}


def server(raw: Raw) -> Server:
    public = raw["public_net"]
    ipv4 = public.get("ipv4")
    private = raw.get("private_net") or []
    group = raw.get("placement_group")
    image = raw.get("image")
    return Server(
        id=raw["id"],
        name=raw["name"],
        status=raw["status"],
        server_type=raw["server_type"]["name"],
        location=raw["location"]["name"],
        image_id=image["id"] if image else None,
        public_ip=ipv4["ip"] if ipv4 else None,
        private_ip=private[0]["ip"] if private else None,
        placement_group_id=group["id"] if group else None,
        primary_ip_id=ipv4.get("id") if ipv4 else None,
        firewall_ids=tuple(f["id"] for f in public.get("firewalls") or []),
        labels=dict(raw["labels"]),
        created=datetime.fromisoformat(raw["created"]),
        backed_up=raw.get("backup_window") is not None,
    )


def image(raw: Raw) -> Image:
    return Image(
        id=raw["id"],
        name=raw["name"],
        description=raw["description"],
        status=raw["status"],
        architecture=raw["architecture"],
        disk_size=raw["disk_size"],
        image_size=raw["image_size"],
        labels=dict(raw["labels"]),
        created=datetime.fromisoformat(raw["created"]),
    )


def server_type(raw: Raw) -> ServerType:
    return ServerType(
        name=raw["name"],
        cores=raw["cores"],
        memory=raw["memory"],
        disk=raw["disk"],
        architecture=raw["architecture"],
        locations=tuple(
            TypeLocation(
                name=place["name"],
                # Younger than some descriptions of the API: without it, nothing is known to lack.
                available=place.get("available", True),
                deprecated=place.get("deprecation") is not None,
            )
            for place in raw["locations"]
        ),
    )


def location(raw: Raw) -> Location:
    return Location(raw["name"], raw["city"], raw["country"], raw["network_zone"])


def held(kind: str, raw: Raw) -> Held:
    return Held(kind, raw["id"], raw["name"], dict(raw["labels"]), _FACTS[kind](raw))


def firewall_rules(raw: Raw) -> tuple[FirewallRule, ...]:
    """The inbound ones, sorted: the API keeps no order worth keeping."""
    rules = [
        FirewallRule(r["protocol"], r.get("port"), tuple(sorted(r["source_ips"])))
        for r in raw["rules"]
        if r["direction"] == "in"
    ]
    return tuple(sorted(rules, key=lambda r: (r.protocol, r.port or "", r.sources)))


_FACTS: Mapping[str, Callable[[Raw], Mapping[str, object]]] = {
    "network": lambda raw: {
        "ip_range": raw["ip_range"],
        "subnets": tuple((s["ip_range"], s["network_zone"]) for s in raw["subnets"]),
    },
    "firewall": lambda raw: {"rules": firewall_rules(raw)},
    "placement_group": lambda raw: {"servers": tuple(raw["servers"])},
    "ssh_key": lambda raw: {"public_key": " ".join(raw["public_key"].split()[:2])},
    "primary_ip": lambda raw: {
        "ip": raw["ip"],
        "location": raw["location"]["name"],
        "assignee_id": raw["assignee_id"],
    },
}
