"""What Hetzner sells, as far as the lab plays it: locations, server types, load balancer types, prices.

Specs and net prices follow the public price list (hetzner.com/cloud, EUR, without VAT) and are here to
be plausible, not to be billed by: what something really costs is asked of the real API's /pricing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from appliance.lab.records import Image, State

VAT = 0.19
CURRENCY = "EUR"
HOURS = 624  # a month's price is reached after so many hours
EU = ("fsn1", "nbg1", "hel1")
US = ("ash", "hil")
EVERYWHERE = (*EU, *US, "sin")


@dataclass(frozen=True)
class Location:
    id: int
    name: str
    description: str
    country: str
    city: str
    latitude: float
    longitude: float
    network_zone: str


LOCATIONS = {
    at.name: at
    for at in (
        Location(1, "fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"),
        Location(2, "nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"),
        Location(3, "hel1", "Helsinki DC Park 1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"),
        Location(4, "ash", "Ashburn, VA", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"),
        Location(5, "hil", "Hillsboro, OR", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"),
        Location(6, "sin", "Singapore", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast"),
    )
}
ZONES = {at.network_zone for at in LOCATIONS.values()}


@dataclass(frozen=True)
class ServerType:
    id: int
    name: str
    cores: int
    memory: float  # GB
    disk: int  # GB
    monthly: float  # net, in the EU
    category: str
    locations: tuple[str, ...] = EU
    architecture: str = "x86"
    cpu_type: str = "shared"
    retired: bool = False


COST, REGULAR, DEDICATED = "cost_optimized", "regular_purpose", "general_purpose"
SERVER_TYPES = {
    t.name: t
    for t in (
        ServerType(104, "cx22", 2, 4, 40, 3.79, COST, retired=True),
        ServerType(22, "cpx11", 2, 2, 40, 4.35, REGULAR, EVERYWHERE, retired=True),
        ServerType(114, "cx23", 2, 4, 40, 3.49, COST),
        ServerType(115, "cx33", 4, 8, 80, 5.49, COST),
        ServerType(116, "cx43", 8, 16, 160, 9.49, COST),
        ServerType(109, "cpx22", 2, 4, 80, 6.49, REGULAR, EVERYWHERE),
        ServerType(110, "cpx32", 4, 8, 160, 10.99, REGULAR, EVERYWHERE),
        ServerType(45, "cax11", 2, 4, 40, 3.79, COST, architecture="arm"),
        ServerType(93, "cax21", 4, 8, 80, 6.49, COST, architecture="arm"),
        ServerType(94, "cax31", 8, 16, 160, 12.49, COST, architecture="arm"),
        ServerType(97, "ccx23", 4, 16, 160, 24.49, DEDICATED, EVERYWHERE, cpu_type="dedicated"),
    )
}


@dataclass(frozen=True)
class LoadBalancerType:
    id: int
    name: str
    max_connections: int
    max_services: int
    max_targets: int
    max_assigned_certificates: int
    monthly: float


LOAD_BALANCER_TYPES = {
    t.name: t
    for t in (
        LoadBalancerType(1, "lb11", 10_000, 5, 25, 10, 5.39),
        LoadBalancerType(2, "lb21", 20_000, 15, 75, 25, 16.40),
        LoadBalancerType(3, "lb31", 40_000, 30, 150, 50, 32.90),
    )
}

PRIMARY_IP = {"ipv4": 0.50, "ipv6": 0.0}
FLOATING_IP = {"ipv4": 3.00, "ipv6": 1.00}
VOLUME_GB = 0.0440
IMAGE_GB = 0.0110
BACKUP_PERCENT = "20.00"

# More than the EU pays, and less traffic for it; TB and EUR a TB.
_FACTOR = {**dict.fromkeys(EU, 1.0), **dict.fromkeys(US, 1.15), "sin": 1.6}
_TRAFFIC = {**dict.fromkeys(EU, 20), **dict.fromkeys(US, 1), "sin": 1}
_TRAFFIC_TB = {**dict.fromkeys(EU, 1.0), **dict.fromkeys(US, 1.0), "sin": 7.4}
TB = 10**12

_RETIRED = {"announced": "2025-10-16T00:00:00+00:00", "unavailable_after": "2025-12-31T00:00:00+00:00"}


def price(net: float, digits: int = 4) -> dict[str, str]:
    return {"net": f"{net:.{digits}f}", "gross": f"{net * (1 + VAT):.{digits}f}"}


def prices(monthly: float, locations: tuple[str, ...], *, traffic: bool = True) -> list[dict[str, Any]]:
    """By location, as /server_types and /pricing show them."""
    found = []
    for location in locations:
        here = round(monthly * _FACTOR[location], 2)
        entry: dict[str, Any] = {
            "location": location,
            "price_hourly": price(here / HOURS),
            "price_monthly": price(here),
        }
        if traffic:
            entry["included_traffic"] = _TRAFFIC[location] * TB
            entry["price_per_tb_traffic"] = price(_TRAFFIC_TB[location])
        found.append(entry)
    return found


def included_traffic(location: str) -> int:
    """Bytes a month."""
    return _TRAFFIC[location] * TB


def location_view(name: str) -> dict[str, Any]:
    return dict(vars(LOCATIONS[name]))


@cache
def server_type_view(of: ServerType, available: frozenset[str]) -> dict[str, Any]:
    """`available`: the locations where it is not sold out. The answer is shared: not to be changed."""
    deprecation = _RETIRED if of.retired else None
    return {
        "id": of.id,
        "name": of.name,
        "description": of.name.upper(),
        "cores": of.cores,
        "memory": of.memory,
        "disk": of.disk,
        "deprecated": of.retired,
        "deprecation": deprecation,
        "prices": prices(of.monthly, of.locations),
        "storage_type": "local",
        "cpu_type": of.cpu_type,
        "category": of.category,
        "architecture": of.architecture,
        "locations": [
            {
                "id": LOCATIONS[name].id,
                "name": name,
                "deprecation": deprecation,
                "recommended": not of.retired and of.category != DEDICATED,
                "available": not of.retired and name in available,
            }
            for name in of.locations
        ],
    }


def load_balancer_type_view(of: LoadBalancerType) -> dict[str, Any]:
    return {
        "id": of.id,
        "name": of.name,
        "description": of.name.upper(),
        "max_connections": of.max_connections,
        "max_services": of.max_services,
        "max_targets": of.max_targets,
        "max_assigned_certificates": of.max_assigned_certificates,
        "deprecated": None,
        "deprecation": None,
        "prices": prices(of.monthly, EVERYWHERE),
    }


def set_system_images(state: State, layers: Sequence[str], architecture: str) -> None:
    """What the lab can boot from the start: its base image, of these disk layers."""
    id_ = 310557660
    state.images[id_] = Image(
        id=id_,
        type="system",
        name="debian-13",
        description="Debian 13",
        disk_size=5,
        os_version="13",
        rapid_deploy=True,
        layers=list(layers),
        architecture=architecture,
        created=datetime(2025, 8, 12, tzinfo=UTC),
    )
