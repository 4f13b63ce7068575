"""What the services are given follows from what changed, and no bundle in force is ever tidied away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import bundle
from appliance.node.activate_rules import KEPT, Steps, steps, superfluous

NOTHING = Steps(
    firewall=False,
    router_restart=False,
    router_live=False,
    gateway_restart=False,
    gateway_config=False,
    gateway_secrets=False,
    edge_restart=False,
    edge_reload=False,
)
CONFIG = replace(NOTHING, gateway_config=True)
ROUTER = replace(NOTHING, router_live=True)
ALL = replace(NOTHING, firewall=True, router_live=True, gateway_restart=True, edge_restart=True)


def manifest(files: dict[str, str] | None = None, secrets: dict[str, str] | None = None) -> bundle.Manifest:
    first = {"openclaw.json": "1", "edge.map": "1", "nftables-allow.nft": "1", "router.json": "1"}
    held = {"gateway-token": "1", "provider-alpha": "1"}
    return bundle.Manifest(
        name="test",
        digest="d",
        files={**first, **(files or {})},
        secrets={**held, **(secrets or {})},
        workloads=["code"],
    )


def follow(new: bundle.Manifest, *, up: bool = True) -> Steps:
    return steps(manifest(), new, router_up=up, gateway_up=up, edge_up=up)


def test_the_same_bundle_again_restarts_nothing() -> None:
    assert follow(manifest()) == NOTHING


@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        (manifest({"openclaw.json": "2"}), CONFIG),
        (manifest({"edge.map": "2"}), replace(NOTHING, edge_reload=True)),
        (manifest({"nftables-allow.nft": "2"}), replace(NOTHING, firewall=True)),
        (manifest({"router.json": "2"}), ROUTER),
        (manifest(secrets={"provider-alpha": "2"}), ROUTER),
        (manifest(secrets={"provider-beta": "1"}), ROUTER),
        (manifest(secrets={"gateway-token": "2"}), replace(NOTHING, gateway_secrets=True)),
        (manifest({"openclaw.json": "2"}, {"provider-beta": "1"}), replace(CONFIG, router_live=True)),
        (manifest({bundle.TLS_CHAIN: "1"}, {"tls-key": "1"}), replace(NOTHING, edge_restart=True)),
    ],
)
def test_only_what_changed_is_given_and_nothing_is_restarted_for_it(
    new: bundle.Manifest, wanted: Steps
) -> None:
    assert follow(new) == wanted


def test_a_renewed_certificate_for_the_same_key_breaks_no_connection() -> None:
    old = manifest({bundle.TLS_CHAIN: "1"}, {"tls-key": "1"})
    new = manifest({bundle.TLS_CHAIN: "2"}, {"tls-key": "1"})
    assert steps(old, new, router_up=True, gateway_up=True, edge_up=True) == replace(
        NOTHING, edge_reload=True
    )


def test_what_does_not_run_is_started() -> None:
    changed = manifest({"openclaw.json": "2"}, {"provider-alpha": "2"})
    for new in (manifest(), changed):
        started = replace(NOTHING, router_restart=True, gateway_restart=True, edge_restart=True)
        assert follow(new, up=False) == started


def test_when_nobody_knows_what_runs_all_is_given_anew() -> None:
    assert steps(None, manifest(), router_up=True, gateway_up=True, edge_up=True) == ALL


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.sets(st.sampled_from("abcdefgh"), max_size=2))
def test_tidying_keeps_those_in_force_and_the_latest(newest_first: list[str], in_force: set[str]) -> None:
    in_force &= set(newest_first)
    gone = superfluous(newest_first, in_force)
    kept = [digest for digest in newest_first if digest not in gone]
    assert in_force <= set(kept)
    assert len(kept) == min(KEPT, len(newest_first))
    others = [digest for digest in newest_first if digest not in in_force]
    assert [digest for digest in others if digest in kept] == others[: len(others) - len(gone)]
