"""The text of a first appliance.yaml. Its comments are the reference of the file. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from appliance.desk.settings import Target

SCHEMA_FILE = "appliance.schema.json"


@dataclass(frozen=True)
class Vendor:
    """A provider to start with, and the model that its workloads name first."""

    name: str
    api: str  # openai | anthropic
    base_url: str
    key: str  # env:NAME or file:PATH
    model: str


@dataclass(frozen=True)
class Start:
    """What differs between two first files."""

    name: str
    target: Target
    location: str
    server_type: str
    bake_server_type: str
    ssh_public_key: str
    ssh_sources: tuple[str, ...]
    api_sources: tuple[str, ...]
    vendors: tuple[Vendor, Vendor]  # of the primary and of the fallback


HETZNER_VENDORS = (
    Vendor("openai", "openai", "https://api.openai.com/v1", "env:OPENAI_API_KEY", "gpt-5.1"),
    Vendor(
        "anthropic", "anthropic", "https://api.anthropic.com", "env:ANTHROPIC_API_KEY", "claude-sonnet-4-5"
    ),
)
ANYONE = ("0.0.0.0/0", "::/0")
# From a range that is kept for examples (RFC 5737); config.py asks for a real one in its place.
SSH_PLACEHOLDER = ("203.0.113.7/32",)


def render(start: Start) -> str:
    """appliance.yaml for `start`. It is valid, but for the placeholder of who may reach SSH."""
    primary, fallback = start.vendors
    return Template(_TEMPLATE).substitute(
        schema=SCHEMA_FILE,
        name=start.name,
        target=start.target.value,
        location=start.location,
        server_type=start.server_type,
        bake_server_type=start.bake_server_type,
        ssh_public_key=start.ssh_public_key,
        ssh=_list(start.ssh_sources),
        api=_list(start.api_sources),
        providers="\n".join(_provider(vendor) for vendor in start.vendors),
        primary=f"{primary.name}/{primary.model}",
        fallback=f"{fallback.name}/{fallback.model}",
    )


def _list(items: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def _provider(vendor: Vendor) -> str:
    return "\n".join(
        (
            f"  {vendor.name}:",
            f"    api: {vendor.api}",
            f"    base_url: {vendor.base_url}",
            f"    key: {vendor.key}",
            "    timeout_seconds: 60",
        )
    )


_TEMPLATE = """\
# yaml-language-server: $$schema=./$schema
#
# One appliance: a hardened OpenClaw gateway on a node of its own.
# `appliance check` reads this file and reports every mistake at once.
# Secrets never stand here, only where they stand:
#   env:NAME    an environment variable of whoever runs the command
#   file:PATH   a file, relative to this one, that only its owner may read (chmod 600)

# Names and labels everything at the cloud (appliance=<name>): a-z, 0-9 and -, at most 32.
# Renaming means another appliance; the old one stays until `appliance destroy` under the old name.
name: $name

# lab: Hetzner in a box on this machine (Linux, root). hetzner: the real cloud, by HCLOUD_TOKEN.
target: $target

# single: one node, in a placement group and a private network from its first day.
layout: single

# Where: fsn1, nbg1, hel1 (Europe), ash, hil (USA), sin (Singapore). `appliance check` knows what is there.
location: $location

# The node. OpenClaw needs 4 GB of memory at least; `appliance check` says what a month costs.
server_type: $server_type

image:
  # The base image of the bake.
  base: debian-13
  # The temporary server that bakes. A snapshot boots only on disks as large as this one's or larger,
  # so take the smallest; it must have the same architecture (x86 or arm) as server_type.
  bake_server_type: $bake_server_type

network:
  # The private network: RFC 1918, /24 or larger. It cannot be changed once a node is in it.
  ip_range: 10.90.0.0/16
  # The nodes' part of it: /30 or larger.
  subnet: 10.90.1.0/24

# Address ranges (IPv4 or IPv6) that may reach the node; one address alone is x.x.x.x/32.
access:
  # SSH: the machines you work from. This desk must be among them: the command works over SSH.
  ssh: $ssh
  # The gateway on 443: your clients. They need the token too.
  api: $api
  # Your public key; the private one is beside it without .pub, or in your SSH agent.
  ssh_public_key: $ssh_public_key

# Where the node's certificate comes from. Either a CA of the appliance's own, as below: clients trust
# secrets/ca.crt, and the node's TLS key never leaves the node. Or a certificate you have:
#   certificate: tls/chain.pem     # the leaf first
#   key: file:tls/key.pem
tls:
  # DNS names that clients use; the node's addresses are always added.
  names: []
  ca_cert: secrets/ca.crt
  ca_key: file:secrets/ca.key

gateway:
  # The bearer token that clients send. Whoever has it has all of the gateway.
  token: file:secrets/gateway-token

# The vendors of models, by names of your own.
#   api              openai (chat completions) or anthropic (messages)
#   base_url         as the vendor's own clients take it
#   key              env:NAME or file:PATH
#   timeout_seconds  how long a silent answer is waited for (1 to 3600; 60 if left out)
providers:
$providers

# Classes of model traffic. Clients choose one by its path, https://<node>/<workload>/v1; the first
# also answers at https://<node>/v1.
#   primary         provider/model that answers
#   fallback        provider/model that answers while the primary cannot: another vendor, another key;
#   fail_closed     or true instead: no fallback, and when the primary fails so do the requests
#   context_window  tokens the models take (128000 if left out)
#   max_tokens      tokens of one answer at most (8192 if left out)
# The failover router comes with a later version; until then the primary alone answers.
workloads:
  code:
    primary: $primary
    fallback: $fallback
    context_window: 128000
    max_tokens: 8192
  batch:
    primary: $fallback
    fail_closed: true

backup:
  # restic's repository. Backups come with a later version: null until then.
  repository: null
"""
