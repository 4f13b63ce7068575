"""Backups of a real node into the lab's Storage Box: made, listed, read back; what breaks them is heard."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.contract import backup
from appliance.contract.health import HealthPage
from appliance.contract.trouble import NodeTrouble
from appliance.desk.remote import Shell
from tests.e2e.conftest import Node, node_shell, openai_client

pytestmark = pytest.mark.lab

RUN = ["appliance-node", "backup", "run"]
SECONDS = 300


@pytest.fixture
def shell(node: Node) -> Iterator[Shell]:
    with node_shell(node) as shell:
        yield shell


@pytest.fixture
def box(node: Node) -> Iterator[Box]:
    box = Box(node)
    yield box
    box.console("DELETE", "/fault")
    box.console("PUT", "/quota", {"bytes": None})


class Box:
    """The store as its owner sees it, who has the passphrase."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._cloud = node.desk.cloud()

    def console(self, method: str, path: str = "", body: Any = None) -> dict[str, Any]:
        url = f"{self._cloud.endpoint.removesuffix('/v1')}/_lab/storagebox{path}"
        headers = {"Authorization": f"Bearer {self._cloud.token}"}
        answer = requests.request(method, url, json=body, headers=headers, timeout=20)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def fetched(self, id_: str, folder: Path) -> Path:
        """What one backup holds."""
        files = Path(self.console("GET")["files"])
        environment = {
            "RESTIC_REPOSITORY": str(files / self._node.config()["backup"]["repository"]["path"]),
            "RESTIC_PASSWORD_FILE": str(self._node.desk.folder / "secrets" / "backup-passphrase"),
        }
        restic = ["restic", "--no-cache", "--no-lock", "restore", id_, "--target", str(folder)]
        subprocess.run(restic, env={**os.environ, **environment}, check=True, capture_output=True)
        return folder / backup.STAGING.lstrip("/")


def run(shell: Shell) -> dict[str, Any]:
    """The last line of a run, with its exit code."""
    done = shell.run(RUN, timeout=SECONDS)
    outcome: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return outcome | {"code": done.code}


def listed(shell: Shell) -> list[str]:
    told = json.loads(shell.check(["appliance-node", "backup", "list"], timeout=SECONDS))
    return [one["id"] for one in told["backups"]]


def page(shell: Shell) -> HealthPage:
    return HealthPage.model_validate_json(shell.check(["curl", "-s", "http://127.0.0.1:8790/healthz"]))


def complaints(shell: Shell) -> list[str]:
    return [reason for reason in page(shell).reasons if reason.startswith("backup: ")]


def test_one_is_made_and_a_second_of_the_same_adds_little(node: Node, shell: Shell) -> None:
    before = len(listed(shell)) if shell.run(["test", "-e", backup.LAST_BACKUP]).code == 0 else 0
    first = node.desk.does("backup", "now", "--json").json
    second = node.desk.does("backup", "now", "--json").json
    assert second["bytes"] > 1_000_000
    assert second["added"] < second["bytes"] / 10
    found = listed(shell)
    assert len(found) == before + 2
    assert found[-2:] == [first["id"], second["id"]]


def test_the_store_is_read_back(node: Node) -> None:
    assert node.desk.does("backup", "verify", "--json").json["verified_at"]


def test_what_is_in_it_is_whole_and_enough(node: Node, shell: Shell, box: Box, tmp_path: Path) -> None:
    staging = box.fetched(run(shell)["last"]["id"], tmp_path)
    check = ["sha256sum", "--quiet", "--strict", "-c", backup.SUMS]
    assert subprocess.run(check, cwd=staging, check=False).returncode == 0
    manifest = backup.Manifest.model_validate_json((staging / backup.MANIFEST).read_bytes())
    assert manifest.sums == hashlib.sha256((staging / backup.SUMS).read_bytes()).hexdigest()
    assert list(manifest.workloads) == list(node.config()["workloads"])
    for path in (
        "state/state/openclaw.sqlite",
        "bundle/manifest.json",
        "bundle/files/openclaw.json",
        "tls/certificate.pem",
        "recipe/inputs",
        "recipe/image/scripts/10-packages.sh",
        "recipe/code/appliance/node/main.py",
    ):
        assert (staging / path).is_file(), path
    held = json.loads((tmp_path / backup.SECRETS_STAGING.lstrip("/") / backup.SECRETS).read_text())
    bundle = json.loads((staging / "bundle" / "manifest.json").read_text())
    assert held.keys() == bundle["secrets"].keys()


def test_no_secret_of_it_lies_on_the_nodes_disk(node: Node, shell: Shell) -> None:
    run(shell)
    for name in ("backup-passphrase", "gateway-token"):
        secret = (node.desk.folder / "secrets" / name).read_text().strip()
        found = shell.run(["grep", "-rlF", "--", secret, "/etc", "/var", "/root", "/tmp"], timeout=SECONDS)
        assert found.out == ""
    assert shell.check(["find", "/run", "-name", "appliance-backup*", "-type", "d"]) == ""


def test_two_at_once_are_one(node: Node, shell: Shell) -> None:
    before = listed(shell)
    with node_shell(node) as other, ThreadPoolExecutor(2) as both:
        first, second = both.map(run, (shell, other))
    assert first["last"]["id"] == second["last"]["id"]
    assert len(listed(shell)) == len(before) + 1


