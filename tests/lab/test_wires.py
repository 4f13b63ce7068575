"""Wires of the lab: firewalls, floating addresses and private networks behave as Hetzner's documents say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from appliance.lab.hardware import BalancerService, BalancerSpec, HealthCheck, MachineSpec, Rule
from appliance.lab.shell import run
from tests.lab.real import GATEWAY, NETWORK, RANGE, RealLab, configure_private, private
from tests.lab.serving import until

pytestmark = pytest.mark.lab

ANY = ("0.0.0.0/0", "::/0")
SSH = Rule("in", "tcp", "22", ANY)


def answers(address: str | None, port: int) -> bool:
    try:
        with socket.create_connection((str(address), port), timeout=1):
            return True
    except OSError:
        return False


def serve(lab: RealLab, spec: MachineSpec, port: int) -> None:
    lab.says(spec, f"systemd-run --quiet python3 -m http.server {port}")
    until(lambda: lab.tries(spec, f"curl -sf http://127.0.0.1:{port}/").returncode == 0)


@contextmanager
def network(lab: RealLab, id_: int = NETWORK, routes: tuple[tuple[str, str], ...] = ()) -> Iterator[None]:
    lab.hardware.create_network(id_, RANGE, routes)
    try:
        yield
    finally:
        lab.hardware.delete_network(id_)


@pytest.fixture(scope="module")
def pair(machines: RealLab) -> Iterator[tuple[MachineSpec, MachineSpec]]:
    one, two = machines.boot(machines.spec()), machines.boot(machines.spec())
    for spec in (one, two):
        serve(machines, spec, 8080)
        serve(machines, spec, 8085)
    yield one, two
    for spec in (one, two):
        machines.hardware.delete(spec.id)


Pair = tuple[MachineSpec, MachineSpec]


def test_without_a_firewall_everything_passes_and_there_is_a_way_out(machines: RealLab, pair: Pair) -> None:
    one, two = pair
    machines.hardware.rewire(one)
    assert answers(one.public.ipv4, 8080)
    machines.says(two, f"curl -sf -m 2 http://{one.public.ipv4}:8080/ >/dev/null")
    machines.says(two, f"ping -c1 -W2 {one.public.ipv4}")
    assert machines.says(two, "ip -4 route get 192.0.2.77").startswith("192.0.2.77 via 172.31.1.1 dev eth0")


def test_a_firewall_lets_in_what_its_rules_name_and_drops_the_rest(machines: RealLab, pair: Pair) -> None:
    one, two = pair
    host, peer = f"{machines.place.host_ip}/32", f"{two.public.ipv4}/32"
    rules = (SSH, Rule("in", "tcp", "8081-8090", (peer,)), Rule("in", "icmp", None, (host,)))
    machines.hardware.rewire(replace(one, firewall=rules))
    assert answers(one.public.ipv4, 22)
    assert not answers(one.public.ipv4, 8080)
    assert not answers(one.public.ipv4, 8085), "only the peer may"
    machines.says(two, f"curl -sf -m 2 http://{one.public.ipv4}:8085/ >/dev/null")
    assert machines.tries(two, f"ping -c1 -W1 {one.public.ipv4}").returncode != 0
    machines.says(
        one, f"curl -sf -m 2 http://{two.public.ipv4}:8080/ >/dev/null; ping -c1 -W2 {two.public.ipv4}"
    )
    machines.hardware.rewire(replace(one, firewall=()))
    assert not answers(one.public.ipv4, 22), "no rule, nothing in"
    machines.hardware.rewire(one)
    assert answers(one.public.ipv4, 8080)


def test_outbound_passes_until_there_is_an_outbound_rule(machines: RealLab, pair: Pair) -> None:
    one, two = pair
    rules = (SSH, Rule("out", "tcp", "8080", (f"{two.public.ipv4}/32",)))
    machines.hardware.rewire(replace(one, firewall=rules))
    machines.says(one, f"curl -sf -m 2 http://{two.public.ipv4}:8080/ >/dev/null")
    assert machines.tries(one, f"curl -sf -m 1 http://{two.public.ipv4}:8085/").returncode != 0
    assert machines.tries(one, f"ping -c1 -W1 {two.public.ipv4}").returncode != 0
    assert "hostname" in machines.says(one, "curl -sf -m 2 http://169.254.169.254/hetzner/v1/metadata")
    machines.hardware.rewire(one)
    machines.says(one, f"curl -sf -m 2 http://{two.public.ipv4}:8085/ >/dev/null")


def test_a_connection_that_stands_outlives_a_new_firewall(machines: RealLab, pair: Pair) -> None:
    one, _ = pair
    with socket.create_connection((str(one.public.ipv4), 8080), timeout=2) as standing:
        machines.hardware.rewire(replace(one, firewall=(SSH,)))
        standing.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert standing.recv(4).startswith(b"HTTP")
    machines.hardware.rewire(one)


def test_a_firewall_survives_a_new_daemon(machines: RealLab, pair: Pair) -> None:
    one, _ = pair
    machines.hardware.rewire(replace(one, firewall=(SSH,)))
    machines.hardware.up()
    assert answers(one.public.ipv4, 22)
    assert not answers(one.public.ipv4, 8080)
    machines.hardware.rewire(one)


def test_a_floating_address_moves_between_running_machines(machines: RealLab, pair: Pair) -> None:
    floating = str(machines.place.public.network_address + 2048)
    for holder in (*pair, pair[0]):
        for spec in pair:
            mine = (floating,) if spec is holder else ()
            machines.hardware.rewire(replace(spec, public=replace(spec.public, floating=mine)))
        for spec in pair:
            machines.says(spec, f"ip addr replace {floating}/32 dev eth0")
        assert machines.tries(holder, "hostname", floating).stdout.strip() == holder.name
    for spec in pair:
        machines.hardware.rewire(spec)
        machines.says(spec, f"ip addr del {floating}/32 dev eth0")
    assert not answers(floating, 22)


def test_a_private_network_is_attached_to_running_machines_and_no_firewall_covers_it(
    machines: RealLab, pair: Pair
) -> None:
    one, two = pair
    with network(machines):
        wires = private(2), private(3, aliases=("10.77.1.33",))
        for spec, wire in zip(pair, wires, strict=True):
            machines.hardware.rewire(replace(spec, private=(wire,), firewall=(SSH,)))
            shown = machines.says(spec, f"ip -o link | grep {wire.mac}")
            assert "mtu 1450" in shown
            assert "state DOWN" in shown, "the image configures it, not the cloud"
            machines.says(spec, configure_private(wire))
        machines.says(one, f"ping -c1 -W2 {GATEWAY}")
        machines.says(one, "curl -sf -m 2 http://10.77.1.3:8080/ >/dev/null")
        machines.says(two, "ip addr add 10.77.1.33/32 dev enp7s0")
        machines.says(one, "curl -sf -m 2 http://10.77.1.33:8080/ >/dev/null")
        machines.hardware.rewire(one)
        assert "enp7s0" not in machines.says(one, "ip -o link"), "detached"
    for spec in pair:
        machines.hardware.rewire(spec)


def test_a_route_of_a_network_leads_through_its_machine(machines: RealLab, pair: Pair) -> None:
    one, two = pair
    wires = private(2), private(3)
    with network(machines, routes=(("172.20.0.0/16", "10.77.1.3"),)):
        for spec, wire in zip(pair, wires, strict=True):
            machines.hardware.rewire(replace(spec, private=(wire,)))
            machines.says(spec, configure_private(wire))
        machines.says(two, "ip addr add 172.20.0.9/32 dev lo")
        machines.says(one, f"ip route add 172.20.0.0/16 via {GATEWAY} dev enp7s0")
        machines.says(one, "curl -sf -m 2 http://172.20.0.9:8080/ >/dev/null")
        machines.hardware.create_network(NETWORK, RANGE, ())
        assert machines.tries(one, "curl -sf -m 1 http://172.20.0.9:8080/").returncode != 0
        for spec in pair:
            machines.hardware.rewire(spec)
    machines.says(two, "ip addr del 172.20.0.9/32 dev lo")


def test_networks_with_the_same_range_do_not_see_one_another(machines: RealLab, pair: Pair) -> None:
    one = pair[0]
    with network(machines), network(machines, 8):
        wires = private(2), private(3, network=8)
        for spec, wire in zip(pair, wires, strict=True):
            machines.hardware.rewire(replace(spec, private=(wire,)))
            machines.says(spec, configure_private(wire))
        assert machines.tries(one, "curl -sf -m 1 http://10.77.1.3:8080/").returncode != 0
        for spec in pair:
            machines.hardware.rewire(spec)


def test_a_machine_that_is_off_may_come_back_with_another_address(machines: RealLab) -> None:
    spec = machines.boot(machines.spec())
    machines.hardware.power_off(spec.id)
    other = machines.spec()  # its address is free: that machine is never made
    moved = replace(spec, public=replace(spec.public, ipv4=other.public.ipv4))
    machines.hardware.rewire(moved)
    machines.boot(moved)
    assert machines.says(moved, "hostname")
    assert not answers(spec.public.ipv4, 22)
    machines.hardware.delete(spec.id)
    assert f"s{spec.id}:" not in run(["ip", "-netns", machines.place.prefix, "link"])


def test_a_balancer_listens_in_public_and_reaches_its_targets_in_private(
    machines: RealLab, pair: Pair
) -> None:
    public = str(machines.place.public.network_address + 2049)
    check = HealthCheck("http", 8080, interval=3, timeout=1, retries=1)
    with network(machines):
        wires = private(2), private(3)
        for spec, wire in zip(pair, wires, strict=True):
            machines.hardware.rewire(replace(spec, private=(wire,), firewall=(SSH,)))
            machines.says(spec, configure_private(wire))
        balancer = BalancerSpec(
            id=1,
            name="balancer",
            algorithm="round_robin",
            public_ipv4=public,
            private=(private(9),),
            services=(BalancerService("tcp", 80, 8080, False, check),),
            targets=tuple((f"server-{spec.id}", wire.ip) for spec, wire in zip(pair, wires, strict=True)),
        )
        machines.hardware.apply_balancer(balancer)
        try:
            until(lambda: answers(public, 80))
            health = machines.hardware.balancer_health
            until(lambda: {seen.status for seen in health(1).values()} == {"healthy"}, 30)
            machines.says(pair[0], f"curl -sf -m 2 http://{public}/ >/dev/null")
        finally:
            machines.hardware.delete_balancer(1)
        assert not answers(public, 80)
        for spec in pair:
            machines.hardware.rewire(spec)
