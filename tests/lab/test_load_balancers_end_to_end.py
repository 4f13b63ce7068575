"""A load balancer of the lab as users of the API meet it: real servers behind it, one of them killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from hcloud import Client
from hcloud.images.domain import Image
from hcloud.load_balancer_types.domain import LoadBalancerType
from hcloud.load_balancers.client import BoundLoadBalancer
from hcloud.load_balancers.domain import (
    LoadBalancerAlgorithm,
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations.domain import Location
from hcloud.networks.client import BoundNetwork
from hcloud.networks.domain import NetworkSubnet
from hcloud.server_types.domain import ServerType
from hcloud.servers.client import BoundServer

from appliance.lab import daemon_process, lifecycle
from appliance.lab.place import Place
from appliance.lab.shell import run
from tests.lab.serving import until

pytestmark = pytest.mark.lab
INSTANCE = 26  # a lab of its own

# The private NIC is the server's own to configure, as at Hetzner.
USER_DATA = """#cloud-config
write_files:
- path: /root/private.py
  content: |
    import pathlib, subprocess, urllib.request, yaml
    nets = urllib.request.urlopen("http://169.254.169.254/hetzner/v1/metadata/private-networks", timeout=10)
    for net in yaml.safe_load(nets):
        nics = pathlib.Path("/sys/class/net").glob("*/address")
        nic = next(n.parent.name for n in nics if n.read_text().strip() == net["mac_address"])
        for line in (
            f"link set {nic} up mtu 1450",
            f"addr replace {net['ip']}/32 dev {nic}",
            f"route replace {net['gateway']} dev {nic}",
            f"route replace {net['network']} via {net['gateway']} dev {nic} src {net['ip']}",
        ):
            subprocess.run(["ip", *line.split()], check=True)
- path: /etc/systemd/system/web.service
  content: |
    [Service]
    ExecStartPre=python3 /root/private.py
    ExecStartPre=mkdir -p /srv/web
    ExecStartPre=cp /etc/hostname /srv/web/index.html
    ExecStart=python3 -m http.server --directory /srv/web 8080
    [Install]
    WantedBy=multi-user.target
runcmd:
- systemctl enable --now web
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    made = replace(Place.from_environment(), instance=INSTANCE)
    lifecycle.down(made)
    lifecycle.up(made)
    yield made
    lifecycle.down(made)


@pytest.fixture(scope="module")
def client(place: Place) -> Client:
    access = lifecycle.environment(place)
    return Client(token=access["HCLOUD_TOKEN"], api_endpoint=access["HCLOUD_ENDPOINT"], timeout=30)


@pytest.fixture(scope="module")
def network(client: Client) -> BoundNetwork:
    subnet = NetworkSubnet(type="cloud", ip_range="10.0.1.0/24", network_zone="eu-central")
    return client.networks.create("net", "10.0.0.0/16", subnets=[subnet])


@pytest.fixture(scope="module")
def servers(client: Client, network: BoundNetwork) -> list[BoundServer]:
    made = [
        client.servers.create(
            name=f"web-{number}",
            server_type=ServerType(name="cx23"),
            image=Image(name="debian-13"),
            location=Location(name="fsn1"),
            networks=[network],
            user_data=USER_DATA,
        )
        for number in (1, 2)
    ]
    for create in made:
        for action in (create.action, *create.next_actions):
            action.wait_until_finished()
    return [create.server for create in made]


def _targets(balancer: BoundLoadBalancer) -> list[dict[str, Any]]:
    """As the API says, `detail` included, which the client drops."""
    answer = balancer._client._parent.request(method="GET", url=f"/load_balancers/{balancer.id}")
    found: list[dict[str, Any]] = answer["load_balancer"]["targets"]
    return found


def _health(balancer: BoundLoadBalancer) -> dict[int | None, dict[str, Any]]:
    """Server id -> the health of its only port."""
    return {t["server"]["id"]: t["health_status"][0] for t in _targets(balancer) if t.get("health_status")}


def _statuses(balancer: BoundLoadBalancer) -> list[str]:
    return sorted(health["status"] for health in _health(balancer).values())


