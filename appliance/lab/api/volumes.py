"""/volumes, in the books only: the lab's machines have no second disk, and see nothing of an attached one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from appliance.lab.api.catalogue import location_view
from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.primary_ips import location_for
from appliance.lab.api.references import named
from appliance.lab.api.resource import Answer, Body, Operation, Resource, done
from appliance.lab.api.views import action_view, time
from appliance.lab.records import Server, Volume

SMALLEST, LARGEST = 10, 10240  # GB
MOST_PER_SERVER = 16


class Create(Body):
    name: str
    size: int = Field(ge=SMALLEST, le=LARGEST)
    labels: dict[str, str] = {}
    automount: bool | None = None
    format: Literal["ext4", "xfs"] | None = None
    location: str | int | None = None
    server: int | None = None


class Attach(Body):
    server: int
    automount: bool | None = None


class Resize(Body):
    size: int = Field(ge=SMALLEST, le=LARGEST)


def view(lab: Lab, volume: Volume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "created": time(volume.created),
        "name": volume.name,
        "server": volume.server,
        "location": location_view(volume.location),
        "size": volume.size,
        "linux_device": f"/dev/disk/by-id/scsi-0HC_Volume_{volume.id}",
        "protection": {"delete": volume.protected},
        "labels": volume.labels,
        "status": volume.status,
        "format": volume.format,
    }


def create(lab: Lab, body: Create) -> Answer:
    server = _server(lab, body.server) if body.server is not None else None
    location = location_for(server, "location", body.location)
    volume = Volume(
        id=lab.store.new_id(),
        name=body.name,
        size=body.size,
        location=location,
        format=body.format,
        labels=body.labels,
        server=server.id if server else None,
    )
    lab.state.volumes[volume.id] = volume
    action = lab.finished("create_volume", ("volume", volume.id))
    following = [_attached(lab, volume)] if server else []
    return VOLUMES.answer(lab, volume, 201, action=action_view(action), next_actions=following)


def _server(lab: Lab, server_id: int) -> Server:
    server = named(lab.state.servers, "server", "server", server_id)
    lab.refuse_if_locked(("server", server_id))
    if sum(v.server == server_id for v in lab.state.volumes.values()) >= MOST_PER_SERVER:
        raise ApiError(
            "resource_limit_exceeded",
            f"a server has at most {MOST_PER_SERVER} volumes",
            details={"limits": [{"name": "volumes_per_server"}]},
        )
    return server


def _attached(lab: Lab, volume: Volume) -> dict[str, Any]:
    refs = (("volume", volume.id), ("server", volume.server or 0))
    return action_view(lab.finished("attach_volume", *refs))


def attach(lab: Lab, volume: Volume, body: Attach) -> Answer:
    if volume.server is not None:
        raise ApiError("volume_already_attached", "volume is already attached", status=422)
    server = _server(lab, body.server)
    if server.location != volume.location:
        raise invalid("server", "server and volume must be in the same location")
    volume.server = server.id
    return 201, {"action": _attached(lab, volume)}


def detach(lab: Lab, volume: Volume, body: Body) -> Answer:
    if volume.server is None:
        raise ApiError("volume_not_attached", "volume is not attached", status=422)
    refs = (("volume", volume.id), ("server", volume.server))
    volume.server = None
    return done(lab, "detach_volume", *refs)


def resize(lab: Lab, volume: Volume, body: Resize) -> Answer:
    if body.size <= volume.size:
        raise invalid("size", "a volume can only grow")
    volume.size = body.size
    return done(lab, "resize_volume", ("volume", volume.id))


def delete(lab: Lab, volume: Volume) -> Answer:
    if volume.server is not None:
        raise ApiError("volume_attached", "volume must be detached first", status=422)
    del lab.state.volumes[volume.id]
    return 204, None


VOLUMES = Resource(
    "volume",
    "volumes",
    table=lambda state: state.volumes,
    view=view,
    create=(create, Create),
    delete=delete,
    filters={"status": lambda volume, wanted: volume.status in wanted},
    protects=True,
    operations={
        "attach": Operation(attach, Attach),
        "detach": Operation(detach),
        "resize": Operation(resize, Resize),
    },
)
