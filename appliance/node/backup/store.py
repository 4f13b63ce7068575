"""Restic and the store: the words it is started with, and its failures in the words of an operator."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import keys
from appliance.node.system import Outcome, run, write

CACHE = Path("/var/cache/appliance-restic")
OWN_DISK = Path("/")
TAG = "appliance"
# Ten tries within a minute, then words. By itself it tries for 15 minutes in silence; by then we run again.
SHORT_RETRIES = "backend-error-redesign=false"
KNOWN_HOSTS = "known_hosts"
SECONDS = 3600
UNLOCK = ("unlock",)  # a job that died leaves its lock, which keeps off check and prune; a living job's stays
NO_REPOSITORY = 10  # exit code of restic 0.17 and later (its manual, "Scripting")
OLD_NO_REPOSITORY = "Is there a repository at"
LOCKED = 11  # likewise
OLD_LOCKED = "already locked"
LOCK_TRIES, LOCK_SECONDS = 10, 15.0
ID = 8  # digits of a backup's id

# What restic, ssh and rclone say -> what is told, and what to do next. The first that fits.
FULL = "The store, or this disk, is full."
BROKE = "The line to the store broke."
TOLD = (
    ("wrong password", "The passphrase is not this repository's.", "Push the right one."),
    ("Host key verification failed", "The store shows another host key.", "Find out why, before all else."),
    ("Permission denied", "The store does not know the node's key.", "`appliance backup kit` has its line."),
    ("Connection refused", "The store refuses connections.", "See its status page; is SSH switched on?"),
    ("timed out", "The store does not answer.", "See its status page."),
    ("Could not resolve", "The store's name is not known.", "Check the address."),
    ("No space left", FULL, "Prune, or take a larger one."),
    ("no space left", FULL, "Prune, or take a larger one."),
    ("remaining disk space", FULL, "Prune, or take a larger one."),
    ("Disk quota exceeded", FULL, "Prune, or take a larger one."),
    ("refusing to overwrite", "The store took a part of a file, and no more: it is full.", "Prune."),
    ("403 Forbidden", "The store lets this node only append.", "Prune from the desk."),
    ("ciphertext verification", "Data in the store is damaged.", "See the runbook restore-from-backup."),
    (
        "already locked",
        "Another job holds the repository.",
        "Wait for a prune to end; a dead one's lock goes in 30 minutes.",
    ),
    ("connection lost", BROKE, "The next run tries again."),
    ("connection already closed", BROKE, "The next run tries again."),  # rclone's, cut in the middle
    ("EOF", BROKE, "The next run tries again."),
)


@dataclass(frozen=True)
class Restic:
    """With its keys in the folder `keys`."""

    policy: backup.Policy
    keys: Path
    cache: Path = field(default_factory=lambda: CACHE)

    def put_keys(self, secrets: Mapping[str, str]) -> None:
        """Raises NodeTrouble when one that the store needs is missing."""
        repository = self.policy.repository
        for name in keys.needed(repository):
            if not secrets.get(name, "").strip():
                raise NodeTrouble(f"There is no {name} among the secrets.", fix="Push again.")
            write(self.keys / name, secrets[name].strip().encode() + b"\n", 0o600)
        if isinstance(repository, backup.Sftp):
            write(self.keys / KNOWN_HOSTS, repository.known_host.encode(), 0o600)

    def exists(self) -> bool:
        """Raises NodeTrouble: the passphrase does not open it, or nobody knows."""
        if isinstance(self.policy.repository, backup.Folder):
            _refuse_own_disk(Path(self.policy.repository.path))
        outcome = self._run(["--no-lock", "cat", "config"])
        if outcome.code == NO_REPOSITORY or (outcome.code != 0 and OLD_NO_REPOSITORY in outcome.err):
            return False
        if outcome.code != 0:
            raise self._told("The repository cannot be opened", outcome)
        return True

    def init(self) -> None:
        self._must("The repository cannot be made", ["init"])

    def send(self, folders: Sequence[Path]) -> tuple[str, int]:
        """Its id and the bytes that it added to the store."""
        words = ["backup", "--tag", TAG, "--host", self.policy.name, *map(str, folders)]
        said = self._must("The backup did not reach the store", words)
        summary = json.loads(said.strip().splitlines()[-1])
        added = summary.get("data_added_packed", summary.get("data_added", 0))
        return str(summary["snapshot_id"])[:ID], int(added)

    def forget(self) -> None:
        """What the retention does not keep. Not where the node can only append."""
        what = "Old backups could not be removed"
        self._must(what, UNLOCK)
        words = ["forget", "--tag", TAG, "--group-by", "host", "--prune", *self.policy.retention.words()]
        self._must(what, words)

    def check(self) -> None:
        what = "The repository did not verify"
        self._must(what, UNLOCK)
        self._must(what, ["check", f"--read-data-subset={self.policy.verify_percent}%"])

    def kept(self) -> list[backup.Kept]:
        """Oldest first. Without a lock: it may be asked while the repository is verified."""
        said = self._must("The backups cannot be listed", ["--no-lock", "snapshots", "--tag", TAG])
        return sorted(map(_kept, json.loads(said)), key=lambda one: one.at)

    def _must(self, what: str, words: Sequence[str]) -> str:
        """Its stdout. Locked by another (the operator prunes): waits. A lock that is left over goes."""
        outcome = self._run(words)
        for _ in range(LOCK_TRIES):
            if outcome.code != LOCKED and OLD_LOCKED not in outcome.err:
                break
            time.sleep(LOCK_SECONDS)
            self._run(UNLOCK)
            outcome = self._run(words)
        if outcome.code != 0:
            raise self._told(what, outcome)
        return outcome.out

    def _run(self, words: Sequence[str]) -> Outcome:
        environment = {
            "RESTIC_PASSWORD_FILE": str(self.keys / backup.PASSPHRASE),
            "RESTIC_CACHE_DIR": str(self.cache),
            "RESTIC_FEATURES": SHORT_RETRIES,
            "HOME": os.environ.get("HOME", "/root"),
        }
        repository = self.policy.repository
        if isinstance(repository, backup.Sftp):
            where = repository.restic(*self._ssh_files(), append=repository.append_only)
        else:
            where = repository.restic()
        if isinstance(repository, backup.S3):
            environment["AWS_ACCESS_KEY_ID"] = (self.keys / backup.S3_ID).read_text().strip()
            environment["AWS_SECRET_ACCESS_KEY"] = (self.keys / backup.S3_SECRET).read_text().strip()
        return run(["restic", "--json", *where, *words], seconds=SECONDS, env=environment)

    def _told(self, what: str, outcome: Outcome) -> NodeTrouble:
        said = _plain(outcome.err or outcome.out)
        known = _known(said)
        if (known is None or known[0] == BROKE) and isinstance(self.policy.repository, backup.Sftp):
            with suppress(NodeTrouble):  # restic may end before it has passed on what ssh said
                said += "\n" + run(self.policy.repository.ssh(*self._ssh_files()), seconds=60).err
        tail = "\n".join(said.splitlines()[-5:])
        if known := _known(said):
            return NodeTrouble(f"{what}: {known[0]}", why=tail, fix=known[1])
        return NodeTrouble(f"{what}.", why=tail)

    def _ssh_files(self) -> tuple[str, str]:
        return str(self.keys / backup.SSH_KEY), str(self.keys / KNOWN_HOSTS)


@contextmanager
def opened(policy: backup.Policy, secrets: Mapping[str, str], below: Path) -> Iterator[Restic]:
    """Its keys are in clear below `below`, a folder in memory, as long as the block runs.

    Raises NodeTrouble when one is missing.
    """
    with tempfile.TemporaryDirectory(prefix="appliance-restic-", dir=below) as folder:
        restic = Restic(policy, Path(folder))
        restic.put_keys(secrets)
        yield restic


def _refuse_own_disk(folder: Path) -> None:
    """What should be mounted there is not: backups on the node's own disk go with the node."""
    if not folder.is_dir():
        raise NodeTrouble(f"There is no folder {folder} on the node.", fix="Mount what it is on.")
    if folder.stat().st_dev == OWN_DISK.stat().st_dev:
        raise NodeTrouble(f"{folder} is on the node's own disk.", fix="Mount what it should be on.")


def _plain(said: str) -> str:
    """With --json restic wraps its last words."""
    lines = []
    for line in said.splitlines():
        try:
            lines.append(str(json.loads(line)["message"]))
        except (ValueError, KeyError, TypeError):
            lines.append(line)
    return "\n".join(lines)


def _kept(listed: dict[str, Any]) -> backup.Kept:
    """From an entry of `restic snapshots --json`; its summary came with 0.17."""
    summary = listed.get("summary", {})
    return backup.Kept(
        id=str(listed["id"])[:ID],
        at=listed["time"],
        name=listed["hostname"],
        bytes=summary.get("total_bytes_processed"),
        added=summary.get("data_added_packed"),
    )


def _known(said: str) -> tuple[str, str] | None:
    """What it means, and what to do next."""
    return next(((why, fix) for words, why, fix in TOLD if words in said), None)
