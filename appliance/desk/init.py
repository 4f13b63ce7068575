"""Begin an appliance: the file, its schema, and the secrets that can be made rather than given."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from appliance.contract.trouble import ConfigTrouble
from appliance.desk import pki
from appliance.desk.config.file import json_schema
from appliance.desk.config.initial import SCHEMA_FILE, Start, render

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


def begin(config: Path, start: Start, now: datetime, *, force: bool = False) -> Begun:
    """Write `config` and all it needs beside it; `force` overwrites `config`, never a secret.

    The config comes last, so that a run cut short can be repeated. Raises ConfigTrouble.
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
        files += _ssh_pair(folder / SSH_KEY, start.name)
    return files


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


def _ssh_pair(private: Path, name: str) -> list[Written]:
    public = private.with_name(private.name + ".pub")
    kept = private.exists() and public.exists()
    if not kept:
        key = Ed25519PrivateKey.generate()
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
        _write(public, f"{line} appliance-{name}\n".encode(), 0o644)
    return [Written(private, "an SSH key for this appliance alone (and its .pub)", kept)]


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
