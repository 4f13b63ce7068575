"""Restores at the lab's API with nodes on paper; tests/e2e has them on real machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contract.trouble import ConfigTrouble, LockedTrouble, NodeTrouble, UnverifiedTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.deploy import Deployer
from appliance.desk.lock import hold
from appliance.desk.model import Label, Role, Server
from appliance.desk.plan import PARTS, Wanted
from appliance.desk.restore import Restorer, RestoreResult
from appliance.desk.restore_script import Orders
from appliance.desk.stopwatch import Stopwatch
from tests.desk.at_lab import cloud_at, verified_snapshot
from tests.desk.killing import Killed, Killer
from tests.desk.paper_restore import AT, BACKUP, PaperBackups, RestoreDelivery, manifest
from tests.desk.samples import SETTINGS
from tests.desk.saying import Saying
from tests.lab.served import LabApi, served

KEY = hostkeys.make().public
ORDERS = Orders(b"#!/bin/sh\n", {"RESTIC_PASSWORD": "it's a 'passphrase"}, "a private key\n")
WANTED = Wanted(SETTINGS, KEY)


@dataclass
class Desk:
    """One desk after another at the same appliance."""

    api: LabApi
    node: PaperBackups
    delivery: RestoreDelivery = field(default_factory=RestoreDelivery)
    said: Saying = field(default_factory=Saying)

    def deploy(self) -> str:
        """The node's address."""
        cloud = cloud_at(self.api)
        deployer = Deployer(WANTED, cloud, self.node.connect, self.delivery, Saying())
        return deployer.deploy(lambda: hold(cloud, "office", Saying())).address or ""

    def restorer(self, cloud: Cloud | None = None) -> Restorer:
        self.said = Saying()
        cloud = cloud or cloud_at(self.api)
        watch = Stopwatch(self.said)
        return Restorer(WANTED, cloud, self.node.connect, self.delivery, ORDERS, watch)

    def restore(
        self, cloud: Cloud | None = None, *, break_lock: bool = False, **how: object
    ) -> RestoreResult:
        restorer = self.restorer(cloud)
        lock = lambda: hold(restorer.cloud, "office", self.said, break_lock)  # noqa: E731
        return restorer.restore(lock, **how)  # type: ignore[arg-type]

    def lose(self) -> None:
        """The server is deleted at the cloud."""
        cloud_at(self.api).delete_server(self.the(Role.NODE).id)

    def the(self, role: Role) -> Server:
        (server,) = cloud_at(self.api).servers({Label.ROLE: role})
        return server

    def servers(self) -> dict[str, str]:
        """Role -> status."""
        return {s.labels[Label.ROLE]: s.status for s in cloud_at(self.api).observe().servers}


def desk_at(api: LabApi) -> Desk:
    desk = Desk(api, PaperBackups(api.hardware))
    verified_snapshot(cloud_at(api))
    desk.deploy()
    return desk


@pytest.fixture
def desk(lab_api: LabApi) -> Desk:
    return desk_at(lab_api)


def test_a_node_that_is_gone_comes_back_at_its_address(desk: Desk) -> None:
    address = desk.the(Role.NODE).public_ip
    desk.lose()
    result = desk.restore()
    node = desk.the(Role.NODE)
    assert desk.servers() == {Role.NODE: "running"}
    assert (node.name, node.public_ip, result.address) == ("office-1", address, address)
    assert desk.node.on() == [node.id]
    assert [answer.workload for answer in result.answers] == ["code", "batch"]
    assert result.kept == ()
    held = cloud_at(desk.api).observe().held
    assert sorted(part.kind for part in held) == sorted(PARTS), "no spare address, no lock"


def test_a_restored_node_is_one_as_a_deploy_makes_it(desk: Desk) -> None:
    desk.restore()
    desk.restorer().delete_old(lambda: hold(cloud_at(desk.api), "office", Saying()))
    desk.node.bundles[desk.the(Role.NODE).public_ip or ""] = desk.delivery.wanted
    cloud = cloud_at(desk.api)
    assert Deployer(WANTED, cloud, desk.node.connect, desk.delivery, Saying()).plan().plan.empty


def test_a_node_that_runs_is_replaced_beside_it_and_kept_off(desk: Desk) -> None:
    old = desk.the(Role.NODE)
    result = desk.restore()
    new = desk.the(Role.NODE)
    assert desk.servers() == {Role.NODE: "running", Role.OLD: "off"}
    assert (new.name, new.public_ip) == ("office-1-restored", old.public_ip)
    assert desk.the(Role.OLD).id == old.id
    assert result.kept == ("office-1",)
    assert desk.delivery.certified == [old.public_ip]
    assert len(desk.api.lab.state.primary_ips) == 3, "ours, and an IPv6 of each server"


