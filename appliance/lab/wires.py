"""The lab's wires: namespaces, virtual Ethernet, routes and packet filters.

    host -- alabNh == host -- router namespace alabN -- s<id> == eth0 -- server namespace alabNs<id>
                     network namespace alabNn<id> -- s<id> == enp7s0 ... (layer 3, MTU 1450)

As at Hetzner every address is a /32 and the gateway of the public wire is 172.31.1.1. The public address is
on the wire before the machine boots (no DHCP); private NICs are there, down, and for the machine's own
system to configure from the metadata service. IPv6 addresses exist in the API only: the wires carry IPv4.
A server without a public IPv4 address has no way to the metadata service.

What stands is read from the kernel each time, never remembered: every call converges after a crash.
Balancers (b<id>) are wired like servers, with their private NICs configured.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from appliance.lab import packet_filter
from appliance.lab.hardware import BalancerSpec, HardwareTrouble, MachineSpec, PrivateWire
from appliance.lab.place import Place
from appliance.lab.shell import attempt, locked, run

GATEWAY = "172.31.1.1"
PRIVATE_MTU = 1450
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Beside no lab in particular: the host's own setting, while any lab stands.
FORWARD_BEFORE = Path("/run/appliance-lab.ip_forward")
FORWARD_LOCK = FORWARD  # a lock file that is there anyway


@dataclass(frozen=True)
class Network:
    id: int
    ip_range: str
    routes: tuple[tuple[str, str], ...]  # (destination, gateway)

    @property
    def gateway(self) -> str:
        return str(IPv4Address(int(IPv4Address(self.ip_range.split("/")[0])) + 1))


class Wires:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.router = place.prefix
        self._folder = place.folder / "networks"

    # -- the lab as a whole

    def up(self) -> None:
        """Router namespace, joined to the host, and the way out."""
        host_end = f"{self.router}h"
        self._namespace(self.router)
        _sysctl(self.router, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")
        if not _links(None).get(host_end):
            run(["ip", "link", "add", host_end, "type", "veth", "peer", "name", "host", "netns", self.router])
        router_ip = self.place.host_ip + 1
        _batch(
            None,
            f"address replace {self.place.host_ip}/30 dev {host_end}",
            f"link set {host_end} up",
            f"route replace {self.place.public} via {router_ip} dev {host_end} src {self.place.host_ip}",
        )
        _batch(
            self.router,
            "link set lo up",
            f"address replace {router_ip}/30 dev host",
            "link set host up",
            f"route replace default via {self.place.host_ip}",
            f"route replace unreachable {self.place.public}",
        )
        run(["nft", "-f", "-"], packet_filter.host_table(self.place))
        self._nft(packet_filter.router_table(self.place))
        for file in self._folder.glob("*.json"):
            self.create_network(self._network(int(file.stem)))
        with locked(FORWARD_LOCK):
            if not FORWARD_BEFORE.exists():
                FORWARD_BEFORE.write_text(FORWARD.read_text())
            FORWARD.write_text("1")

    def down(self) -> None:
        """Take all of it away, processes inside the namespaces too. Also after half an `up`."""
        for name in sorted(self._namespaces()):
            for pid in run(["ip", "netns", "pids", name]).split():
                attempt(["kill", "-KILL", pid])
            run(["ip", "netns", "delete", name])
        if _links(None).get(f"{self.router}h"):
            # A namespace lives on while a dying process holds it, so its wire may still be here.
            attempt(["ip", "link", "delete", f"{self.router}h"])
        run(["nft", "-f", "-"], f"add table ip {self.router}\ndelete table ip {self.router}\n")
        with locked(FORWARD_LOCK):
            others = [n for n in _all_namespaces() if re.fullmatch(r"alab\d+", n)]
            if FORWARD_BEFORE.exists() and not others:
                FORWARD.write_text(FORWARD_BEFORE.read_text())
                FORWARD_BEFORE.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- servers

    def server_namespace(self, server_id: int) -> str:
        return f"{self.router}s{server_id}"

    def boot_server(self, spec: MachineSpec) -> None:
        """Fresh NICs for a machine that is off: nothing that its last run configured is left."""
        self._delete_namespace(self.server_namespace(spec.id))
        self.wire_server(spec)
        self.reset_nics(spec)

    def wire_server(self, spec: MachineSpec) -> None:
        """Bring wires, routes and firewall of a server, running or not, to what `spec` says."""
        end = f"s{spec.id}"
        addresses = [a for a in (spec.public.ipv4, *spec.public.floating) if a]
        self._wire(end, spec.public.mac, addresses, spec.private)
        self._nft(packet_filter.firewall(end, spec.firewall))

    def reset_nics(self, spec: MachineSpec) -> None:
        name = self.server_namespace(spec.id)
        run(["ip", "-netns", name, "-force", "-batch", "-"], power_on_batch(spec, self._nics(name)))

    def reset_script(self, spec: MachineSpec) -> str:
        """Shell that does what a power cycle does to NICs, for a machine that reboots by itself."""
        name = self.server_namespace(spec.id)
        batch = power_on_batch(spec, self._nics(name))
        return (
            f"ip netns exec {name} nft flush ruleset\nip -netns {name} -force -batch - <<'END'\n{batch}END\n"
        )

    def delete_server(self, server_id: int) -> None:
        self._unplug(f"s{server_id}")
        if self.router in _all_namespaces():
            self._nft(packet_filter.firewall(f"s{server_id}", None))

    # -- balancers

    def balancer_namespace(self, balancer_id: int) -> str:
        return f"{self.router}b{balancer_id}"

    def wire_balancer(self, spec: BalancerSpec) -> str:
        """Wires of a load balancer, configured on its side too; returns its namespace."""
        name = self.balancer_namespace(spec.id)
        self._wire(f"b{spec.id}", None, [a for a in (spec.public_ipv4,) if a], spec.private)
        lines = ["link set lo up", "link set eth0 up"]
        if spec.public_ipv4:
            lines += _public_lines(spec.public_ipv4)
        nics = self._nics(name)
        for wire in spec.private:
            nic = nics[wire.mac]
            lines += [f"address replace {a}/32 dev {nic}" for a in (wire.ip, *wire.aliases)]
            lines.append(f"link set {nic} up mtu {PRIVATE_MTU}")
            lines.append(f"route replace {wire.gateway} dev {nic} src {wire.ip}")
            lines.append(f"route replace {wire.ip_range} via {wire.gateway} dev {nic} src {wire.ip}")
        _batch(name, *lines)
        return name

    def delete_balancer(self, balancer_id: int) -> None:
        self._unplug(f"b{balancer_id}")

    # -- private networks

    def create_network(self, network: Network) -> None:
        name = self._network_namespace(network.id)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{network.id}.json").write_text(json.dumps(asdict(network)))
        self._namespace(name)
        _sysctl(name, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")
        # The gateway answers pings and is where unreachable addresses are refused.
        lines = ["link set lo up", f"address replace {network.gateway}/32 dev lo"]
        _batch(name, *lines, f"route replace unreachable {network.ip_range}")
        self._route_network(network)

    def delete_network(self, network_id: int) -> None:
        self._delete_namespace(self._network_namespace(network_id))
        (self._folder / f"{network_id}.json").unlink(missing_ok=True)

    def _network_namespace(self, network_id: int) -> str:
        return f"{self.router}n{network_id}"

    def _network(self, network_id: int) -> Network:
        try:
            known = json.loads((self._folder / f"{network_id}.json").read_text())
        except FileNotFoundError:
            raise HardwareTrouble(f"network {network_id} has no wires") from None
        return Network(known["id"], known["ip_range"], tuple((d, g) for d, g in known["routes"]))

    def _route_network(self, network: Network) -> None:
        """Users' routes go where their gateway is attached; one that is not attached yet waits."""
        name = self._network_namespace(network.id)
        wanted = dict(network.routes)
        devices = {r["dst"]: r["dev"] for r in _routes(name) if "gateway" not in r and "dev" in r}
        lines = [
            f"route replace {destination} via {gateway} dev {devices[gateway]} onlink"
            for destination, gateway in wanted.items()
            if gateway in devices
        ]
        gone = [r["dst"] for r in _routes(name) if "gateway" in r and _cidr(r["dst"]) not in wanted]
        _batch(name, *[f"route delete {d}" for d in gone], *lines)

    # -- what servers and balancers share

    def _wire(
        self, end: str, mac: str | None, addresses: Sequence[str], private: Sequence[PrivateWire]
    ) -> None:
        name = f"{self.router}{end}"
        self._namespace(name)
        nics = _links(name)
        if "eth0" not in nics:
            # A namespace that a dying process held may have kept the other end of the former wire.
            attempt(["ip", "-netns", self.router, "link", "delete", end])
            address = f"address {mac} " if mac else ""
            _batch(None, f"link add {end} netns {self.router} type veth peer name eth0 {address}netns {name}")
        _batch(self.router, f"address replace {GATEWAY}/32 dev {end}", f"link set {end} up")
        self._route(self.router, end, addresses)
        self._plug_private(name, end, private)

    def _plug_private(self, name: str, end: str, private: Sequence[PrivateWire]) -> None:
        kept = {p.mac for p in private}
        nics = self._nics(name)
        for mac, nic in nics.items():
            if mac not in kept and nic != "eth0":
                run(["ip", "-netns", name, "link", "delete", nic])
        touched = {p.network_id: self._network(p.network_id) for p in private}
        for wire in private:
            room = self._network_namespace(wire.network_id)
            self._namespace(room)
            if wire.mac not in nics:
                nic = _free_nic(set(_links(name)))
                mtu = f"mtu {PRIVATE_MTU}"
                _batch(
                    None,
                    f"link add {end} {mtu} netns {room} type veth "
                    f"peer name {nic} address {wire.mac} {mtu} netns {name}",
                )
            gateway = touched[wire.network_id].gateway
            _batch(room, f"address replace {gateway}/32 dev {end}", f"link set {end} up")
            self._route(room, end, (wire.ip, *wire.aliases))
            self._route_network(touched[wire.network_id])

    def _route(self, namespace: str, end: str, addresses: Sequence[str]) -> None:
        """Exactly `addresses` go to `end`; one that went elsewhere moves here."""
        there = {r["dst"] for r in _routes(namespace, "dev", end) if "gateway" not in r}
        gone = [f"route delete {a} dev {end}" for a in sorted(there - set(addresses))]
        _batch(namespace, *gone, *[f"route replace {a} dev {end}" for a in addresses])

    def _unplug(self, end: str) -> None:
        self._delete_namespace(f"{self.router}{end}")

    def _nics(self, namespace: str) -> dict[str, str]:
        """MAC -> name."""
        return {link["address"]: nic for nic, link in _links(namespace).items() if nic != "lo"}

    def _nft(self, text: str) -> None:
        run(["ip", "netns", "exec", self.router, "nft", "-f", "-"], text)

    def _namespace(self, name: str) -> None:
        if name not in _all_namespaces():
            run(["ip", "netns", "add", name])

    def _delete_namespace(self, name: str) -> None:
        if name in _all_namespaces():
            # Its wires go at once; the namespace itself only when its last process has.
            for nic in _links(name):
                if nic != "lo":
                    attempt(["ip", "-netns", name, "link", "delete", nic])
            run(["ip", "netns", "delete", name])

    def _namespaces(self) -> set[str]:
        return {n for n in _all_namespaces() if re.fullmatch(rf"{self.router}([sbn]\d+)?", n)}


