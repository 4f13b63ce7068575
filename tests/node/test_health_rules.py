"""The health page's verdict follows from the facts, and says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contract.backup import LastBackup
from appliance.contract.drill import Canaries, Canary
from appliance.contract.node_report import Breaker
from appliance.node.health_rules import Asked, Believed, Facts, http_status, page

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
UP, DOWN = Believed(True, "answers"), Believed(False, "no answer in time")
ALPHA, BETA = Asked("alpha", "alpha-large"), Asked("beta", "beta-small")
CLOSED = Breaker(provider="alpha", model="alpha-large", state="closed", cause=None, seconds_left=0)
OPEN = Breaker(provider="alpha", model="alpha-large", state="open", cause="server-error", seconds_left=12)
SANG = Canary(
    provider="beta", model="beta-small", ok=True, detail="answered", seconds=0.1, workloads=("code",)
)
REFUSED = SANG.model_copy(update={"ok": False, "detail": "refused this node access"})
WELL = Facts(
    node="n1",
    bundle="d",
    now=NOW,
    gateway_ready=True,
    gateway_detail="ready",
    router_ready=True,
    router_detail="answers",
    workloads={"code": [ALPHA, BETA], "batch": [BETA]},
    providers={"alpha": UP, "beta": UP},
    breakers=[CLOSED],
    canaries=Canaries(at=NOW - timedelta(hours=1), canaries=(SANG,)),
    canary_every=3600,
    backup_every_hours=1,
    last_backup=LastBackup(tried_at=NOW - timedelta(minutes=40), at=NOW - timedelta(minutes=39)),
    disk_used_percent=20,
    memory_used_percent=30,
    clock_synchronised=True,
    draining=False,
)


def test_a_node_that_is_well_says_so_without_reasons() -> None:
    said = page(WELL)
    assert (said.status, http_status(said), said.reasons) == ("ok", 200, [])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(WELL, gateway_ready=False, gateway_detail="answers 503"), "gateway: answers 503"),
        (replace(WELL, router_ready=False, router_detail="does not answer"), "router: does not answer"),
        (replace(WELL, draining=True), "draining: yes"),
        (replace(WELL, disk_used_percent=96), "disk: 96 % used"),
        (replace(WELL, memory_used_percent=98), "memory: 98 % used"),
        (
            replace(WELL, providers={"alpha": DOWN, "beta": DOWN}),
            "workload:batch: beta/beta-small: no answer in time",
        ),
    ],
)
def test_what_makes_a_node_useless_is_503_with_the_reason(facts: Facts, reason: str) -> None:
    said = page(facts)
    assert (said.status, http_status(said)) == ("unhealthy", 503)
    assert reason in said.reasons


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(WELL, providers={"alpha": DOWN, "beta": UP}), "alpha/alpha-large: no answer in time; beta"),
        (replace(WELL, breakers=[OPEN]), "alpha/alpha-large: asked last for 12 s (server error)"),
        (
            replace(WELL, workloads={"code": [ALPHA, BETA]}, canaries=Canaries(at=NOW, canaries=(REFUSED,))),
            "beta/beta-small: its canary: refused this node access",
        ),
        (
            replace(WELL, canaries=Canaries(at=NOW - timedelta(hours=3), canaries=(SANG,))),
            "canary: none of 1 refused, 3.0 h ago",
        ),
        (replace(WELL, disk_used_percent=90), "disk: 90 % used"),
        (replace(WELL, memory_used_percent=92), "memory: 92 % used"),
        (replace(WELL, clock_synchronised=False), "clock: not synchronised yet"),
    ],
)
def test_what_only_worries_keeps_the_node_in_service_and_is_told(facts: Facts, reason: str) -> None:
    said = page(facts)
    assert (said.status, http_status(said), len(said.reasons)) == ("degraded", 200, 1)
    assert reason in said.reasons[0]


def test_a_workload_whose_providers_are_well_is_not_held_to_account_for_others() -> None:
    checks = {check.name: check.ok for check in page(replace(WELL, breakers=[OPEN])).checks}
    assert (checks["workload:code"], checks["workload:batch"]) == (False, True)


def test_before_the_first_canary_nothing_is_held_against_a_node() -> None:
    assert page(replace(WELL, canaries=None)).status == "ok"


def test_a_provider_nobody_has_looked_at_is_not_held_against_the_node() -> None:
    assert page(replace(WELL, providers={})).status == "ok"


def test_a_clock_kept_by_the_host_is_no_fault_of_the_node() -> None:
    assert page(replace(WELL, clock_synchronised=None)).status == "ok"
