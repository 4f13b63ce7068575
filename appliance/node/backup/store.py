"""Restic and the store: the words it is started with, and its failures in the words of an operator."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import Outcome, decrypt, run, write

CREDENTIAL = "backup"  # one JSON object: those of the bundle's secrets whose names begin with PREFIX
PREFIX = "backup-"
KEYS = Path("/run")  # in memory: a folder below it while a job runs
CACHE = Path("/var/cache/appliance-restic")
TAG = "appliance"
SECONDS = 3600
UNLOCK = ("unlock",)  # a job that died leaves its lock, which keeps off check and prune; a living job's stays
NO_REPOSITORY = 10  # exit code of restic 0.17 and later (its manual, "Scripting")
OLD_NO_REPOSITORY = "Is there a repository at"

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
    ("refusing to overwrite", "The store took a part of a file, and no more: it is full.", "Prune."),
    ("403 Forbidden", "The store lets this node only append.", "Prune from the desk."),
    ("ciphertext verification", "Data in the store is damaged.", "See the runbook restore-from-backup."),
    ("already locked", "Another job holds the repository.", "Wait; a dead one's lock goes in 30 minutes."),
    ("connection lost", BROKE, "The next run tries again."),
    ("EOF", BROKE, "The next run tries again."),
)


class Kept(BaseModel):
    """One backup as restic lists it."""

    id: str
    time: datetime
    hostname: str
    summary: dict[str, Any] = {}


@dataclass(frozen=True)
class Restic:
    """With its keys in the folder `keys`."""

    policy: backup.Policy
    keys: Path
    cache: Path = CACHE

    def put_keys(self, secrets: Mapping[str, str]) -> None:
        """Raises NodeTrouble when one that the store needs is missing."""
        repository = self.policy.repository
        self._put("passphrase", secrets, backup.PASSPHRASE)
        if isinstance(repository, backup.Sftp):
            self._put("ssh-key", secrets, backup.SSH_KEY)
            write(self.keys / "known_hosts", repository.known_host.encode(), 0o600)
        if isinstance(repository, backup.S3):
            self._put("s3-id", secrets, backup.S3_ID)
            self._put("s3-secret", secrets, backup.S3_SECRET)

    def _put(self, file: str, secrets: Mapping[str, str], name: str) -> None:
        if not secrets.get(name, "").strip():
            raise NodeTrouble(f"There is no {name} among the secrets.", fix="Push again.")
        write(self.keys / file, secrets[name].strip().encode() + b"\n", 0o600)

    def init(self) -> bool:
        """Make the repository where there is none. True when it was made."""
        outcome = self._run(["cat", "config"])
        if outcome.code == 0:
            return False
        if outcome.code != NO_REPOSITORY and OLD_NO_REPOSITORY not in outcome.err:
            raise self._told("The repository cannot be opened", outcome)
        self._must("The repository cannot be made", ["init"])
        return True

    def backup(self, folders: Sequence[Path]) -> tuple[str, int]:
        """Its id and the bytes that it added to the store."""
        words = ["backup", "--tag", TAG, "--host", self.policy.name, *map(str, folders)]
        said = self._must("The backup did not reach the store", words)
        summary = json.loads(said.strip().splitlines()[-1])
        return str(summary["snapshot_id"]), int(
            summary.get("data_added_packed", summary.get("data_added", 0))
        )

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

    def kept(self) -> list[Kept]:
        said = self._must("The backups cannot be listed", ["snapshots", "--tag", TAG])
        return TypeAdapter(list[Kept]).validate_json(said)

    def _must(self, what: str, words: Sequence[str]) -> str:
        outcome = self._run(words)
        if outcome.code != 0:
            raise self._told(what, outcome)
        return outcome.out

    def _run(self, words: Sequence[str]) -> Outcome:
        environment = {
            "RESTIC_PASSWORD_FILE": str(self.keys / "passphrase"),
            "RESTIC_CACHE_DIR": str(self.cache),
            "HOME": os.environ.get("HOME", "/root"),
        }
        repository = self.policy.repository
        if isinstance(repository, backup.Sftp):
            where = repository.restic(*self._ssh_files(), append=repository.append_only)
        else:
            where = repository.restic()
        if isinstance(repository, backup.S3):
            environment["AWS_ACCESS_KEY_ID"] = (self.keys / "s3-id").read_text().strip()
            environment["AWS_SECRET_ACCESS_KEY"] = (self.keys / "s3-secret").read_text().strip()
        return run(["restic", "--json", *where, *words], seconds=SECONDS, env=environment)

    def _told(self, what: str, outcome: Outcome) -> NodeTrouble:
        said = outcome.err + outcome.out
        if not _known(said) and isinstance(self.policy.repository, backup.Sftp):
            # Restic may end before it has passed on what ssh said.
            said += run(self.policy.repository.ssh(*self._ssh_files()), seconds=60).err
        tail = "\n".join(said.splitlines()[-5:])
        if known := _known(said):
            return NodeTrouble(f"{what}: {known[0]}", why=tail, fix=known[1])
        return NodeTrouble(f"{what}.", why=tail)

    def _ssh_files(self) -> tuple[str, str]:
        return str(self.keys / "ssh-key"), str(self.keys / "known_hosts")


@contextmanager
def opened(policy: backup.Policy, secrets: Mapping[str, str], keys: Path = KEYS) -> Iterator[Restic]:
    """Its keys are in clear in memory as long as the block runs. Raises NodeTrouble when one is missing."""
    with tempfile.TemporaryDirectory(prefix="appliance-restic-", dir=keys) as folder:
        restic = Restic(policy, Path(folder))
        restic.put_keys(secrets)
        yield restic


def _known(said: str) -> tuple[str, str] | None:
    """What it means, and what to do next."""
    return next(((why, fix) for words, why, fix in TOLD if words in said), None)


def secrets_in_force(current: Path) -> dict[str, str]:
    """The bundle's secrets for this. Raises NodeTrouble when they do not open on this machine."""
    clear = decrypt(CREDENTIAL, current / "credentials" / f"{CREDENTIAL}.cred")
    if clear is None:
        raise NodeTrouble("The backup's secrets do not open on this machine.", fix="Push again.")
    return TypeAdapter(dict[str, str]).validate_json(clear)


def as_credential(secrets: Mapping[str, str]) -> bytes:
    """Of a bundle's secrets those for this."""
    return json.dumps({name: value for name, value in secrets.items() if name.startswith(PREFIX)}).encode()
