"""Lay out what one backup holds: OpenClaw's own archive unpacked, bundle, certificate, recipe, their sums.

Secrets in clear are written to memory only. contract/backup.py names the places and says what is where.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from appliance.contract import backup, bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node import tls
from appliance.node.system import Paths, decrypt, remove, run

ARCHIVE_SECONDS = 1800
ROOM = 3  # times the state: OpenClaw's copies, its archive, the archive unpacked
SPARE = 200_000_000  # bytes that are left alone


@dataclass(frozen=True)
class Places:
    """Beside system.Paths; tests put them elsewhere."""

    staging: Path = Path(backup.STAGING)
    secrets: Path = Path(backup.SECRETS_STAGING)
    archive: Path = Path("/var/lib/appliance/openclaw")  # its own writes there: tmpfiles.d makes it
    state: Path = Path("/var/lib/openclaw")
    image: Path = Path("/usr/share/appliance/recipe/image")
    code: Path = Path("/usr/lib/appliance")
    openclaw: Path = Path("/opt/openclaw/node_modules/openclaw/package.json")
    node_js: Path = Path("/opt/node/version")
    command: str = "/usr/local/sbin/openclaw"


def make(
    policy: backup.Policy, paths: Paths, places: Places, say: Callable[[str, str], None]
) -> backup.Manifest:
    """All of it, anew. Raises NodeTrouble."""
    try:
        clear(places)
        for folder in (places.staging, places.secrets):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        _refuse_without_room(places)
        in_force = bundle.Manifest.model_validate_json((paths.current / bundle.MANIFEST).read_bytes())
        say("archive", "OpenClaw copies its databases")
        archive = _archive(places)
        say("collect", "state, bundle, certificate, recipe" + (", secrets" if policy.secrets else ""))
        _unpack(archive, places)
        _copy_node(paths, places)
        if policy.secrets:
            _open_secrets(paths, places)
        return _describe(policy, in_force, paths, places)
    except OSError as error:
        raise NodeTrouble("The backup could not be laid out.", why=str(error)) from error


def clear(places: Places) -> None:
    for folder in (places.staging, places.secrets, places.archive):
        if folder.is_dir():  # itself it stays: it may be the unit's own
            for entry in folder.iterdir():
                remove(entry)


def _refuse_without_room(places: Places) -> None:
    need = ROOM * _size(places.state) + SPARE
    free = shutil.disk_usage(places.staging).free
    if free < need:
        raise NodeTrouble(
            "There is no room for a backup on this disk.",
            why=f"{need // 10**6} MB are wanted, {free // 10**6} MB are free",
            fix="Free some: see the runbook disk-full.",
        )


def _archive(places: Places) -> Path:
    """OpenClaw's own backup, which copies its databases as they are at one moment, verified by itself."""
    words = [places.command, "backup", "create", "--output", str(places.archive), "--verify", "--json"]
    outcome = run(words, seconds=ARCHIVE_SECONDS)
    found = sorted(places.archive.glob("*.tar.gz"))
    if outcome.code != 0 or not found:
        raise NodeTrouble("OpenClaw made no archive.", why=outcome.tail())
    return found[-1]


def _unpack(archive: Path, places: Places) -> None:
    """The folder of its state alone; the config comes from the bundle."""
    inside = f"/payload/posix{places.state}"
    target = places.staging / backup.STATE
    target.mkdir(mode=0o700)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _, found, rest = member.name.partition(inside)
                if found and (rest == "" or rest.startswith("/")) and rest.strip("/"):
                    member.name = rest.strip("/")
                    with suppress(tarfile.FilterError):  # a link out of the state: it would lead nowhere
                        tar.extract(member, target, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise NodeTrouble("OpenClaw's archive cannot be read.", why=str(error)) from error
    if not any(target.iterdir()):
        raise NodeTrouble("OpenClaw's archive has no state in it.")
    archive.unlink()


def _copy_node(paths: Paths, places: Places) -> None:
    target = places.staging / backup.BUNDLE
    target.mkdir()
    shutil.copy(paths.current / bundle.MANIFEST, target)
    shutil.copytree(paths.current / bundle.FILES, target / bundle.FILES)
    if (paths.own_tls / tls.CERTIFICATE).exists():
        (places.staging / backup.TLS).mkdir()
        shutil.copy(paths.own_tls / tls.CERTIFICATE, places.staging / backup.TLS)
    recipe = places.staging / backup.RECIPE
    if places.image.is_dir():
        shutil.copytree(places.image, recipe / "image")
        shutil.copytree(places.code, recipe / "code", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(paths.inputs, recipe)


def _open_secrets(paths: Paths, places: Places) -> None:
    """Raises NodeTrouble when one does not open on this machine."""
    secrets: dict[str, str] = {}
    for file in sorted((paths.current / "credentials").glob("*.cred")):
        secrets |= json.loads(_opened(file.stem, file))
    given = paths.current / "tls" / tls.KEY
    if given.exists():
        secrets[bundle.TLS_KEY] = _opened(bundle.TLS_KEY, given).decode()
    (places.secrets / backup.SECRETS).write_text(json.dumps(secrets))
    own = paths.own_tls / tls.KEY
    if own.exists():
        (places.secrets / backup.OWN_TLS_KEY).write_bytes(_opened(bundle.TLS_KEY, own))


def _opened(name: str, file: Path) -> bytes:
    clear = decrypt(name, file)
    if clear is None:
        raise NodeTrouble(f"{file.name} does not open on this machine.", fix="Push again.")
    return clear


def _describe(
    policy: backup.Policy, in_force: bundle.Manifest, paths: Paths, places: Places
) -> backup.Manifest:
    files = {str(path.relative_to(places.staging)): path for path in _files(places.staging)}
    sums = backup.sums({name: _digest(path) for name, path in files.items()})
    manifest = backup.Manifest(
        name=in_force.name,
        node=socket.gethostname(),
        at=datetime.now(UTC),
        openclaw=str(json.loads(places.openclaw.read_text())["version"]),
        node_js=places.node_js.read_text().strip(),
        snapshot_inputs=paths.inputs.read_text().strip(),
        bundle=in_force.digest,
        workloads=tuple(in_force.workloads),
        secrets=policy.secrets,
        files=len(files),
        bytes=sum(path.stat().st_size for path in files.values()),
        sums=hashlib.sha256(sums.encode()).hexdigest(),
    )
    (places.staging / backup.SUMS).write_text(sums)
    (places.staging / backup.MANIFEST).write_text(manifest.text())
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for below, _, names in os.walk(folder):
        for name in names:
            path = Path(below) / name
            if path.is_file() and not path.is_symlink() and PurePosixPath(path).name.isprintable():
                yield path


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder)) if folder.is_dir() else 0
