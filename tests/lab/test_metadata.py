"""The metadata service tells each server about itself, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import yaml

from appliance.lab.metadata import metadata_app
from appliance.lab.records import Network, PrimaryIp, PrivateNic, Server, Subnet
from tests.lab.served import LabApi
from tests.lab.serving import serving

HERE = "127.0.0.1"  # where the test asks from


@pytest.fixture
def url(lab_api: LabApi) -> Iterator[str]:
    with serving(metadata_app(lab_api.lab)) as base:
        yield base


def settle(lab_api: LabApi, **more: object) -> None:
    """A server at the address the test asks from."""
    values: dict[str, object] = {
        "id": 7,
        "name": "node-1",
        "server_type": "cx23",
        "location": "hel1",
        "image": None,
        "layers": [],
        "mac": "96:00:00:00:00:07",
        "disk_size": 40,
        "ssh_keys": ["ssh-ed25519 AAAA desk"],
        "status": "off",
    }
    state = lab_api.lab.state
    state.primary_ips[8] = PrimaryIp(id=8, type="ipv4", ip=HERE, location="hel1", assignee_id=7)
    state.servers[7] = Server.model_validate({**values, **more})


def get(url: str, path: str) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    return session.get(url + path, timeout=5)


def test_a_server_reads_who_it_is(lab_api: LabApi, url: str) -> None:
    settle(lab_api, user_data="#cloud-config\nhostname: x\n")
    said = yaml.safe_load(get(url, "/hetzner/v1/metadata").text)
    assert said["instance-id"] == 7
    assert said["hostname"] == "node-1"
    assert said["public-ipv4"] == HERE
    assert said["public-keys"] == ["ssh-ed25519 AAAA desk"]
    assert said["region"] == "eu-central"
    for key, value in (("hostname", "node-1"), ("instance-id", "7"), ("public-ipv4", HERE)):
        assert get(url, f"/hetzner/v1/metadata/{key}").text == value
    assert get(url, "/hetzner/v1/userdata").text == "#cloud-config\nhostname: x\n"


def test_no_user_data_is_an_empty_answer_since_cloud_init_waits_for_one(lab_api: LabApi, url: str) -> None:
    settle(lab_api)
    answer = get(url, "/hetzner/v1/userdata")
    assert (answer.status_code, answer.text) == (200, "")


def test_private_networks_are_listed_with_what_configures_a_nic(lab_api: LabApi, url: str) -> None:
    subnet = Subnet(ip_range="10.0.1.0/24", network_zone="eu-central")
    lab_api.lab.state.networks[9] = Network(id=9, name="n", ip_range="10.0.0.0/16", subnets=[subnet])
    settle(lab_api, private=[PrivateNic(network=9, ip="10.0.1.5", mac="86:00:00:00:00:09")])
    [nic] = yaml.safe_load(get(url, "/hetzner/v1/metadata/private-networks").text)
    assert nic["ip"] == "10.0.1.5"
    assert nic["mac_address"] == "86:00:00:00:00:09"
    assert nic["network"] == "10.0.0.0/16"
    assert nic["gateway"] == "10.0.0.1"


def test_a_stranger_learns_nothing(url: str) -> None:
    for path in ("metadata", "metadata/hostname", "userdata"):
        assert get(url, f"/hetzner/v1/{path}").status_code == 404
