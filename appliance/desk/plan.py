"""What should be x what is -> the changes between, in order, with their cost. Pure.

A plan after an apply is empty. What a deploy cannot change without loss is refused here, before
anything is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network

from appliance.contract.trouble import ConfigTrouble, UnverifiedTrouble
from appliance.desk.model import (
    Change,
    FirewallRule,
    Held,
    Image,
    Label,
    Observed,
    Plan,
    Role,
    Server,
    Verb,
)
from appliance.desk.pricing import Cost, Pricing, backups_cost, primary_ip_cost, server_cost
from appliance.desk.settings import Settings

ANYWHERE = ("0.0.0.0/0", "::/0")
FIRST_NODE = "1"
PARTS = ("network", "placement_group", "firewall", "ssh_key", "primary_ip")  # what a node stands in


@dataclass(frozen=True)
class Wanted:
    """What appliance.yaml asks of the cloud."""

    settings: Settings
    public_key: str  # the operator's, OpenSSH

    @property
    def node_name(self) -> str:
        return f"{self.settings.name}-{FIRST_NODE}"

    def part_name(self, kind: str) -> str:
        """Primary IPs belong to a node, the other parts to the appliance."""
        return self.node_name if kind == "primary_ip" else self.settings.name

    @property
    def firewall_rules(self) -> tuple[FirewallRule, ...]:
        access = self.settings.access
        rules = [
            FirewallRule("tcp", "443", cidrs(access.api)),
            FirewallRule("tcp", "22", cidrs(access.ssh)),
            FirewallRule("icmp", None, ANYWHERE),
        ]
        return in_order(rule for rule in rules if rule.sources)


@dataclass(frozen=True)
class Found:
    """What of it is there already."""

    node: Server | None
    parts: Mapping[str, Held]  # by kind

    def id_of(self, kind: str) -> int | None:
        return self.parts[kind].id if kind in self.parts else None


def cidrs(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[str, ...]:
    return tuple(sorted(str(network) for network in networks))


def in_order(rules: Iterable[FirewallRule]) -> tuple[FirewallRule, ...]:
    """The order in which cloud/read.py gives the rules that are."""
    return tuple(sorted(rules, key=lambda r: (r.protocol, r.port or "", r.sources)))


def find(wanted: Wanted, observed: Observed) -> Found:
    node = next((s for s in observed.servers if s.labels.get(Label.ROLE) == Role.NODE), None)
    parts: dict[str, Held] = {}
    for held in observed.held:
        if held.kind == "ssh_key":
            mine = held.facts.get("public_key") == " ".join(wanted.public_key.split()[:2])
        else:
            mine = held.name == wanted.part_name(held.kind) and held.labels.get(Label.ROLE) != Role.LOCK
        if mine:
            parts[held.kind] = held
    return Found(node, parts)


def newest_verified(observed: Observed, appliance: str) -> Image:
    """The snapshot that a new node boots from. UnverifiedTrouble where there is none."""
    verified = verified_snapshots(observed)
    if not verified:
        raise UnverifiedTrouble(
            f"There is no verified snapshot of {appliance}",
            why="a node boots only from a snapshot that has passed its acceptance checks",
            fix="`appliance build` makes one",
        )
    return max(verified, key=_age)


def newer_snapshot(node: Server | None, observed: Observed) -> Image | None:
    """A verified snapshot made after the node's own, or after the node where that one is gone."""
    if node is None:
        return None
    own = next((image for image in observed.snapshots if image.id == node.image_id), None)
    since = _age(own) if own is not None else (node.created, 0)
    newer = [
        image for image in verified_snapshots(observed) if image.id != node.image_id and _age(image) > since
    ]
    return max(newer, key=_age, default=None)


def verified_snapshots(observed: Observed) -> list[Image]:
    return [
        image
        for image in observed.snapshots
        if image.labels.get(Label.VERIFIED) == "yes" and image.status == "available"
    ]


def _age(image: Image) -> tuple[datetime, int]:
    """Sorts by age: `created` tells whole seconds only, ids rise."""
    return image.created, image.id


def make_plan(
    wanted: Wanted, observed: Observed, pricing: Pricing, push_due: str, lost: Server | None = None
) -> Plan:
    """`push_due` says why the node needs its bundle; empty where it has it. `lost` is to be replaced.

    Raises ConfigTrouble for changes that a deploy cannot make.
    """
    found = find(wanted, observed)
    refuse_amid_restore(found, observed)
    refuse_unsafe(wanted, found)
    changes = [*_parts(wanted, found, pricing), *_node(wanted, observed, found, pricing)]
    if lost is not None:
        why = "it never answered SSH, so nothing is on it"
        changes.insert(0, Change(Verb.DELETE, "server", lost.name, why))
    if push_due or found.node is None:
        name = found.node.name if found.node is not None else wanted.node_name
        changes.append(Change(Verb.PUSH, "bundle", name, push_due or "config and secrets"))
    return Plan(tuple(changes), pricing.currency)


