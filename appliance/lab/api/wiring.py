"""Bringing machines' wires to what the state says: shared by all that changes addresses or firewalls."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.lab.api.core import Lab
from appliance.lab.api.specs import machine_spec
from appliance.lab.records import Action


async def rewire(lab: Lab, server_id: int) -> None:
    """Networks first, since a wire needs its network."""
    server = lab.state.servers.get(server_id)
    if server is None or server.status in ("initializing", "deleting"):
        return  # its create reads the state when it comes to it
    for nic in server.private:
        await make_network(lab, nic.network)
    await lab.do(("server", server_id), lab.hardware.rewire, machine_spec(lab.state, server))


async def make_network(lab: Lab, network_id: int) -> None:
    network = lab.state.networks.get(network_id)
    if network is not None:
        routes = tuple((r.destination, r.gateway) for r in network.routes)
        on = ("network", network_id)
        await lab.do(on, lab.hardware.create_network, network_id, network.ip_range, routes)


async def perform_rewire(lab: Lab, action: Action) -> None:
    """Of any action that changed the state at once and left the wires to be brought after it."""
    for server_id in action.args.get("servers", []):
        await rewire(lab, server_id)


def rewiring(servers: Iterable[int]) -> dict[str, list[int]]:
    """The args of an action that perform_rewire performs."""
    return {"servers": sorted(set(servers))}
