"""Old backups go: by the operator's key, from this machine. A node that can only add must not be able to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from appliance.contract.backup import S3, Policy, Sftp
from appliance.contract.trouble import ConfigTrouble, ExitCode, Trouble
from appliance.desk import private, remote
from appliance.desk.progress import Progress

TAG = "appliance"  # as the node marks them
SECONDS = 3600.0
# restic counts `within_days` back from the newest backup. One that a broken-in node dates years ahead would
# so push out all that are true (restic's manual, "Removing snapshots", Security considerations).
AHEAD = timedelta(hours=1)  # clocks differ


class Snapshot(BaseModel):
    """As restic lists it."""

    id: str
    time: datetime


@dataclass(frozen=True)
class Opened:
    """The store, by a key that may delete."""

    policy: Policy
    passphrase: str = field(repr=False)
    operator_key: Path | None  # kind sftp
    environ: Mapping[str, str] = field(repr=False)  # kind s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY


@dataclass(frozen=True)
class Plan:
    keep: tuple[Snapshot, ...]
    remove: tuple[Snapshot, ...]


class Restic:
    """restic on this machine; its keys stand in a private folder for the length of a `with`."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self._refuse_if_unable()
        self.folder = private.make()

    def __enter__(self) -> Restic:
        self._put("passphrase", self.opened.passphrase)
        repository = self.opened.policy.repository
        if isinstance(repository, Sftp):
            self._put("known_hosts", repository.known_host)
            # restic parts the words of its ssh at blanks, which a desk's paths may have.
            (self.folder / "operator-key").symlink_to(str(self.opened.operator_key))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def kept(self) -> list[Snapshot]:
        return _snapshots(self._json("snapshots", "--tag", TAG, "--host", self.opened.policy.name))

    def would_remove(self) -> Plan:
        groups = self._json("forget", *self._chosen(), "--dry-run")
        try:
            keep = [one for group in groups for one in _snapshots(group["keep"] or [])]
            remove = [one for group in groups for one in _snapshots(group["remove"] or [])]
        except (KeyError, TypeError) as error:
            raise Trouble("What restic says cannot be read.", why=str(error), fix="update restic") from error
        return Plan(tuple(keep), tuple(remove))

    def remove(self) -> None:
        self._must("forget", *self._chosen())
        self._must("prune")

    def unlock(self) -> None:
        """Locks of jobs that died; a living job's stay."""
        self._must("unlock")

    def _chosen(self) -> list[str]:
        host = self.opened.policy.name
        return ["--tag", TAG, "--host", host, "--group-by", "host", *self.opened.policy.retention.words()]

    def _json(self, *words: str) -> Any:
        said = self._must(*words, "--json")
        try:
            return json.loads(said or "[]") or []
        except ValueError as error:
            raise Trouble("What restic says cannot be read.", why=said[:300], fix="update restic") from error

    def _must(self, *words: str) -> str:
        environment = {**self.opened.environ, "RESTIC_PASSWORD_FILE": str(self.folder / "passphrase")}
        result = remote.local(["restic", *self._where(), *words], environment, SECONDS)
        if result.code != 0:
            raise _failed(words[0], result)
        return result.out

    def _where(self) -> Sequence[str]:
        repository = self.opened.policy.repository
        if isinstance(repository, Sftp):
            key, hosts = self.folder / "operator-key", self.folder / "known_hosts"
            return repository.restic(str(key), str(hosts), append=False)
        return repository.restic()

    def _put(self, name: str, text: str) -> None:
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text.strip() + "\n")

    def _refuse_if_unable(self) -> None:
        repository = self.opened.policy.repository
        if not repository.append_only:
            raise ConfigTrouble(
                "there is nothing for this desk to prune",
                why="the store lets the node delete, so the node prunes after every good backup",
                fix="`appliance backup list` shows what is kept; append_only: true takes it from the node",
            )
        if isinstance(repository, Sftp) and self.opened.operator_key is None:
            raise ConfigTrouble(
                "appliance.yaml names no backup.operator_key",
                why="the node's key can only add, and there is no other",
                fix="make one (ssh-keygen -t ed25519), give it to the store, and name it there",
            )
        if isinstance(repository, S3) and not self.opened.environ:
            raise ConfigTrouble(
                "there is no access key that may delete",
                why="the node's may not, and appliance.yaml holds none for you",
                fix="export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of one, for this command only",
            )
        if shutil.which("restic") is None:
            raise ConfigTrouble(
                "this machine has no restic",
                why="the node must not prune, and restic is what can",
                fix="install it (Debian: restic; macOS: restic by Homebrew), or run this command, with "
                "appliance.yaml and secrets/, on a machine that has it",
            )


def _failed(word: str, result: remote.Result) -> Trouble:
    for said, what, fix in _TOLD:
        if said in result.err + result.out:
            return Trouble(what, why=result.tail(6), fix=fix, code=ExitCode.NODE)
    fix = "`appliance check` tries the store and its keys; nothing was lost, run it again"
    return Trouble(f"restic {word} failed on this machine", why=result.tail(6), fix=fix, code=ExitCode.NODE)


# What restic and ssh say -> what is told, and what to do next. The first that fits.
_TOLD = (
    ("Is there a repository", "the store has no repository there", "`appliance backup now` makes it"),
    ("wrong password", "the passphrase is not this repository's", "see backup.passphrase in appliance.yaml"),
    ("already locked", "another job is at work in the store", "wait for its end: `appliance status`"),
    ("Permission denied", "the store does not know your key", "`appliance backup kit --keys` has its line"),
    (
        "Host key verification failed",
        "the store shows another host key than appliance.yaml has",
        "find out why before all else",
    ),
    ("Connection refused", "the store refuses connections", "see its status page; is SSH switched on?"),
    ("timed out", "the store does not answer", "see its status page"),
)


def look(restic: Restic, now: datetime, progress: Progress) -> Plan:
    """What a prune would remove. Raises Trouble (UNVERIFIED) where a backup is dated in the future."""
    with progress.step("Ask the store what there is to prune") as step:
        restic.unlock()
        ahead = [one for one in restic.kept() if one.time > now + AHEAD]
        if ahead:
            raise dated_ahead(ahead)
        plan = restic.would_remove()
        step.update(f"{len(plan.remove)} of {len(plan.keep) + len(plan.remove)}")
    return plan


def dated_ahead(ahead: Sequence[Snapshot]) -> Trouble:
    listed = "\n".join(f"{one.id[:8]} says {one.time:%Y-%m-%d %H:%M}" for one in ahead[:10])
    return Trouble(
        f"{len(ahead)} of the backups are dated in the future: nothing was pruned",
        why=f"{listed}\nA clock was wrong, or somebody on the node wants true ones pruned in their favour.",
        fix="find out which. Then remove them with your key (restic forget ID), and prune",
        code=ExitCode.UNVERIFIED,
    )


def prune(restic: Restic, progress: Progress) -> None:
    with progress.step("Prune: forget, then free the space"):
        restic.remove()


def _snapshots(raw: object) -> list[Snapshot]:
    try:
        return TypeAdapter(list[Snapshot]).validate_python(raw)
    except ValidationError as error:
        raise Trouble("What restic lists cannot be read.", why=str(error), fix="update restic") from error
