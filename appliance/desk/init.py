"""Begin an appliance: the file, its schema, and the secrets that can be made rather than given."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from appliance.contract.backup import Sftp
from appliance.contract.trouble import ConfigTrouble
from appliance.desk import pki
from appliance.desk.config.file import json_schema
from appliance.desk.config.initial import SCHEMA_FILE, Start, render
from appliance.desk.config.initial_backup import NODE_KEY, OPERATOR_KEY, PASSPHRASE, Store

SECRETS = "secrets"
SSH_KEY = "secrets/ssh"  # and .pub


@dataclass(frozen=True)
class Written:
    path: Path
    what: str
    kept: bool = False  # it was there already and was left alone


@dataclass(frozen=True)
class Begun:
    config: Path
    files: tuple[Written, ...]


def begin(
    config: Path,
    start: Start,
    now: datetime,
    *,
    force: bool = False,
    authorize: Callable[[Sequence[str]], object] | None = None,
) -> Begun:
    """Write `config` and all it needs beside it; `force` overwrites `config`, never a secret.

    `authorize` brings lines of authorized_keys to `start.store`. The config comes last, so that a run cut
    short can be repeated. Raises ConfigTrouble.
    """
    if config.exists() and not force:
        raise ConfigTrouble(
            f"{config} is there already",
            why="init does not overwrite what you may have edited",
            fix="give --force to overwrite it (secrets are kept), or write another with --config",
        )
    folder = config.parent
    try:
        files = [*_secrets(folder, start, now), _schema(folder)]
        if start.store is not None:
            store = _own_path(start.store, start.name, folder)
            start = replace(start, store=store)
            if authorize is not None:
                authorize(_authorized_keys(store, folder))
        _write(config, render(start).encode(), 0o644)
    except OSError as error:
        raise ConfigTrouble(
            f"{error.filename or folder} cannot be written",
            why=error.strerror or str(error),
            fix="run it in a folder that you may write to, or name a file in one with --config",
        ) from error
    return Begun(config, (Written(config, "what the appliance is to be, with comments"), *files))


def _secrets(folder: Path, start: Start, now: datetime) -> list[Written]:
    inner = folder / SECRETS
    inner.mkdir(mode=0o700, parents=True, exist_ok=True)
    inner.chmod(0o700)
    _write(inner / ".gitignore", b"*\n", 0o600)
    files = [
        _once(
            inner / "gateway-token", "the gateway's token, random", lambda: f"{secrets.token_urlsafe(32)}\n"
        ),
        *_authority(inner, start.name, now),
    ]
    if start.ssh_public_key == f"{SSH_KEY}.pub":
        files += _ssh_pair(folder / SSH_KEY, start.name, "an SSH key for this appliance alone (and its .pub)")
    return files + _for_backups(folder, start.name)


def _for_backups(folder: Path, name: str) -> list[Written]:
    return [
        _once(
            folder / PASSPHRASE,
            "the backups' passphrase, random: a copy must survive this machine",
            lambda: f"{secrets.token_urlsafe(32)}\n",
        ),
        *_ssh_pair(folder / NODE_KEY, f"{name}-backup", "the node's key to the backups' store"),
        *_ssh_pair(folder / OPERATOR_KEY, f"{name}-operator", "yours to the same; it stays here"),
    ]


def _own_path(store: Store, name: str, folder: Path) -> Store:
    """One of its own for each passphrase: two appliances may have a name and a store in common."""
    public = (folder / f"{NODE_KEY}.pub").read_bytes()
    return replace(store, path=f"{name}-{hashlib.sha256(public).hexdigest()[:8]}")


def _authorized_keys(store: Store, folder: Path) -> list[str]:
    node, operator = ((folder / f"{key}.pub").read_text().strip() for key in (NODE_KEY, OPERATOR_KEY))
    return [Sftp(**vars(store)).authorized_key(node), operator]


def _authority(inner: Path, name: str, now: datetime) -> list[Written]:
    key, certificate = inner / "ca.key", inner / "ca.crt"
    kept = key.exists() and certificate.exists()
    if not kept:
        made = pki.make_ca(name, now)
        _write(key, made.key, 0o600)
        _write(certificate, made.certificate, 0o644)
    return [
        Written(certificate, "the appliance's own CA: clients trust this", kept),
        Written(key, "the CA's key: keep it, and keep it here", kept),
    ]


def _ssh_pair(private: Path, name: str, what: str) -> list[Written]:
    public = private.with_name(private.name + ".pub")
    kept = private.exists() and public.exists()
    if not kept:
        key = Ed25519PrivateKey.generate()
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
        _write(public, f"{line} appliance-{name}\n".encode(), 0o644)
    return [Written(private, what, kept)]


def _schema(folder: Path) -> Written:
    path = folder / SCHEMA_FILE
    _write(path, (json.dumps(json_schema(), indent=2) + "\n").encode(), 0o644)
    return Written(path, "its JSON Schema, for editors")


def _once(path: Path, what: str, make: Callable[[], str]) -> Written:
    if path.exists():
        return Written(path, what, kept=True)
    _write(path, make().encode(), 0o600)
    return Written(path, what)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
