"""From the lab's memory to what its hardware is told. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.lab.api.addresses import gateway
from appliance.lab.api.catalogue import SERVER_TYPES
from appliance.lab.api.labels import parse_selector
from appliance.lab.hardware import MachineSpec, PrivateWire, PublicWire, Rule
from appliance.lab.records import Firewall, PrimaryIp, PrivateNic, Server, State


def machine_spec(state: State, server: Server) -> MachineSpec:
    kind = SERVER_TYPES[server.server_type]
    return MachineSpec(
        id=server.id,
        name=server.name or "",
        layers=tuple(server.layers),
        cores=kind.cores,
        memory_gb=kind.memory,
        disk_gb=int(server.disk_size),
        public=public_wire(state, server),
        private=private_wires(state, server.private),
        user_data=server.user_data,
        ssh_keys=tuple(server.ssh_keys),
        firewall=firewall_rules(state, server),
    )


def public_wire(state: State, server: Server) -> PublicWire:
    if not server.wired:
        return PublicWire(None, None, server.mac)
    ipv4, ipv6 = primary_ip(state, server.id, "ipv4"), primary_ip(state, server.id, "ipv6")
    return PublicWire(
        ipv4=ipv4.ip if ipv4 else None,
        ipv6=ipv6.ip if ipv6 else None,
        mac=server.mac,
        floating=tuple(f.ip for f in state.floating_ips.values() if f.server == server.id),
    )


def private_wires(state: State, nics: list[PrivateNic]) -> tuple[PrivateWire, ...]:
    return tuple(
        PrivateWire(
            network_id=nic.network,
            ip=nic.ip,
            aliases=tuple(nic.alias_ips),
            mac=nic.mac,
            gateway=gateway(state.networks[nic.network]),
            ip_range=state.networks[nic.network].ip_range,
        )
        for nic in nics
    )


def primary_ip(state: State, server_id: int, kind: str) -> PrimaryIp | None:
    for ip in state.primary_ips.values():
        if ip.assignee_id == server_id and ip.type == kind:
            return ip
    return None


def selected(state: State, selector: str) -> list[int]:
    """Servers that a label selector means."""
    fits = parse_selector(selector)
    return [s.id for s in state.servers.values() if fits(s.labels)]


def covered(state: State, firewall: Firewall) -> set[int]:
    """Servers that a firewall is in force on."""
    found = set(firewall.servers)
    for selector in firewall.selectors:
        found.update(selected(state, selector))
    return found


def firewalls_of(state: State, server: Server) -> Iterator[Firewall]:
    for firewall in state.firewalls.values():
        if server.id in covered(state, firewall):
            yield firewall


def firewall_rules(state: State, server: Server) -> tuple[Rule, ...] | None:
    """All rules of all its firewalls; None without any."""
    firewalls = list(firewalls_of(state, server))
    if not firewalls:
        return None
    return tuple(
        Rule(
            direction=rule.direction,
            protocol=rule.protocol,
            port=rule.port,
            peers=tuple(rule.source_ips if rule.direction == "in" else rule.destination_ips),
        )
        for firewall in firewalls
        for rule in firewall.rules
    )
