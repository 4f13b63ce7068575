"""Stage a bundle: read the tar, check every digest, encrypt the secrets, let the programs' validators judge.

Nothing is in force until `activate`. Secrets are in clear in this process's memory only.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from appliance.contract import bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node import gateway_files, router_files, tls, validate
from appliance.node.backup import keys as backup_keys
from appliance.node.system import Paths, encrypt, remove, write

MOST_BYTES = 8 << 20
MOST_MEMBERS = 200


@dataclass(frozen=True)
class Received:
    manifest: bundle.Manifest
    files: dict[str, bytes]
    secrets: dict[str, str] = field(repr=False)


class Refused(Exception):  # noqa: N818 - the word of the house
    """The stream is not the bundle that it says it is."""


def receive(stream: IO[bytes], paths: Paths = Paths()) -> dict[str, Any]:  # noqa: B008 - frozen
    """One answer: {"ok": …, "digest": …} or {"ok": false, "error": …, "tail": …}."""
    try:
        received = read(stream)
    except Refused as refused:
        return {"ok": False, "error": f"the bundle was refused: {refused}", "tail": ""}
    final = paths.bundles / received.manifest.digest
    if final.is_dir():
        return {"ok": True, "digest": received.manifest.digest}
    staged = final.with_name(final.name + ".new")
    try:
        router_files.judge(received.files, received.secrets)
        backup_keys.judge(received.files, received.secrets)
        stage(received, staged)
        validate.validate(staged)
        final.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(final)
    except NodeTrouble as trouble:
        return {"ok": False, "error": trouble.what, "tail": trouble.why}
    finally:
        remove(staged)
    return {"ok": True, "digest": received.manifest.digest}


def read(stream: IO[bytes]) -> Received:
    """Into memory, bounded. Raises Refused for anything that is not exactly what the manifest says."""
    members = _members(stream)
    try:
        manifest = bundle.Manifest.model_validate_json(members.pop(bundle.MANIFEST))
        secrets = TypeAdapter(dict[str, str]).validate_json(members.pop(bundle.SECRETS))
    except KeyError as error:
        raise Refused(f"{error.args[0]} is missing") from error
    except ValidationError as error:
        # Without pydantic's own words: they show the input, which may be a secret.
        raise Refused(f"{error.title} is malformed: {error.errors()[0]['type']}") from None
    files = {name.removeprefix(bundle.FILES): content for name, content in members.items()}
    _check(manifest, files, secrets)
    return Received(manifest, files, secrets)


def _members(stream: IO[bytes]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                if not member.isreg():
                    raise Refused(f"{member.name!r} is not a regular file")
                _check_name(member.name)
                left -= member.size
                if member.name in members or left < 0 or len(members) >= MOST_MEMBERS:
                    raise Refused(f"{member.name!r} is there twice, or the bundle is too large")
                content = tar.extractfile(member)
                members[member.name] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Refused(f"not a whole tar: {error}") from error
    return members


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    plain = str(path) == name and not path.is_absolute() and ".." not in path.parts
    known = name in (bundle.MANIFEST, bundle.SECRETS) or name.startswith(bundle.FILES)
    if not (plain and known and name.isprintable()):
        raise Refused(f"{name!r} is not a path of a bundle")


def _check(manifest: bundle.Manifest, files: dict[str, bytes], secrets: dict[str, str]) -> None:
    if manifest.format != bundle.FORMAT:
        raise Refused(f"its format is {manifest.format}, this node reads {bundle.FORMAT}")
    if manifest.digest != manifest.digest_of_content():
        raise Refused("the manifest's digest is not that of its content")
    if manifest.files != {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}:
        raise Refused("the files are not those of the manifest")
    if bundle.GATEWAY_TOKEN not in secrets or manifest.secrets != bundle.keyed_digests(secrets):
        raise Refused("the secrets are not those of the manifest")
    if (bundle.TLS_KEY in secrets) != (bundle.TLS_CHAIN in files):
        raise Refused("a certificate needs its key, and a key its certificate")


def stage(received: Received, folder: Path) -> None:
    """All of it below `folder`; a half-made one of an earlier try is removed."""
    remove(folder)
    folder.mkdir(parents=True, mode=0o755)
    for name, content in received.files.items():
        write(folder / bundle.FILES / name, content)
    for credential, clear in (
        (gateway_files.CREDENTIAL, gateway_files.as_credential(received.secrets)),
        (router_files.CREDENTIAL, router_files.as_credential(received.secrets)),
        (backup_keys.CREDENTIAL, backup_keys.as_credential(received.secrets)),
    ):
        write(folder / "credentials" / f"{credential}.cred", encrypt(credential, clear), 0o600)
    if bundle.TLS_KEY in received.secrets:
        key = received.secrets[bundle.TLS_KEY].encode()
        chain = received.files[bundle.TLS_CHAIN]
        tls.checked(chain, tls.load(key))
        write(folder / "tls" / tls.CERTIFICATE, chain)
        write(folder / "tls" / tls.KEY, encrypt(bundle.TLS_KEY, key), 0o600)
    write(folder / bundle.MANIFEST, received.manifest.model_dump_json(indent=1).encode())
