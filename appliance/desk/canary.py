"""Each provider asked directly from the node, with the key that the node has."""

from __future__ import annotations

from pydantic import ValidationError

from appliance.contract.drill import Canaries
from appliance.contract.trouble import NodeTrouble
from appliance.desk.node_account import NODE
from appliance.desk.remote import Shell

SECONDS = 90  # the router's own bound is 30 for all of them, side by side


def canary(shell: Shell) -> Canaries:
    """Costs a short question per provider and model. Raises NodeTrouble."""
    said = shell.check([NODE, "canary"], timeout=SECONDS)
    try:
        return Canaries.model_validate_json(said)
    except ValidationError as error:
        raise NodeTrouble(
            f"What the canaries of {shell.host} say cannot be read.",
            why=str(error),
            fix="The node was baked by another version of this command: `appliance build`, then deploy anew.",
        ) from error
