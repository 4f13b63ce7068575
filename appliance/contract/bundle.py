"""A bundle: one version of config and secrets, named by its digest, the same on every node.

It travels over SSH as a tar stream: `manifest.json`, `files/...` at their paths below the bundle's
folder, and `secrets.json` ({name: value}) last. The node keeps the files readable, the secrets only
as systemd-creds encrypted files.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FORMAT = 1
MANIFEST = "manifest.json"
FILES = "files/"
SECRETS = "secrets.json"

BUNDLES = "/etc/appliance/bundles"  # BUNDLES/<digest>/{manifest.json,files/...,credentials/*.cred}
CURRENT = "/etc/appliance/current"  # symbolic link to the bundle in force, switched at once


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str  # the appliance
    digest: str  # sha256 hex of everything below
    files: dict[str, str]  # path -> sha256 of its content
    secrets: dict[str, str]  # name -> keyed digest of its value, see desk/bundle.py
    workloads: list[str]
