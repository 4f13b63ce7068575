"""The node is lost, or its state is: what was said comes back, and the conversation goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Node, openai_client
from tests.e2e.runbooks import follow

pytestmark = pytest.mark.lab


def says(node: Node, words: str) -> list[str]:
    """Somebody says this to `code`; what the vendor is told of the conversation before it."""
    client = openai_client(node.desk, node.address, "code")
    client.chat.completions.create(
        model="openclaw", user="ada", messages=[{"role": "user", "content": words}]
    )
    vendor = str(node.config()["providers"][node.primary_of("code")]["base_url"]).removesuffix("/v1")
    seen: list[dict[str, Any]] = requests.get(f"{vendor}/_lab/requests", timeout=10).json()["last"]
    asked = next(request for request in reversed(seen) if words in request["heard"])
    return list(asked["before"])


def knows(before: list[str], words: str) -> bool:
    return any(words in earlier for earlier in before)


def delete_server(node: Node) -> None:
    cloud = node.desk.cloud()
    (server,) = cloud.all("servers")
    headers = {"Authorization": f"Bearer {cloud.token}"}
    requests.delete(
        f"{cloud.endpoint}/servers/{server['id']}", headers=headers, timeout=10
    ).raise_for_status()


def test_the_conversation_goes_on_after_the_node_was_deleted(node: Node) -> None:
    """Followed as runbooks/node-lost.md says."""
    assert not knows(says(node, "my train leaves at 07:42"), "07:42")
    node.desk.does("backup", "now")
    delete_server(node)
    follow("node-lost", node.desk.folder, node.desk.environment, {})
    assert knows(says(node, "when does my train leave?"), "07:42")
    (server,) = node.desk.cloud().all("servers")
    assert server["public_net"]["ipv4"]["ip"] == node.address
    assert node.desk.does("deploy", "--json").json["applied"] is False, "it is the node in every respect"


def test_a_running_node_goes_back_to_its_backup(node: Node) -> None:
    """Followed as runbooks/restore-from-backup.md says."""
    says(node, "the good word is heron")
    node.desk.does("backup", "now")
    says(node, "the bad word is toad")
    follow("restore-from-backup", node.desk.folder, node.desk.environment, {})
    before = says(node, "which words do you know?")
    assert knows(before, "heron")
    assert not knows(before, "toad")
    page = (Path(node.desk.folder) / "restore-drill.html").read_text()
    assert "Green: back in" in page
    assert [server["status"] for server in node.desk.cloud().all("servers")] == ["running"]


def test_desks_killed_in_a_restore_are_followed_by_one_that_finishes(node: Node) -> None:
    says(node, "the key is below the third pot")
    node.desk.does("backup", "now")
    after, killed = 4.0, 0
    while node.desk.dies(after, "restore", "--yes"):
        killed += 1
        after *= 1.8
        assert after < 300
    assert killed >= 3
    (server,) = node.desk.cloud().all("servers")
    assert server["labels"]["appliance-role"] == "node"
    assert server["public_net"]["ipv4"]["ip"] == node.address
    assert knows(says(node, "where is the key?"), "third pot")
    assert node.desk.does("deploy", "--json").json["applied"] is False
