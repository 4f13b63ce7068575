"""POST /servers: everything is checked first, then the records are made, then the machine."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from pydantic import Field

from appliance.lab.api import images, primary_ips
from appliance.lab.api.addresses import new_mac, new_private_ip
from appliance.lab.api.catalogue import LOCATIONS, SERVER_TYPES, ServerType
from appliance.lab.api.core import Lab, Ref
from appliance.lab.api.errors import ApiError, invalid
from appliance.lab.api.firewalls import MOST_PER_SERVER
from appliance.lab.api.placement_groups import refuse_if_full
from appliance.lab.api.references import named, offered
from appliance.lab.api.resource import Answer, Body
from appliance.lab.api.server_view import server_view
from appliance.lab.api.specs import machine_spec
from appliance.lab.api.ssh_keys import public_keys
from appliance.lab.api.views import action_view
from appliance.lab.api.wiring import make_network
from appliance.lab.records import Action, Image, PrimaryIp, PrivateNic, Server

MOST_USER_DATA = 32 * 1024
_HOSTNAME = re.compile(
    r"(?=.{1,63}$)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
)
DEFAULT_LOCATION = "fsn1"


class PublicNet(Body):
    enable_ipv4: bool = True
    enable_ipv6: bool = True
    ipv4: int | None = None
    ipv6: int | None = None


class FirewallRef(Body):
    firewall: int


class Create(Body):
    name: str
    server_type: int | str
    image: int | str
    location: int | str | None = None
    start_after_create: bool = True
    placement_group: int | None = None
    ssh_keys: list[int | str] = []
    volumes: list[int] = []
    networks: list[int] = []
    firewalls: list[FirewallRef] = Field(default=[], max_length=MOST_PER_SERVER)
    user_data: str = ""
    labels: dict[str, str] = {}
    automount: bool | None = None
    public_net: PublicNet = PublicNet()


@dataclass(frozen=True)
class Order:
    """A create that passed all checks."""

    body: Create
    type: ServerType
    image: Image
    location: str
    ssh_keys: list[str]
    own_ips: tuple[PrimaryIp, ...]
    new_ips: tuple[str, ...]  # kinds still to be made


def create(lab: Lab, body: Create) -> Answer:
    order = _check(lab, body)
    server, password = _record(lab, order)
    ref: Ref = ("server", server.id)
    begun = lab.action("create_server", ref)
    following = [  # the wires are laid with the machine
        lab.action("attach_to_network", ref, ("network", nic.network), holds=(ref,)) for nic in server.private
    ]
    if body.start_after_create:
        following.append(lab.action("start_server", ref))
    lab.start(begun, *following)
    return 201, {
        "server": server_view(lab, server),
        "action": action_view(begun),
        "next_actions": [action_view(a) for a in following],
        "root_password": password,
    }


def _check(lab: Lab, body: Create) -> Order:
    if not _HOSTNAME.fullmatch(body.name):
        raise invalid("name", "must be a valid hostname (RFC 1123)")
    if len(body.user_data.encode()) > MOST_USER_DATA:
        raise invalid("user_data", f"must be at most {MOST_USER_DATA} bytes")
    kind = server_type_named(body.server_type)
    location = DEFAULT_LOCATION
    if body.location is not None:
        location = primary_ips.location_named("location", body.location)
    if location not in kind.locations:
        raise invalid("location", f"server type {kind.name} is not offered in {location}")
    if kind.retired:
        raise invalid("server_type", f"server type {kind.name} is deprecated")
    image = images.find(lab, body.image, kind.architecture)
    refuse_unfit_image(image, kind)
    keys = public_keys(lab, body.ssh_keys)
    if body.placement_group is not None:
        refuse_if_full(lab, body.placement_group)
    own, new = _addresses(lab, body.public_net, location)
    _check_references(lab, body, location, public=bool(own or new))
    if lab.faults.sold_out(kind.name, location):
        raise ApiError("resource_unavailable", "error during placement")
    return Order(body, kind, image, location, keys, own, new)


def server_type_named(wanted: int | str) -> ServerType:
    """By name or id. Raises invalid_input."""
    return offered(SERVER_TYPES.values(), "server_type", "server type", wanted)


def refuse_unfit_image(image: Image, kind: ServerType) -> None:
    if image.architecture != kind.architecture:
        raise invalid("image", f"image is {image.architecture}, server type is {kind.architecture}")
    if image.status != "available":
        raise invalid("image", f"image is {image.status}")
    if image.disk_size > kind.disk:
        raise invalid("image", f"image needs a disk of {image.disk_size} GB, {kind.name} has {kind.disk}")


def _addresses(lab: Lab, wanted: PublicNet, location: str) -> tuple[tuple[PrimaryIp, ...], tuple[str, ...]]:
    own, new = [], []
    for kind in ("ipv4", "ipv6"):
        id_ = getattr(wanted, kind)
        if not getattr(wanted, f"enable_{kind}"):
            continue
        if id_ is None:
            new.append(kind)
            continue
        ip = named(lab.state.primary_ips, f"public_net.{kind}", "primary IP", id_)
        if ip.type != kind:
            raise ApiError("primary_ip_version_mismatch", f"primary IP {id_} is an {ip.type}")
        if ip.assignee_id is not None:
            raise ApiError("primary_ip_assigned", f"primary IP {id_} is assigned already")
        if ip.location != location:
            raise ApiError("primary_ip_datacenter_mismatch", f"primary IP {id_} is in {ip.location}")
        own.append(ip)
    return tuple(own), tuple(new)


def _check_references(lab: Lab, body: Create, location: str, *, public: bool) -> None:
    for ref in body.firewalls:
        named(lab.state.firewalls, "firewalls", "firewall", ref.firewall)
    if body.firewalls and not public:
        raise ApiError("private_net_only_server", "a firewall needs a public interface")
    if not public and not body.networks:
        raise invalid("public_net", "a server needs a public interface or a network")
    for network_id in body.networks:
        network = named(lab.state.networks, "networks", "network", network_id)
        new_private_ip(lab.state, network, LOCATIONS[location].network_zone, None)
    for volume_id in body.volumes:
        volume = lab.state.volumes.get(volume_id)
        if volume is None or volume.location != location or volume.server is not None:
            raise invalid("volumes", f"volume {volume_id} is not free in {location}")


def _record(lab: Lab, order: Order) -> tuple[Server, str | None]:
    """From here on nothing is refused. Returns the server and root's password, when no key was given."""
    body, state = order.body, lab.state
    password = None if order.ssh_keys else secrets.token_urlsafe(15)
    server = Server(
        id=lab.store.new_id(),
        name=body.name,
        labels=body.labels,
        server_type=order.type.name,
        location=order.location,
        image=order.image.id,
        layers=list(order.image.layers),
        mac=new_mac("96"),
        user_data=body.user_data,
        ssh_keys=order.ssh_keys,
        disk_size=order.type.disk,
        placement_group=body.placement_group,
        new_password=password,
        wired=not lab.faults.no_wire(body.name),
    )
    state.servers[server.id] = server
    for ip in order.own_ips:
        ip.assignee_id = server.id
    for kind in order.new_ips:
        made = primary_ips.new(lab, None, kind, order.location, auto_delete=True)
        made.assignee_id = server.id
    zone = LOCATIONS[order.location].network_zone
    for network_id in body.networks:
        address = new_private_ip(state, state.networks[network_id], zone, None)
        server.private.append(PrivateNic(network=network_id, ip=address, mac=new_mac("86")))
    for ref in body.firewalls:
        state.firewalls[ref.firewall].servers.append(server.id)
    for volume_id in body.volumes:
        state.volumes[volume_id].server = server.id
    return server, password


async def perform_create(lab: Lab, action: Action) -> None:
    server = lab.state.servers[action.resources[0][1]]
    for nic in server.private:
        await make_network(lab, nic.network)
    await lab.do(("server", server.id), lab.hardware.create, machine_spec(lab.state, server))
    server.status = "off"
