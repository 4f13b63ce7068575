"""A bundle that orders backups which nobody could make is refused at the door."""

from __future__ import annotations

import json

import pytest

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import keys

BOX = backup.Sftp(host="u1.example.org", user="u1", path="gateway", host_key="ssh-ed25519 AAAA")
BUCKET = backup.S3(endpoint="https://s3.example.org", bucket="backups", prefix="gateway")
FOLDER = backup.Folder(path="/mnt/backups")


def files(repository: backup.Repository) -> dict[str, bytes]:
    return {backup.POLICY: backup.Policy(name="gateway", repository=repository).model_dump_json().encode()}


@pytest.mark.parametrize(
    ("repository", "wanted"),
    [
        (BOX, {backup.PASSPHRASE, backup.SSH_KEY}),
        (BUCKET, {backup.PASSPHRASE, backup.S3_ID, backup.S3_SECRET}),
        (FOLDER, {backup.PASSPHRASE}),
    ],
    ids=["box", "bucket", "folder"],
)
def test_each_store_has_its_secrets_or_the_bundle_is_refused(
    repository: backup.Repository, wanted: set[str]
) -> None:
    held = dict.fromkeys(wanted, "x")
    keys.judge(files(repository), held)
    for missing in wanted:
        with pytest.raises(NodeTrouble) as caught:
            keys.judge(files(repository), {**held, missing: " "})
        assert missing in caught.value.why


@pytest.mark.parametrize("path", ["/var/backups", "/mnt", "/mntx/a"])
def test_a_folder_that_the_node_may_not_write_is_refused(path: str) -> None:
    with pytest.raises(NodeTrouble, match="may not write"):
        keys.judge(files(backup.Folder(path=path)), {backup.PASSPHRASE: "x"})


def test_without_an_order_nothing_is_wanted() -> None:
    keys.judge({}, {})


def test_an_order_that_cannot_be_read_is_refused_without_its_values() -> None:
    with pytest.raises(NodeTrouble) as caught:
        keys.judge({backup.POLICY: b'{"name": "gateway", "passphrase": "told"}'}, {})
    assert "passphrase" in caught.value.why
    assert "told" not in caught.value.why


def test_the_credential_has_the_secrets_of_backups_alone() -> None:
    secrets = {"gateway-token": "t", "provider-alpha": "k", backup.PASSPHRASE: "p", backup.SSH_KEY: "s"}
    assert json.loads(keys.as_credential(secrets)) == {backup.PASSPHRASE: "p", backup.SSH_KEY: "s"}
