"""After a killed daemon: machines outlive it, so the records are brought to what is, and work goes on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from appliance.lab.api.core import Lab
from appliance.lab.api.specs import machine_spec
from appliance.lab.api.wiring import make_network
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.records import Action, ActionError, now

log = logging.getLogger(__name__)

# Done again they would do harm: nobody knows whether they were done before.
NOT_TWICE = ("reboot_server", "reset_server", "shutdown_server")


async def recover(lab: Lab) -> None:
    """Lay wires again, see which machines run, fail or go on with the actions that were under way."""
    for network_id in list(lab.state.networks):
        await _tolerate(f"network {network_id}", make_network(lab, network_id))
    for server in list(lab.state.servers.values()):
        if server.status != "initializing":
            await _tolerate(f"server {server.id}", _see(lab, server.id))
    resume(lab)
    lab.store.save()


async def _see(lab: Lab, server_id: int) -> None:
    server = lab.state.servers[server_id]
    on = ("server", server_id)
    await lab.do(on, lab.hardware.rewire, machine_spec(lab.state, server))
    if server.status not in ("deleting", "rebuilding"):
        running = await lab.do(on, lab.hardware.running, server_id)
        if server.status == "running" and not running:
            log.warning("server %s is off: its machine did not outlive what ended the daemon", server.name)
        server.status = "running" if running else "off"


def resume(lab: Lab) -> None:
    chains: dict[int, list[Action]] = {}
    for action in lab.state.actions.values():
        if action.status != "running":
            continue
        if action.command in NOT_TWICE:
            action.status, action.finished, action.progress = "error", now(), 100
            action.error = ActionError(
                code="action_failed", message="the lab's daemon ended while this was under way"
            )
        else:
            chains.setdefault(action.chain, []).append(action)
    for chain in chains.values():
        lab.start(*chain)


async def _tolerate(what: str, work: Awaitable[None]) -> None:
    """One broken machine does not keep the lab down."""
    try:
        await work
    except HardwareTrouble as e:
        log.error("%s: %s", what, e)
