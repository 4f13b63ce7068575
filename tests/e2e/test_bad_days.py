"""Desks that die, desks that meet, a lab that crashes, a push that goes wrong: each comes right again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from appliance.contract.trouble import NodeTrouble
from appliance.desk.remote import Shell
from tests.e2e.conftest import Desk, Node, node_shell, openai_client
from tests.e2e.test_first_node import QUESTION

pytestmark = pytest.mark.lab

BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"]


def test_a_second_desk_is_told_who_holds_the_lock(node: Node) -> None:
    first = node.desk.popen("push")
    try:
        deadline = time.monotonic() + 60
        while not any("lock" in g["name"] for g in node.desk.cloud().all("placement_groups")):
            assert time.monotonic() < deadline
            assert first.poll() is None, "the first desk was done before the second came"
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGSTOP)
        second = node.desk.tries("push")
        assert second.code == 5
        assert str(first.pid) in second.err
        assert "--break-lock" in second.err
    finally:
        os.killpg(first.pid, signal.SIGCONT)
        first.communicate(timeout=120)
    assert first.returncode == 0


def test_a_new_configuration_is_switched_to_and_answers(node: Node) -> None:
    before = node.desk.does("status", "--json").json["nodes"][0]["bundle"]
    change = node.config()
    change["workloads"]["extra"] = {"primary": change["workloads"]["batch"]["primary"], "fail_closed": True}
    node.desk.edit({"workloads": change["workloads"]})
    pushed = node.desk.does("push", "--json").json
    assert pushed["bundle"] != before
    answer = openai_client(node.desk, node.address, "extra").chat.completions.create(
        model="openclaw", messages=QUESTION
    )
    assert node.primary_of("extra") in (answer.choices[0].message.content or "")


def test_a_bundle_that_does_not_come_up_is_rolled_back(node: Node) -> None:
    """A gateway that must start anew, and will not with the new bundle."""
    before = node.desk.does("status", "--json").json["nodes"][0]["bundle"]
    good = node.desk.config.read_text()
    with node_shell(node) as shell, _starts_only_with(shell, before):
        shell.check(["systemctl", "stop", "openclaw"])
        node.desk.edit({"deadlines": {"total": 500}})
        pushed = node.desk.tries("push")
    node.desk.config.write_text(good)
    assert pushed.code == 4
    assert "went back" in pushed.err
    status = node.desk.does("status", "--json").json["nodes"][0]
    assert status["bundle"] == before
    assert status["gateway"] == "ready"


@contextmanager
def _starts_only_with(shell: Shell, digest: str) -> Iterator[None]:
    """The node's gateway refuses to start with any other bundle in force."""
    unit = "/etc/systemd/system/openclaw.service.d/zz-test.conf"
    refuse = f"[Service]\nExecStartPre=+/bin/sh -c 'readlink /etc/appliance/current | grep -q {digest}'\n"
    shell.check(["install", "-D", "/dev/stdin", unit], input=refuse.encode())
    shell.check(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        shell.check(["rm", unit])
        shell.check(["systemctl", "daemon-reload"])


def test_a_killed_lab_is_repaired_and_its_machines_went_on(node: Node) -> None:
    daemon = node.desk.does("lab", "status", "--json").json["pid"]
    with node_shell(node) as shell:
        boot = shell.check(BOOT_ID)
        os.kill(daemon, signal.SIGKILL)
        assert shell.check(BOOT_ID) == boot
    node.desk.does("lab", "up")
    with node_shell(node) as shell:
        assert shell.check(BOOT_ID) == boot
    assert node.desk.does("deploy", "--json").json["applied"] is False


def test_a_node_that_reboots_comes_back_by_itself(node: Node) -> None:
    with node_shell(node) as shell:
        before = shell.check(BOOT_ID)
        with suppress(NodeTrouble):  # it takes the connection with it
            shell.run(["systemctl", "reboot"])
    deadline = time.monotonic() + 60
    after = before
    while after == before and time.monotonic() < deadline:
        with suppress(NodeTrouble), node_shell(node) as shell:
            after = shell.check(BOOT_ID)
    assert after != before
    assert node.desk.does("deploy", "--json").json["applied"] is False  # it waits for the gateway


def test_a_desk_killed_at_any_moment_of_a_deploy_leaves_one_node_that_the_next_finishes(node: Node) -> None:
    desk = node.desk
    desk.does("destroy", "--yes", "--keep-snapshots")
    after, killed = 1.0, 0
    while desk.dies(after, "deploy"):
        killed += 1
        after *= 1.7
        servers = desk.cloud().all("servers")
        assert len(servers) <= 1
    assert killed >= 3
    assert desk.does("deploy", "--json").json["applied"] is False
    assert len(desk.cloud().all("servers")) == 1
    kinds = {kind: len(names) for kind, names in desk.cloud().billable().items()}
    assert kinds == {
        "servers": 1,
        "primary_ips": 1,
        "placement_groups": 1,
        "firewalls": 1,
        "networks": 1,
        "ssh_keys": 1,
        "snapshots": 1,
    }


def test_a_desk_killed_in_a_build_leaves_nothing_after_the_next(node: Node) -> None:
    desk = node.desk
    before = desk.cloud().billable()
    assert desk.dies(8.0, "build", "--force")
    assert desk.cloud().billable() != before
    failed = desk.tries("build", "--force", "--json")
    assert failed.code == 0
    after = desk.cloud().billable()
    assert {k: v for k, v in after.items() if k != "snapshots"} == {
        k: v for k, v in before.items() if k != "snapshots"
    }


def test_destroy_deletes_all_of_ours_and_nothing_else(node: Node, foreign: dict[str, list[str]]) -> None:
    desk = node.desk
    assert desk.tries("destroy").code == 8  # it asks, and nobody is there to answer
    desk.does("destroy", "--yes")
    assert desk.cloud().billable() == foreign
    assert desk.tries("status").code != 0


def test_nothing_of_the_lab_is_left_when_it_is_down(node: Node) -> None:
    desk: Desk = node.desk
    desk.does("lab", "down", "--yes")
    assert desk.traces() == []
