"""The seam between the lab's API and its machines: narrow enough for another kind of machine.

The API decides and remembers; hardware does. Every call blocks until it is done and raises
`HardwareTrouble` when it could not be; the API runs it in a thread behind an action. All calls are
idempotent: repeated after a crash they converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class HardwareTrouble(Exception):  # noqa: N818 - the word of the house
    """A machine, wire or balancer could not be made to do what was asked."""


@dataclass(frozen=True)
class PublicWire:
    ipv4: str | None  # the primary IP's address, e.g. 198.18.0.10
    ipv6: str | None
    mac: str
    floating: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrivateWire:
    network_id: int
    ip: str
    aliases: tuple[str, ...]
    mac: str
    gateway: str  # first address of the network
    ip_range: str  # CIDR of the network


@dataclass(frozen=True)
class Rule:
    direction: str  # in | out
    protocol: str  # tcp | udp | icmp | esp | gre
    port: str | None  # "80", "80-85", "any"
    peers: tuple[str, ...]  # CIDRs: sources of `in`, destinations of `out`


@dataclass(frozen=True)
class MachineSpec:
    """All that a machine is made of."""

    id: int
    name: str
    layers: tuple[str, ...]  # disk layers, lowest first; the machine's own goes on top
    cores: int
    memory_gb: float
    disk_gb: int
    public: PublicWire
    private: tuple[PrivateWire, ...]
    user_data: str
    ssh_keys: tuple[str, ...]  # OpenSSH public keys, for the metadata service
    firewall: tuple[Rule, ...] | None  # None: no firewall applied, everything passes


@dataclass(frozen=True)
class HealthCheck:
    protocol: str  # tcp | http
    port: int
    interval: int  # seconds
    timeout: int  # seconds
    retries: int
    domain: str = ""
    path: str = "/"
    response: str = ""
    status_codes: tuple[str, ...] = ("2??", "3??")
    tls: bool = False


@dataclass(frozen=True)
class BalancerService:
    protocol: str  # tcp | http | https
    listen_port: int
    destination_port: int
    proxyprotocol: bool
    health_check: HealthCheck
    sticky_sessions: bool = False
    cookie_name: str = "HCLBSTICKY"
    cookie_lifetime: int = 300
    redirect_http: bool = False
    certificates: tuple[str, ...] = ()  # PEM: chain and key
    timeout_idle: int = 50


@dataclass(frozen=True)
class BalancerSpec:
    id: int
    name: str
    algorithm: str  # round_robin | least_connections
    public_ipv4: str | None
    private: tuple[PrivateWire, ...]
    services: tuple[BalancerService, ...]
    targets: tuple[
        tuple[str, str], ...
    ]  # (target key, address); an address in a private range goes by the private wire


@dataclass(frozen=True)
class TargetHealth:
    status: str  # healthy | unhealthy | unknown
    detail: str | None = None  # Hetzner's words, only while unhealthy
    http_status_code: int | None = None


class Hardware(Protocol):
    def create(self, spec: MachineSpec) -> None:
        """Make the machine's disk and wires; it is off."""

    def start(self, spec: MachineSpec) -> None:
        """Power on; returns once its init runs. A running machine is left as it is."""

    def power_off(self, machine_id: int) -> None:
        """Pull the plug."""

    def shutdown(self, machine_id: int) -> None:
        """Press the power button; returns at once, the machine goes off in its own time."""

    def reset(self, spec: MachineSpec) -> None:
        """Pull the plug and power on."""

    def reboot(self, machine_id: int) -> None:
        """Ask the machine to reboot; returns at once."""

    def running(self, machine_id: int) -> bool: ...

    def delete(self, machine_id: int) -> None:
        """Disk, wires and all."""

    def rewire(self, spec: MachineSpec) -> None:
        """Bring wires, addresses, firewall and metadata of a machine, running or off, to what `spec` says."""

    def set_password(self, machine_id: int, password: str) -> None:
        """Set root's password on the running machine."""

    def snapshot(self, machine_id: int, layer: str) -> int:
        """Keep the machine's disk as the new `layer` on top of its present ones; returns its size in bytes.

        The machine goes on with the same content.
        """

    def delete_layer(self, layer: str) -> None:
        """At once, or when the last disk that stands on it goes."""

    def create_network(self, network_id: int, ip_range: str, routes: tuple[tuple[str, str], ...]) -> None:
        """Make or update a network; `routes` are (destination, gateway) pairs."""

    def delete_network(self, network_id: int) -> None: ...

    def apply_balancer(self, spec: BalancerSpec) -> None:
        """Start the load balancer or change it to `spec` without cutting connections."""

    def delete_balancer(self, balancer_id: int) -> None: ...

    def balancer_health(self, balancer_id: int) -> dict[tuple[str, int], TargetHealth]:
        """(target key, listen port) -> what the health checks last saw."""
