"""What the cloud's facts mean for appliance.yaml. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.desk.config.values import suggest
from appliance.desk.findings import Finding, Level
from appliance.desk.model import Location, ServerType, TypeLocation
from appliance.desk.pricing import Pricing, backups_cost, server_cost
from appliance.desk.settings import Settings

FLOOR_GB = 4  # of memory; OpenClaw was seen to take 0.9 GB idle and 1.9 GB at its peak, beside all else


@dataclass(frozen=True)
class CloudFacts:
    locations: Sequence[Location]
    server_types: Sequence[ServerType]
    pricing: Pricing


def judge(settings: Settings, facts: CloudFacts) -> list[Finding]:
    """All findings, good ones too, in the order of the file."""
    types = {kind.name: kind for kind in facts.server_types}
    location_known = any(place.name == settings.location for place in facts.locations)
    findings = [_location(settings.location, facts)]
    wanted = {"server_type": settings.server_type, "image.bake_server_type": settings.image.bake_server_type}
    for subject, name in wanted.items():
        kind = types.get(name)
        if kind is None:
            here = [t.name for t in facts.server_types if not location_known or _sold(t, settings.location)]
            findings.append(
                Finding(
                    Level.WRONG, subject, f'there is no server type "{name}"', suggest(name, here, "types")
                )
            )
        elif location_known:
            findings.append(_available(subject, kind, settings.location, facts))
    node, bake = types.get(settings.server_type), types.get(settings.image.bake_server_type)
    if node is not None:
        findings += _node_size(node)
    if node is not None and bake is not None:
        findings += _fit(node, bake)
    if bake is not None and location_known:
        findings += _smaller_disk(bake, settings.location, facts)
    findings.append(
        Finding(
            Level.OK,
            "limits",
            "the API does not tell a project's limits; a deploy needs 1 server (a build 1 more at a time), "
            "1 primary IPv4, 1 network, 1 firewall",
        )
    )
    return findings


def judge_second_line(settings: Settings, pricing: Pricing) -> Iterator[Finding]:
    """The cloud's own backups: on with their price in the bill, or off and what they would cost."""
    cost = backups_cost(pricing, settings.server_type, settings.location)
    if cost is not None:
        price = f"{cost.monthly:.2f} {pricing.currency} a month"
        what = f"on: {price}" if settings.server_backups else f"off; Hetzner's own, a second line: {price}"
        yield Finding(Level.OK, "server_backups", what)


def _location(name: str, facts: CloudFacts) -> Finding:
    for place in facts.locations:
        if place.name == name:
            what = f"{name} is {place.city}, {place.country} ({place.network_zone})"
            return Finding(Level.OK, "location", what)
    known = [place.name for place in facts.locations]
    return Finding(
        Level.WRONG, "location", f'there is no location "{name}"', suggest(name, known, "locations")
    )


def _sold(kind: ServerType, location: str) -> bool:
    """Whether it can be had there now."""
    return any(place.name == location and place.available for place in kind.locations)


def _available(subject: str, kind: ServerType, location: str, facts: CloudFacts) -> Finding:
    place = next((place for place in kind.locations if place.name == location), None)
    if place is None or not place.available:
        what = (
            f"{kind.name} is " + ("not offered" if place is None else "sold out for now") + f" in {location}"
        )
        return Finding(Level.WRONG, subject, what, _alternatives(kind, location, facts))
    if place.deprecated:
        what = f"{kind.name} is deprecated in {location}"
        return Finding(Level.WARNING, subject, what, _alternatives(kind, location, facts))
    return Finding(Level.OK, subject, _described(kind, place, facts))


def _described(kind: ServerType, place: TypeLocation, facts: CloudFacts) -> str:
    cost = server_cost(facts.pricing, kind.name, place.name)
    price = f", {cost.monthly:.2f} {facts.pricing.currency} a month" if cost else ""
    return (
        f"{kind.name} is available in {place.name}: {kind.cores} cores, {kind.memory:g} GB, "
        f"{kind.disk} GB disk, {kind.architecture}{price}"
    )


def _alternatives(kind: ServerType, location: str, facts: CloudFacts) -> str:
    elsewhere = [place.name for place in kind.locations if place.available and place.name != location]
    here = [
        other.name
        for other in facts.server_types
        if other.name != kind.name
        and other.architecture == kind.architecture
        and other.memory >= min(kind.memory, FLOOR_GB)
        and any(p.name == location and p.available and not p.deprecated for p in other.locations)
    ]
    return (
        f"{kind.name} is available in: {', '.join(elsewhere) or 'no location'}; "
        f"available in {location}: {', '.join(here) or 'no other type'}"
    )


def _node_size(node: ServerType) -> Iterator[Finding]:
    if node.memory < FLOOR_GB:
        what = f"{node.name} has {node.memory:g} GB of memory"
        yield Finding(Level.WRONG, "server_type", what, f"OpenClaw needs {FLOOR_GB} GB at least")


def _fit(node: ServerType, bake: ServerType) -> Iterator[Finding]:
    """A snapshot is bound to its architecture and to disks as large as the one it was made on."""
    subject = "image.bake_server_type"
    if node.architecture != bake.architecture:
        what = f"{bake.name} is {bake.architecture}, {node.name} is {node.architecture}"
        yield Finding(Level.WRONG, subject, what, "bake on the architecture that the node has")
    if bake.disk > node.disk:
        what = f"{bake.name} has {bake.disk} GB of disk, {node.name} only {node.disk}"
        yield Finding(Level.WRONG, subject, what, "its snapshot would not boot there: bake on a smaller disk")


def _smaller_disk(bake: ServerType, location: str, facts: CloudFacts) -> Iterator[Finding]:
    smaller = [
        kind.name
        for kind in facts.server_types
        if kind.architecture == bake.architecture
        and kind.disk < bake.disk
        and any(p.name == location and p.available and not p.deprecated for p in kind.locations)
    ]
    if smaller:
        what = f"{bake.name}'s disk is not the smallest ({bake.disk} GB)"
        yield Finding(
            Level.WARNING,
            "image.bake_server_type",
            what,
            f"a snapshot of {', '.join(smaller)} would boot on more types",
        )
