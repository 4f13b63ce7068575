"""Make a backup, verify the store, list what is there; remember how it went, and tell of a failure."""

from __future__ import annotations

import fcntl
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from appliance.contract import backup
from appliance.contract.bundle import FILES
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import stage
from appliance.node.backup.stage import Places
from appliance.node.backup.store import Kept, opened, secrets_in_force
from appliance.node.system import Paths, write

WEBHOOK_SECONDS = 10


def policy_in_force(paths: Paths) -> backup.Policy | None:
    """None: no backups are ordered."""
    try:
        return backup.Policy.model_validate_json((paths.current / FILES / backup.POLICY).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise NodeTrouble("The backup's policy cannot be read.", why=str(error.errors()[0]["msg"])) from None


def last(paths: Paths) -> backup.LastBackup | None:
    try:
        return backup.LastBackup.model_validate_json(_memory(paths).read_bytes())
    except (OSError, ValidationError):
        return None


def run(paths: Paths = Paths(), places: Places = Places()) -> backup.LastBackup:  # noqa: B008 - frozen
    """One backup, from nothing to the store. Raises NodeTrouble, and remembers that too."""
    policy = _ordered(paths)
    with _alone(paths):
        tried, began = datetime.now(UTC), time.monotonic()
        before = last(paths) or backup.LastBackup(tried_at=tried)
        try:
            manifest, id_, added = _run(policy, paths, places)
        except NodeTrouble as trouble:
            _remember(paths, before.model_copy(update={"tried_at": tried, "error": trouble.what}))
            _tell(policy, trouble.what)
            raise
        known = before.model_copy(
            update={
                "tried_at": tried,
                "error": None,
                "at": manifest.at,
                "id": id_,
                "seconds": round(time.monotonic() - began, 1),
                "bytes": manifest.bytes,
                "added": added,
            }
        )
        _remember(paths, known)
        return known


def _run(policy: backup.Policy, paths: Paths, places: Places) -> tuple[backup.Manifest, str, int]:
    try:
        with opened(policy, secrets_in_force(paths.current)) as restic:
            restic.init()  # first: what cannot be kept need not be made
            manifest = stage.make(policy, paths, places)
            kept = restic.backup([places.staging, places.secrets])
            if policy.prunes:
                restic.forget()
            return manifest, *kept
    finally:
        stage.clear(places)


def verify(paths: Paths = Paths()) -> backup.LastBackup:  # noqa: B008 - frozen
    """Read a share of the store back. Raises NodeTrouble, and remembers that too."""
    policy = _ordered(paths)
    now = datetime.now(UTC)
    try:
        with opened(policy, secrets_in_force(paths.current)) as restic:
            restic.check()
    except NodeTrouble as trouble:
        _verified(paths, now, {"verify_error": trouble.what})
        _tell(policy, trouble.what)
        raise
    return _verified(paths, now, {"verified_at": now, "verify_error": None})


def _verified(paths: Paths, now: datetime, told: dict[str, object]) -> backup.LastBackup:
    known = (last(paths) or backup.LastBackup(tried_at=now)).model_copy(update=told)
    _remember(paths, known)
    return known


def kept(paths: Paths = Paths()) -> list[Kept]:  # noqa: B008 - frozen
    """Raises NodeTrouble."""
    with opened(_ordered(paths), secrets_in_force(paths.current)) as restic:
        return restic.kept()


def _ordered(paths: Paths) -> backup.Policy:
    policy = policy_in_force(paths)
    if policy is None:
        raise NodeTrouble("No backups are ordered.", fix="Add `backup` to appliance.yaml and push.")
    return policy


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """The unit runs once at a time by itself; this is for who runs it by hand beside it."""
    file = paths.lock.with_name("backup.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NodeTrouble("A backup is running already.", fix="Wait for its end.") from None
        yield


def _memory(paths: Paths) -> Path:
    return paths.evidence / Path(backup.LAST_BACKUP).name


def _remember(paths: Paths, known: backup.LastBackup) -> None:
    write(_memory(paths), known.model_dump_json().encode())


def _tell(policy: backup.Policy, complaint: str) -> None:
    """The webhook, if there is one. It is not what the backup hangs on."""
    if policy.webhook is None:
        return
    body = json.dumps({"appliance": policy.name, "backup": complaint}).encode()
    ask = urllib.request.Request(  # noqa: S310 - http(s) alone, by its shape
        policy.webhook, data=body, headers={"Content-Type": "application/json"}
    )
    with suppress(OSError, ValueError):
        urllib.request.urlopen(ask, timeout=WEBHOOK_SECONDS).close()  # noqa: S310
