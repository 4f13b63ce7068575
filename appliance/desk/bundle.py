"""Rendered files and secrets -> a bundle: its manifest and the tar that carries it. Pure.

Same input, same digest and same bytes: a desk that has the files can tell whether a node has them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.contract import backup
from appliance.contract import bundle as contract
from appliance.desk import archive
from appliance.desk.archive import Entry
from appliance.desk.backup_policy import backup_json
from appliance.desk.pki import Authority
from appliance.desk.policy import router_json
from appliance.desk.render import render
from appliance.desk.settings import Settings


@dataclass(frozen=True)
class Material:
    """What a bundle is made of beside appliance.yaml, read by the caller."""

    templates: Mapping[str, str]  # path below image/templates -> text
    secrets: Mapping[str, str] = field(repr=False)  # by the names of contract/bundle.py
    authority: Authority | None = field(repr=False)  # the appliance's own CA, or
    chain: bytes | None = None  # the certificate from files, PEM; its key is a secret


@dataclass(frozen=True)
class Bundle:
    manifest: contract.Manifest
    tar: bytes = field(repr=False)  # holds secrets

    @property
    def digest(self) -> str:
        return self.manifest.digest


def wanted(settings: Settings, material: Material) -> Bundle:
    """What this desk would have on the node."""
    files = {**render(settings, material.templates), contract.ROUTER_POLICY: router_json(settings)}
    if settings.backup is not None:
        files[backup.POLICY] = backup_json(settings.name, settings.backup)
    if material.chain is not None:
        files[contract.TLS_CHAIN] = material.chain
    return make(settings, files, material.secrets)


def make(settings: Settings, files: Mapping[str, bytes], secrets: Mapping[str, str]) -> Bundle:
    """`files` by their paths below the bundle's files/; `secrets` by the names of contract/bundle.py.

    Raises ValueError for a path that is not plain and relative, KeyError without a gateway token.
    """
    paths = sorted(archive.checked(path) for path in files)
    manifest = contract.Manifest(
        name=settings.name,
        digest="",
        files={path: hashlib.sha256(files[path]).hexdigest() for path in paths},
        secrets=contract.keyed_digests(secrets),
        workloads=[workload.name for workload in settings.workloads],
    )
    manifest = manifest.model_copy(update={"digest": manifest.digest_of_content()})
    entries = {contract.MANIFEST: Entry(manifest.model_dump_json(indent=1).encode())}
    entries |= {contract.FILES + path: Entry(files[path]) for path in paths}
    entries[contract.SECRETS] = Entry(json.dumps(dict(sorted(secrets.items()))).encode(), 0o600)
    return Bundle(manifest, archive.pack(entries))
