"""What a node stands in at the cloud, and a server that is to be one: for deploy and restore alike."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.model import Image, Label, Role, ServerWanted
from appliance.desk.plan import FIRST_NODE, Wanted


def ensure_part(cloud: Cloud, wanted: Wanted, kind: str) -> int:
    """Make or mend one of plan.PARTS; its id."""
    settings, name = wanted.settings, wanted.part_name(kind)
    match kind:
        case "network":
            network = settings.network
            return cloud.ensure_network(name, network.ip_range, network.subnet, settings.location).id
        case "placement_group":
            return cloud.ensure_placement_group(name).id
        case "firewall":
            return cloud.ensure_firewall(name, wanted.firewall_rules).id
        case "ssh_key":
            return cloud.ensure_ssh_key(name, wanted.public_key, Role.SSH_KEY)
        case "primary_ip":
            return cloud.ensure_primary_ip(name, settings.location).id
    raise AssertionError(f"no part of the surroundings: {kind}")


def node_server(wanted: Wanted, name: str, role: Role, image: Image, ids: Mapping[str, int]) -> ServerWanted:
    """With a first host key of its own. `ids` of all plan.PARTS."""
    first = hostkeys.make()
    return ServerWanted(
        name=name,
        server_type=wanted.settings.server_type,
        location=wanted.settings.location,
        image_id=image.id,
        user_data=hostkeys.user_data(first),
        labels={
            Label.ROLE: role,
            Label.NODE: FIRST_NODE,
            Label.FIRST_HOST_KEY: hostkeys.to_label(first.public),
        },
        ssh_key_ids=(ids["ssh_key"],),
        firewall_ids=(ids["firewall"],),
        network_ids=(ids["network"],),
        placement_group_id=ids["placement_group"],
        primary_ip_id=ids["primary_ip"],
    )
