"""The router's own copies of its policy and the providers' keys, in memory: from the bundle in force.

Nobody else on the node holds a provider's key in clear, the gateway neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from appliance.contract import bundle
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node.system import Paths, decrypt, write

POLICY = "policy.json"
KEYS = "keys.json"
CREDENTIAL = "router"  # one JSON object: {name of the bundle's secret: key}
OWNER = "appliance-router"


def keys(secrets: Mapping[str, str]) -> dict[str, str]:
    """Those of a bundle's secrets that the router holds, and nobody else."""
    return {name: value for name, value in secrets.items() if name.startswith(bundle.PROVIDER)}


def put(paths: Paths = Paths()) -> None:  # noqa: B008 - frozen
    """Both files. Raises NodeTrouble when the keys do not open on this machine."""
    clear = decrypt(CREDENTIAL, paths.current / "credentials" / f"{CREDENTIAL}.cred")
    if clear is None:
        raise NodeTrouble("The providers' keys do not open on this machine.", fix="Push them again.")
    write(paths.router / KEYS, clear, 0o400, OWNER)
    policy = (paths.current / bundle.FILES / bundle.ROUTER_POLICY).read_bytes()
    write(paths.router / POLICY, policy, 0o400, OWNER)


def judge(files: Mapping[str, bytes], secrets: Mapping[str, str]) -> None:
    """A bundle that came. Raises NodeTrouble: it has no policy, or no usable key for a provider."""
    try:
        policy = RouterPolicy.model_validate_json(files[bundle.ROUTER_POLICY])
    except KeyError:
        raise NodeTrouble("The router refuses the bundle.", why=f"no {bundle.ROUTER_POLICY}") from None
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise NodeTrouble("The router refuses the policy.", why="\n".join(wrong)) from None
    held = keys(secrets)
    for name, provider in sorted(policy.providers.items()):
        key = held.get(provider.credential, "").strip()
        if not key:
            raise NodeTrouble("The router refuses the bundle.", why=f"provider {name} has no key")
        if not (key.isascii() and key.isprintable()):
            raise NodeTrouble("The router refuses the bundle.", why=f"no HTTP header can carry {name}'s key")


def policy_in_force(paths: Paths) -> RouterPolicy | None:
    """None: no bundle is in force, or one is being switched."""
    try:
        return RouterPolicy.model_validate_json(
            (paths.current / bundle.FILES / bundle.ROUTER_POLICY).read_bytes()
        )
    except (OSError, ValidationError):
        return None


def as_credential(secrets: Mapping[str, str]) -> bytes:
    return json.dumps(keys(secrets)).encode()