def test_one_that_is_killed_says_so_and_the_next_is_good(shell: Shell) -> None:
    before = listed(shell)
    kill = "systemctl kill --signal=KILL appliance-backup.service"
    script = f'while read -r line; do printf "%s\\n" "$line"; case $line in *collect*) {kill};; esac; done'
    done = shell.run(["sh", "-c", f"{' '.join(RUN)} | {script}"], timeout=SECONDS)
    outcome = json.loads(done.out.splitlines()[-1])
    assert not outcome["ok"]
    assert "ended before its end (signal)" in outcome["error"]
    assert shell.check(["find", "/run", "-name", "appliance-backup*", "-type", "d"]) == ""
    assert listed(shell) == before
    assert run(shell)["ok"]
    assert complaints(shell) == []


def test_the_timer_makes_none_before_its_time(shell: Shell) -> None:
    assert run(shell)["ok"]
    before = listed(shell)
    shell.check(["systemctl", "start", "appliance-backup.service"], timeout=SECONDS)
    assert listed(shell) == before
    assert shell.check(["systemctl", "is-active", "appliance-backup.timer"]).strip() == "active"


def test_a_full_store_is_heard_of_and_room_makes_it_good(shell: Shell, box: Box) -> None:
    assert run(shell)["ok"]
    box.console("PUT", "/quota", {"bytes": 0})
    outcome = run(shell)
    assert outcome["code"] == 4
    assert "full" in outcome["error"]
    assert page(shell).status == "degraded"
    assert "the last try failed" in complaints(shell)[0]
    assert outcome["last"]["at"], "the last good one is not forgotten"
    box.console("PUT", "/quota", {"bytes": None})
    assert run(shell)["ok"]
    assert complaints(shell) == []
    assert json.loads(shell.check(["appliance-node", "backup", "verify"], timeout=SECONDS).splitlines()[-1])[
        "ok"
    ]


def test_another_passphrase_is_not_taken_for_a_new_repository(node: Node, shell: Shell) -> None:
    assert run(shell)["ok"]
    file = node.desk.folder / "secrets" / "backup-passphrase"
    right = file.read_text()
    try:
        file.write_text(secrets.token_urlsafe(24) + "\n")
        node.desk.does("push")
        outcome = run(shell)
        assert outcome["code"] == 4
        assert "passphrase" in outcome["error"]
        assert "passphrase" in complaints(shell)[0]
    finally:
        file.write_text(right)
        node.desk.does("push")
    assert run(shell)["ok"]
    assert complaints(shell) == []


def test_what_is_written_meanwhile_tears_nothing(node: Node, shell: Shell, box: Box, tmp_path: Path) -> None:
    """Each question leaves a session: those of one client are there up to a moment, without a gap."""
    client = openai_client(node.desk, node.address, "code")
    mark = secrets.token_hex(6)
    asked: list[int] = []
    over = threading.Event()

    def talk() -> None:
        while not over.is_set() and len(asked) < 2000:
            name = f"{mark}-{len(asked):04}"
            client.chat.completions.create(
                model="openclaw", user=name, messages=[{"role": "user", "content": f"I am {name}."}]
            )
            asked.append(len(asked))

    with ThreadPoolExecutor(1) as one:
        talking = one.submit(talk)
        try:
            id_ = run(shell)["last"]["id"]
        finally:
            over.set()
        talking.result()
    state = box.fetched(id_, tmp_path) / backup.STATE
    databases = sorted(state.rglob("*.sqlite"))
    assert len(databases) >= 2
    found: set[int] = set()
    for path in databases:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found |= _numbers(path.read_bytes(), mark)
    for path in state.rglob("*.jsonl"):
        found |= _numbers(path.read_bytes(), mark)
    assert found, "none of it was written before the backup's moment"
    assert found == set(range(max(found) + 1))


def _numbers(content: bytes, mark: str) -> set[int]:
    at = 0
    numbers = set()
    while (at := content.find(f"{mark}-".encode(), at)) >= 0:
        at += len(mark) + 1
        numbers.add(int(content[at : at + 4]))
    return numbers


def test_when_the_power_goes_in_the_middle_the_next_is_good(node: Node, shell: Shell) -> None:
    cloud = node.desk.cloud()
    (server,) = cloud.all("servers")
    switch = f"servers/{server['id']}/actions"
    assert run(shell)["ok"]

    def pull_the_plug(line: str) -> None:
        if '"event": "store"' in line:
            cloud.create(f"{switch}/poweroff", {})

    with pytest.raises(NodeTrouble):
        shell.run(RUN, timeout=SECONDS, on_line=pull_the_plug)
    end = time.monotonic() + 60
    while cloud.all("servers")[0]["status"] != "off" and time.monotonic() < end:
        time.sleep(0.5)
    cloud.create(f"{switch}/poweron", {})
    with node_shell(node) as again:
        again.check(
            ["sh", "-c", "until curl -sf http://127.0.0.1:18789/readyz; do sleep 1; done"], timeout=SECONDS
        )
        assert run(again)["ok"]
        verified = again.check(["appliance-node", "backup", "verify"], timeout=SECONDS)
        assert json.loads(verified.splitlines()[-1])["ok"]
