"""What the services must be given when one bundle follows another, and which old bundles may go. Pure.

The gateway takes all of a bundle while it runs, its token too (measured, OpenClaw 2026.9.6). The keys of its
config that need a restart (port, bind, auth mode, TLS) are the same in all bundles. The router takes policy
and keys while it runs; requests in flight keep those that they began with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from appliance.contract import bundle

KEPT = 3
ROUTER_FILES = frozenset({bundle.ROUTER_POLICY})
GATEWAY_FILES = frozenset({"openclaw.json"})
EDGE_FILES = frozenset({"edge.map", bundle.TLS_CHAIN})
FIREWALL_FILES = frozenset({"nftables-allow.nft"})


@dataclass(frozen=True)
class Steps:
    """Who may come in; then the one who is asked before the one who asks."""

    firewall: bool  # reload
    router_restart: bool
    router_live: bool  # policy and keys, both: what it is given is all it has
    gateway_restart: bool  # answers in flight end first, new requests wait for it to be ready
    gateway_config: bool  # live
    gateway_secrets: bool  # live
    edge_restart: bool  # its key is read at the start only
    edge_reload: bool  # breaks no connection


def steps(
    old: bundle.Manifest | None, new: bundle.Manifest, *, router_up: bool, gateway_up: bool, edge_up: bool
) -> Steps:
    """`old`: what the running services were given; None when that is not known."""
    if old is None:
        return Steps(
            firewall=True,
            router_restart=not router_up,
            router_live=router_up,
            gateway_restart=True,
            gateway_config=False,
            gateway_secrets=False,
            edge_restart=True,
            edge_reload=False,
        )
    files = _changed(old.files, new.files)
    secrets = _changed(old.secrets, new.secrets)
    edge_restart = not edge_up or bundle.TLS_KEY in secrets
    return Steps(
        firewall=bool(files & FIREWALL_FILES),
        router_restart=not router_up,
        router_live=router_up and bool(files & ROUTER_FILES or any(map(_is_key, secrets))),
        gateway_restart=not gateway_up,
        gateway_config=gateway_up and bool(files & GATEWAY_FILES),
        gateway_secrets=gateway_up and bundle.GATEWAY_TOKEN in secrets,
        edge_restart=edge_restart,
        edge_reload=not edge_restart and bool(files & EDGE_FILES),
    )


def superfluous(newest_first: Sequence[str], in_force: Collection[str]) -> list[str]:
    """Bundles to remove: all but those in force and the latest, KEPT in total."""
    others = [digest for digest in newest_first if digest not in in_force]
    return others[max(0, KEPT - len(in_force)) :]


def _is_key(secret: str) -> bool:
    return secret.startswith(bundle.PROVIDER)


def _changed(old: dict[str, str], new: dict[str, str]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