def test_the_old_node_is_deleted_on_the_operator_s_word_then_or_later(desk: Desk) -> None:
    desk.restore()
    assert desk.restorer().delete_old(lambda: hold(cloud_at(desk.api), "office", Saying())) == ("office-1",)
    assert desk.servers() == {Role.NODE: "running"}
    result = desk.restore(delete_old=True)
    assert result.kept == ()
    assert desk.the(Role.NODE).name == "office-1"


def test_the_new_server_gets_the_name_that_is_asked_for(desk: Desk) -> None:
    with pytest.raises(ConfigTrouble, match="named office-1 already"):
        desk.restore(to="office-1")
    with pytest.raises(ConfigTrouble, match="is no name"):
        desk.restore(to="Office One")
    desk.restore(to="phoenix")
    assert desk.the(Role.NODE).name == "phoenix"


def test_the_report_tells_each_step_and_what_was_lost(desk: Desk) -> None:
    report = desk.restore().report
    names = [step.name for step in report.steps]
    assert names.index("Verify it") < names.index("Switch the old node off") < names.index("State")
    assert all(step.seconds is not None for step in report.steps)
    assert report.backup == BACKUP
    assert report.lost_seconds == (report.at - AT).total_seconds()
    assert report.recovery_seconds is not None
    assert report.ok


def test_secrets_go_by_stdin_and_never_in_an_argument_list(desk: Desk) -> None:
    desk.restore()
    assert all("passphrase" not in line and "private key" not in line for line in desk.node.typed)
    assert all("passphrase" in script and "a private key" in script for script in desk.node.handed)


def test_the_snapshot_that_the_backup_names_is_taken_though_a_newer_one_is_there(desk: Desk) -> None:
    newer = verified_snapshot(cloud_at(desk.api), {Label.INPUTS: "newer"})
    own = desk.the(Role.NODE).image_id
    desk.lose()
    assert newer.id != own
    desk.restore()
    assert desk.the(Role.NODE).image_id == own


def test_without_that_snapshot_the_newest_does(desk: Desk) -> None:
    desk.node.contents = manifest(snapshot_inputs="long gone")
    desk.lose()
    desk.restore()
    assert desk.servers() == {Role.NODE: "running"}


def untouched(desk: Desk, before: Server) -> bool:
    machine = desk.api.hardware.machines[before.id]
    return machine.on and machine.boots == 1 and desk.the(Role.NODE) == before


@pytest.mark.parametrize("step", ["Fetch it", "Verify it"])
def test_a_backup_that_is_not_good_leaves_the_old_node_untouched(desk: Desk, step: str) -> None:
    before, desk.node.fails_at = desk.the(Role.NODE), step
    with pytest.raises(NodeTrouble) as caught:
        desk.restore()
    assert step in caught.value.what
    assert caught.value.why == "in other words"
    assert caught.value.fix == "do something else"
    assert untouched(desk, before)
    assert any("stays, and is billed" in note for note in desk.said.notes)
    desk.node.fails_at = None
    made = desk.the(Role.RESTORE).id
    desk.restore()
    assert desk.the(Role.NODE).id == made, "the next try goes on with the same server"


def test_a_backup_of_a_newer_openclaw_leaves_the_old_node_untouched(desk: Desk) -> None:
    before = desk.the(Role.NODE)
    desk.node.contents = manifest(openclaw="2026.10.1")
    with pytest.raises(UnverifiedTrouble, match=r"2026\.10\.1"):
        desk.restore()
    assert untouched(desk, before)


@pytest.mark.parametrize("step", ["Software", "State", "Start", "Ask every workload"])
def test_a_failure_before_the_address_moves_puts_the_old_node_back(desk: Desk, step: str) -> None:
    before, desk.node.fails_at = desk.the(Role.NODE), step
    with pytest.raises(NodeTrouble):
        desk.restore()
    assert desk.the(Role.NODE) == before
    assert desk.servers() == {Role.NODE: "running"}
    assert desk.node.on() == [before.id]
    assert desk.api.hardware.machines[before.id].boots == 2
    assert len(desk.api.lab.state.primary_ips) == 2, "no spare address is left"
    desk.node.fails_at = None
    desk.restore()
    assert desk.servers() == {Role.NODE: "running", Role.OLD: "off"}