def _parts(wanted: Wanted, found: Found, pricing: Pricing) -> Iterable[Change]:
    location = wanted.settings.location
    why = {
        "network": f"{wanted.settings.network.ip_range} with {wanted.settings.network.subnet}",
        "placement_group": "so that a second node gets another host",
        "firewall": _rules_in_words(wanted.firewall_rules),
        "ssh_key": f"{wanted.settings.access.ssh_public_key}",
        "primary_ip": f"an address in {location} that outlives the server",
    }
    for kind, reason in why.items():
        name = wanted.part_name(kind)
        part = found.parts.get(kind)
        if part is None:
            if kind == "ssh_key" and found.node is not None:
                continue  # only a new server reads it
            cost = primary_ip_cost(pricing, location) if kind == "primary_ip" else None
            yield _create(kind, name, reason, cost)
        elif kind == "firewall" and part.facts["rules"] != wanted.firewall_rules:
            yield Change(Verb.UPDATE, kind, name, reason)
        elif kind == "network" and not _has_subnet(wanted, part):
            yield Change(Verb.UPDATE, kind, name, f"add subnet {wanted.settings.network.subnet}")


def _node(wanted: Wanted, observed: Observed, found: Found, pricing: Pricing) -> Iterable[Change]:
    settings, node = wanted.settings, found.node
    if node is None:
        verified = verified_snapshots(observed)
        image = (
            f"snapshot {max(verified, key=_age).id}"
            if verified
            else "the snapshot that `appliance build` is yet to make"
        )
        cost = server_cost(pricing, settings.server_type, settings.location)
        if cost is None:
            raise ConfigTrouble(
                f"The cloud has no server type {settings.server_type} in {settings.location}",
                fix="correct server_type or location in appliance.yaml; appliance check tells what there is",
            )
        why = f"{settings.server_type} in {settings.location} from {image}"
        yield _create("server", wanted.node_name, why, cost)
        yield from _backups(wanted, wanted.node_name, pricing)
        return
    if node.status != "running":
        yield Change(Verb.UPDATE, "server", node.name, f"it is {node.status}, it should be running")
    firewall = found.id_of("firewall")
    if firewall is None or firewall not in node.firewall_ids:
        yield Change(Verb.UPDATE, "firewall_of_server", node.name, "the server stands without its firewall")
    if Label.FIRST_HOST_KEY in node.labels:
        yield Change(Verb.UPDATE, "host_key", node.name, "its first host key is not yet replaced")
    if not node.backed_up:
        yield from _backups(wanted, node.name, pricing)


def _backups(wanted: Wanted, node: str, pricing: Pricing) -> Iterable[Change]:
    """On where asked for. Never off: that deletes them, and is for a person to do."""
    settings = wanted.settings
    if settings.server_backups:
        cost = backups_cost(pricing, settings.server_type, settings.location)
        monthly, hourly = (cost.monthly, cost.hourly) if cost else (0.0, 0.0)
        why = "the cloud's own, daily: a second line"
        yield Change(Verb.UPDATE, "backups_of_server", node, why, monthly, hourly)


def _create(kind: str, name: str, why: str, cost: Cost | None) -> Change:
    monthly, hourly = (cost.monthly, cost.hourly) if cost else (0.0, 0.0)
    return Change(Verb.CREATE, kind, name, why, monthly, hourly)


def refuse_amid_restore(found: Found, observed: Observed) -> None:
    """ConfigTrouble where a restore was broken off whose node a deploy would double."""
    begun = [server.name for server in observed.servers if server.labels.get(Label.ROLE) == Role.RESTORE]
    if begun and (found.node is None or found.node.status != "running"):
        raise ConfigTrouble(
            f"A restore is under way: {begun[0]} is to become the node",
            why="a deploy would bring up a second node beside it",
            fix="`appliance restore` goes on where it was broken off. To give it up, delete "
            f"{begun[0]} in the Hetzner console first",
        )


def refuse_unsafe(wanted: Wanted, found: Found) -> None:
    """ConfigTrouble that names every change asked for that would destroy what is."""
    settings, node = wanted.settings, found.node
    asked: list[str] = []
    if node is not None:
        if node.server_type != settings.server_type:
            asked.append(f"server_type: the node is a {node.server_type}, not a {settings.server_type}")
        if node.location != settings.location:
            asked.append(f"location: the node stands in {node.location}, not in {settings.location}")
        if node.placement_group_id is None or node.placement_group_id != found.id_of("placement_group"):
            asked.append("the node is not in its placement group, and a running server cannot join one")
        if node.private_ip is None:
            asked.append("the node is not in its private network")
    network, address = found.parts.get("network"), found.parts.get("primary_ip")
    if network is not None and network.facts["ip_range"] != str(settings.network.ip_range):
        asked.append(f"network.ip_range: it is {network.facts['ip_range']}, not {settings.network.ip_range}")
    if address is not None and address.facts["location"] != settings.location:
        asked.append(f"location: the primary IP is bound to {address.facts['location']}")
    if asked:
        raise ConfigTrouble(
            "A deploy cannot change this without loss, so nothing was changed",
            why="; ".join(asked),
            fix="put the old values back in appliance.yaml, or: `appliance destroy --keep-snapshots`, "
            "then `appliance deploy`",
        )


def _has_subnet(wanted: Wanted, network: Held) -> bool:
    subnets = network.facts["subnets"]
    assert isinstance(subnets, tuple)
    return str(wanted.settings.network.subnet) in [ip_range for ip_range, _ in subnets]


def _rules_in_words(rules: Iterable[FirewallRule]) -> str:
    return "; ".join(f"{rule.port or rule.protocol} from {_few(rule.sources)}" for rule in rules)


def _few(sources: tuple[str, ...]) -> str:
    if set(sources) == set(ANYWHERE):
        return "anywhere"
    return ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
