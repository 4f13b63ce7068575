"""The desk's Cloud at the lab's API, and a node's surroundings there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.model import Image, Label, Role, Server, ServerWanted
from tests.lab.served import LabApi

NAME = "office"


def cloud_at(api: LabApi, name: str = NAME, *, timeout: float = 5.0, **how: Any) -> Cloud:
    """Waits are a fiftieth as long as they say, so that tests are quick; the bounds stay what they are."""
    how.setdefault("pause", lambda seconds: time.sleep(seconds / 50))
    return Cloud(api.endpoint, api.token, name, timeout=timeout, **how)


def wanted(image: Image, name: str = "office-bake", role: str = Role.BAKE, **changes: Any) -> ServerWanted:
    values: dict[str, Any] = {
        "name": name,
        "server_type": "cx23",
        "location": "fsn1",
        "image_id": image.id,
        "user_data": "#cloud-config\n",
        "labels": {Label.ROLE: role},
    }
    return ServerWanted(**{**values, **changes})


def bake_server(cloud: Cloud, **changes: Any) -> Server:
    return cloud.create_server(wanted(cloud.base_image("debian-13", "x86"), **changes))


def verified_snapshot(cloud: Cloud, labels: Mapping[str, str] | None = None) -> Image:
    """One that a deploy takes; its server is gone."""
    key = cloud.ensure_ssh_key(f"{cloud.name}-bake", hostkeys.make().public, Role.BAKE)
    server = bake_server(cloud, name=f"{cloud.name}-bake", ssh_key_ids=(key,))
    cloud.shut_down(server.id, 5)
    made = cloud.create_snapshot(server.id, f"appliance {datetime.now(UTC)}", {Label.ROLE: Role.SNAPSHOT})
    cloud.delete_server(server.id)
    cloud.delete_ssh_key(key)
    verified = {Label.ROLE: Role.SNAPSHOT, Label.VERIFIED: "yes", Label.INPUTS: "abc"}
    return cloud.label_image(made.id, {**verified, **(labels or {})})
