"""GET /networks/{id}/members: who is in a network, and whether the wire is there yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network

from aiohttp import web

from appliance.lab.api.core import Lab
from appliance.lab.api.networks import NETWORKS
from appliance.lab.api.paging import sort
from appliance.lab.api.resource import LAB, paged
from appliance.lab.records import Network, PrivateNic


@dataclass(frozen=True)
class Member:
    id: int
    type: str
    ip: str
    alias_ips: list[str]
    subnet: str
    status: str


async def show(request: web.Request) -> web.Response:
    lab, query = request.app[LAB], request.query
    network = NETWORKS.find(lab, int(request.match_info["id"]))
    found = members(lab, network)
    for name in ("type", "status", "subnet"):
        if wanted := query.getall(name, []):
            found = [m for m in found if getattr(m, name) in wanted]
    found = sort(found, query.getall("sort", []), ("id", "type", "status", "ip"))
    return paged(request, "members", found, asdict)


def members(lab: Lab, network: Network) -> list[Member]:
    owners = [("server", s.id, s.private) for s in lab.state.servers.values()]
    owners += [("load_balancer", b.id, b.private) for b in lab.state.load_balancers.values()]
    return [
        _member(lab, network, kind, id_, nic)
        for kind, id_, nics in owners
        for nic in nics
        if nic.network == network.id
    ]


def _member(lab: Lab, network: Network, kind: str, id_: int, nic: PrivateNic) -> Member:
    subnet = next(s.ip_range for s in network.subnets if IPv4Address(nic.ip) in IPv4Network(s.ip_range))
    status = "ok"
    if lab.under_way("attach_to_network", (kind, id_), ("network", network.id)):
        status = "attaching"
    elif lab.under_way("change_alias_ips", (kind, id_), ("network", network.id)):
        status = "updating"
    return Member(id_, kind, nic.ip, list(nic.alias_ips), subnet, status)


def routes() -> list[web.RouteDef]:
    return [web.get("/v1/networks/{id:\\d+}/members", show)]
