"""Make a backup, verify the store, list what is there; remember how it went, and tell of a failure."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import keys, memory, stage
from appliance.node.backup.stage import Places
from appliance.node.backup.store import Restic, opened
from appliance.node.backup.tell import tell
from appliance.node.system import Paths

Say = Callable[[str, str], None]  # event, detail
LOCK_SECONDS = 1800


def run(
    say: Say,
    below: Path,
    *,
    new: bool = False,
    paths: Paths = Paths(),  # noqa: B008 - frozen
    places: Places = Places(),  # noqa: B008
) -> backup.LastBackup:
    """One backup, from nothing to the store. Raises NodeTrouble, and remembers that too.

    `below`: a folder in memory. `new`: a repository that is gone may be made anew.
    """
    policy = memory.ordered(paths)
    with _alone(paths, say):
        tried = datetime.now(UTC).replace(microsecond=0)  # as a manifest's time
        before = memory.last(paths)
        if before and before.without_end:  # it was killed, and could tell nobody
            tell(policy, backup.NO_END)
        before = before or backup.LastBackup(tried_at=tried)
        known = before.model_copy(update={"tried_at": tried, "error": None})
        memory.remember(paths, known)
        try:
            known = _run(policy, known, say, below, paths, places, new=new)
            memory.remember(paths, known)
            if policy.prunes:
                say("forget", "removing what retention does not keep")
                with opened(policy, keys.in_force(paths.current), below) as restic:
                    restic.forget()
        except NodeTrouble as trouble:
            memory.remember(paths, known.model_copy(update={"error": trouble.what}))
            if trouble.what != before.error:
                tell(policy, trouble.what)
            raise
        return known


def _run(
    policy: backup.Policy,
    known: backup.LastBackup,
    say: Say,
    below: Path,
    paths: Paths,
    places: Places,
    *,
    new: bool,
) -> backup.LastBackup:
    began = time.monotonic()
    address = policy.repository.address
    try:
        with opened(policy, keys.in_force(paths.current), below) as restic:
            say("repository", address)  # first: what cannot be kept need not be made
            _found(restic, known, address, say, new=new)
            manifest = stage.make(policy, paths, places, say)
            say("store", f"{manifest.files} files, {manifest.bytes} bytes")
            id_, added = restic.send([places.staging, places.secrets])
    finally:
        stage.clear(places)
    return known.model_copy(
        update={
            "at": manifest.at,
            "id": id_,
            "seconds": round(time.monotonic() - began, 1),
            "bytes": manifest.bytes,
            "added": added,
            "repository": address,
        }
    )


def _found(restic: Restic, known: backup.LastBackup, address: str, say: Say, *, new: bool) -> None:
    """A repository that was there and is not must be heard of, and not be begun anew in silence."""
    if restic.exists():
        return
    if known.repository == address and not new:
        raise NodeTrouble(
            "The repository is gone from the store.",
            why=f"the backup of {known.at:%Y-%m-%d %H:%M} UTC was kept at {address}",
            fix="Find out why. To begin a new one there: `appliance backup now --new-repository`.",
        )
    say("repository", "there is none yet: making it")
    restic.init()


def verify(say: Say, below: Path, *, paths: Paths = Paths()) -> backup.LastBackup:  # noqa: B008 - frozen
    """Read a share of the store back. Raises NodeTrouble, and remembers that too."""
    policy = memory.ordered(paths)
    with _alone(paths, say):
        now = datetime.now(UTC)
        known = memory.last(paths) or backup.LastBackup(tried_at=now)
        told = known.verify_error
        try:
            with opened(policy, keys.in_force(paths.current), below) as restic:
                say("check", f"reading {policy.verify_percent} % of the data back")
                restic.check()
        except NodeTrouble as trouble:
            bad = {"verify_tried_at": now, "verify_error": trouble.what}
            memory.remember(paths, known.model_copy(update=bad))
            if trouble.what != told:
                tell(policy, trouble.what)
            raise
        good = {"verify_tried_at": now, "verified_at": now, "verify_error": None}
        known = known.model_copy(update=good)
        memory.remember(paths, known)
        return known


def kept(below: Path, *, paths: Paths = Paths()) -> list[backup.Kept]:  # noqa: B008 - frozen
    """Oldest first. Raises NodeTrouble."""
    with opened(memory.ordered(paths), keys.in_force(paths.current), below) as restic:
        return restic.kept()


@contextmanager
def _alone(paths: Paths, say: Say) -> Iterator[None]:
    """A unit runs once at a time by itself; a run and a verification wait for each other."""
    file = paths.lock.with_name("backup.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        if not _locked(lock):
            say("wait", "another job is at work in the repository")
            end = time.monotonic() + LOCK_SECONDS
            while not _locked(lock):
                if time.monotonic() > end:
                    raise NodeTrouble(
                        "Another job of backups does not end.", fix="See `journalctl -u appliance-backup`."
                    )
                time.sleep(1)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
