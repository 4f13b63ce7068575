"""The health page's verdict follows from the facts, and says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.node.health_rules import Believed, Facts, http_status, page

UP, DOWN = Believed(True, "answers"), Believed(False, "no answer in time")
WELL = Facts(
    node="n1",
    bundle="d",
    gateway_ready=True,
    gateway_detail="ready",
    workloads={"code": ["alpha"], "batch": ["beta"]},
    providers={"alpha": UP, "beta": UP},
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
        (replace(WELL, draining=True), "draining: yes"),
        (replace(WELL, disk_used_percent=96), "disk: 96 % used"),
        (replace(WELL, memory_used_percent=98), "memory: 98 % used"),
        (
            replace(WELL, providers={"alpha": DOWN, "beta": DOWN}),
            "workload:code: alpha: no answer in time",
        ),
    ],
)
def test_what_makes_a_node_useless_is_503_with_the_reason(facts: Facts, reason: str) -> None:
    said = page(facts)
    assert (said.status, http_status(said)) == ("unhealthy", 503)
    assert reason in said.reasons


@pytest.mark.parametrize(
    "facts",
    [
        replace(WELL, providers={"alpha": UP, "beta": DOWN}),
        replace(WELL, disk_used_percent=90),
        replace(WELL, memory_used_percent=92),
        replace(WELL, clock_synchronised=False),
    ],
)
def test_what_only_worries_keeps_the_node_in_service(facts: Facts) -> None:
    said = page(facts)
    assert (said.status, http_status(said), len(said.reasons)) == ("degraded", 200, 1)


def test_one_provider_that_answers_is_enough_for_a_workload() -> None:
    facts = replace(WELL, workloads={"code": ["alpha", "beta"]}, providers={"alpha": DOWN, "beta": UP})
    assert page(facts).status == "ok"


def test_a_provider_nobody_has_looked_at_is_not_held_against_the_node() -> None:
    assert page(replace(WELL, providers={})).status == "ok"


def test_a_clock_kept_by_the_host_is_no_fault_of_the_node() -> None:
    assert page(replace(WELL, clock_synchronised=None)).status == "ok"