def test_a_node_that_was_off_before_stays_off_after_a_failure(desk: Desk) -> None:
    cloud = cloud_at(desk.api)
    cloud.power_off(desk.the(Role.NODE).id)
    desk.node.fails_at = "State"
    with pytest.raises(NodeTrouble):
        desk.restore()
    assert desk.servers() == {Role.NODE: "off", Role.RESTORE: "running"}


def test_where_there_is_no_way_back_a_node_whose_provider_fails_is_better_than_none(desk: Desk) -> None:
    desk.lose()
    desk.node.fails_at, desk.delivery.mute = "Ask every workload", True
    result = desk.restore()
    assert not result.report.ok
    assert len(result.silent) == 2
    assert desk.servers() == {Role.NODE: "running"}


def test_an_old_node_is_not_deleted_for_a_new_one_that_does_not_answer(desk: Desk) -> None:
    desk.delivery.mute = True
    result = desk.restore(delete_old=True)
    assert result.kept == ("office-1",)
    assert desk.servers() == {Role.NODE: "running", Role.OLD: "off"}


def test_secrets_that_are_not_in_the_backup_come_from_the_desk(desk: Desk) -> None:
    desk.node.contents = manifest(secrets=False)
    desk.lose()
    desk.restore()
    address = desk.the(Role.NODE).public_ip or ""
    assert desk.node.bundles[address] == desk.delivery.wanted


def test_of_two_restores_at_once_the_second_is_refused(desk: Desk) -> None:
    cloud = cloud_at(desk.api)
    with hold(cloud, "office", Saying()), pytest.raises(LockedTrouble):
        desk.restore()


def test_a_server_that_never_answered_is_replaced(desk: Desk) -> None:
    desk.lose()
    desk.node.unreachable = True
    with pytest.raises(NodeTrouble):
        desk.restore()
    silent = desk.the(Role.RESTORE).id
    desk.node.dead.add(silent)
    desk.node.unreachable = False
    later = replace(desk.restorer(), now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    later.restore(lambda: hold(later.cloud, "office", desk.said))
    assert desk.the(Role.NODE).id != silent


def watch(desk: Desk, moment: Callable[[], None]) -> Callable[[], None]:
    """Two machines with one identity are never on at once, whatever happens in between."""

    def look() -> None:
        assert len(desk.node.on()) <= 1
        moment()

    return look


def killed_at(desk: Desk, at: int) -> bool:
    """Whether it was killed at all: it may have finished before that moment."""
    killer = Killer(at)
    killer.moment = watch(desk, killer.moment)  # type: ignore[method-assign]
    desk.node.on_command = killer.moment
    try:
        desk.restore(killer.follow(cloud_at(desk.api)))
    except Killed:
        return True
    finally:
        desk.node.on_command = lambda: None
    return False


def test_killed_when_the_old_node_was_just_deleted_the_new_one_becomes_the_node(desk: Desk) -> None:
    cloud = cloud_at(desk.api)
    delete = cloud.delete_server

    def deletes(server_id: int) -> None:
        delete(server_id)
        raise Killed

    cloud.delete_server = deletes  # type: ignore[method-assign]
    with pytest.raises(Killed):
        desk.restore(cloud, delete_old=True)
    new = desk.the(Role.RESTORE).id
    assert Role.NODE not in desk.servers()
    desk.restore(break_lock=True, delete_old=True)
    assert desk.the(Role.NODE).id == new


@pytest.mark.parametrize("case", ["gone", "beside"])
def test_killed_at_any_moment_the_same_command_goes_on(case: str) -> None:
    at, killed = 1, True
    while killed:
        with served() as api:
            desk = desk_at(api)
            address, first = desk.the(Role.NODE).public_ip, desk.the(Role.NODE).id
            if case == "gone":
                desk.lose()
            killed = killed_at(desk, at)
            if killed:
                again = Killer(10**9)
                again.moment = watch(desk, again.moment)  # type: ignore[method-assign]
                desk.node.on_command = again.moment
                desk.restore(again.follow(cloud_at(api)), break_lock=True)
            node = desk.the(Role.NODE)
            where = f"killed at {at}"
            assert node.id != first, where
            assert node.public_ip == address, where
            assert desk.node.on() == [node.id], where
            assert Label.FIRST_HOST_KEY not in node.labels, where
            # Killed after the very last step, the same command is another restore.
            assert desk.servers() in ({Role.NODE: "running"}, {Role.NODE: "running", Role.OLD: "off"}), where
            held = [
                part.kind for part in cloud_at(api).observe().held if part.labels[Label.ROLE] != Role.LOCK
            ]
            assert sorted(held) == sorted(PARTS), where
        at += 2  # after one request is before the next
    assert at > 60, "the moments were not counted"