def power_on_batch(spec: MachineSpec, nics: dict[str, str]) -> str:
    """`ip -batch` lines for the NICs of a machine at power-on. `nics`: MAC -> name."""
    lines = ["link set lo up"]
    for nic in sorted(nics.values()):
        lines += [f"link set {nic} down", f"address flush dev {nic}"]
    if spec.public.ipv4:
        lines += ["link set eth0 up", *_public_lines(spec.public.ipv4)]
    return "\n".join(lines) + "\n"


def _public_lines(address: str) -> list[str]:
    return [
        f"address replace {address}/32 dev eth0",
        f"route replace {GATEWAY} dev eth0",
        f"route replace default via {GATEWAY} dev eth0",
    ]


def _free_nic(taken: set[str]) -> str:
    """Named as on Hetzner's newer server types: enp7s0, enp8s0, ..."""
    return next(name for n in range(7, 99) if (name := f"enp{n}s0") not in taken)


def _all_namespaces() -> list[str]:
    folder = Path("/run/netns")
    return [p.name for p in folder.iterdir()] if folder.is_dir() else []


def _in(namespace: str | None) -> list[str]:
    return ["-netns", namespace] if namespace else []


def _links(namespace: str | None) -> dict[str, Any]:
    return {
        link["ifname"]: link for link in json.loads(run(["ip", *_in(namespace), "-json", "link"]) or "[]")
    }


def _routes(namespace: str, *which: str) -> list[dict[str, Any]]:
    text = run(["ip", "-netns", namespace, "-json", "route", "show", *which])
    return [route for route in json.loads(text or "[]") if route.get("protocol") != "kernel"]


def _cidr(destination: str) -> str:
    if destination == "default":
        return "0.0.0.0/0"
    return destination if "/" in destination else f"{destination}/32"


def _batch(namespace: str | None, *lines: str) -> None:
    if lines:
        run(["ip", *_in(namespace), "-batch", "-"], "\n".join(lines) + "\n")


def _sysctl(namespace: str, *settings: str) -> None:
    run(["ip", "netns", "exec", namespace, "sysctl", "--quiet", "--write", *settings])
