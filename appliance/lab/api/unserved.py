"""What the real API has and the lab does not: answered 501, so that nobody takes it for a missing object."""

from __future__ import annotations

from aiohttp import web

from appliance.lab.api.errors import beyond_the_lab

FAMILIES = {"zones": "DNS", "storage_boxes": "Storage Boxes", "storage_box_types": "Storage Boxes"}
OPERATIONS = {
    "GET /servers/{id}/metrics": "Metrics",
    "POST /servers/{id}/actions/request_console": "The web console",
    "POST /servers/{id}/actions/enable_rescue": "The rescue system",
    "POST /servers/{id}/actions/disable_rescue": "The rescue system",
    "POST /servers/{id}/actions/attach_iso": "ISO images",
    "POST /servers/{id}/actions/detach_iso": "ISO images",
    "GET /load_balancers/{id}/metrics": "Metrics",
}


def routes() -> list[web.RouteDef]:
    found = [web.route(*_split(line), _refuse(what)) for line, what in OPERATIONS.items()]
    for family, what in FAMILIES.items():
        found.append(web.route("*", f"/v1/{family}", _refuse(what)))
        found.append(web.route("*", f"/v1/{family}/{{rest:.*}}", _refuse(what)))
    return found


def _split(line: str) -> tuple[str, str]:
    method, path = line.split()
    return method, f"/v1{path}"


def _refuse(what: str):  # type: ignore[no-untyped-def]
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise beyond_the_lab(what)

    return refuse
