"""The metadata service that servers ask at 169.254.169.254, see docs.hetzner.cloud, "Server Metadata".

A server is known by the address it asks from. Nothing here is secret to any process on that server.
"""

from __future__ import annotations

from typing import Any

import yaml
from aiohttp import web

from appliance.lab.api.addresses import gateway
from appliance.lab.api.catalogue import LOCATIONS
from appliance.lab.api.core import Lab
from appliance.lab.api.specs import primary_ip
from appliance.lab.records import Server, State

LAB = web.AppKey("lab", Lab)


def metadata_app(lab: Lab) -> web.Application:
    app = web.Application()
    app[LAB] = lab
    app.add_routes(
        [
            web.get("/hetzner/v1/metadata", _all),
            web.get("/hetzner/v1/metadata/{key}", _one),
            web.get("/hetzner/v1/userdata", _user_data),
            # as Hetzner has it for clouds' common tools
            web.get("/2009-04-04/meta-data/{key}", _one),
            web.get("/2009-04-04/user-data", _user_data),
        ]
    )
    return app


def metadata(state: State, server: Server) -> dict[str, Any]:
    """Keys as on Hetzner. `network-config` names the public NIC only: private ones are up to the image."""
    ipv4, ipv6 = primary_ip(state, server.id, "ipv4"), primary_ip(state, server.id, "ipv6")
    subnets: list[dict[str, Any]] = [{"ipv4": True, "type": "dhcp"}] if ipv4 else []
    if ipv6:
        address = ipv6.ip.replace("::/64", "::1/64")
        subnets.append({"ipv6": True, "type": "static", "address": address, "gateway": "fe80::1"})
    nic = {"type": "physical", "name": "eth0", "mac_address": server.mac, "subnets": subnets}
    return {
        "availability-zone": f"{server.location}-dc1",
        "hostname": server.name,
        "instance-id": server.id,
        "local-ipv4": "",
        "network-config": {"version": 1, "config": [nic]},
        "public-ipv4": ipv4.ip if ipv4 else "",
        "public-keys": list(server.ssh_keys),
        "region": LOCATIONS[server.location].network_zone,
        "vendor_data": "#cloud-config\n{}\n",
    }


def private_networks(state: State, server: Server) -> list[dict[str, Any]]:
    return [
        {
            "ip": nic.ip,
            "alias_ips": list(nic.alias_ips),
            "interface_num": number,
            "mac_address": nic.mac,
            "network_id": nic.network,
            "network_name": state.networks[nic.network].name,
            "network": state.networks[nic.network].ip_range,
            "gateway": gateway(state.networks[nic.network]),
        }
        for number, nic in enumerate(server.private, 1)
    ]


def server_at(state: State, address: str) -> Server | None:
    for ip in state.primary_ips.values():
        if ip.ip == address and ip.assignee_id:
            return state.servers.get(ip.assignee_id)
    for server in state.servers.values():
        if any(nic.ip == address for nic in server.private):
            return server
    return None


def _asking(request: web.Request) -> tuple[State, Server]:
    state = request.app[LAB].state
    server = server_at(state, request.remote or "")
    if server is None:
        raise web.HTTPNotFound(text="no server has this address\n")
    return state, server


async def _all(request: web.Request) -> web.Response:
    return web.Response(text=yaml.safe_dump(metadata(*_asking(request))))


async def _one(request: web.Request) -> web.Response:
    state, server = _asking(request)
    key = request.match_info["key"]
    if key == "private-networks":
        return web.Response(text=yaml.safe_dump(private_networks(state, server)))
    found = metadata(state, server)
    if key not in found:
        raise web.HTTPNotFound(text="no such key\n")
    if isinstance(found[key], str | int):
        return web.Response(text=str(found[key]))
    return web.Response(text=yaml.safe_dump(found[key]))


async def _user_data(request: web.Request) -> web.Response:
    _, server = _asking(request)
    return web.Response(text=server.user_data)  # empty is not missing: cloud-init would wait for it
