"""SSH host keys without a file at the desk: an ed25519 public key is 32 bytes, which fit in a label. Pure.

The first key is made here and goes to the server by user-data, so that even the first contact is
pinned. User-data is readable on the server, so that key is trusted only until the node has made its
lasting one, whose public half stands in another label from then on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.desk.model import Label

ALGORITHM = "ssh-ed25519"
# RFC 8709 section 4: string "ssh-ed25519", string key; both lengths are four bytes, big endian.
_PREFIX = len(ALGORITHM).to_bytes(4, "big") + ALGORITHM.encode() + (32).to_bytes(4, "big")


@dataclass(frozen=True)
class HostKey:
    public: str  # "ssh-ed25519 AAAA…", without a comment
    private: str = field(repr=False)  # OpenSSH PEM


def make() -> HostKey:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return HostKey(public.decode(), private.decode())


def to_label(public: str) -> str:
    """52 characters of base32 for an OpenSSH public key line. ValueError where it is no ed25519 key."""
    words = public.split()
    if len(words) < 2 or words[0] != ALGORITHM:
        raise ValueError(f"not an {ALGORITHM} public key: {public[:40]!r}")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {words[1][:40]!r}") from error
    if not blob.startswith(_PREFIX) or len(blob) != len(_PREFIX) + 32:
        raise ValueError(f"not an {ALGORITHM} public key: {public[:40]!r}")
    return base64.b32encode(blob[len(_PREFIX) :]).decode().rstrip("=")


def from_label(label: str) -> str:
    """The OpenSSH public key line. ValueError where the label is none of ours."""
    try:
        raw = base64.b32decode(label + "=" * (-len(label) % 8))
    except binascii.Error as error:
        raise ValueError(f"not a host key label: {label!r}") from error
    if len(raw) != 32:
        raise ValueError(f"not a host key label: {label!r}")
    return f"{ALGORITHM} {base64.b64encode(_PREFIX + raw).decode()}"


def accepted(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The public keys that a server with these labels may show, the lasting one first."""
    keys = (labels.get(Label.HOST_KEY), labels.get(Label.FIRST_HOST_KEY))
    return tuple(from_label(key) for key in keys if key)


def known_hosts(host: str, keys: Sequence[str]) -> str:
    """Lines of a known_hosts file that pin `host` to `keys`."""
    return "".join(f"{host} {key}\n" for key in keys)


def user_data(key: HostKey) -> str:
    """A cloud-config that gives the server its first host key (docs.cloud-init.io, module "SSH")."""
    private = "".join(f"    {line}\n" for line in key.private.splitlines())
    return (
        "#cloud-config\n"
        "ssh_deletekeys: true\n"
        "ssh_keys:\n"
        "  ed25519_private: |\n"
        f"{private}"
        f"  ed25519_public: {key.public}\n"
    )
