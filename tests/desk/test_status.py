"""Status: the cloud's and the node's accounts side by side, and what is missing told."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.contract.health import Check, HealthPage
from appliance.contract.node_report import Certificate, NodeReport
from appliance.desk.model import Image, Label, Server
from appliance.desk.status import Status, describe, newest_verified

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SERVER = Server(
    7, "office-1", "running", "cx33", "fsn1", 42, "198.18.1.7", "10.60.1.2", None, None, (), {}, NOW
)


def report(
    bundle: str = "d1", gateway: str = "ready", router: str = "ready", disk_ok: bool = True
) -> NodeReport:
    checks = [
        Check(name="gateway", ok=True, detail="ready"),
        Check(name="disk", ok=disk_ok, detail="97 % used"),
        Check(name="clock", ok=False, detail="not synchronised", vital=False),
    ]
    return NodeReport(
        node="office-1",
        snapshot_inputs="abc",
        bundle=bundle,
        openclaw="2026.9.6",
        gateway=gateway,
        router=router,
        health=HealthPage(status="ok", node="office-1", bundle=bundle, checks=checks),
        certificate=Certificate(issuer="CN=CA", names=["a"], not_after=NOW, fingerprint="00", pem=""),
        disk_used_percent=10,
        memory_used_percent=20,
        uptime_seconds=30,
        last_backup=None,
    )


def image(number: int, day: int, verified: bool) -> Image:
    labels = {Label.VERIFIED: "yes"} if verified else {}
    return Image(number, None, "", "available", "x86", 40, 1.5, labels, datetime(2026, 11, day, tzinfo=UTC))


def test_a_node_is_well_when_ready_healthy_and_of_the_wanted_bundle() -> None:
    assert describe(SERVER, report(), "d1", None).well
    assert describe(SERVER, report(), None, None).well


def test_another_bundle_a_vital_check_or_a_part_that_is_not_ready_is_not_well() -> None:
    assert not describe(SERVER, report(), "d2", None).well
    assert describe(SERVER, report(), "d2", None).bundle_differs
    assert not describe(SERVER, report(disk_ok=False), "d1", None).well
    assert not describe(SERVER, report(gateway="failed"), "d1", None).well
    assert not describe(SERVER, report(router="failed"), "d1", None).well


def test_a_node_that_cannot_be_reached_still_shows_what_the_cloud_knows() -> None:
    node = describe(SERVER, None, "d1", "it does not answer")
    assert (node.address, node.snapshot, node.trouble) == ("198.18.1.7", 42, "it does not answer")
    assert (node.gateway, node.router, node.bundle) == ("unknown", "unknown", None)
    assert not node.well


def test_an_appliance_without_nodes_is_not_well() -> None:
    assert not Status("office", (), None).well


def test_only_a_verified_snapshot_counts_as_newest() -> None:
    assert newest_verified((image(1, 1, True), image(2, 3, True), image(3, 9, False))) == 2
    assert newest_verified((image(3, 9, False),)) is None
