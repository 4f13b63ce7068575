"""The recovery sheet: all that a restore needs to know, and no secret."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.cli.kit_text import text
from appliance.contract.backup import Retention, Sftp
from appliance.desk import hostkeys
from appliance.desk.kit import Desk, authorized_keys, fingerprint, sheet
from appliance.desk.model import Image, Label, Observed, Role, Server
from appliance.desk.secrets import secret_refs
from appliance.desk.settings import Backup, SecretRef, Settings
from tests.cli.runs import appliance
from tests.desk.samples import SETTINGS

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
STORE = hostkeys.make().public
NODE = hostkeys.make().public
BACKUP = Backup(
    repository=Sftp(host="u1.example", user="u1", path="office", host_key=STORE),
    passphrase=SecretRef("file", "secrets/backup-passphrase"),
    ssh_key=SecretRef("file", "secrets/backup-node"),
    operator_key=Path("/desk/secrets/backup-operator"),
    s3_id=None,
    s3_secret=None,
    every_hours=1,
    retention=Retention(),
    verify_percent=10,
    secrets=True,
    webhook=None,
)
SCRIPT = b"#!/bin/sh\n"
SERVER = Server(
    id=1,
    name="office-1",
    status="running",
    server_type="cx33",
    location="fsn1",
    image_id=7,
    public_ip="198.18.0.9",
    private_ip=None,
    placement_group_id=None,
    primary_ip_id=None,
    firewall_ids=(),
    labels={Label.ROLE: Role.NODE, Label.HOST_KEY: hostkeys.to_label(NODE)},
    created=NOW,
)
SEEN = Observed(
    (SERVER,),
    (),
    tuple(
        Image(number, None, f"appliance office {number}", "available", "x86", 40, 1, labels, NOW)
        for number, labels in ((7, {Label.VERIFIED: "yes"}), (9, {Label.VERIFIED: "yes"}), (10, {}))
    ),
)


def page(backup: Backup = BACKUP, seen: Observed = SEEN) -> str:
    settings: Settings = replace(SETTINGS, path=Path("/desk/appliance.yaml"), backup=backup)
    desk = Desk("laptop", secret_refs(settings), SCRIPT)
    return text(sheet(settings, backup, desk, seen, NOW))


def test_the_fingerprint_is_the_one_that_ssh_shows(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(STORE)
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key"], capture_output=True, text=True, check=True
    )
    assert fingerprint(STORE) == said.stdout.split()[1]


def test_the_sheet_has_addresses_fingerprints_snapshots_and_the_scripts_digest() -> None:
    said = page()
    for part in (
        "sftp://u1@u1.example:23/office",
        STORE,
        fingerprint(STORE),
        fingerprint(NODE),
        "198.18.0.9",
        "cx33 in fsn1",
        hashlib.sha256(SCRIPT).hexdigest(),
        "9 appliance office 9",
    ):
        assert part in said
    assert said.index("office 9") < said.index("office 7")
    assert "office 10" not in said, "it was never verified"


def test_the_sheet_says_where_the_secrets_are() -> None:
    said = page()
    assert "/desk/secrets/backup-passphrase on laptop" in said
    assert "/desk/secrets/backup-operator on laptop" in said
    assert "/desk/secrets/ca.key on laptop" in said
    assert "appliance push" not in said


def test_a_backup_without_secrets_names_each_that_is_needed_then() -> None:
    said = page(replace(BACKUP, secrets=False))
    assert "NOT the secrets" in said
    for needed in ("gateway.token", "variable GATEWAY_TOKEN", "providers.alpha.key", "tls.ca_key"):
        assert needed in said
    assert "`appliance push` from a desk that has the secrets" in said


def test_a_sheet_is_printed_when_the_cloud_does_not_answer() -> None:
    said = page(seen=Observed())
    assert "the cloud told of none" in said
    assert "sftp://u1@u1.example:23/office" in said


def test_the_nodes_line_is_bound_and_the_operators_is_not() -> None:
    public = {"node": "ssh-ed25519 AAAAnode", "operator": "ssh-ed25519 AAAAyours"}
    node, yours = authorized_keys(BACKUP, public)
    assert node == 'restrict,command="rclone serve restic --stdio --append-only office" ssh-ed25519 AAAAnode'
    assert yours == public["operator"]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """With backups ordered, as the comments of its appliance.yaml say."""
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    config = tmp_path / "appliance.yaml"
    comments, _, block = config.read_text().partition("# backup:")
    block = "".join(f"{line.removeprefix('# ')}\n" for line in f"# backup:{block}".splitlines())
    config.write_text(comments + block.replace("ssh-ed25519 AAAA...", STORE))
    return tmp_path


def test_the_command_prints_the_sheet_and_no_secret(desk: Path) -> None:
    done = appliance("backup", "kit", "--to", "sheet", at=desk)
    assert done.code == 0, done.err
    assert "lacks node and snapshots" in done.err
    said = (desk / "sheet/recovery-sheet.txt").read_text()
    digest = hashlib.sha256((desk / "sheet/restore.sh").read_bytes()).hexdigest()
    assert digest in said
    shown = appliance("backup", "kit", "--json", at=desk)
    assert shown.json["script"]["sha256"] == digest
    for file in (desk / "secrets").iterdir():
        content = file.read_text().strip()
        if not file.name.endswith((".pub", ".crt")) and len(content) > 8:
            assert content not in said + done.out + done.err + shown.out + shown.err


def test_the_command_prints_the_lines_for_the_store(desk: Path) -> None:
    done = appliance("backup", "kit", "--keys", at=desk)
    node, operator = done.out.splitlines()
    assert node.endswith((desk / "secrets/backup-node.pub").read_text().strip())
    assert operator == (desk / "secrets/backup-operator.pub").read_text().strip()


@pytest.mark.parametrize("words", [("now",), ("list",), ("verify",), ("prune",), ("kit",)])
def test_where_no_backups_are_ordered_each_command_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    done = appliance("backup", *words, "--json", at=tmp_path)
    assert done.code == 2
    assert "orders no backups" in done.json["error"]["what"]
