"""Reverse names of addresses. Nothing resolves them in the lab; the API shows what was set."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import invalid
from appliance.lab.api.resource import Answer, Body, Operation, done


class DnsPtr(Body):
    ip: str
    dns_ptr: str | None = None


def set_dns_ptr(pointers: dict[str, str], body: DnsPtr, *owned: str) -> None:
    """`owned`: addresses, or networks of IPv6. Raises invalid_input for any other."""
    try:
        own = any(ip_address(body.ip) in ip_network(network) for network in owned)
    except ValueError:
        own = False
    if not own:
        raise invalid("ip", "is not an address of this")
    if body.dns_ptr is None:
        pointers.pop(body.ip, None)
    else:
        pointers[body.ip] = body.dns_ptr


def change_dns_ptr(kind: str) -> Operation[Any]:
    """Of primary and floating IPs."""

    def change(lab: Lab, ip: Any, body: DnsPtr) -> Answer:
        set_dns_ptr(ip.dns_ptr, body, ip.ip)
        return done(lab, "change_dns_ptr", (kind, ip.id))

    return Operation(change, DnsPtr)
