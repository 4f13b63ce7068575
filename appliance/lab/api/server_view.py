"""A server as the API shows it."""

from __future__ import annotations

from typing import Any

from appliance.lab.api.catalogue import SERVER_TYPES, included_traffic, location_view
from appliance.lab.api.catalogue_routes import show_server_type
from appliance.lab.api.core import Lab
from appliance.lab.api.images import view as image_view
from appliance.lab.api.placement_groups import view as placement_group_view
from appliance.lab.api.specs import firewalls_of, primary_ip, selected
from appliance.lab.api.views import dns_ptr_view, time
from appliance.lab.records import LoadBalancer, Server


def server_view(lab: Lab, server: Server) -> dict[str, Any]:
    state = lab.state
    image = state.images.get(server.image or 0)
    group = state.placement_groups.get(server.placement_group or 0)
    return {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "created": time(server.created),
        "public_net": _public_net(lab, server),
        "private_net": [
            {"network": n.network, "ip": n.ip, "alias_ips": n.alias_ips, "mac_address": n.mac}
            for n in server.private
            if not lab.under_way("attach_to_network", ("server", server.id), ("network", n.network))
        ],
        "server_type": show_server_type(lab, SERVER_TYPES[server.server_type]),
        "location": location_view(server.location),
        "image": image_view(lab, image) if image else None,
        "iso": None,
        "rescue_enabled": False,
        "locked": lab.holder(("server", server.id)) is not None,
        "backup_window": server.backup_window,
        "outgoing_traffic": 0,
        "ingoing_traffic": 0,
        "included_traffic": included_traffic(server.location),
        "protection": {"delete": server.protected, "rebuild": server.rebuild_protected},
        "labels": server.labels,
        "volumes": [v.id for v in state.volumes.values() if v.server == server.id],
        "load_balancers": [b.id for b in state.load_balancers.values() if _is_target(lab, b, server)],
        "primary_disk_size": server.disk_size,
        "placement_group": placement_group_view(lab, group) if group else None,
    }


def _public_net(lab: Lab, server: Server) -> dict[str, Any]:
    ipv4, ipv6 = primary_ip(lab.state, server.id, "ipv4"), primary_ip(lab.state, server.id, "ipv6")
    return {
        "ipv4": ipv4
        and {
            "id": ipv4.id,
            "ip": ipv4.ip,
            "blocked": False,
            "dns_ptr": ipv4.dns_ptr.get(ipv4.ip, ""),
        },
        "ipv6": ipv6
        and {"id": ipv6.id, "ip": ipv6.ip, "blocked": False, "dns_ptr": dns_ptr_view(ipv6.dns_ptr)},
        "floating_ips": [f.id for f in lab.state.floating_ips.values() if f.server == server.id],
        "firewalls": [{"id": f.id, "status": "applied"} for f in firewalls_of(lab.state, server)],
    }


def _is_target(lab: Lab, balancer: LoadBalancer, server: Server) -> bool:
    return any(
        t.server == server.id or (t.selector and server.id in selected(lab.state, t.selector))
        for t in balancer.targets
    )
