"""The node's own account of itself, read over SSH."""

from __future__ import annotations

import time

from pydantic import ValidationError

from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import NodeTrouble
from appliance.desk.progress import Progress
from appliance.desk.remote import Shell

NODE = "appliance-node"  # the one command that a node has for its desk
GATEWAY_SECONDS = 120  # from a start to ready, on a slow day


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


def await_gateway(shell: Shell, progress: Progress) -> None:
    """One that starts right now takes half a minute; asked before, it proves nothing. Raises NodeTrouble."""
    with progress.step("Wait for the gateway") as step:
        until = time.monotonic() + GATEWAY_SECONDS
        while (state := read_report(shell).gateway) != "ready":
            if state == "failed" or time.monotonic() > until:
                raise NodeTrouble(
                    "The gateway has not become ready.",
                    why=f"it is {state}",
                    fix="`appliance status` tells more; on the node: journalctl -u openclaw",
                )
            step.update(state)
            time.sleep(1)
