"""The secrets of a bundle that backups need: which, and where the node has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import decrypt

CREDENTIAL = "backup"  # one JSON object: those of the bundle's secrets whose names begin with PREFIX
PREFIX = "backup-"
MOUNTS = ("/mnt/", "/media/", "/srv/")  # where a folder may be: what the units may write


def needed(repository: backup.Repository) -> tuple[str, ...]:
    match repository:
        case backup.Sftp():
            return backup.PASSPHRASE, backup.SSH_KEY
        case backup.S3():
            return backup.PASSPHRASE, backup.S3_ID, backup.S3_SECRET
        case _:
            return (backup.PASSPHRASE,)


def judge(files: Mapping[str, bytes], secrets: Mapping[str, str]) -> None:
    """A bundle that came. Raises NodeTrouble: its policy of backups cannot be read, or lacks a secret."""
    if backup.POLICY not in files:
        return
    try:
        policy = backup.Policy.model_validate_json(files[backup.POLICY])
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise NodeTrouble("The policy of backups cannot be read.", why="\n".join(wrong)) from None
    if isinstance(policy.repository, backup.Folder) and not policy.repository.path.startswith(MOUNTS):
        where = f"its folder {policy.repository.path} is not below {', '.join(MOUNTS)}"
        raise NodeTrouble("The bundle orders backups to where the node may not write.", why=where)
    for name in needed(policy.repository):
        if not secrets.get(name, "").strip():
            raise NodeTrouble("The bundle orders backups that nobody could make.", why=f"it has no {name}")


def as_credential(secrets: Mapping[str, str]) -> bytes:
    return json.dumps({name: value for name, value in secrets.items() if name.startswith(PREFIX)}).encode()


def in_force(current: Path) -> dict[str, str]:
    """Raises NodeTrouble when they do not open on this machine."""
    clear = decrypt(CREDENTIAL, current / "credentials" / f"{CREDENTIAL}.cred")
    if clear is None:
        raise NodeTrouble("The secrets of backups do not open on this machine.", fix="Push again.")
    return TypeAdapter(dict[str, str]).validate_json(clear)
