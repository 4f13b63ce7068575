"""The API refuses in the real one's words, operation by operation."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from appliance.lab.api.limits import Bucket
from tests.lab.rest import Rest, public_key
from tests.lab.served import LabApi, served

SERVER = {"name": "n", "server_type": "cx23", "image": "debian-13", "location": "fsn1"}


@pytest.fixture
def rest(lab_api: LabApi) -> Rest:
    return Rest(lab_api)


def test_the_path_is_routed_before_the_token_is_read(rest: Rest) -> None:
    rest.session.headers["Authorization"] = "Bearer wrong"
    assert rest.refused("GET", "/servers") == (401, "unauthorized")
    assert rest.refused("GET", "/nowhere") == (404, "not_found")
    assert rest.refused("DELETE", "/servers") == (405, "method_not_allowed")
    assert rest.refused("GET", "/zones") == (401, "unauthorized")


def test_what_the_lab_does_not_know_is_not_missing(rest: Rest) -> None:
    server = rest.server()["id"]
    for method, path in (
        ("GET", "/zones"),
        ("POST", "/zones/example.org/actions/change_ttl"),
        ("GET", "/storage_boxes"),
        ("GET", f"/servers/{server}/metrics"),
        ("POST", f"/servers/{server}/actions/enable_rescue"),
    ):
        assert rest.refused(method, path) == (501, "not_implemented")
    assert rest.refused("GET", "/datacenters") == (410, "deprecated_api_endpoint")
    assert rest.refused("GET", "/actions") == (410, "deprecated_api_endpoint")


def test_bodies_that_are_none(rest: Rest) -> None:
    assert rest("POST", "/ssh_keys", data="{").status_code == 400
    assert rest("POST", "/ssh_keys", data="[]").json()["error"]["code"] == "json_error"
    answer = rest("POST", "/ssh_keys", {"name": 5, "labels": {"a": "b"}}).json()["error"]
    assert answer["code"] == "invalid_input"
    assert {f["name"] for f in answer["details"]["fields"]} == {"name", "public_key"}


def test_every_answer_carries_an_id_and_the_state_of_the_bucket(rest: Rest) -> None:
    for answer in (rest("GET", "/servers"), rest("GET", "/servers/1"), rest("POST", "/servers", {})):
        assert answer.headers["X-Correlation-Id"]
        assert answer.headers["RateLimit-Limit"] == "3600"
        assert int(answer.headers["RateLimit-Remaining"]) < 3600
        assert int(answer.headers["RateLimit-Reset"]) > 0


def test_an_empty_bucket_refuses_and_unauthenticated_calls_count() -> None:
    now = [0.0]
    with served(bucket=Bucket(3, clock=lambda: now[0])) as api:
        rest = Rest(api)
        assert rest("GET", "/servers").status_code == 200
        rest("GET", "/servers", headers={"Authorization": "Bearer wrong"})
        assert rest("GET", "/servers").status_code == 200
        answer = rest("GET", "/servers")
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["RateLimit-Remaining"] == "0"
        now[0] += 1
        assert rest("GET", "/servers").status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "not_a_host"}, "name"),
        ({"name": "-n"}, "name"),
        ({"server_type": "cx99"}, "server_type"),
        ({"server_type": "cx22"}, "server_type"),
        ({"image": "debian-1"}, "image"),
        ({"server_type": "cax11"}, "image"),
        ({"location": "moon1"}, "location"),
        ({"location": "ash"}, "location"),
        ({"ssh_keys": ["nobody"]}, "ssh_keys"),
        ({"networks": [1]}, "networks"),
        ({"firewalls": [{"firewall": 1}]}, "firewalls"),
        ({"placement_group": 1}, "placement_group"),
        ({"user_data": "x" * 32769}, "user_data"),
        ({"labels": {"hetzner.cloud/x": "y"}}, "labels.hetzner.cloud/x"),
        ({"public_net": {"enable_ipv4": False, "enable_ipv6": False}}, "public_net"),
    ],
)
def test_a_server_that_makes_no_sense_names_the_field(rest: Rest, change: dict[str, Any], field: str) -> None:
    answer = rest("POST", "/servers", {**SERVER, **change})
    assert answer.status_code == 422
    assert [f["name"] for f in answer.json()["error"]["details"]["fields"]] == [field]
    assert rest.ok("GET", "/servers")["servers"] == []


def test_names_are_unique_within_a_kind(rest: Rest) -> None:
    rest.server("n")
    answer = rest("POST", "/servers", SERVER)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "uniqueness_error"
    assert answer.json()["error"]["details"]["fields"] == [{"name": "name"}]
    rest.ok("POST", "/placement_groups", {"name": "n", "type": "spread"})


def test_a_key_is_there_once(rest: Rest) -> None:
    key = public_key()
    rest.ok("POST", "/ssh_keys", {"name": "a", "public_key": key})
    assert rest.refused("POST", "/ssh_keys", {"name": "b", "public_key": key}) == (409, "uniqueness_error")
    bad = {"name": "c", "public_key": "ssh-ed25519 nonsense"}
    assert rest.refused("POST", "/ssh_keys", bad) == (422, "invalid_input")


def test_primary_ips_at_create(rest: Rest) -> None:
    six = rest.ok("POST", "/primary_ips", {"name": "6", "type": "ipv6", "location": "fsn1"})["primary_ip"]
    wrong = {**SERVER, "public_net": {"ipv4": six["id"]}}
    assert rest.refused("POST", "/servers", wrong) == (412, "primary_ip_version_mismatch")
    rest.server("owner", public_net={"ipv6": six["id"]})
    far = rest.ok("POST", "/primary_ips", {"name": "f", "type": "ipv4", "location": "ash"})["primary_ip"]
    away = {**SERVER, "public_net": {"ipv4": far["id"]}}
    assert rest.refused("POST", "/servers", away) == (422, "primary_ip_datacenter_mismatch")
    taken = {**SERVER, "public_net": {"ipv6": six["id"]}}
    assert rest.refused("POST", "/servers", taken) == (422, "primary_ip_assigned")


def test_primary_ips_move_only_while_servers_are_off(rest: Rest) -> None:
    server = rest.server()
    own, id_ = server["public_net"]["ipv4"]["id"], server["id"]
    assign = {"assignee_id": id_, "assignee_type": "server"}
    new = rest.ok("POST", "/primary_ips", {"name": "p", "type": "ipv4", "location": "fsn1"})["primary_ip"]
    assert rest.refused("POST", f"/primary_ips/{own}/actions/unassign") == (422, "server_not_stopped")
    rest.ok("POST", f"/servers/{id_}/actions/poweroff")
    at = f"/primary_ips/{new['id']}/actions/assign"
    assert rest.refused("POST", at, assign) == (422, "server_has_ipv4")
    assert rest.refused("DELETE", f"/primary_ips/{own}") == (422, "must_be_unassigned")
    rest.ok("POST", f"/primary_ips/{own}/actions/unassign")
    rest.ok("POST", at, assign)
    assert rest.refused("POST", at, assign) == (422, "primary_ip_already_assigned")


def test_placement_groups(rest: Rest) -> None:
    group = rest.ok("POST", "/placement_groups", {"name": "g", "type": "spread"})["placement_group"]["id"]
    first = rest.server("n0", placement_group=group)["id"]
    join = {"placement_group": group}
    loner = rest.server("loner")["id"]
    at = f"/servers/{loner}/actions/add_to_placement_group"
    assert rest.refused("POST", at, join) == (422, "server_not_stopped")
    again = f"/servers/{first}/actions/add_to_placement_group"
    assert rest.refused("POST", again, join) == (422, "already_in_placement_group")
    for number in range(1, 10):
        rest.server(f"n{number}", placement_group=group)
    assert rest.refused("POST", "/servers", {**SERVER, **join}) == (422, "placement_error")


def test_networks(rest: Rest) -> None:
    network, server = rest.network(), rest.server()["id"]
    at = f"/servers/{server}/actions/attach_to_network"
    reserved = {"network": network, "ip": "10.0.0.1"}
    assert rest.refused("POST", at, reserved) == (422, "invalid_input")
    rest.server("other", networks=[network])
    assert rest.refused("POST", at, {"network": network, "ip": "10.0.1.1"}) == (422, "ip_not_available")
    rest.ok("POST", at, {"network": network, "ip": "10.0.1.7"})
    assert rest.refused("POST", at, {"network": network}) == (422, "server_already_attached")
    overlapping = rest.network("n2", "10.0.9.0/24")
    assert rest.refused("POST", at, {"network": overlapping}) == (422, "networks_overlap")
    bare = rest.ok("POST", "/networks", {"name": "bare", "ip_range": "192.168.0.0/16"})["network"]["id"]
    assert rest.refused("POST", at, {"network": bare}) == (422, "no_subnet_available")
    public = {"name": "x", "ip_range": "8.8.0.0/16"}
    assert rest.refused("POST", "/networks", public) == (422, "invalid_input")
    small = {"name": "x", "ip_range": "10.9.9.0/25"}
    assert rest.refused("POST", "/networks", small) == (422, "invalid_input")


def test_a_network_that_is_being_changed_is_a_conflict(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    gate = lab_api.hardware.gates["create_network"] = threading.Event()
    zone = {"type": "cloud", "network_zone": "eu-central"}
    action = rest("POST", f"/networks/{network}/actions/add_subnet", zone).json()["action"]
    again = rest.refused("POST", f"/networks/{network}/actions/add_subnet", zone)
    assert again == (409, "conflict")
    gate.set()
    rest.finished(action["id"])


def test_floating_ips(rest: Rest) -> None:
    server = rest.server()["id"]
    made = rest.ok("POST", "/floating_ips", {"type": "ipv4", "server": server})["floating_ip"]["id"]
    again = rest.refused("POST", f"/floating_ips/{made}/actions/assign", {"server": server})
    assert again == (422, "floating_ip_assigned")
    assert rest.refused("DELETE", f"/floating_ips/{made}") == (422, "must_be_unassigned")


def test_firewalls(rest: Rest) -> None:
    server = rest.server()["id"]
    private = rest.server(
        "private", networks=[rest.network()], public_net={"enable_ipv4": False, "enable_ipv6": False}
    )["id"]
    firewall = rest.ok("POST", "/firewalls", {"name": "f"})["firewall"]["id"]
    at = f"/firewalls/{firewall}/actions"

    def on(id_: int) -> list[dict[str, Any]]:
        return [{"type": "server", "server": {"id": id_}}]

    rest.ok("POST", f"{at}/apply_to_resources", {"apply_to": on(server)})
    again = rest.refused("POST", f"{at}/apply_to_resources", {"apply_to": on(server)})
    assert again == (422, "firewall_already_applied")
    nobody = rest.refused("POST", f"{at}/apply_to_resources", {"apply_to": on(1)})
    assert nobody == (404, "firewall_resource_not_found")
    alone = rest.refused("POST", f"{at}/apply_to_resources", {"apply_to": on(private)})
    assert alone == (422, "private_net_only_server")
    assert rest.refused("DELETE", f"/firewalls/{firewall}") == (422, "resource_in_use")
    twice = {"name": "g", "apply_to": [*on(server), *on(server)]}
    assert rest.refused("POST", "/firewalls", twice) == (422, "server_already_added")
    stray = {"name": "g", "apply_to": on(1)}
    assert rest.refused("POST", "/firewalls", stray) == (422, "firewall_resource_not_found")
    rest.ok("PUT", f"/servers/{server}", {"labels": {"a": "b"}})
    selector = [{"type": "label_selector", "label_selector": {"selector": "a"}}]
    other = rest.ok("POST", "/firewalls", {"name": "g", "apply_to": selector})["firewall"]["id"]
    managed = rest.refused(
        "POST", f"/firewalls/{other}/actions/remove_from_resources", {"remove_from": on(server)}
    )
    assert managed == (422, "firewall_managed_by_label_selector")
    for rule in (
        {"direction": "in", "protocol": "tcp", "port": "80-70", "source_ips": ["0.0.0.0/0"]},
        {"direction": "in", "protocol": "tcp", "source_ips": ["0.0.0.0/0"]},
        {"direction": "in", "protocol": "icmp", "port": "1", "source_ips": ["0.0.0.0/0"]},
        {"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["everyone"]},
        {"direction": "in", "protocol": "tcp", "port": "80", "source_ips": []},
    ):
        assert rest.refused("POST", f"{at}/set_rules", {"rules": [rule]}) == (422, "invalid_input")


def test_a_server_has_at_most_five_firewalls(rest: Rest) -> None:
    server = rest.server()["id"]
    on = [{"type": "server", "server": {"id": server}}]
    for number in range(5):
        rest.ok("POST", "/firewalls", {"name": f"f{number}", "apply_to": on})
    last = rest("POST", "/firewalls", {"name": "f5", "apply_to": on})
    assert (last.status_code, last.json()["error"]["code"]) == (403, "resource_limit_exceeded")
    assert last.json()["error"]["details"]["limits"]


def test_protection(rest: Rest) -> None:
    server = rest.server()["id"]
    at = f"/servers/{server}/actions/change_protection"
    assert rest.refused("POST", at, {"delete": True}) == (422, "invalid_input")
    rest.ok("POST", at, {"delete": True, "rebuild": True})
    assert rest.refused("DELETE", f"/servers/{server}") == (423, "protected")
    rebuild = rest.refused("POST", f"/servers/{server}/actions/rebuild", {"image": "debian-13"})
    assert rebuild == (423, "protected")


def test_a_snapshot_boots_on_no_smaller_disk(rest: Rest) -> None:
    server = rest.server(server_type="cx33")["id"]
    image = rest.ok("POST", f"/servers/{server}/actions/create_image")["image"]["id"]
    assert rest.refused("POST", "/servers", {**SERVER, "image": image}) == (422, "invalid_input")
    rest.server("n", image=image, server_type="cx33")


def test_a_disk_never_shrinks(rest: Rest) -> None:
    server = rest.server(server_type="cx33")["id"]
    change = {"server_type": "cx23", "upgrade_disk": False}
    at = f"/servers/{server}/actions/change_type"
    assert rest.refused("POST", at, change) == (422, "server_not_stopped")
    rest.ok("POST", f"/servers/{server}/actions/poweroff")
    assert rest.refused("POST", at, change) == (422, "invalid_server_type")
