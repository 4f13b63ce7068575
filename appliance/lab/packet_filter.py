"""nftables texts of the lab's wires: Hetzner's firewalls, the metadata address, the way out. Pure.

Firewalls are as docs.hetzner.com/cloud/firewalls tells: stateful; once one is applied, inbound is dropped
unless a rule lets it in; outbound passes until there is an outbound rule. They stand on the public wire
only: private networks have namespaces of their own, where none of this is loaded. The metadata service
is never cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from appliance.lab.hardware import Rule
from appliance.lab.place import Place

METADATA = "169.254.169.254"
PROBE = "192.0.2.1"  # RFC 5737: nobody's. Sent by host_firewall.py, counted and ended here


def host_table(place: Place) -> str:
    """On the host: the way out for the lab's public range, with segments cut to the narrowest link."""
    table = place.prefix
    inside = f"{place.prefix}h"
    return f"""
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {place.public} ip daddr != {place.public} masquerade
  }}
  counter probe {{ }}
  chain probe {{
    type filter hook postrouting priority srcnat - 1;
    ip saddr {place.public} ip daddr {PROBE} counter name "probe" drop
  }}
  chain forward {{
    type filter hook forward priority filter;
    iifname "{inside}" tcp flags syn tcp option maxseg size set rt mtu
    oifname "{inside}" tcp flags syn tcp option maxseg size set rt mtu
  }}
}}
"""


def router_table(place: Place) -> str:
    """In the router's namespace; loading it again keeps the firewalls that are there."""
    return f"""
add table ip lab
add map ip lab in {{ type ifname : verdict; }}
add map ip lab out {{ type ifname : verdict; }}
add chain ip lab metadata {{ type nat hook prerouting priority dstnat; }}
flush chain ip lab metadata
add rule ip lab metadata iifname != "host" ip daddr {METADATA} tcp dport 80 \
dnat to {place.host_ip}:{place.metadata_port}
add chain ip lab forward {{ type filter hook forward priority filter; }}
flush chain ip lab forward
add rule ip lab forward ct state established,related accept
add rule ip lab forward ct original ip daddr {METADATA} accept
add rule ip lab forward iifname vmap @out
add rule ip lab forward oifname vmap @in
"""


def firewall(wire: str, rules: Sequence[Rule] | None) -> str:
    """One transaction that puts `rules` before the machine on `wire`; None takes every rule away."""
    lines = []
    for side, device in (("in", wire), ("out", wire)):
        chain = f"{side}-{wire}"
        wanted = rules is not None and (side == "in" or any(r.direction == "out" for r in rules))
        lines += [f"add chain ip lab {chain}", f"flush chain ip lab {chain}"]
        lines.append(f'add element ip lab {side} {{ "{device}" : jump {chain} }}')
        if wanted:
            lines += [f"add rule ip lab {chain} {text}" for text in _rules(rules or (), side)]
            lines.append(f"add rule ip lab {chain} drop")
        else:
            lines.append(f'delete element ip lab {side} {{ "{device}" : jump {chain} }}')
            lines.append(f"delete chain ip lab {chain}")
    return "\n".join(lines) + "\n"


def _rules(rules: Iterable[Rule], side: str) -> list[str]:
    return [text for rule in rules if rule.direction == side and (text := _rule(rule, side))]


def _rule(rule: Rule, side: str) -> str | None:
    """The match and `return` (on to the next check), or None when only IPv6 peers are meant."""
    peers = [p for p in rule.peers if ip_network(p, strict=False).version == 4]
    if not peers:
        return None
    words = [] if "0.0.0.0/0" in peers else [f"ip {_peer_side(side)} {{ {', '.join(sorted(set(peers)))} }}"]
    if rule.protocol in ("tcp", "udp") and rule.port not in (None, "any"):
        words.append(f"{rule.protocol} dport {rule.port}")
    else:
        words.append(f"ip protocol {rule.protocol}")
    return " ".join([*words, "return"])


def _peer_side(side: str) -> str:
    return "saddr" if side == "in" else "daddr"
