"""Will backups arrive, and can a thief on the node undo them? The store is asked, with both keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from appliance.contract.backup import Sftp
from appliance.contract.trouble import Trouble
from appliance.desk import hostkeys
from appliance.desk.findings import Finding, Level
from appliance.desk.remote import AccessDenied, HostKeyMismatch, Shell
from appliance.desk.settings import Backup, Settings

# (store, private key) -> a shell there
Knock = Callable[[Sftp, Path], AbstractContextManager[Shell]]
LOOK = ["ls", "-d", "."]  # the box has it, and a key that is bound to adding does not get it
SUBJECT = "backup.repository"


def check_backup(settings: Settings, knock: Knock) -> Iterator[Finding]:
    backup = settings.backup
    if backup is None:
        what = "there are none: what the node knows is lost with it"
        right = "the comments of a first appliance.yaml (`appliance init`) say how to have them"
        yield Finding(Level.WARNING, "backup", what, right, at_desk=True)
        return
    repository = backup.repository
    if not isinstance(repository, Sftp) or not repository.host_key.startswith(hostkeys.ALGORITHM):
        what = f"{repository.address} is tried by `appliance backup now`, not from here"
        yield Finding(Level.OK, SUBJECT, what, at_desk=True)
        return
    node, operator = node_key(settings, backup), backup.operator_key
    if operator is not None:
        yield _operators(repository, operator, knock)
    if node is not None and node.exists():  # a missing one is told with the other secrets
        yield _nodes(repository, node, knock)


def node_key(settings: Settings, backup: Backup) -> Path | None:
    """Its file; None where it stands in a variable."""
    ref = backup.ssh_key
    return settings.path.parent / ref.location if ref is not None and ref.source == "file" else None


def _operators(repository: Sftp, key: Path, knock: Knock) -> Finding:
    subject = "backup.operator_key"
    if not key.exists():
        return _wrong(subject, f"{key}: there is no such file", "make it (ssh-keygen -t ed25519)")
    if key.stat().st_mode & 0o077:
        return _wrong(subject, f"others may use {key}, so ssh will not", f"chmod 600 {key}")
    seen = _seen(repository, key, knock)
    if isinstance(seen, Trouble):
        return _told(subject, "your key", seen)
    if not seen:
        what = "the store binds it to adding: it cannot prune"
        return _wrong(subject, what, "its own line in authorized_keys, see `appliance backup kit --keys`")
    return Finding(Level.OK, subject, f"{repository.host} takes it", at_desk=True)


def _nodes(repository: Sftp, key: Path, knock: Knock) -> Finding:
    seen = _seen(repository, key, knock)
    if isinstance(seen, Trouble):
        return _told("backup.ssh_key", "the node's key", seen)
    if seen and repository.append_only:
        what = "append_only is not so: the store lets the node's key do everything"
        return _wrong("backup.ssh_key", what, "`appliance backup kit --keys` has the line that binds it")
    if not seen and not repository.append_only:
        what = "the store binds the node's key to adding, and append_only says that it does not"
        return _wrong("backup.ssh_key", what, "append_only: true, or the key without the binding")
    may = "lets it add, and nothing else" if repository.append_only else "takes it"
    return Finding(Level.OK, "backup.ssh_key", f"{repository.host} {may}", at_desk=True)


def _seen(repository: Sftp, key: Path, knock: Knock) -> bool | Trouble:
    """Whether that key may look around."""
    try:
        with knock(repository, key) as shell:
            return shell.run(LOOK, timeout=30).out.strip() == LOOK[-1]
    except Trouble as trouble:
        return trouble


def _told(subject: str, whose: str, trouble: Trouble) -> Finding:
    if isinstance(trouble, AccessDenied):
        what = f"the store does not know {whose}"
        return _wrong(subject, what, "`appliance backup kit --keys` has the lines for its authorized_keys")
    if isinstance(trouble, HostKeyMismatch):
        right = "find out why before all else; a box that was moved has a new one, so has a thief's"
        return _wrong(subject, "the store shows another host key than appliance.yaml has", right)
    what = f"the store cannot be asked from here: {trouble.what}"
    return Finding(
        Level.WARNING, subject, what, "the node must reach it: `appliance backup now`", at_desk=True
    )


def _wrong(subject: str, what: str, right: str) -> Finding:
    return Finding(Level.WRONG, subject, what, right, at_desk=True)
