"""What appliance.yaml says of backups: read as it is meant, its mistakes told where they are."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from appliance.cli.delivery import BACKUP_SECRETS
from appliance.contract import backup
from appliance.desk.backup_policy import backup_json, policy
from appliance.desk.config.file import json_schema
from appliance.desk.config.initial_backup import Store, block
from appliance.desk.secrets import secret_refs
from appliance.desk.settings import Backup, SecretRef
from tests.desk.configs import GOOD, line_of, problems, read, spoil, the_problem

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))).decode()
STORE = Store("u1.example", 23, "u1", KEY, "office")
SFTP = GOOD + block("office", STORE)
S3 = (
    GOOD
    + """\
backup:
  repository: {kind: s3, endpoint: "https://s3.example", bucket: gateways, prefix: office, append_only: true}
  passphrase: file:secrets/backup-passphrase
  s3_id: env:S3_ID
  s3_secret: env:S3_SECRET
"""
)
FOLDER = (
    GOOD
    + "backup: {repository: {kind: folder, path: /mnt/backup}, passphrase: 'env:BACKUP', every_hours: 6}\n"
)


def backup_of(text: str) -> Backup:
    found = read(text).settings.backup
    assert found is not None
    return found


def warnings(text: str) -> list[str]:
    return [str(warning) for warning in read(text).warnings if warning.path.startswith("backup")]


@pytest.mark.parametrize("text", [GOOD, GOOD + "backup: null\n", GOOD + "backup:\n"])
def test_no_block_means_no_backups(text: str) -> None:
    assert read(text).settings.backup is None


def test_the_first_files_block_means_what_a_policy_says_if_nothing_else_is_said() -> None:
    found = backup_of(SFTP)
    where = backup.Sftp(host="u1.example", user="u1", path="office", host_key=KEY)
    assert policy("office", found) == backup.Policy(name="office", repository=where)
    assert found.ssh_key == SecretRef("file", "secrets/backup-node")
    assert found.operator_key == Path("/desk/secrets/backup-operator")
    assert warnings(SFTP) == []


def test_the_block_commented_out_is_the_same_block() -> None:
    told = block("office", None)
    assert yaml.safe_load(told) is None
    start = told.index("# backup:")
    uncommented = re.sub(r"^# ", "", told[start:], flags=re.M).replace("ssh-ed25519 AAAA...", KEY)
    assert backup_of(GOOD + uncommented).repository.kind == "sftp"


def test_a_store_and_a_folder_are_read_too() -> None:
    assert backup_of(S3).repository == backup.S3(
        endpoint="https://s3.example", bucket="gateways", prefix="office", append_only=True
    )
    assert backup_of(FOLDER).repository == backup.Folder(path="/mnt/backup")
    assert backup_of(FOLDER).every_hours == 6


@pytest.mark.parametrize("text", [SFTP, S3, FOLDER])
def test_an_editor_agrees_with_the_file(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), json_schema())


@pytest.mark.parametrize("text", [SFTP, S3, FOLDER])
def test_the_node_reads_what_it_is_told(text: str) -> None:
    found = backup_of(text)
    assert backup.Policy.model_validate_json(backup_json("office", found)) == policy("office", found)


def test_the_node_gets_its_keys_and_never_the_operators() -> None:
    asked = {where for where in secret_refs(read(SFTP).settings) if where.startswith("backup.")}
    assert asked == {"backup.passphrase", "backup.ssh_key"}
    assert asked <= set(BACKUP_SECRETS.values())
    s3 = {where for where in secret_refs(read(S3).settings) if where.startswith("backup.")}
    assert s3 == {"backup.passphrase", "backup.s3_id", "backup.s3_secret"}


@pytest.mark.parametrize(
    ("old", "new", "path", "what"),
    [
        (
            "kind: sftp",
            "kind: ftp",
            "backup.repository.kind",
            "is not known; one of: 'sftp', 's3' or 'folder'",
        ),
        ("    host: u1.example\n", "", "backup.repository.host", "is missing; sftp: the box"),
        ("    host_key: ", "    hostkey: ", "backup.repository.hostkey", 'did you mean "host_key"?'),
        (KEY, "SHA256:abc", "backup.repository.host_key", "a fingerprint, not the key; `ssh-keyscan"),
        (KEY, "ssh-ed25519 AAAA...", "backup.repository.host_key", "not an SSH host key"),
        ("host: u1.example", "host: https://u1.example", "backup.repository.host", "not a host name"),
        ("user: u1", "user: -u1", "backup.repository.user", "cannot be an account"),
        ("path: office", "path: office/", "backup.repository.path", 'did you mean "office"?'),
        ("path: office", "path: /office", "backup.repository.path", 'did you mean "office"?'),
        ("path: office", "path: ../office", "backup.repository.path", "cannot be the repository's path"),
        ("port: 23", "port: 0", "backup.repository.port", "at least 1"),
        ("port: 23", "bucket: mine", "backup.repository.bucket", "is not for kind sftp"),
        ("  ssh_key: file:secrets/backup-node\n", "", "backup.ssh_key", "is missing; sftp: the node's own"),
        ("backup-operator", "backup-node", "backup.operator_key", "the node's own key"),
        (
            "  passphrase: file:",
            "  passphrase: ",
            "backup.passphrase",
            "does not say where the secret stands",
        ),
        ("every_hours: 1", "every_hours: 48", "backup.every_hours", "at most 24"),
        ("hourly: 48", "hourly: -1", "backup.retention.hourly", "at least 0"),
        ("verify_percent: 10", "verify_percent: 0", "backup.verify_percent", "at least 1"),
        ("webhook: null", "webhook: alerts.example", "backup.webhook", "not an http or https URL"),
        ("  secrets: true", "  secrets: yes", "backup.secrets", "write true"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, path: str, what: str) -> None:
    text = spoil(old, new, SFTP)
    found = [problem for problem in problems(text) if problem.path == path]
    assert len(found) == 1, problems(text)
    assert what in str(found[0])
    key = path.rsplit(".", 1)[-1]
    near = key if f" {key}:" in text or f"{{{key}:" in text else path.split(".")[-2]
    assert found[0].line in {n for n, line in enumerate(text.splitlines(), 1) if f"{near}:" in line}


def test_a_line_of_ssh_keyscan_is_taken_as_it_is() -> None:
    scanned = spoil(f"host_key: {KEY}", f'host_key: "[u1.example]:23 {KEY}"', SFTP)
    repository = backup_of(scanned).repository
    assert isinstance(repository, backup.Sftp)
    assert repository.host_key == KEY


def test_a_folder_begins_at_the_root_and_keys_of_other_kinds_are_refused() -> None:
    assert "is not a folder of the node" in the_problem(spoil("/mnt/backup", "backup", FOLDER))
    assert "is not for kind folder" in the_problem(spoil("every_hours: 6", "ssh_key: 'env:X'", FOLDER))


def test_what_a_store_does_not_protect_from_is_told_at_its_line() -> None:
    assert "lost with it" in warnings(FOLDER)[0]
    (deletes,) = warnings(spoil("append_only: true", "append_only: false", SFTP))
    assert "can delete its own backups" in deletes
    assert deletes.startswith(f"appliance.yaml:{line_of(SFTP, '    append_only: true')}:")
    assert "can delete its own backups" in warnings(spoil(", append_only: true", "", S3))[0]
    (prunes,) = warnings(spoil("  operator_key: secrets/backup-operator\n", "", SFTP))
    assert "nobody could prune" in prunes


def test_backups_without_secrets_say_what_a_restore_then_needs() -> None:
    (told,) = warnings(spoil("  secrets: true", "  secrets: false", SFTP))
    assert "`appliance push`" in told


def test_a_key_pasted_as_passphrase_is_not_repeated() -> None:
    pasted = "x" * 12 + "123" + "Y" * 12
    said = the_problem(spoil("passphrase: file:secrets/backup-passphrase", f"passphrase: {pasted}", SFTP))
    assert pasted not in said
