"""The runbooks hold: their commands, typed as they stand, on a node in the situation that the page is for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from appliance.contract.trouble import ExitCode
from tests.e2e.conftest import Node, node_shell, openai_client
from tests.e2e.runbooks import PAGES, blocks, follow
from tests.e2e.test_backup import Box
from tests.e2e.test_first_node import QUESTION
from tests.e2e.test_push_under_load import Vendor

NEEDS_A_NODE = pytest.mark.lab
FOLLOWED = {"disk-full", "provider-down", "quota-spent", "rotate-keys"}
FOLLOWED |= {"node-lost", "restore-from-backup"}  # in test_restore.py


def test_every_page_is_followed_by_a_test() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == FOLLOWED
    assert all(blocks(page) for page in FOLLOWED)


def test_the_table_of_pages_lists_them_all() -> None:
    table = (PAGES / "README.md").read_text()
    assert all(f"({page}.md)" in table for page in FOLLOWED)


@pytest.fixture
def alpha(node: Node) -> Iterator[Vendor]:
    """The primary's vendor; afterwards it, appliance.yaml and the node are as they were."""
    config = node.desk.config.read_text()
    vendor = Vendor(str(node.config()["providers"]["alpha"]["base_url"]).removesuffix("/v1"))
    yield vendor
    vendor.heals()
    node.desk.config.write_text(config)
    node.desk.does("push")


def _exchange(node: Node) -> None:
    """What the pages ask for: the workload's primary and fallback change places."""
    workloads = node.config()["workloads"]
    code = workloads["code"]
    code["primary"], code["fallback"] = code["fallback"], code["primary"]
    node.desk.edit({"workloads": workloads})


def _says(node: Node, workload: str) -> str:
    client = openai_client(node.desk, node.address, workload)
    answer = client.chat.completions.create(model="openclaw", messages=QUESTION)
    return answer.choices[0].message.content or ""


@NEEDS_A_NODE
def test_provider_down(node: Node, alpha: Vendor) -> None:
    alpha.orders({"fault": "status", "status": 503})

    def vendor_is_back() -> None:
        assert "beta" in _says(node, "code")
        alpha.heals()
        _exchange(node)

    said = follow(
        "provider-down",
        node.desk.folder,
        node.desk.environment,
        {
            ("If it may last for hours: let the fallback be first", 0): lambda: _exchange(node),
            ("When the vendor is back", 0): vendor_is_back,
        },
    )
    assert "failed with an error of its own" in said[1]
    assert "alpha" in _says(node, "code")


@NEEDS_A_NODE
def test_quota_spent(node: Node, alpha: Vendor) -> None:
    alpha.orders({"fault": "quota"})
    said = follow(
        "quota-spent",
        node.desk.folder,
        node.desk.environment,
        {
            ("Either pay", 0): alpha.heals,
            ("Or go on without it", 0): lambda: _exchange(node),
        },
    )
    assert "does not serve this node's account" in said[0]
    assert "beta" in _says(node, "code")


@NEEDS_A_NODE
def test_rotate_keys(node: Node, alpha: Vendor) -> None:
    key_file = node.desk.folder / str(node.config()["providers"]["alpha"]["key"]).removeprefix("file:")
    token_file = node.desk.folder / "secrets" / "gateway-token"
    old, old_token = key_file.read_text().strip(), token_file.read_text()
    new = f"rotated-{secrets.token_urlsafe(24)}"
    alpha.takes(old, new)

    def write_new_key() -> None:
        key_file.write_text(new)

    try:
        follow(
            "rotate-keys",
            node.desk.folder,
            node.desk.environment,
            {("A provider's key", 0): write_new_key, ("A provider's key", 1): lambda: alpha.takes(new)},
        )
        assert token_file.read_text() != old_token
        assert "alpha" in _says(node, "code")
    finally:
        alpha.takes(old)
        key_file.write_text(old)
        node.desk.does("push")


SMALL_DISK = """
mkdir -p /mnt/small /var/lib/appliance/backup /var/cache/appliance-restic
mount -t tmpfs -o size=400m small /mnt/small
mkdir -m 700 /mnt/small/staging /mnt/small/cache
mount --bind /mnt/small/staging /var/lib/appliance/backup
mount --bind /mnt/small/cache /var/cache/appliance-restic
dd if=/dev/zero of=/mnt/small/cache/left bs=1M count=250 status=none
"""
NO_SMALL_DISK = "umount /var/lib/appliance/backup /var/cache/appliance-restic /mnt/small && rmdir /mnt/small"


@NEEDS_A_NODE
def test_disk_full(node: Node) -> None:
    """First the node's, by a small one below what a backup is laid out on, then the store."""
    box = Box(node)

    def larger_box() -> None:
        box.console("PUT", "/quota", {"bytes": 0})
        assert "full" in node.desk.tries("backup", "now").err
        assert node.desk.tries("backup", "prune", "--yes").code == ExitCode.NODE
        box.console("PUT", "/quota", {"bytes": None})

    with node_shell(node) as shell:
        shell.check(["sh", "-euc", SMALL_DISK])
        try:
            assert "no room" in node.desk.tries("backup", "now").err
            human = {("The store's: make room", 0): larger_box}
            said = follow("disk-full", node.desk.folder, node.desk.environment, human)
        finally:
            box.console("PUT", "/quota", {"bytes": None})
            shell.check(["sh", "-euc", NO_SMALL_DISK])
    assert "There is no room for a backup on this disk" in said[0]
    assert "NOT OK" not in said[-1].partition("last backup")[2].partition("\n")[0]
