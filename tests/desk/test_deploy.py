"""Deploys at the lab's API with a node on paper; tests/e2e has them on real machines."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest

from appliance.contract.trouble import ConfigTrouble, NodeTrouble, UnverifiedTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.deploy import Deployer, DeployResult, title
from appliance.desk.lock import hold
from appliance.desk.model import Label, Role
from appliance.desk.plan import PARTS, Wanted
from appliance.desk.settings import Settings
from tests.desk.at_lab import cloud_at, verified_snapshot
from tests.desk.killing import Killed, Killer
from tests.desk.paper_node import PaperDelivery, PaperNode
from tests.desk.samples import SETTINGS
from tests.desk.saying import Saying
from tests.lab.served import LabApi, served
from tests.lab.serving import until

KEY = hostkeys.make().public


@dataclass
class Desk:
    """One desk after another at the same appliance: each `deploy` is a run of the command."""

    api: LabApi
    node: PaperNode
    delivery: PaperDelivery = field(default_factory=PaperDelivery)
    settings: Settings = SETTINGS
    said: Saying = field(default_factory=Saying)

    def deployer(self, cloud: Cloud | None = None) -> Deployer:
        self.said = Saying()
        cloud = cloud or cloud_at(self.api)
        wanted = Wanted(self.settings, KEY)
        return Deployer(wanted, cloud, self.node.connect, self.delivery, self.said)

    def deploy(self, cloud: Cloud | None = None, break_lock: bool = False) -> DeployResult:
        deployer = self.deployer(cloud)
        return deployer.deploy(lambda: hold(deployer.cloud, "office", self.said, break_lock))


def desk_at(api: LabApi) -> Desk:
    return Desk(api, PaperNode(api.hardware))


@pytest.fixture
def desk(lab_api: LabApi) -> Desk:
    verified_snapshot(cloud_at(lab_api))
    return desk_at(lab_api)


def test_from_nothing_to_an_answer_of_each_workload(desk: Desk) -> None:
    result = desk.deploy()
    assert result.applied
    assert [change.kind for change in result.plan.changes] == [*PARTS, "server", "bundle"]
    assert [answer.workload for answer in result.answers] == ["code", "batch"]
    seen = cloud_at(desk.api).observe()
    (server,) = seen.servers
    assert (server.name, server.public_ip) == ("office-1", result.address)
    assert sorted(held.kind for held in seen.held) == sorted(PARTS), "and no lock is left"


def test_a_second_deploy_changes_nothing_says_so_and_proves_it_again(desk: Desk) -> None:
    desk.deploy()
    before = cloud_at(desk.api).observe()
    result = desk.deploy()
    assert not result.applied
    assert result.plan.empty
    assert result.address
    assert desk.said.notes == ["Nothing to change: cloud and node are as appliance.yaml says"]
    assert cloud_at(desk.api).observe() == before
    assert desk.delivery.proved == ["code", "batch"] * 2
    assert result.calls <= 12


def test_a_newer_snapshot_is_told_and_the_node_is_left_alone(desk: Desk) -> None:
    desk.deploy()
    (server,) = cloud_at(desk.api).observe().servers
    newer = verified_snapshot(cloud_at(desk.api))
    assert desk.deploy().plan.empty
    assert any(str(newer.id) in note and "destroy --keep-snapshots" in note for note in desk.said.notes)
    assert cloud_at(desk.api).observe().servers[0].id == server.id


def test_a_gateway_that_is_still_starting_is_waited_for_before_it_is_asked(desk: Desk) -> None:
    desk.deploy()
    desk.node.starting = ["activating", "activating"]
    asked_while_starting = list(desk.delivery.proved)
    result = desk.deploy()
    assert desk.node.starting == []
    assert result.plan.empty
    assert desk.delivery.proved == [*asked_while_starting, "code", "batch"]


def test_a_gateway_of_a_server_that_was_switched_on_is_waited_for_though_its_bundle_is_right(
    desk: Desk,
) -> None:
    cloud = cloud_at(desk.api)
    desk.deploy()
    cloud.power_off(cloud.observe().servers[0].id)
    desk.node.starting = ["active"]
    desk.delivery.deliver = lambda shell, server: None  # type: ignore[method-assign]
    desk.deploy()
    assert desk.node.starting == []


def test_the_first_host_key_gives_way_to_one_that_the_node_made(desk: Desk) -> None:
    address = desk.deploy().address
    (server,) = cloud_at(desk.api).observe().servers
    assert Label.FIRST_HOST_KEY not in server.labels
    assert hostkeys.accepted(server.labels) == (desk.node.lasting[address or ""],)
    user_data = desk.api.hardware.machines[server.id].spec.user_data
    assert desk.node.lasting[address or ""] not in user_data


def test_a_plan_says_changes_and_cost_and_does_nothing(desk: Desk) -> None:
    before = cloud_at(desk.api).observe()
    result = desk.deployer().plan()
    assert not result.applied
    assert [title(change) for change in result.plan.changes][-2:] == [
        "Create server office-1",
        "Push bundle office-1",
    ]
    assert sum(change.monthly for change in result.plan.changes) > 1
    assert cloud_at(desk.api).observe() == before


def test_a_plan_after_an_apply_is_empty(desk: Desk) -> None:
    desk.deploy()
    assert desk.deployer().plan().plan.empty


def test_new_config_is_only_pushed(desk: Desk) -> None:
    desk.deploy()
    desk.delivery.wanted = "e" * 64
    result = desk.deploy()
    assert [(c.verb.value, c.kind) for c in result.plan.changes] == [("push", "bundle")]
    assert desk.node.bundles[result.address or ""] == "e" * 64


def test_new_sources_for_ssh_reach_the_firewall(desk: Desk) -> None:
    desk.deploy()
    access = replace(SETTINGS.access, ssh=(IPv4Network("203.0.113.0/24"),))
    desk.settings = replace(SETTINGS, access=access)
    assert [c.kind for c in desk.deploy().plan.changes] == ["firewall"]
    assert desk.deployer().plan().plan.empty


def test_a_server_that_stands_without_its_firewall_gets_it_back(desk: Desk) -> None:
    desk.deploy()
    cloud = cloud_at(desk.api)
    (server,) = cloud.observe().servers
    body = {"remove_from": [{"type": "server", "server": {"id": server.id}}]}
    path = f"/firewalls/{server.firewall_ids[0]}/actions/remove_from_resources"
    cloud._wire.wait("undo it", cloud._wire.act("undo it", path, body)["actions"], 5)
    assert [c.kind for c in desk.deploy().plan.changes] == ["firewall_of_server"]
    assert desk.deployer().plan().plan.empty


def test_a_node_that_was_switched_off_is_started_and_asked(desk: Desk) -> None:
    desk.deploy()
    cloud = cloud_at(desk.api)
    cloud.power_off(cloud.observe().servers[0].id)
    assert [c.kind for c in desk.deploy().plan.changes] == ["server", "bundle"]
    assert len(cloud.observe().servers) == 1


def test_a_node_deleted_by_hand_comes_back_at_its_old_address(desk: Desk) -> None:
    address = desk.deploy().address
    cloud = cloud_at(desk.api)
    cloud.delete_server(cloud.observe().servers[0].id)
    desk.node = PaperNode(desk.api.hardware)
    result = desk.deploy()
    assert [c.kind for c in result.plan.changes] == ["server", "bundle"]
    assert result.address == address


def test_without_a_verified_snapshot_nothing_is_made(lab_api: LabApi) -> None:
    desk = desk_at(lab_api)
    with pytest.raises(UnverifiedTrouble) as caught:
        desk.deploy()
    assert caught.value.fix == "`appliance build` makes one"
    assert not cloud_at(lab_api).observe().held
    assert "server" in [change.kind for change in desk.deployer().plan().plan.changes]  # a plan it can show


def test_an_unsafe_change_is_refused_before_anything_is_touched(desk: Desk) -> None:
    desk.deploy()
    before = cloud_at(desk.api).observe()
    desk.settings = replace(SETTINGS, server_type="cx43")
    with pytest.raises(ConfigTrouble, match="without loss"):
        desk.deploy()
    assert cloud_at(desk.api).observe() == before


def test_ssh_that_never_comes_up_is_said_and_the_next_deploy_carries_on(desk: Desk) -> None:
    desk.node.unreachable = True
    with pytest.raises(NodeTrouble):
        desk.deploy()
    assert not [h for h in cloud_at(desk.api).observe().held if h.labels[Label.ROLE] == Role.LOCK]
    desk.node.unreachable = False
    assert [c.kind for c in desk.deploy().plan.changes] == ["host_key", "bundle"]


def test_a_server_that_never_answered_is_replaced_by_the_same_command(desk: Desk) -> None:
    desk.node.unreachable = True
    with pytest.raises(NodeTrouble):
        desk.deploy()
    (silent,) = cloud_at(desk.api).observe().servers

    def back_to_life() -> datetime:
        desk.node.dead.add(silent.id)
        desk.node.unreachable = False
        return datetime.now(UTC) + timedelta(minutes=10)

    deployer = replace(desk.deployer(), now=back_to_life)
    result = deployer.deploy(lambda: hold(deployer.cloud, "office", desk.said, False))
    assert [(c.verb, c.kind) for c in result.plan.changes][:2] == [("delete", "server"), ("create", "server")]
    (server,) = cloud_at(desk.api).observe().servers
    assert server.id != silent.id
    assert server.public_ip == silent.public_ip


def test_a_server_whose_ssh_shows_another_key_is_never_replaced(desk: Desk) -> None:
    desk.node.unreachable = True
    with pytest.raises(NodeTrouble):
        desk.deploy()
    (server,) = cloud_at(desk.api).observe().servers
    deployer = replace(desk.deployer(), now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    assert [c.verb for c in deployer.plan().plan.changes if c.kind == "server"] == []
    assert cloud_at(desk.api).observe().servers == (server,)


def test_the_operator_s_key_under_another_s_name_is_used_and_left_alone(desk: Desk) -> None:
    cloud_at(desk.api, "garage").ensure_ssh_key("laptop", KEY, Role.SSH_KEY)
    desk.deploy()
    assert "ssh_key" not in [held.kind for held in cloud_at(desk.api).observe().held]
    assert desk.deployer().plan().plan.empty


def die_while_the_server_is_made(desk: Desk) -> None:
    def pause(seconds: float) -> None:
        if desk.api.lab.state.servers:
            raise Killed
        time.sleep(seconds / 50)

    with pytest.raises(Killed):
        desk.deploy(cloud_at(desk.api, pause=pause))


def test_a_server_still_being_made_by_a_dead_desk_is_waited_for(desk: Desk) -> None:
    gate = desk.api.hardware.gates["create"] = threading.Event()
    die_while_the_server_is_made(desk)
    result = desk.deploy(cloud_at(desk.api, pause=lambda _: gate.set()), break_lock=True)
    assert [c.kind for c in result.plan.changes] == ["host_key", "bundle"]
    assert len(cloud_at(desk.api).observe().servers) == 1


def test_a_server_that_never_came_to_life_is_made_anew(desk: Desk) -> None:
    desk.api.fault({"kind": "fail_action", "command": "create_server"})
    die_while_the_server_is_made(desk)
    until(lambda: all(a.status != "running" for a in desk.api.lab.state.actions.values()))
    (dead,) = cloud_at(desk.api).observe().servers
    desk.deploy(break_lock=True)
    (server,) = cloud_at(desk.api).observe().servers
    assert server.id != dead.id


def deploy_killed_at(api: LabApi, at: int) -> tuple[Desk, bool]:
    """Whether it was killed at all: it may have finished before that moment."""
    verified_snapshot(cloud_at(api))
    desk = desk_at(api)
    killer = Killer(at)
    desk.node.on_command = killer.moment
    try:
        desk.deploy(killer.follow(cloud_at(api)))
    except Killed:
        return desk, True
    finally:
        desk.node.on_command = lambda: None
    return desk, False


def test_killed_at_any_moment_and_run_again_it_converges() -> None:
    at, killed = 1, True
    while killed:
        with served() as api:
            desk, killed = deploy_killed_at(api, at)
            desk.deploy(break_lock=True)
            assert desk.deployer().plan().plan.empty, f"killed at {at}"
            seen = cloud_at(api).observe()
            assert [s.name for s in seen.servers] == ["office-1"], f"killed at {at}"
            assert sorted(held.kind for held in seen.held) == sorted(PARTS), f"killed at {at}"
            assert len(api.hardware.machines) == 1, f"killed at {at}"
            assert Label.FIRST_HOST_KEY not in seen.servers[0].labels, f"killed at {at}"
            assert len(api.lab.state.primary_ips) <= 2, f"killed at {at}"  # ours, and the server's IPv6
        at += 1
    assert at > 60, "the moments were not counted"
