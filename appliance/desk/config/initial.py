"""The text of a first appliance.yaml. Its comments are the reference of the file. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from appliance.contract.router_policy import BreakerTimes, CanaryRule, Deadlines
from appliance.desk.config.initial_backup import Store, block
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
    vendors: tuple[
        Vendor, Vendor, *tuple[Vendor, ...]
    ]  # a primary, its fallback, and who falls back for that
    store: Store | None = None  # None: backups are for the operator to order


HETZNER_VENDORS = (
    Vendor("openai", "openai", "https://api.openai.com/v1", "env:OPENAI_API_KEY", "gpt-5.1"),
    Vendor(
        "anthropic", "anthropic", "https://api.anthropic.com/v1", "env:ANTHROPIC_API_KEY", "claude-sonnet-4-5"
    ),
)
ANYONE = ("0.0.0.0/0", "::/0")
# From a range that is kept for examples (RFC 5737); config.py asks for a real one in its place.
SSH_PLACEHOLDER = ("203.0.113.7/32",)


def render(start: Start) -> str:
    """appliance.yaml for `start`. It is valid, but for the placeholder of who may reach SSH."""
    primary, fallback, *others = start.vendors
    other = others[0] if others else primary
    limits, breaker, canary = Deadlines(), BreakerTimes(), CanaryRule()
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
        other=f"{other.name}/{other.model}",
        **{key: f"{seconds:g}" for key, seconds in (limits.model_dump() | breaker.model_dump()).items()},
        every_hours=f"{canary.every / 3600:g}",
        max_tokens=canary.max_tokens,
        backup=block(start.name, start.store),
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

# The vendors of models, by names of your own. A name that begins with drill- is the drills'.
#   api       openai (chat completions) or anthropic (messages); a workload may mix them
#   base_url  what /chat/completions (openai) or /messages (anthropic) is appended to: both with the /v1
#   key       env:NAME or file:PATH. Only the node's router ever has it, never the gateway
providers:
$providers

# Classes of model traffic. Clients choose one by its path, https://<node>/<workload>/v1; the first
# also answers at https://<node>/v1.
#   primary         provider/model that answers, or {model: provider/model, context_window: 400000}
#                   where its window is not the workload's
#   fallback        the same, for what answers while the primary cannot: another vendor, another key.
#                   Or a list of up to three, asked in their order
#   fail_closed     true instead of a fallback: when the primary fails so do the requests, with the cause
#   mode            pass (if left out): answers flow as they come; where the provider breaks in the
#                   middle, the client gets a clear error, never a silent end and never two answers mixed.
#                   hold: a stream is held until it is whole, and if the provider breaks the fallback answers
#                   instead. Until then clients get comments only, up to deadlines.total: let them wait longer
#   failed_status   when nobody answered: 503 (if left out), of which the gateway makes a 502 without the
#                   cause, or 422, with the cause for clients to read; most of them do not try again then
#   deadlines       any of those below, for this workload
#   context_window  tokens the models take (128000 if left out); a request that is too long for one of them
#                   goes to the next whose window is larger
#   max_tokens      tokens of one answer at most (8192 if left out)
#
# What goes to the fallback is one rule, the same for all, before any content has reached the client:
#   soon again      no connection, a dropped one, silence, any 5xx, 408, 409, 425, 429, an answer that is none
#                   (HTML, malformed, empty, cut off) or an error within a 200: the next is asked at once
#   not without us  401, 403, a 402 or spent quota, an unknown model (404): the same, and remembered longer
#   too long        a request beyond the context window: only where a fallback's is larger
#   the client's    any other 400, 413 or 422: straight to the client, since every provider would say so
# OpenClaw itself never tries again, so nothing stacks on this rule.
workloads:
  code:
    primary: $primary
    fallback: $fallback
    context_window: 128000
    max_tokens: 8192
  long-context:
    primary: $fallback
    fallback: {model: $other, context_window: 400000}
    mode: hold
    context_window: 200000
  batch:
    primary: $fallback
    fail_closed: true
    failed_status: 422

# When silence is acted on, in seconds (0.1 to 600). Only content counts as a sign of life: text, tool calls,
# reasoning; not headers, comments or empty chunks. A slow answer is never cut off by `hedge`: the fallback
# starts beside it, the first with content wins, and only then the other is cancelled.
# hedge < start <= total and whole_hedge < total must hold.
deadlines:
  # DNS, TCP and TLS to a provider.
  connect: $connect
  # A stream without any content yet: the fallback is asked as well. Lower finds silence sooner and pays for
  # more answers twice.
  hedge: $hedge
  # The same for answers that are no stream, whose only content is the whole.
  whole_hedge: $whole_hedge
  # From one piece of a stream to the next.
  between: $between
  # No content from anybody: the request has failed.
  start: $start
  # Of a request, whatever flows. Your clients' own timeouts should be longer (OpenAI's wait 600).
  total: $total

# How long a provider that failed is asked last, in seconds (0.1 to 3600), for each of its models: only when
# the others fail or are silent too. After that one request tries it, and the rest follow if it answers.
breaker:
  # 5xx, dropped connections, answers that are none; silence when it comes twice.
  server_error: $server_error
  # 429. Its own Retry-After goes before this.
  rate_limited: $rate_limited
  # 401, 402, 403, 404, spent quota: somebody must act.
  refused: $refused

# The node asks each provider directly for each model above, the fallbacks' too, so that a revoked key is
# found before it is needed; `appliance status` shows what they said. The price is a question of about 20
# tokens and an answer of at most max_tokens, a model and time: `appliance check` says how much a day.
canary:
  # 0.1 to 168.
  every_hours: $every_hours
  max_tokens: $max_tokens

# Hetzner's own daily backups of the whole server, seven kept, for a fifth of its price (`appliance check`
# says how much): a second line, quick to go back to, in the same place and the same account. They are taken
# while the server runs, so as after a power cut, and hold no Volumes. false leaves them as they are:
# switching them off deletes them, and is done in the console.
server_backups: false

$backup"""
