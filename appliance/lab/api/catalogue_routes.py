"""What is only looked at: locations, types of servers and load balancers, ISOs, prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from appliance.lab.api import catalogue
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, not_found
from appliance.lab.api.paging import sort
from appliance.lab.api.resource import LAB, paged

Item = catalogue.Location | catalogue.ServerType | catalogue.LoadBalancerType


def show_server_type(lab: Lab, of: catalogue.ServerType) -> dict[str, Any]:
    available = frozenset(at for at in of.locations if not lab.faults.sold_out(of.name, at))
    return catalogue.server_type_view(of, available)


@dataclass(frozen=True)
class Shelf:
    """One kind of thing that is only looked at."""

    singular: str
    plural: str
    items: Mapping[str, Any]
    view: Callable[[Lab, Any], dict[str, Any]]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"/v1/{self.plural}", self._list),
            web.get(f"/v1/{self.plural}/{{id:\\d+}}", self._get),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        lab, query = request.app[LAB], request.query
        items = [i for i in self.items.values() if query.get("name", i.name) == i.name]
        if "architecture" in query and self.plural == "server_types":
            items = [i for i in items if i.architecture == query["architecture"]]
        items = sort(items, query.getall("sort", []), ("id", "name"))
        return paged(request, self.plural, items, lambda i: self.view(lab, i))

    async def _get(self, request: web.Request) -> web.Response:
        id_ = int(request.match_info["id"])
        for item in self.items.values():
            if item.id == id_:
                return web.json_response({self.singular: self.view(request.app[LAB], item)})
        raise not_found(self.singular, id_)


def _location(lab: Lab, of: catalogue.Location) -> dict[str, Any]:
    return catalogue.location_view(of.name)


def _load_balancer_type(lab: Lab, of: catalogue.LoadBalancerType) -> dict[str, Any]:
    return catalogue.load_balancer_type_view(of)


SHELVES = (
    Shelf("location", "locations", catalogue.LOCATIONS, _location),
    Shelf("server_type", "server_types", catalogue.SERVER_TYPES, show_server_type),
    Shelf("load_balancer_type", "load_balancer_types", catalogue.LOAD_BALANCER_TYPES, _load_balancer_type),
    Shelf("iso", "isos", {}, lambda lab, iso: {}),  # the lab has none
)


async def pricing(request: web.Request) -> web.Response:
    return web.json_response({"pricing": PRICING})


def _typed(of: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": t.id,
            "name": t.name,
            "prices": catalogue.prices(t.monthly, getattr(t, "locations", catalogue.EVERYWHERE)),
        }
        for t in of.values()
    ]


def _addresses(monthly: Mapping[str, float], *, hourly: bool) -> list[dict[str, Any]]:
    found = []
    for kind, net in monthly.items():
        entries = catalogue.prices(net, catalogue.EVERYWHERE, traffic=False)
        if not hourly:
            entries = [{k: v for k, v in e.items() if k != "price_hourly"} for e in entries]
        found.append({"type": kind, "prices": entries})
    return found


PRICING = {
    "currency": catalogue.CURRENCY,
    "vat_rate": f"{catalogue.VAT * 100:.2f}",
    "primary_ips": _addresses(catalogue.PRIMARY_IP, hourly=True),
    "floating_ips": _addresses(catalogue.FLOATING_IP, hourly=False),
    "floating_ip": {"price_monthly": catalogue.price(catalogue.FLOATING_IP["ipv4"])},
    "image": {"price_per_gb_month": catalogue.price(catalogue.IMAGE_GB)},
    "volume": {"price_per_gb_month": catalogue.price(catalogue.VOLUME_GB)},
    "server_backup": {"percentage": catalogue.BACKUP_PERCENT},
    "server_types": _typed(catalogue.SERVER_TYPES),
    "load_balancer_types": _typed(catalogue.LOAD_BALANCER_TYPES),
}


async def datacenters(request: web.Request) -> web.Response:
    raise ApiError("deprecated_api_endpoint", "datacenters are gone: use locations")


def routes() -> list[web.RouteDef]:
    found = [route for shelf in SHELVES for route in shelf.routes()]
    return [
        *found,
        web.get("/v1/pricing", pricing),
        web.get("/v1/datacenters", datacenters),
        web.get("/v1/datacenters/{id}", datacenters),
    ]
