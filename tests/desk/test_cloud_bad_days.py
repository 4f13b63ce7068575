"""The desk's calls when the API is slow, busy, broken, or its answers get lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import hcloud
import pytest

from appliance.contract.trouble import CloudTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.cloud.errors import ApiRefusal, Unanswered
from appliance.desk.model import FirewallRule, Label, Role
from appliance.lab.api.limits import Bucket
from tests.desk.at_lab import bake_server, cloud_at
from tests.lab.served import LabApi, served

RANGE, SUBNET = IPv4Network("10.60.0.0/16"), IPv4Network("10.60.1.0/24")
KEY = hostkeys.make().public

CREATES: dict[str, tuple[str, Callable[[Cloud], object]]] = {
    "network": ("/networks", lambda c: c.ensure_network("office", RANGE, SUBNET, "fsn1")),
    "placement group": ("/placement_groups", lambda c: c.ensure_placement_group("office")),
    "firewall": (
        "/firewalls",
        lambda c: c.ensure_firewall("office", [FirewallRule("tcp", "443", ("0.0.0.0/0",))]),
    ),
    "SSH key": ("/ssh_keys", lambda c: c.ensure_ssh_key("office", KEY, Role.SSH_KEY)),
    "primary IP": ("/primary_ips", lambda c: c.ensure_primary_ip("office-1", "fsn1")),
    "server": ("/servers", bake_server),
    "lock": ("/placement_groups", lambda c: c.take_name("appliance-office-lock", {Label.ROLE: "lock"})),
}
NUISANCES: dict[str, dict[str, Any]] = {
    "lost answer": {"kind": "lose_answer"},
    "dropped": {"kind": "drop"},
    "503": {"kind": "answer", "status": 503, "code": "unavailable"},
    "502": {"kind": "answer", "status": 502, "code": "bad_gateway"},
    "504": {"kind": "answer", "status": 504, "code": "timeout"},
    "423": {"kind": "answer", "status": 423, "code": "locked"},
    "409": {"kind": "answer", "status": 409, "code": "conflict"},
    "429": {"kind": "answer", "status": 429, "code": "rate_limit_exceeded"},
    "hangs": {"kind": "hang", "seconds": 0.7},
    "slower than the time-out": {"kind": "slow", "seconds": 0.6},
}


@pytest.fixture
def cloud(lab_api: LabApi) -> Cloud:
    return cloud_at(lab_api, timeout=0.4)


@pytest.mark.parametrize("nuisance", NUISANCES)
@pytest.mark.parametrize("verb", ["assign", "unassign"])
def test_an_address_that_moves_amid_trouble_arrives(
    lab_api: LabApi, cloud: Cloud, verb: str, nuisance: str
) -> None:
    servers = [bake_server(cloud, name=f"office-{n}") for n in (1, 2)]
    address = cloud.ensure_primary_ip("office-ip", "fsn1").id
    for server in servers:
        cloud.shut_down(server.id, 5)
        cloud.unassign_primary_ip(server.primary_ip_id or 0)
    cloud.assign_primary_ip(address, servers[0].id)
    lab_api.fault(NUISANCES[nuisance], method="POST", path=f"/primary_ips/{address}/actions/{verb}", times=2)
    cloud.unassign_primary_ip(address)
    cloud.assign_primary_ip(address, servers[1].id)
    assert lab_api.lab.state.primary_ips[address].assignee_id == servers[1].id
    cloud.assign_primary_ip(address, servers[1].id)  # there already


def test_an_address_does_not_leave_a_server_that_runs(cloud: Cloud) -> None:
    server = bake_server(cloud)
    with pytest.raises(ApiRefusal, match="unassign the primary IP"):
        cloud.unassign_primary_ip(server.primary_ip_id or 0)


@pytest.mark.parametrize("nuisance", NUISANCES)
@pytest.mark.parametrize("kind", CREATES)
def test_a_create_that_meets_trouble_twice_makes_exactly_one(
    lab_api: LabApi, cloud: Cloud, kind: str, nuisance: str
) -> None:
    path, create = CREATES[kind]
    lab_api.fault(NUISANCES[nuisance], method="POST", path=path, times=2)
    assert create(cloud)
    seen = cloud.observe()
    # A server's primary IPs go with it and carry no label.
    assert len(seen.servers) + len(seen.held) == 1


@pytest.mark.parametrize("nuisance", ["lost answer", "slower than the time-out", "423", "503"])
def test_a_snapshot_whose_answer_gets_lost_is_made_once(lab_api: LabApi, cloud: Cloud, nuisance: str) -> None:
    server = bake_server(cloud)
    lab_api.fault(NUISANCES[nuisance], method="POST", path="/servers/*/actions/create_image")
    made = cloud.create_snapshot(server.id, "appliance office", {Label.ROLE: Role.SNAPSHOT})
    assert [image.id for image in cloud.observe().snapshots] == [made.id]


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_a_delete_that_meets_trouble_is_done(lab_api: LabApi, cloud: Cloud, nuisance: str) -> None:
    server = bake_server(cloud)
    lab_api.fault(NUISANCES[nuisance], method="DELETE", times=2)
    cloud.delete_server(server.id)
    assert not lab_api.hardware.machines


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_reading_survives_trouble(lab_api: LabApi, cloud: Cloud, nuisance: str) -> None:
    lab_api.fault(NUISANCES[nuisance], method="GET", times=2)
    assert cloud.server_types()


def test_an_api_that_stays_away_ends_in_words_within_the_patience(lab_api: LabApi) -> None:
    waits: list[float] = []
    told: list[str] = []
    cloud = cloud_at(lab_api, pause=waits.append, patience=30.0, tell=told.append)
    cloud.locations()
    lab_api.fault(NUISANCES["503"], times=None)
    with pytest.raises(Unanswered) as caught:
        bake_server(cloud)
    assert "unavailable" in caught.value.why
    assert "status.hetzner.com" in caught.value.fix
    assert 15 < sum(waits) <= 30
    assert told, "a person would notice waits of seconds"
    lab_api.clear_faults()
    assert cloud.observe().servers == ()


def test_a_hanging_api_is_not_waited_for_for_ever(lab_api: LabApi) -> None:
    cloud = cloud_at(lab_api, timeout=0.2, patience=0.5)
    lab_api.fault({"kind": "hang", "seconds": 60}, times=None)
    began = time.monotonic()
    with pytest.raises(Unanswered, match="read the locations"):
        cloud.locations()
    assert time.monotonic() - began < 10


def test_a_request_bucket_that_is_empty_is_waited_for() -> None:
    with served(bucket=Bucket(size=3, per_second=20)) as api:
        cloud = cloud_at(api, pause=time.sleep)
        for _ in range(6):
            cloud.locations()
        assert cloud.calls > 6


class SaysRetryAfter(Bucket):
    def headers(self) -> dict[str, str]:
        return {**super().headers(), "Retry-After": "7"}


def test_retry_after_is_kept_to_and_beyond_the_patience_it_is_told() -> None:
    waits: list[float] = []
    with served(bucket=SaysRetryAfter(size=1, per_second=0.001)) as api:
        cloud = cloud_at(api, pause=waits.append, patience=20)
        cloud.locations()
        with pytest.raises(ApiRefusal) as caught:
            cloud.locations()
    assert waits == [7, 7]
    assert caught.value.api_code == "rate_limit_exceeded"
    assert "3600" in caught.value.fix


def test_a_wrong_token_is_refused_at_once_and_says_where_to_make_one(lab_api: LabApi) -> None:
    cloud = Cloud(lab_api.endpoint, "0" * 64, "office")
    with pytest.raises(ApiRefusal) as caught:
        cloud.observe()
    assert "API tokens" in caught.value.fix
    assert cloud.calls == 1


@pytest.mark.parametrize("token", ["", "two words", "line\n", "schlüssel"])
def test_a_token_that_cannot_be_one_is_not_sent_and_not_shown(lab_api: LabApi, token: str) -> None:
    with pytest.raises(CloudTrouble) as caught:
        Cloud(lab_api.endpoint, token, "office")
    assert not token or token not in str(caught.value)


def test_nobody_at_the_endpoint_is_said_soon() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        waits: list[float] = []
        with pytest.raises(Unanswered) as caught:
            Cloud(endpoint, "0" * 64, "office", pause=waits.append).locations()
    assert "Connection refused" in caught.value.why
    assert sum(waits) <= 3


def test_an_endpoint_without_its_v1_is_said(lab_api: LabApi) -> None:
    wrong = Cloud(lab_api.endpoint.removesuffix("/v1"), lab_api.token, "office")
    with pytest.raises(CloudTrouble, match="no API endpoint") as caught:
        wrong.observe()
    assert "/v1" in caught.value.fix


def test_an_endpoint_that_is_none_is_said() -> None:
    with pytest.raises(CloudTrouble, match="no API endpoint"):
        Cloud("not a url", "0" * 64, "office").locations()


def test_an_unknown_server_type_names_the_field(lab_api: LabApi, cloud: Cloud) -> None:
    with pytest.raises(ApiRefusal) as caught:
        bake_server(cloud, server_type="cx9000")
    assert "server_type" in caught.value.why
    assert cloud.observe().servers == ()


def test_sold_out_says_which_locations_have_it(lab_api: LabApi, cloud: Cloud) -> None:
    lab_api.fault({"kind": "sold_out", "server_type": "cx23", "location": "fsn1"}, times=None)
    with pytest.raises(ApiRefusal) as caught:
        bake_server(cloud)
    assert caught.value.what == "cx23 is sold out in fsn1"
    assert "cx23 is available in " in caught.value.fix
    assert "nbg1" in caught.value.fix


def test_a_limit_that_is_reached_is_said(lab_api: LabApi, cloud: Cloud) -> None:
    effect = {"kind": "answer", "status": 403, "code": "resource_limit_exceeded", "message": "server limit"}
    lab_api.fault(effect, method="POST", path="/servers")
    with pytest.raises(ApiRefusal) as caught:
        bake_server(cloud)
    assert "Limits" in caught.value.fix


def test_a_server_whose_creation_fails_at_the_cloud_is_not_left_behind(lab_api: LabApi, cloud: Cloud) -> None:
    lab_api.fault({"kind": "fail_action", "command": "create_server", "code": "server_error"})
    with pytest.raises(ApiRefusal):
        bake_server(cloud)
    assert cloud.observe().servers == ()
    assert bake_server(cloud).status == "running"


def test_a_server_that_a_dead_desk_left_half_made_is_waited_for(lab_api: LabApi) -> None:
    gate = lab_api.hardware.gates["create"] = threading.Event()
    impatient = cloud_at(lab_api, pause=_give_up)
    with pytest.raises(KeyboardInterrupt):
        bake_server(impatient)
    patient = cloud_at(lab_api, pause=lambda _: gate.set())
    assert bake_server(patient).status == "running"
    assert len(lab_api.hardware.machines) == 1


def test_a_server_that_never_came_to_life_is_replaced(lab_api: LabApi, cloud: Cloud) -> None:
    lab_api.fault({"kind": "fail_action", "command": "create_server"})
    with pytest.raises(KeyboardInterrupt):
        bake_server(cloud_at(lab_api, pause=_give_up))
    time.sleep(0.1)
    (dead,) = cloud.observe().servers
    assert bake_server(cloud).id != dead.id
    assert len(cloud.observe().servers) == 1


def test_a_server_found_off_is_started(lab_api: LabApi, cloud: Cloud) -> None:
    server = bake_server(cloud)
    cloud.power_off(server.id)
    assert bake_server(cloud).id == server.id
    assert lab_api.hardware.running(server.id)


def test_a_server_whose_snapshot_outlived_its_desk_is_deleted_once_it_is_made(lab_api: LabApi) -> None:
    server = bake_server(cloud_at(lab_api))
    gate = lab_api.hardware.gates["snapshot"] = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        cloud_at(lab_api, pause=_give_up).create_snapshot(server.id, "x", {Label.ROLE: Role.SNAPSHOT})
    patient = cloud_at(lab_api, patience=0, pause=lambda _: gate.set())
    patient.delete_server(server.id)
    assert patient.observe().servers == ()


def test_an_action_that_never_ends_is_given_up(
    lab_api: LabApi, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.desk.cloud.servers.SERVER_SECONDS", 0.3)
    gate = lab_api.hardware.gates["create"] = threading.Event()
    with pytest.raises(CloudTrouble, match="in vain to create server office-bake"):
        bake_server(cloud)
    gate.set()


def test_the_library_s_own_blind_retries_are_off(lab_api: LabApi) -> None:
    """There is no public switch for them: this tells when the private one has gone."""
    assert hcloud.Client("0" * 64)._client._retry_max_retries > 0
    cloud = cloud_at(lab_api, pause=_give_up)
    assert cloud._wire._client._client._retry_max_retries == 0
    lab_api.fault(NUISANCES["409"], method="PUT")
    with pytest.raises(KeyboardInterrupt):
        cloud.label_server(1, {})
    assert cloud.calls == 1


def _give_up(_: float) -> None:
    raise KeyboardInterrupt
