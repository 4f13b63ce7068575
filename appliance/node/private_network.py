"""Private NICs, configured as Hetzner's hc-utils does: by MAC, a /32, all through the gateway, MTU 1450.

Source: Hetzner Cloud docs, "Networks > Server configuration" (layer 3: /32 address, the gateway on link,
the network routed through it) and the metadata service's /hetzner/v1/metadata/private-networks.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from appliance.contract.trouble import NodeTrouble
from appliance.node.system import must

METADATA = "http://169.254.169.254/hetzner/v1/metadata/private-networks"
MTU = 1450
TRIES = 3


class PrivateNetwork(BaseModel):
    """One entry of the metadata service's list."""

    ip: IPv4Address
    alias_ips: list[IPv4Address] | None = None
    mac_address: str
    network: IPv4Network
    gateway: IPv4Address


def parse(text: str) -> list[PrivateNetwork]:
    """Raises NodeTrouble for what is no such list; an empty answer is an empty list."""
    try:
        return TypeAdapter(list[PrivateNetwork]).validate_python(yaml.safe_load(text) or [])
    except (ValidationError, yaml.YAMLError) as error:
        raise NodeTrouble("The metadata service gave no list of private networks.", why=str(error)) from error


def commands(networks: Sequence[PrivateNetwork], nics: Mapping[str, str]) -> list[list[str]]:
    """What makes it so, and changes nothing where it is so. `nics`: MAC -> name."""
    made = []
    for network in networks:
        nic = nics.get(network.mac_address.lower())
        if nic is None:
            continue
        made.append(["ip", "link", "set", "dev", nic, "mtu", str(MTU), "up"])
        made += [
            ["ip", "address", "replace", f"{address}/32", "dev", nic]
            for address in (network.ip, *(network.alias_ips or ()))
        ]
        made.append(["ip", "route", "replace", f"{network.gateway}/32", "dev", nic, "scope", "link"])
        through = ["via", str(network.gateway), "dev", nic, "onlink", "src", str(network.ip)]
        made.append(["ip", "route", "replace", str(network.network), *through])
    return made


def configure() -> str:
    networks = parse(_ask())
    for command in commands(networks, _nics()):
        must(command, seconds=10)
    return f"{len(networks)} private networks"


def _nics() -> dict[str, str]:
    return {
        (nic / "address").read_text().strip().lower(): nic.name
        for nic in Path("/sys/class/net").iterdir()
        if nic.name != "lo" and (nic / "address").exists()
    }


def _ask() -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for attempt in range(TRIES):
        try:
            with opener.open(METADATA, timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return ""
            why = str(error)
        except OSError as error:
            why = str(error)
        if attempt + 1 < TRIES:
            time.sleep(2)
    raise NodeTrouble("The metadata service does not answer.", why=why)
