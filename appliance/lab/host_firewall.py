"""Whether the host's own firewall lets the lab's machines through. Asked with packets: there are many kinds.

In nftables a packet passes when every table lets it: the lab's own cannot make up for another's drop.
"""

from __future__ import annotations

import json
import re

from appliance.contract.trouble import LabTrouble
from appliance.lab.packet_filter import PROBE
from appliance.lab.place import Place
from appliance.lab.shell import attempt, run

SECONDS = 2  # for an answer that is dropped; one that comes takes milliseconds


def trouble(place: Place) -> LabTrouble | None:
    """What keeps machines from the lab's services on the host, or from the way out. The lab must be up."""
    if attempt(_inside(place, f"exec 3<>/dev/tcp/{place.host_ip}/{place.metadata_port}")).returncode:
        return _told(place, "input", "what comes from the lab's machines to this host is dropped")
    if attempt(["ip", "route", "get", PROBE]).returncode:
        return None  # this host has no way out itself
    before = _passed(place)
    run(_inside(place, f"echo > /dev/udp/{PROBE}/9"))
    if _passed(place) == before:
        return _told(place, "forward", "what comes from the lab's machines to the network outside is dropped")
    return None


def _inside(place: Place, script: str) -> list[str]:
    """A packet as a machine's would come: from the router's namespace."""
    return ["ip", "netns", "exec", place.prefix, "timeout", str(SECONDS), "bash", "-c", script]


def _passed(place: Place) -> int:
    """Probes that came through the host. The lab's own table ends their way there."""
    found = re.search(r"packets (\d+)", run(["nft", "list", "counter", "ip", place.prefix, "probe"]))
    return int(found[1]) if found else 0


def _told(place: Place, hook: str, why: str) -> LabTrouble:
    chains = dropping_chains(run(["nft", "--json", "list", "chains"]), hook)
    inside = f"{place.prefix}h"
    rules = [f'iifname "{inside}" accept']
    if hook == "forward":
        rules.append(f'oifname "{inside}" ct state established,related accept')
    fixes = [f"nft insert rule {chain} {rule}" for chain in chains for rule in rules]
    fixes = fixes or [f"have the firewall let the interface {inside} through ({hook})"]
    return LabTrouble(
        "This machine's firewall cuts the lab off",
        why=why + (f" (nftables: {', '.join(chains)})" if chains else ""),
        fix="; ".join([*fixes, "appliance lab up"]),
    )


def dropping_chains(listed: str, hook: str) -> list[str]:
    """From `nft --json list chains`, those at the hook that can be the cause: "family table chain".

    Those with a policy of drop; without one, all: a rule at their end may drop.
    """
    chains = [entry["chain"] for entry in json.loads(listed)["nftables"] if "chain" in entry]
    there = [
        c
        for c in chains
        if c.get("hook") == hook
        and c["family"] in ("ip", "inet")
        and not re.fullmatch(r"alab\d+", c["table"])
    ]
    dropping = [c for c in there if c["policy"] == "drop"] or there
    return [f"{c['family']} {c['table']} {c['name']}" for c in dropping]
