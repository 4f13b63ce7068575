"""Firewall texts: what a rule says is what nftables is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from appliance.lab.hardware import Rule
from appliance.lab.packet_filter import METADATA, firewall, host_table, router_table
from appliance.lab.place import Place

ANY = ("0.0.0.0/0", "::/0")
WEB = Rule("in", "tcp", "443", ANY)


def added(rules: tuple[Rule, ...] | None) -> list[str]:
    return [line for line in firewall("s1", rules).splitlines() if line.startswith("add rule")]


def test_no_firewall_leaves_no_chain() -> None:
    text = firewall("s1", None)
    assert added(None) == []
    assert "delete chain ip lab in-s1" in text
    assert "delete chain ip lab out-s1" in text


def test_an_empty_firewall_drops_all_that_comes_in_and_nothing_that_goes_out() -> None:
    assert added(()) == ["add rule ip lab in-s1 drop"]


def test_outbound_is_closed_only_by_an_outbound_rule() -> None:
    assert not [line for line in added((WEB,)) if "out-s1" in line]
    both = added((WEB, replace(WEB, direction="out")))
    assert both[-2:] == ["add rule ip lab out-s1 tcp dport 443 return", "add rule ip lab out-s1 drop"]


def test_peers_are_sources_inbound_and_destinations_outbound() -> None:
    rule = Rule("in", "udp", "80-85", ("198.18.0.1/32", "10.0.0.0/8"))
    assert added((rule,))[0].endswith("ip saddr { 10.0.0.0/8, 198.18.0.1/32 } udp dport 80-85 return")
    outbound = added((replace(rule, direction="out"),))
    assert any("ip daddr { 10.0.0.0/8, 198.18.0.1/32 } udp dport 80-85" in line for line in outbound)


def test_a_rule_for_ipv6_only_opens_nothing() -> None:
    assert added((Rule("in", "tcp", "22", ("::/0",)),)) == added(())
    assert added((Rule("in", "tcp", "22", ()),)) == added(())


def test_protocols_without_ports_and_any_port() -> None:
    for protocol, port in (("icmp", None), ("esp", None), ("gre", None), ("tcp", "any")):
        assert added((Rule("in", protocol, port, ANY),))[0].endswith(f" ip protocol {protocol} return")


def test_labs_side_by_side_do_not_share_a_table_or_a_way_out() -> None:
    one, two = (Place(Path("/lab"), number) for number in (1, 2))
    assert f"ip saddr {one.public} " in host_table(one)
    assert str(one.public) not in host_table(two)
    assert "table ip alab1 " in host_table(one)
    assert f"ip daddr {METADATA} tcp dport 80 dnat to {two.host_ip}:" in router_table(two)
