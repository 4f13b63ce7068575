"""Which address comes next. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.records import Network, State

FIRST_SERVER = 256  # the first addresses of the lab's range are the host's own
METADATA_GATEWAY = IPv4Address("172.31.1.1")  # reserved in every network


def new_public_ipv4(state: State, public: IPv4Network) -> str:
    """The next address in turn, so that a freed one is not given out again at once."""
    used = set(public_ipv4s(state))
    span = public.num_addresses - FIRST_SERVER - 1
    for _ in range(span):
        candidate = str(public.network_address + FIRST_SERVER + state.next_address % span)
        state.next_address += 1
        if candidate not in used and not candidate.endswith((".0", ".255")):
            return candidate
    raise ApiError("resource_unavailable", "no public address is left in the lab's range")


def new_public_ipv6(state: State) -> str:
    """A /64 of the documentation range (RFC 3849): shown by the API, not carried by the lab's wires."""
    state.next_address += 1
    return f"2001:db8:{state.next_address:x}::/64"


def public_ipv4s(state: State) -> Iterator[str]:
    yield from (p.ip for p in state.primary_ips.values())
    yield from (f.ip for f in state.floating_ips.values())
    yield from (b.ipv4 for b in state.load_balancers.values())


def private_ips(state: State, network: int) -> Iterator[str]:
    lists = [s.private for s in state.servers.values()] + [b.private for b in state.load_balancers.values()]
    for nics in lists:
        for nic in nics:
            if nic.network == network:
                yield from (nic.ip, *nic.alias_ips)


def gateway(network: Network) -> str:
    return str(IPv4Network(network.ip_range).network_address + 1)


def new_private_ip(
    state: State, network: Network, zone: str, wanted: str | None, ip_range: str | None = None
) -> str:
    """An address for a NIC in `zone`. Raises no_subnet_available, ip_not_available, invalid_input."""
    subnets = [IPv4Network(s.ip_range) for s in network.subnets if s.network_zone == zone]
    if ip_range is not None:
        subnets = [s for s in subnets if str(s) == ip_range]
    if not subnets:
        raise ApiError("no_subnet_available", f"network {network.id} has no fitting subnet in {zone}")
    used = set(private_ips(state, network.id)) | {gateway(network), str(METADATA_GATEWAY)}
    if wanted is not None:
        try:
            address = IPv4Address(wanted)
        except ValueError as e:
            raise invalid("ip", "must be an IPv4 address") from e
        if not any(address in s for s in subnets):
            raise invalid("ip", "is in no subnet of the network")
        if wanted in used:
            raise ApiError("ip_not_available", f"{wanted} is taken or reserved")
        return wanted
    for subnet in subnets:
        for host in subnet.hosts():
            if str(host) not in used:
                return str(host)
    raise ApiError("ip_not_available", "no free address is left in the network's subnets")


def new_mac(first: str) -> str:
    """Locally administered; `first` is the first byte: public NICs 96, private ones 86, as at Hetzner."""
    return ":".join([first, "00", *(f"{b:02x}" for b in secrets.token_bytes(4))])
