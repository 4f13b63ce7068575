"""Drills of a restore at the lab's API with nodes on paper, and the page that they make."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from appliance.contract.restore_report import RestoreReport
from appliance.contract.trouble import UnverifiedTrouble
from appliance.desk.assets import report_templates
from appliance.desk.cloud import Cloud
from appliance.desk.lock import hold
from appliance.desk.model import Label, Role
from appliance.desk.reports.restore_page import page, rows, span
from appliance.desk.restore_drill import RestoreDrill
from appliance.desk.stopwatch import Stopwatch
from tests.desk.at_lab import cloud_at, verified_snapshot
from tests.desk.killing import Killed, Killer
from tests.desk.paper_restore import BACKUP, PaperBackups, manifest
from tests.desk.saying import Saying
from tests.desk.test_restore import ORDERS, WANTED, desk_at
from tests.desk.test_restore import Desk as RestoringDesk
from tests.lab.served import LabApi

TEMPLATES = report_templates()


@dataclass
class Desk:
    of: RestoringDesk

    @property
    def api(self) -> LabApi:
        return self.of.api

    @property
    def node(self) -> PaperBackups:
        return self.of.node

    def drill(self, cloud: Cloud | None = None) -> RestoreReport:
        cloud = cloud or cloud_at(self.api)
        drill = RestoreDrill(WANTED, cloud, self.node.connect, ORDERS, Stopwatch(Saying()))
        return drill.drill(lambda: hold(cloud, "office", Saying(), True))


@pytest.fixture
def desk(lab_api: LabApi) -> Desk:
    return Desk(desk_at(lab_api))


def test_the_node_is_not_touched_and_nothing_is_left(desk: Desk) -> None:
    before = cloud_at(desk.api).observe()
    report = desk.drill()
    assert report.ok
    assert report.backup == BACKUP
    assert cloud_at(desk.api).observe() == before
    assert len(desk.api.hardware.machines) == 1
    assert len(desk.api.lab.state.primary_ips) == 2


def test_the_drill_s_server_is_kept_idle_and_stands_apart(desk: Desk) -> None:
    desk.drill()
    (scratch,) = desk.node.idle
    assert scratch != desk.of.the(Role.NODE).id
    started = [line.startswith("systemctl daemon-reload") for line in desk.node.typed]
    assert started.index(True) < desk.node.typed.index("sh -s"), "before anything could act"


def test_without_a_node_it_drills_all_the_same(desk: Desk) -> None:
    desk.of.lose()
    assert desk.drill().ok


@pytest.mark.parametrize("step", ["Fetch it", "Start", "Ask every workload"])
def test_a_failed_restore_is_a_red_report_and_its_server_goes(desk: Desk, step: str) -> None:
    desk.node.fails_at = step
    report = desk.drill()
    assert not report.ok
    assert step in (report.error or "")
    assert report.recovery_seconds is None
    assert report.steps[-1].name == "Delete server office-drill"
    assert next(s for s in report.steps if s.name == step).seconds is None
    assert cloud_at(desk.api).server("office-drill") is None


def test_a_backup_without_secrets_is_not_called_green(desk: Desk) -> None:
    desk.node.contents = manifest(secrets=False)
    report = desk.drill()
    assert not report.ok
    assert "secrets" in (report.error or "")


def test_it_takes_the_snapshot_that_the_backup_names(desk: Desk) -> None:
    own = desk.of.the(Role.NODE).image_id
    verified_snapshot(cloud_at(desk.api), {Label.INPUTS: "newer"})
    desk.of.lose()
    assert desk.drill().snapshot == own


def test_without_a_snapshot_it_does_not_begin(desk: Desk) -> None:
    cloud = cloud_at(desk.api)
    for image in cloud.observe().snapshots:
        cloud.delete_image(image.id)
    with pytest.raises(UnverifiedTrouble):
        desk.drill()


def test_what_a_killed_drill_left_goes_with_the_next(desk: Desk) -> None:
    killer = Killer(30)
    desk.node.on_command = killer.moment
    with pytest.raises(Killed):
        desk.drill(killer.follow(cloud_at(desk.api)))
    desk.node.on_command = lambda: None
    assert cloud_at(desk.api).server("office-drill") is not None
    assert desk.drill().ok
    assert desk.of.servers() == {Role.NODE: "running"}


def test_the_page_tells_verdict_times_and_steps(desk: Desk) -> None:
    report = desk.drill()
    html = page(report, TEMPLATES)
    assert "Green: back in" in html
    assert BACKUP in html
    assert html.count("<tr class=") == len(report.steps)
    assert "://" not in html, "it needs nothing else"


def test_a_red_page_tells_why_and_takes_nothing_for_markup(desk: Desk) -> None:
    desk.node.fails_at = "State"
    report = desk.drill().model_copy(update={"error": "<script>alert(1)</script>"})
    html = page(report, TEMPLATES)
    assert "Red: &lt;script&gt;" in html
    assert "<script" not in html
    assert "broken off" in html


def test_a_page_before_the_first_step_is_a_page() -> None:
    empty = RestoreReport.model_validate(
        {"drill": True, "appliance": "office", "at": "2026-11-22T03:00:00Z", "ok": False}
    )
    assert "it did not come back" in page(empty, TEMPLATES)
    assert rows(()) == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "0.50 s"), (90, "1 min 30 s"), (3700, "1 h 1 min"), (400_000, "4 days"), (-3, "0.000 s")],
)
def test_spans_read_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words