@pytest.fixture(scope="module")
def balancer(client: Client, network: BoundNetwork, servers: list[BoundServer]) -> BoundLoadBalancer:
    created = client.load_balancers.create(
        name="lb",
        load_balancer_type=LoadBalancerType(name="lb11"),
        location=Location(name="fsn1"),
        algorithm=LoadBalancerAlgorithm("round_robin"),
    )
    created.action.wait_until_finished()
    made = created.load_balancer
    made.attach_to_network(network).wait_until_finished()
    check = LoadBalancerHealthCheck(
        protocol="http",
        port=8080,
        interval=3,
        timeout=2,
        retries=1,
        http=LoadBalancerHealthCheckHttp(domain="web.test", path="/", status_codes=["2??"], tls=False),
    )
    made.add_service(
        LoadBalancerService(
            protocol="tcp", listen_port=80, destination_port=8080, proxyprotocol=False, health_check=check
        )
    ).wait_until_finished()
    for server in servers:
        made.add_target(
            LoadBalancerTarget(type="server", server=server, use_private_ip=True)
        ).wait_until_finished()
    made.reload()
    return made


def _ask(balancer: BoundLoadBalancer) -> str:
    """Who answered; nobody: the empty text."""
    assert balancer.public_net
    try:
        return requests.get(f"http://{balancer.public_net.ipv4.ip}/", timeout=5).text.strip()
    except requests.RequestException:
        return ""


def _processes(place: Place, balancer: BoundLoadBalancer) -> str:
    return run(["ip", "netns", "pids", f"{place.prefix}b{balancer.id}"])


@pytest.fixture
def well(balancer: BoundLoadBalancer, servers: list[BoundServer]) -> BoundLoadBalancer:
    """Both servers on and healthy, whatever the test before did."""
    for server in servers:
        server.reload()
        if server.status == "off":
            server.power_on().wait_until_finished()
    until(lambda: _statuses(balancer) == ["healthy", "healthy"], 60)
    return balancer


def test_both_servers_answer_over_their_private_addresses(well: BoundLoadBalancer) -> None:
    assert {_ask(well) for _ in range(6)} == {"web-1", "web-2"}


def test_a_killed_server_is_taken_out_traffic_goes_on_and_it_is_taken_back(
    well: BoundLoadBalancer, servers: list[BoundServer]
) -> None:
    dead, alive = servers
    dead.power_off().wait_until_finished()
    until(lambda: _health(well)[dead.id]["status"] == "unhealthy", 60)
    assert _health(well)[dead.id]["detail"].startswith("layer4_")
    assert _health(well)[alive.id] == {"listen_port": 80, "status": "healthy"}
    assert {_ask(well) for _ in range(6)} == {"web-2"}

    dead.power_on().wait_until_finished()
    until(lambda: _statuses(well) == ["healthy", "healthy"], 60)
    assert {_ask(well) for _ in range(6)} == {"web-1", "web-2"}


def test_it_outlives_the_daemon(place: Place, well: BoundLoadBalancer) -> None:
    daemon, before = daemon_process.find(place), _processes(place, well)
    assert daemon
    os.kill(daemon.pid, signal.SIGKILL)
    assert {_ask(well) for _ in range(6)} == {"web-1", "web-2"}
    lifecycle.up(place)
    until(lambda: _statuses(well) == ["healthy", "healthy"])
    assert _processes(place, well) == before != ""
    assert {_ask(well) for _ in range(6)} == {"web-1", "web-2"}


def test_a_target_that_leaves_gets_nothing_more(well: BoundLoadBalancer, servers: list[BoundServer]) -> None:
    target = LoadBalancerTarget(type="server", server=servers[0], use_private_ip=True)
    well.remove_target(target).wait_until_finished()
    assert {_ask(well) for _ in range(6)} == {"web-2"}
    well.add_target(target).wait_until_finished()


def test_nothing_of_a_deleted_balancer_is_left(place: Place, client: Client, well: BoundLoadBalancer) -> None:
    other = client.load_balancers.create(
        name="other",
        load_balancer_type=LoadBalancerType(name="lb11"),
        location=Location(name="fsn1"),
        services=well.services,
        targets=[],
    )
    other.action.wait_until_finished()
    folder = place.folder / "balancers" / str(other.load_balancer.id)
    until(folder.exists)
    other.load_balancer.delete()
    until(lambda: not folder.exists())
