"""/ssh_keys"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid, not_unique
from appliance.lab.api.resource import Answer, Body, Resource
from appliance.lab.api.views import time
from appliance.lab.records import SshKey

KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519", "sk-ecdsa-sha2-")


class Create(Body):
    name: str
    public_key: str
    labels: dict[str, str] = {}


def view(lab: Lab, key: SshKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "labels": key.labels,
        "created": time(key.created),
    }


def fingerprint(public_key: str) -> str:
    """MD5 with colons, as the API shows it. Raises invalid_input."""
    parts = public_key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error) as e:
        raise invalid("public_key", "SSH key is not valid") from e
    if not parts[0].startswith(KINDS) or parts[0].encode() not in blob[:60]:
        raise invalid("public_key", "SSH key is not valid")
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def create(lab: Lab, body: Create) -> Answer:
    print_ = fingerprint(body.public_key)
    if any(k.fingerprint == print_ for k in lab.state.ssh_keys.values()):
        raise not_unique("ssh_key", "fingerprint")
    key = SshKey(
        id=lab.store.new_id(),
        name=body.name,
        public_key=body.public_key.strip(),
        fingerprint=print_,
        labels=body.labels,
    )
    lab.state.ssh_keys[key.id] = key
    return SSH_KEYS.answer(lab, key, 201)


def delete(lab: Lab, key: SshKey) -> Answer:
    del lab.state.ssh_keys[key.id]
    return 204, None


def public_keys(lab: Lab, wanted: list[int | str]) -> list[str]:
    """Of the keys with these ids or names. Raises invalid_input."""
    found = []
    for one in wanted:
        fits = [k for k in lab.state.ssh_keys.values() if one in (k.id, str(k.id), k.name)]
        if not fits:
            raise ApiError(
                "invalid_input",
                f"invalid input in field 'ssh_keys': SSH key {one} not found",
                details={"fields": [{"name": "ssh_keys", "messages": [f"SSH key {one} not found"]}]},
            )
        found.append(fits[0].public_key)
    return found


SSH_KEYS = Resource(
    "ssh_key",
    "ssh_keys",
    table=lambda state: state.ssh_keys,
    view=view,
    create=(create, Create),
    delete=delete,
    filters={"fingerprint": lambda key, wanted: key.fingerprint in wanted},
    has_actions=False,
)
