"""The node's own account of itself, read over SSH."""

from __future__ import annotations

from pydantic import ValidationError

from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import NodeTrouble
from appliance.desk.remote import Shell

NODE = "appliance-node"  # the one command that a node has for its desk


def read_report(shell: Shell) -> NodeReport:
    """The node's own account of itself. Raises NodeTrouble."""
    said = shell.check([NODE, "report"], timeout=30)
    try:
        return NodeReport.model_validate_json(said)
    except ValidationError as error:
        raise NodeTrouble(
            f"The report of {shell.host} cannot be read.",
            why=str(error),
            fix="The node was baked by another version of this command: `appliance build`, then deploy anew.",
        ) from error
