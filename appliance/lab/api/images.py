"""/images: the lab's base image, and the snapshots and backups made of servers."""

from __future__ import annotations

from typing import Any, Literal

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.resource import Answer, Rename, Resource
from appliance.lab.api.views import time
from appliance.lab.records import Action, Image


class Update(Rename):
    description: str | None = None
    type: Literal["snapshot"] | None = None


def view(lab: Lab, image: Image) -> dict[str, Any]:
    source = image.created_from
    return {
        "id": image.id,
        "type": image.type,
        "status": image.status,
        "name": image.name,
        "description": image.description,
        "image_size": image.image_size,
        "disk_size": image.disk_size,
        "created": time(image.created),
        "created_from": {"id": source[0], "name": source[1]} if source else None,
        "bound_to": image.bound_to,
        "os_flavor": image.os_flavor,
        "os_version": image.os_version,
        "rapid_deploy": image.rapid_deploy,
        "protection": {"delete": image.protected},
        "deprecated": None,
        "deleted": None,
        "labels": image.labels,
        "architecture": image.architecture,
    }


def updated(lab: Lab, image: Image, body: Update) -> None:
    image.name = None if image.type != "system" else image.name
    if body.description is not None:
        image.description = body.description
    if body.type and image.type == "backup":
        image.type, image.bound_to = "snapshot", None


def delete(lab: Lab, image: Image) -> Answer:
    if image.type == "system":
        raise ApiError("forbidden", "system images cannot be deleted")
    forget(lab, image)
    return 204, None


def forget(lab: Lab, image: Image) -> None:
    """The image goes at once; its layer as soon as no disk stands on it, which the hardware knows."""
    lab.state.images.pop(image.id, None)
    lab.start(lab.action("delete_layer", args={"layer": image.layers[-1]}, hidden=True))


def find(lab: Lab, wanted: int | str, architecture: str) -> Image:
    """By id, or by name for system images. Raises invalid_input."""
    for image in lab.state.images.values():
        if wanted in (image.id, str(image.id)) or (
            image.name == wanted and image.architecture == architecture
        ):
            return image
    raise invalid("image", f"image {wanted} not found")


async def perform_delete_layer(lab: Lab, action: Action) -> None:
    await lab.do(("layer", 0), lab.hardware.delete_layer, action.args["layer"])


IMAGES = Resource(
    "image",
    "images",
    table=lambda state: state.images,
    view=view,
    update=Update,
    updated=updated,
    delete=delete,
    filters={
        "type": lambda image, wanted: image.type in wanted,
        "status": lambda image, wanted: image.status in wanted,
        "bound_to": lambda image, wanted: str(image.bound_to) in wanted,
        "architecture": lambda image, wanted: image.architecture in wanted,
    },
    protects=True,
    performers={"delete_layer": perform_delete_layer},
)
