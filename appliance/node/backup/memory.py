"""What is ordered, and how it went: the policy in force and LAST_BACKUP."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from appliance.contract import backup
from appliance.contract.bundle import FILES
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import Paths, write


def policy_in_force(paths: Paths) -> backup.Policy | None:
    """None: no backups are ordered. Raises NodeTrouble."""
    try:
        return backup.Policy.model_validate_json((paths.current / FILES / backup.POLICY).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise NodeTrouble(
            "The policy of backups cannot be read.", why=str(error), fix="Push again."
        ) from None


def every_hours(paths: Paths) -> int | None:
    """None: no backups are ordered, or nobody can tell."""
    with suppress(NodeTrouble):
        policy = policy_in_force(paths)
        return policy.every_hours if policy else None
    return None


def ordered(paths: Paths) -> backup.Policy:
    """Raises NodeTrouble when no backups are ordered."""
    policy = policy_in_force(paths)
    if policy is None:
        raise NodeTrouble(
            "No backups are ordered.", fix="Add `backup` to appliance.yaml, then `appliance push`."
        )
    return policy


def last(paths: Paths) -> backup.LastBackup | None:
    """None: none was tried yet, or the memory is of another version."""
    try:
        return backup.LastBackup.model_validate_json(_file(paths).read_bytes())
    except (OSError, ValidationError):
        return None


def given(paths: Paths) -> datetime | None:
    """When the bundle came in force: the end of the last activation, if that was since boot."""
    try:
        return datetime.fromtimestamp(paths.applied.stat().st_mtime, UTC)
    except OSError:
        return None


def last_or_awaited(paths: Paths) -> backup.LastBackup | None:
    """Before the first try: as if one had begun when the bundle came in force. It is late after as long."""
    since = given(paths)
    return last(paths) or (backup.LastBackup(tried_at=since) if since else None)


def remember(paths: Paths, known: backup.LastBackup) -> None:
    """Raises NodeTrouble: a disk that takes not even this."""
    try:
        write(_file(paths), known.model_dump_json().encode())
    except OSError as error:
        raise NodeTrouble("How the backup went cannot be written down.", why=str(error)) from error


def _file(paths: Paths) -> Path:
    return paths.evidence / Path(backup.LAST_BACKUP).name
