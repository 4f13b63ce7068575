"""What a plan costs, by the `pricing` object of GET /pricing. Net, in its currency. Pure.

Hetzner bills whole hours up to the monthly price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.contract.trouble import CloudTrouble

SNAPSHOT_GB = 3.0  # before the first bake: what a baked image is billed as, roughly
HOURS_A_MONTH = 730


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Amount(_Wire):
    net: float


class _Local(_Wire):
    location: str
    price_hourly: _Amount
    price_monthly: _Amount


class _ByType(_Wire):
    prices: list[_Local]


class _ServerType(_ByType):
    name: str


class _PrimaryIp(_ByType):
    type: str


class _PerGb(_Wire):
    price_per_gb_month: _Amount


class _Share(_Wire):
    percentage: float  # of the server's price; text in the API


class Pricing(_Wire):
    """The parts of GET /pricing that a node meets."""

    currency: str
    server_types: list[_ServerType]
    primary_ips: list[_PrimaryIp]
    image: _PerGb
    server_backup: _Share | None = None


@dataclass(frozen=True)
class Cost:
    """Net, in the currency of /pricing."""

    what: str
    monthly: float
    hourly: float


@dataclass(frozen=True)
class Bill:
    currency: str
    items: tuple[Cost, ...]

    @property
    def monthly(self) -> float:
        return sum(item.monthly for item in self.items)

    @property
    def hourly(self) -> float:
        return sum(item.hourly for item in self.items)


def read_pricing(raw: object) -> Pricing:
    try:
        return Pricing.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(key) for key in first["loc"])
        raise CloudTrouble("the cloud's prices cannot be read", why=f"{where}: {first['msg']}") from None


def server_cost(pricing: Pricing, server_type: str, location: str) -> Cost | None:
    """None: the type has no price in that location, so it is not sold there."""
    return _find(
        f"server {server_type} in {location}",
        (local for kind in pricing.server_types if kind.name == server_type for local in kind.prices),
        location,
    )


def backups_cost(pricing: Pricing, server_type: str, location: str) -> Cost | None:
    """The cloud's own backups of that server. None: it has no price for them."""
    server = server_cost(pricing, server_type, location)
    if server is None or pricing.server_backup is None:
        return None
    share = pricing.server_backup.percentage / 100
    return Cost(
        f"Hetzner's backups of it, {share:.0%} of the server", server.monthly * share, server.hourly * share
    )


def primary_ip_cost(pricing: Pricing, location: str) -> Cost | None:
    return _find(
        "primary IPv4",
        (local for kind in pricing.primary_ips if kind.type == "ipv4" for local in kind.prices),
        location,
    )


def snapshot_cost(pricing: Pricing, gigabytes: float) -> Cost:
    monthly = pricing.image.price_per_gb_month.net * gigabytes
    return Cost(f"snapshot of {gigabytes:.1f} GB", monthly, monthly / HOURS_A_MONTH)


def node_bill(
    pricing: Pricing,
    server_type: str,
    location: str,
    snapshots_gb: Sequence[float] | None = None,
    *,
    backed_up: bool = False,
) -> Bill | None:
    """A node: server, primary IPv4, and snapshots as they are (None: one of the usual size).

    `backed_up`: by the cloud itself too.

    None where the server or the address is not sold there: a part of a bill would mislead.
    """
    sizes = [SNAPSHOT_GB] if snapshots_gb is None else list(snapshots_gb)
    server, address = server_cost(pricing, server_type, location), primary_ip_cost(pricing, location)
    if server is None or address is None:
        return None
    backups = backups_cost(pricing, server_type, location) if backed_up else None
    items = (server, *([backups] if backups else []), address)
    return Bill(pricing.currency, (*items, *(snapshot_cost(pricing, size) for size in sizes)))


def _find(what: str, prices: Iterable[_Local], location: str) -> Cost | None:
    for local in prices:
        if local.location == location:
            return Cost(what, local.price_monthly.net, local.price_hourly.net)
    return None
