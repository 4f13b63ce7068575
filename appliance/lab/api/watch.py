"""Looking after machines that change by themselves: one that was shut down goes off in its own time."""

from __future__ import annotations

import asyncio
import logging

from appliance.lab.api.balancers import follow
from appliance.lab.api.core import Lab
from appliance.lab.hardware import HardwareTrouble

log = logging.getLogger(__name__)

EVERY = 0.2  # seconds


async def watch(lab: Lab) -> None:
    while True:
        await asyncio.sleep(EVERY)
        try:
            await follow(lab)
        except HardwareTrouble as e:
            log.warning("load balancers: %s", e)
        for server_id in list(lab.state.servers):
            try:
                await look(lab, server_id)
            except HardwareTrouble as e:
                log.warning("server %s: %s", server_id, e)


async def look(lab: Lab, server_id: int) -> None:
    """Bring the status of a server nobody works on to what its machine is."""
    server = lab.state.servers.get(server_id)
    if server is None or server.status not in ("running", "off") or lab.holder(("server", server_id)):
        return
    running = await lab.do(("server", server_id), lab.hardware.running, server_id)
    status = "running" if running else "off"
    if server.status != status and lab.holder(("server", server_id)) is None:
        server.status = status
        lab.store.save()
