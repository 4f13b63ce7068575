"""Backups as an operator meets them: ordered by the first appliance.yaml, made, listed, pruned, and loud."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.contract.trouble import ExitCode
from tests.e2e.conftest import Node
from tests.e2e.test_backup import Box

pytestmark = pytest.mark.lab


@pytest.fixture
def box(node: Node) -> Iterator[Box]:
    box = Box(node)
    yield box
    box.console("DELETE", "/fault")


def test_the_first_file_orders_backups_that_arrive_and_can_be_listed_and_read_back(node: Node) -> None:
    checked = {f["subject"]: f for f in node.desk.does("check", "--json").json["findings"]}
    assert checked["backup.operator_key"]["level"] == "ok"
    assert "add, and nothing else" in checked["backup.ssh_key"]["what"]
    made = node.desk.does("backup", "now", "--json").json
    assert made["ok"] is True
    listed = node.desk.does("backup", "list", "--json").json["backups"]
    assert listed[-1]["id"] == made["id"]
    again = node.desk.does("backup", "now", "--json").json
    assert again["id"] != made["id"]
    assert again["added"] < made["bytes"] / 2, "what is there already is not sent twice"
    assert node.desk.does("backup", "verify", "--json").json["verify_error"] is None


def test_the_operators_key_prunes_what_the_node_cannot(node: Node) -> None:
    config = node.desk.config.read_text()
    ordered = node.config()["backup"]
    for _ in range(2):
        node.desk.does("backup", "now")
    few = {"hourly": 1, "daily": 0, "weekly": 0, "monthly": 0, "within_days": 1}
    node.desk.edit({"backup": ordered | {"retention": few}})
    try:
        # All are of today, and `within_days` keeps those: what a node adds pushes none of them out.
        done = node.desk.does("backup", "prune", "--yes", "--json").json
        assert done["remove"] == []
        assert len(done["keep"]) == len(node.desk.does("backup", "list", "--json").json["backups"])
    finally:
        node.desk.config.write_text(config)


def test_a_backup_that_fails_is_heard_everywhere(node: Node, box: Box) -> None:
    box.console("PUT", "/fault", {"fault": "refuse"})
    failed = node.desk.tries("backup", "now", "--json")
    assert failed.code == ExitCode.NODE
    assert "refuses connections" in failed.json["error"]["what"]
    assert "NOT OK: the last try failed" in node.desk.does("status").out
    assert "cannot be asked from here" in node.desk.does("check").out
    box.console("DELETE", "/fault")
    node.desk.does("backup", "now")
    assert "NOT OK" not in node.desk.does("status").out.partition("last backup")[2].partition("\n")[0]


def test_a_store_with_another_host_key_gets_nothing(node: Node, box: Box) -> None:
    config = node.desk.config.read_text()
    key = str(box.console("POST", "/host_key")["host_key"])
    try:
        failed = node.desk.tries("backup", "now")
        assert failed.code == ExitCode.NODE
        assert "another host key" in failed.err
        assert node.desk.tries("check").code == ExitCode.USAGE
    finally:
        ordered = node.config()["backup"]
        node.desk.edit({"backup": ordered | {"repository": ordered["repository"] | {"host_key": key}}})
        node.desk.does("push")
    node.desk.does("backup", "now")
    assert config != node.desk.config.read_text()


def test_the_clouds_own_backups_are_switched_on_by_a_line(node: Node) -> None:
    config = node.desk.config.read_text()
    node.desk.edit({"server_backups": True})
    try:
        planned = node.desk.does("deploy", "--plan", "--json").json
        assert "backups_of_server" in str(planned)
        node.desk.does("deploy", "--yes")
        (server,) = node.desk.cloud().all("servers")
        assert server["backup_window"]
        assert "backups_of_server" not in str(node.desk.does("deploy", "--plan", "--json").json)
    finally:
        node.desk.config.write_text(config)


def test_one_command_on_the_node_ends_as_it_ended_there(node: Node) -> None:
    assert node.desk.does("ssh", "--", "hostname").out.strip() == "demo-1"
    failed = node.desk.tries("ssh", "--", "false")
    assert failed.code == ExitCode.NODE
