"""Servers in networks, and their reverse names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from appliance.lab.api.addresses import new_mac, new_private_ip, private_ips
from appliance.lab.api.balancers import perform_apply
from appliance.lab.api.catalogue import LOCATIONS
from appliance.lab.api.core import Lab
from appliance.lab.api.dns_ptr import DnsPtr, set_dns_ptr
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.references import named
from appliance.lab.api.resource import Answer, Body, Operation, begun, done
from appliance.lab.api.specs import primary_ip
from appliance.lab.api.wiring import perform_rewire, rewiring
from appliance.lab.records import Action, Network, PrivateNic, Server


class Attach(Body):
    network: int
    ip: str | None = None
    alias_ips: list[str] = []
    ip_range: str | None = None


class Detach(Body):
    network: int


class AliasIps(Body):
    network: int
    alias_ips: list[str]


def _begin(lab: Lab, server: Server, command: str, network_id: int) -> Answer:
    refs = (("server", server.id), ("network", network_id))
    action = lab.action(command, *refs, holds=refs[:1], args=rewiring([server.id]))
    lab.start(action)
    return begun(action)


def attach(lab: Lab, server: Server, body: Attach) -> Answer:
    network = named(lab.state.networks, "network", "network", body.network)
    if any(n.network == network.id for n in server.private):
        raise ApiError("server_already_attached", "server is already attached to the network")
    _refuse_overlap(lab, server, network)
    zone = LOCATIONS[server.location].network_zone
    ip = new_private_ip(lab.state, network, zone, body.ip, body.ip_range)
    nic = PrivateNic(network=network.id, ip=ip, mac=new_mac("86"))
    nic.alias_ips = _aliases(lab, network, nic, body.alias_ips)
    server.private.append(nic)
    return _begin(lab, server, "attach_to_network", network.id)


def _refuse_overlap(lab: Lab, server: Server, network: Network) -> None:
    new = IPv4Network(network.ip_range)
    if any(new.overlaps(IPv4Network(lab.state.networks[n.network].ip_range)) for n in server.private):
        raise ApiError("networks_overlap", "the network overlaps with one the server is in")


def _aliases(lab: Lab, network: Network, nic: PrivateNic, wanted: list[str]) -> list[str]:
    used = (set(private_ips(lab.state, network.id)) | {nic.ip}) - set(nic.alias_ips)
    for ip in wanted:
        try:
            inside = any(IPv4Address(ip) in IPv4Network(s.ip_range) for s in network.subnets)
        except ValueError:
            inside = False
        if not inside:
            raise invalid("alias_ips", f"{ip} is in no subnet of the network")
        if ip in used:
            raise ApiError("ip_not_available", f"{ip} is taken")
    return list(wanted)


def _nic(server: Server, network_id: int) -> PrivateNic:
    for nic in server.private:
        if nic.network == network_id:
            return nic
    raise ApiError("not_found", f"server is not attached to network {network_id}")


def detach(lab: Lab, server: Server, body: Detach) -> Answer:
    server.private.remove(_nic(server, body.network))
    return _begin(lab, server, "detach_from_network", body.network)


def change_alias_ips(lab: Lab, server: Server, body: AliasIps) -> Answer:
    nic = _nic(server, body.network)
    nic.alias_ips = _aliases(lab, lab.state.networks[body.network], nic, body.alias_ips)
    return _begin(lab, server, "change_alias_ips", body.network)


def change_dns_ptr(lab: Lab, server: Server, body: DnsPtr) -> Answer:
    ip = primary_ip(lab.state, server.id, "ipv6" if ":" in body.ip else "ipv4")
    set_dns_ptr(ip.dns_ptr if ip else {}, body, *([ip.ip] if ip else []))
    return done(lab, "change_dns_ptr", ("server", server.id))


OPERATIONS: dict[str, Operation[Server]] = {
    "attach_to_network": Operation(attach, Attach),
    "detach_from_network": Operation(detach, Detach),
    "change_alias_ips": Operation(change_alias_ips, AliasIps),
    "change_dns_ptr": Operation(change_dns_ptr, DnsPtr),
}


async def perform_attach(lab: Lab, action: Action) -> None:
    """Servers and load balancers share the command's name."""
    if action.resources[0][0] == "load_balancer":
        await perform_apply(lab, action)
    else:
        await perform_rewire(lab, action)


PERFORMERS = {
    "attach_to_network": perform_attach,
    "detach_from_network": perform_attach,
    "change_alias_ips": perform_rewire,
}
