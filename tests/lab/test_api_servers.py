from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hcloud import APIException, Client
from hcloud.firewalls import FirewallRule
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import NetworkSubnet
from hcloud.server_types import ServerType

from tests.lab.served import LabApi


def public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@pytest.fixture
def client(lab_api: LabApi) -> Client:
    return Client(lab_api.token, api_endpoint=lab_api.endpoint, poll_interval=0.05)


def test_a_server_lives_from_create_to_delete(lab_api: LabApi, client: Client) -> None:
    key = client.ssh_keys.create("desk", public_key(), labels={"appliance": "a"})
    network = client.networks.create(
        "n",
        "10.0.0.0/16",
        subnets=[NetworkSubnet(type="cloud", ip_range="10.0.1.0/24", network_zone="eu-central")],
    )
    firewall = client.firewalls.create(
        "f", rules=[FirewallRule(direction="in", protocol="tcp", port="443", source_ips=["0.0.0.0/0"])]
    ).firewall
    group = client.placement_groups.create("g", "spread").placement_group
    made = client.servers.create(
        name="node-1",
        server_type=ServerType(name="cx23"),
        image=Image(name="debian-13"),
        location=Location(name="fsn1"),
        ssh_keys=[key],
        networks=[network],
        firewalls=[firewall],
        placement_group=group,
        user_data="#cloud-config\n",
        labels={"appliance": "a"},
    )
    made.action.wait_until_finished()
    for action in made.next_actions:
        action.wait_until_finished()
    server = client.servers.get_by_id(made.server.id)
    assert server.status == "running"
    assert made.root_password is None
    assert server.private_net[0].ip == "10.0.1.1"
    spec = lab_api.hardware.machines[server.id].spec
    assert spec.public.ipv4 == server.public_net.ipv4.ip
    assert spec.firewall is not None
    assert spec.firewall[0].port == "443"
    assert client.servers.get_all(label_selector="appliance=a")[0].id == server.id

    server.shutdown().wait_until_finished()
    image = server.create_image(description="mine", labels={"k": "v"})
    image.action.wait_until_finished()
    assert client.images.get_by_id(image.image.id).status == "available"
    client.servers.delete(server).wait_until_finished()
    with pytest.raises(APIException) as gone:
        client.servers.get_by_id(server.id)
    assert gone.value.code == "not_found"
    assert client.primary_ips.get_all() == []
    assert lab_api.hardware.machines == {}
