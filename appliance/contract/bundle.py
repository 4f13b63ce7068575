"""A bundle: one version of config and secrets, named by its digest, the same on every node.

It travels over SSH as a tar stream: `manifest.json`, `files/...` at their paths below the bundle's
folder, and `secrets.json` ({name: value}) last. The node keeps the files readable, the secrets only
as systemd-creds encrypted files.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

FORMAT = 1
MANIFEST = "manifest.json"
FILES = "files/"
SECRETS = "secrets.json"

# Names of secrets, not secrets.
GATEWAY_TOKEN = "gateway-token"  # noqa: S105
TLS_KEY = "tls-key"  # only where the certificate comes from files
PROVIDER = "provider-"  # + the provider's name: its API key
TLS_CHAIN = "tls-chain.pem"  # the file that goes with TLS_KEY
ROUTER_POLICY = "router.json"  # the file that the router reads: a RouterPolicy

BUNDLES = "/etc/appliance/bundles"  # BUNDLES/<digest>/{manifest.json,files/...,credentials/*.cred}
CURRENT = "/etc/appliance/current"  # symbolic link to the bundle in force, switched at once


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str  # the appliance
    digest: str  # sha256 hex of everything below
    files: dict[str, str]  # path below FILES -> sha256 hex of its content
    secrets: dict[str, str]  # name -> keyed_digest of its value
    workloads: list[str]

    def digest_of_content(self) -> str:
        """What `digest` must be."""
        content = self.model_dump(exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def keyed_digests(secrets: Mapping[str, str]) -> dict[str, str]:
    """HMAC-SHA256 of each secret, so that a manifest tells of a change but gives nothing to guess at.

    The key is derived from the gateway token, which every bundle holds and nobody can guess.
    """
    key = hmac.digest(secrets[GATEWAY_TOKEN].encode(), b"appliance bundle, secrets", "sha256")
    return {
        name: hmac.new(key, f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()
        for name, value in sorted(secrets.items())
    }
