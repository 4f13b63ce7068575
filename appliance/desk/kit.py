"""The recovery sheet: what a restore needs to know, and where the secrets are, never the secrets. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from appliance.contract.backup import S3, Sftp
from appliance.desk import hostkeys
from appliance.desk.model import Image, Label, Observed, Role
from appliance.desk.settings import Backup, SecretRef, Settings


@dataclass(frozen=True)
class Kept:
    """Something to keep a copy of, and where it is now."""

    what: str
    where: str
    why: str


@dataclass(frozen=True)
class NodeFacts:
    name: str
    address: str | None
    location: str
    server_type: str
    host_key: str | None  # fingerprint


@dataclass(frozen=True)
class Script:
    """restore.sh."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Sheet:
    appliance: str
    printed: datetime
    nodes: tuple[NodeFacts, ...]
    names: tuple[str, ...]  # that clients may call it by
    workloads: tuple[str, ...]
    snapshots: tuple[str, ...]  # verified ones, the newest first
    repository: str  # restic's address
    kind: str
    append_only: bool
    store_host_key: str | None  # kind sftp
    store_fingerprint: str | None
    secrets_inside: bool
    needed: tuple[Kept, ...]
    script: Script
    every_hours: int


@dataclass(frozen=True)
class Desk:
    """This machine."""

    name: str
    refs: Mapping[str, SecretRef]  # secrets.secret_refs
    script: bytes  # restore.sh


def sheet(settings: Settings, backup: Backup, desk: Desk, seen: Observed, now: datetime) -> Sheet:
    """`seen` may be empty, where the cloud does not answer."""
    repository = backup.repository
    host_key = repository.host_key if isinstance(repository, Sftp) else None
    return Sheet(
        appliance=settings.name,
        printed=now.replace(microsecond=0),
        nodes=tuple(_nodes(seen)),
        names=settings.tls.names,
        workloads=tuple(workload.name for workload in settings.workloads),
        snapshots=tuple(f"{image.id} {image.description}" for image in _verified(seen)),
        repository=repository.address,
        kind=repository.kind,
        append_only=repository.append_only,
        store_host_key=host_key,
        store_fingerprint=fingerprint(host_key) if host_key else None,
        secrets_inside=backup.secrets,
        needed=tuple(_needed(settings, backup, desk)),
        script=Script(hashlib.sha256(desk.script).hexdigest(), len(desk.script)),
        every_hours=backup.every_hours,
    )


def fingerprint(public_key: str) -> str:
    """As `ssh-keygen -l` and Hetzner's pages show it."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def authorized_keys(backup: Backup, public_keys: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of the store's authorized_keys; `public_keys`: "node" and "operator", as far as there are."""
    repository = backup.repository
    if not isinstance(repository, Sftp):
        return ()
    lines = [repository.authorized_key(public_keys["node"])] if "node" in public_keys else []
    return (*lines, *([public_keys["operator"]] if "operator" in public_keys else []))


def _nodes(seen: Observed) -> Iterator[NodeFacts]:
    for server in seen.servers:
        if server.labels.get(Label.ROLE) == Role.NODE:
            keys = hostkeys.accepted(server.labels)
            key = fingerprint(keys[0]) if keys else None
            yield NodeFacts(server.name, server.public_ip, server.location, server.server_type, key)


def _verified(seen: Observed) -> list[Image]:
    verified = [image for image in seen.snapshots if image.labels.get(Label.VERIFIED) == "yes"]
    return sorted(verified, key=lambda image: (image.created, image.id), reverse=True)


def _needed(settings: Settings, backup: Backup, desk: Desk) -> Iterator[Kept]:
    """In the order of how bad it is to be without."""

    def at(ref: SecretRef) -> str:
        if ref.source == "env":
            return f"variable {ref.location} of whoever works on {desk.name}"
        return f"{settings.path.parent / ref.location} on {desk.name}"

    yield Kept("the passphrase", at(backup.passphrase), "without it nobody can read the backups, ever")
    if isinstance(backup.repository, Sftp):
        if backup.operator_key is not None:
            where = f"{backup.operator_key} on {desk.name}"
            yield Kept("your key to the store", where, "or the store's password, which its console sets anew")
    elif isinstance(backup.repository, S3):
        for what, ref in (("access key's id", backup.s3_id), ("access key's secret", backup.s3_secret)):
            if ref is not None:
                yield Kept(f"the {what}", at(ref), "or another that may read the bucket")
    if not backup.secrets:
        for where, ref in desk.refs.items():
            if not where.startswith("backup."):
                yield Kept(where, at(ref), "not in the backups: `appliance push` brings it to the new node")
    elif settings.tls.ca_key is not None:
        why = "not in the backups: only for a new certificate, when the address has changed"
        yield Kept("the CA's key", at(settings.tls.ca_key), why)
    yield Kept("the Hetzner account", "yours to say", "to switch the old node off and make a new one")
