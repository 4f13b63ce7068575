"""The gateway's own copies of its config and secrets, in memory: from the bundle in force.

Copies, since OpenClaw does not see a switched link behind its config, and takes a file of secrets only when
it is its own and closed to all others. The old secrets end with the rename: systemd gives the unit no
credential, which would stay as it was below /run/credentials until the next start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from appliance.contract import bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import Paths, decrypt, write

CONFIG = "openclaw.json"
SECRETS = "secrets.json"
CREDENTIAL = "openclaw"  # one JSON object: OpenClaw reads secrets by pointers into a file
OWNER = "openclaw"


def put(paths: Paths = Paths()) -> None:  # noqa: B008 - frozen
    """Both, before the gateway starts."""
    put_secrets(paths)
    put_config(paths)


def put_config(paths: Paths) -> None:
    write(paths.gateway / CONFIG, (paths.current / bundle.FILES / CONFIG).read_bytes(), 0o400, OWNER)


def put_secrets(paths: Paths) -> None:
    """Raises NodeTrouble when they do not open on this machine."""
    clear = decrypt(CREDENTIAL, paths.current / "credentials" / f"{CREDENTIAL}.cred")
    if clear is None:
        raise NodeTrouble("The gateway's secrets do not open on this machine.", fix="Push them again.")
    write(paths.gateway / SECRETS, clear, 0o400, OWNER)


def as_credential(secrets: Mapping[str, str]) -> bytes:
    """Of a bundle's secrets the gateway gets its own token; providers' keys are the router's."""
    return json.dumps({bundle.GATEWAY_TOKEN: secrets[bundle.GATEWAY_TOKEN]}).encode()


def token(paths: Paths) -> str:
    """The gateway token of the copy. Raises NodeTrouble when there is none."""
    try:
        held: dict[str, Any] = json.loads((paths.gateway / SECRETS).read_bytes())
        return str(held[bundle.GATEWAY_TOKEN])
    except (OSError, ValueError, KeyError) as error:
        raise NodeTrouble("The gateway has no secrets.", why=type(error).__name__) from None
