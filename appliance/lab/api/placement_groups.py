"""/placement_groups"""

from __future__ import annotations

from typing import Any, Literal

from appliance.lab.api.core import Lab
from appliance.lab.api.errors import ApiError
from appliance.lab.api.references import named
from appliance.lab.api.resource import Answer, Body, Resource
from appliance.lab.api.views import time
from appliance.lab.records import PlacementGroup

MOST_SERVERS = 10


class Create(Body):
    name: str
    type: Literal["spread"]
    labels: dict[str, str] = {}


def members(lab: Lab, group_id: int) -> list[int]:
    return [s.id for s in lab.state.servers.values() if s.placement_group == group_id]


def view(lab: Lab, group: PlacementGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "labels": group.labels,
        "type": group.type,
        "created": time(group.created),
        "servers": members(lab, group.id),
    }


def create(lab: Lab, body: Create) -> Answer:
    group = PlacementGroup(id=lab.store.new_id(), name=body.name, labels=body.labels)
    lab.state.placement_groups[group.id] = group
    return PLACEMENT_GROUPS.answer(lab, group, 201, action=None)


def delete(lab: Lab, group: PlacementGroup) -> Answer:
    """Its servers stay, ungrouped."""
    for server_id in members(lab, group.id):
        lab.state.servers[server_id].placement_group = None
    del lab.state.placement_groups[group.id]
    return 204, None


def refuse_if_full(lab: Lab, group_id: int) -> None:
    """Raises invalid_input, placement_error."""
    named(lab.state.placement_groups, "placement_group", "placement group", group_id)
    if len(members(lab, group_id)) >= MOST_SERVERS:
        raise ApiError("placement_error", f"a spread placement group holds {MOST_SERVERS} servers")


PLACEMENT_GROUPS = Resource(
    "placement_group",
    "placement_groups",
    table=lambda state: state.placement_groups,
    view=view,
    create=(create, Create),
    delete=delete,
    filters={"type": lambda group, wanted: group.type in wanted},
    has_actions=False,
)
